import Manifest
import Testing
@testable import Control

@Suite("The control protocol")
struct APITests {
  @Test("Lines are cut out of any pieces")
  func framing() {
    var framer = LineFramer(limit: 8)
    #expect(framer.append(Array("ab".utf8)) == [])
    #expect(framer.append(Array("c\r\n\n\nd\ne".utf8)) == [.line(Array("abc".utf8)), .line(Array("d".utf8))])
    #expect(framer.append(Array("\n".utf8)) == [.line(Array("e".utf8))])
  }

  @Test("A line that is too long is skipped as a whole")
  func overlong() {
    var framer = LineFramer(limit: 4)
    #expect(framer.append(Array("1234\n12345".utf8)) == [.line(Array("1234".utf8)), .overlong])
    #expect(framer.append([UInt8](repeating: 0x41, count: 1000)) == [])
    #expect(framer.append(Array("\nok\n".utf8)) == [.line(Array("ok".utf8))])
  }

  @Test("Requests are read")
  func requests() throws {
    let request = try ControlCoding.request(from: Array(#"{"id":3,"op":"tail","domain":"debian","bytes":10}"#.utf8))
      .get()
    #expect(request == ControlRequest(id: 3, op: .tail, domain: "debian", bytes: 10))
    let coded = try ControlCoding.encode(request)
    #expect(try ControlCoding.request(from: coded).get() == request)
    let disk = ControlRequest(id: 1, op: .diskRollback, disk: "data", snapshot: "before")
    #expect(try ControlCoding.request(from: try ControlCoding.encode(disk)).get() == disk)
    let clone = ControlRequest(id: 1, op: .diskClone, disk: "data", clone: "other")
    #expect(try ControlCoding.request(from: try ControlCoding.encode(clone)).get() == clone)
    #expect(
      try ControlCoding.request(from: Array(#"{"id":1,"op":"reboot-host","future":1}"#.utf8)).get().op == .rebootHost)
  }

  @Test("Every field of a request arrives")
  func fields() throws {
    var limits = ResourceLimits()
    limits.cpuCap = 50
    let request = ControlRequest(
      id: 1, op: .networkLink, domain: "a", bytes: 2, version: 3, disk: "b", snapshot: "c", clone: "d", address: "e",
      use: "f", force: true, spec: DomainSpec(name: "g"), start: false, cpus: 2, limits: limits,
      network: .init(name: "h", mode: .nat, address: "10.80.1.1/24"), card: 1, link: LinkConditions(isDown: true))
    #expect(try ControlCoding.request(from: try ControlCoding.encode(request)).get() == request)
    #expect(Mirror(reflecting: request).children.allSatisfy { "\($0.value)" != "nil" })
  }

  @Test(
    "What is no request is refused with a code and, where there is one, its id",
    arguments: [
      ("", "malformed-request", nil), ("garbage", "malformed-request", nil), ("{}", "malformed-request", nil),
      (#"{"id":"x","op":"list"}"#, "malformed-request", nil), (#"{"id":4}"#, "malformed-request", 4),
      (#"{"id":5,"op":"dance"}"#, "unknown-operation", 5), (#"{"id":6,"op":"stop"}"#, "malformed-request", 6),
      (#"{"id":8,"op":"disk-create","bytes":1}"#, "malformed-request", 8),
      (#"{"id":8,"op":"disk-attach","disk":"data"}"#, "malformed-request", 8),
      (#"{"id":7,"op":7}"#, "malformed-request", 7), ("[1,2]", "malformed-request", nil),
      (#"{"id":99999999999999999999,"op":"list"}"#, "malformed-request", nil),
      (String(repeating: "[", count: 100_000), "malformed-request", nil), ("\u{0}\u{FF}", "malformed-request", nil),
    ] as [(String, String, Int?)])
  func malformed(text: String, code: String, id: Int?) {
    guard case .failure(let failure) = ControlCoding.request(from: Array(text.utf8)) else {
      Issue.record("\(text) was taken for a request")
      return
    }
    #expect(failure.error.code.rawValue == code)
    #expect(failure.id == id)
  }

  @Test("Random bytes never trap")
  func fuzz() {
    var random = SystemRandomNumberGenerator()
    let valid = Array(#"{"id":1,"op":"tail","domain":"debian","bytes":4000}"#.utf8)
    for _ in 0..<2000 {
      var bytes = valid
      for _ in 0..<Int.random(in: 1...6, using: &random) {
        bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
      }
      _ = ControlCoding.request(from: bytes)
    }
  }

  @Test("Nobody waits for a domain that came down, but for that itself")
  func waiting() {
    var status = DomainStatus(
      name: "web", os: "none", state: .starting, cpus: 1, memoryBytes: 1 << 20, console: "c", log: "l")
    #expect(status.objection(toWaitingFor: "ready") == nil)
    status.state = .off
    #expect(status.objection(toWaitingFor: "ready") == nil)
    status.state = .failed
    #expect(status.objection(toWaitingFor: "ready") == "web is failed")
    status.reason = "no kernel"
    #expect(status.objection(toWaitingFor: "ready") == "web is failed: no kernel")
    #expect(status.objection(toWaitingFor: "failed") == nil && status.objection(toWaitingFor: "crashed") != nil)
    status.state = .crashed
    #expect(status.objection(toWaitingFor: "ready") == "web is crashed: no kernel")
  }

  @Test("Replies and events have the documented shape")
  func shapes() throws {
    let reply = try ControlCoding.encode(
      ReplyLine(id: 1, ok: true, result: Hello(version: 1, appliance: "quickstart"), error: nil))
    #expect(
      String(decoding: reply, as: UTF8.self) == #"{"id":1,"ok":true,"result":{"appliance":"quickstart","version":1}}"#)
    let refusal = try ControlCoding.encode(
      ReplyLine<Nothing>(id: 2, ok: false, result: nil, error: ControlError(.unknownDomain, "no")))
    #expect(
      String(decoding: refusal, as: UTF8.self)
        == #"{"error":{"code":"unknown-domain","message":"no"},"id":2,"ok":false}"#)
    let event = EventLine(.domain(Samples.status("debian", .shuttingDown)))
    let line = try ControlCoding.encode(event)
    #expect(String(decoding: line, as: UTF8.self).contains(#""state":"shutting-down""#))
    #expect(try ControlCoding.decode(EventLine.self, from: line).value == event.value)
    #expect(!line.contains(0x0A))
  }

  @Test("An overview is ready when every domain that starts with the appliance is")
  func readiness() {
    let appliance = ApplianceStatus(name: "a", state: .up, uptimeSeconds: 1)
    var manual = Samples.status("manual", .defined)
    manual.autostart = false
    #expect(Overview(appliance: appliance, domains: [Samples.status("a", .ready), manual]).isReady)
    #expect(!Overview(appliance: appliance, domains: [Samples.status("a", .running), manual]).isReady)
    #expect(!Overview(appliance: appliance, domains: [manual]).isReady)
  }
}
