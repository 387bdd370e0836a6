@testable import Control
import Platform
import Synchronization
import TestMachine
import Testing

/// An appliance as `roost boot` sees it: answers on a unix socket from a script.
///
/// Concurrency model: `run` has its own thread; the script and the progress lines are behind mutexes.
final class FakeAppliance: Sendable {
  let path: String
  private let answers: Mutex<[String]>
  private let isMute: Bool

  /// Answers `list` with each of `answers` in turn, the last for ever; "" closes the connection. Without any it answers
  /// nothing, and reads until the other side has gone.
  init(_ path: String, answers: [String]) {
    self.path = path
    self.answers = Mutex(answers)
    isMute = answers.isEmpty
  }

  func run(_ listener: borrowing FileDescriptor) {
    guard let peer = try? UnixSocket.accept(listener) else { return }
    var framer = LineFramer()
    while let bytes = try? peer.read(upTo: 4096), !bytes.isEmpty {
      if isMute { continue }
      for case .line(let line) in framer.append(bytes) {
        guard let reply = reply(to: line) else { return }
        guard (try? peer.writeAll(Array("\(reply)\n".utf8))) != nil else { return }
      }
    }
  }

  private func reply(to line: [UInt8]) -> String? {
    guard case .success(let request) = ControlCoding.request(from: line) else { return "garbage" }
    let result: String
    switch request.op {
    case .hello: result = "{\"version\":1,\"appliance\":\"quickstart\"}"
    case .tail: result = "{\"domain\":\"\(request.domain ?? "")\",\"text\":\"one\\r\\n\\u001b[31mtwo\\u001b[0m\\n\"}"
    default:
      let answer = answers.withLock { $0.count > 1 ? $0.removeFirst() : $0[0] }
      if answer.isEmpty { return nil }
      result =
        "{\"appliance\":{\"name\":\"q\",\"state\":\"up\",\"uptimeSeconds\":1,\"notices\":[]},\"domains\":[\(answer)]}"
    }
    return "{\"id\":\(request.id),\"ok\":true,\"result\":\(result)}"
  }

  static func domain(_ name: String, _ state: String, autostart: Bool = true, ready: Double? = nil) -> String {
    """
    {"name":"\(name)","os":"Debian 13","state":"\(state)","cpus":1,"memoryBytes":1,"autostart":\(autostart),\
    "restarts":0,"console":"c","log":"l"\(ready.map { ",\"readySeconds\":\($0)" } ?? "")}
    """
  }
}

@Suite("Waiting for an appliance", .ownThreads) struct ReadinessWatchTests {
  /// Watches a fake appliance; returns the outcome and the progress.
  private func watch(_ answers: [String], timeout: Double = 300) throws -> (ReadinessWatch.Outcome, [String]) {
    let scratch = try Scratch()
    let appliance = FakeAppliance("\(scratch.path)/s", answers: answers)
    let listener = try UnixSocket.listen(appliance.path)
    let duplicate = try listener.duplicate()
    let server = try Thread("appliance") { appliance.run(duplicate) }
    let progress = Progress()
    let outcome = ReadinessWatch(
      socket: appliance.path, timeout: timeout, interval: 0.02, report: { line in progress.add(line) }
    ).run()
    server.join()
    return (outcome, progress.lines.withLock { $0 })
  }

  private final class Progress: Sendable {
    let lines = Mutex<[String]>([])

    func add(_ line: String) { lines.withLock { $0.append(line) } }
  }

  @Test func readyWhenAllThatStartThemselvesAre() throws {
    let other = "," + FakeAppliance.domain("b", "defined", autostart: false)
    let starting = FakeAppliance.domain("a", "starting") + other
    let running = FakeAppliance.domain("a", "running") + other
    let ready = FakeAppliance.domain("a", "ready", ready: 31.24) + other
    // Each is said twice: an answer that comes too late is dropped.
    let (outcome, progress) = try watch([starting, starting, running, running, ready])
    guard case .ready(let domains) = outcome else {
      Issue.record("\(outcome)")
      return
    }
    #expect(
      ReadinessWatch.table(domains) == [
        "a  Debian 13  ready after 31.2 s", "b  Debian 13  not started (starts by hand)",
      ])
    #expect(progress.contains("a: starting"))
    #expect(progress.contains("a: running"))
  }

  @Test func theDeadlineNamesWhoIsMissingAndShowsItsConsole() throws {
    let (outcome, _) = try watch(
      [FakeAppliance.domain("a", "ready", ready: 1) + "," + FakeAppliance.domain("b", "running")], timeout: 10)
    guard case .notReady(let domains, let consoles, let why) = outcome else {
      Issue.record("\(outcome)")
      return
    }
    #expect(ReadinessWatch.table(domains).last == "b  Debian 13  not ready: running")
    #expect(consoles.keys.sorted() == ["b"])
    #expect(ReadinessWatch.lastLines(consoles["b"] ?? "") == ["one", "two"])
    #expect(why.contains("not all were ready"))
  }

  @Test func aDomainThatFailedEndsTheWait() throws {
    let (outcome, _) = try watch([FakeAppliance.domain("a", "failed")])
    // At the deadline there would be other words.
    guard case .notReady(_, _, "a is failed") = outcome else {
      Issue.record("\(outcome)")
      return
    }
  }

  @Test func aMachineThatEndsIsSaidToHaveEnded() throws {
    let (outcome, _) = try watch([FakeAppliance.domain("a", "running"), ""])
    guard case .notReady(_, _, "the machine ended") = outcome else {
      Issue.record("\(outcome)")
      return
    }
  }

  @Test func anApplianceThatNeverAnswersIsSilent() throws {
    let (outcome, _) = try watch([], timeout: 0.3)
    guard case .silent(let why) = outcome else {
      Issue.record("\(outcome)")
      return
    }
    #expect(why.contains("did not answer within"))
  }

  @Test func nobodyListening() throws {
    let outcome = ReadinessWatch(socket: "/nonexistent/s", timeout: 0.2, report: { _ in }).run()
    guard case .silent = outcome else {
      Issue.record("\(outcome)")
      return
    }
  }

  @Test func consolesAreShownWithoutTheirEscapes() {
    let text = "\u{1B}[2J\u{1B}[1;1Hboot\u{7}ing\r\n\n   \nlogin: \u{9B}x"
    #expect(ReadinessWatch.lastLines(text) == ["booting", "login: x"])
    #expect(ReadinessWatch.lastLines((1...50).map { "l\($0)\n" }.joined(), count: 2) == ["l49", "l50"])
    #expect(ReadinessWatch.lastLines("") == [])
  }

  @Test func secondsHaveOneDecimal() {
    #expect(ReadinessWatch.seconds(31.24) == "31.2 s")
    #expect(ReadinessWatch.seconds(0.96) == "1.0 s")
    #expect(ReadinessWatch.seconds(-1) == "0.0 s")
  }
}
