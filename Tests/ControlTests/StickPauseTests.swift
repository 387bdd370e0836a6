import Identity
import Platform
import Synchronization
import TestMachine
import Testing
@testable import Control

@Suite("A stick that is pulled out", .ownThreads, .timeLimit(.minutes(60)))
struct StickPauseTests {
  private func report(_ report: MediumReport, to fixture: DaemonFixture) throws {
    try Files.replace("\(fixture.configuration.runtimeDirectory)/medium.json", with: report.json)
  }

  private func fixture(_ names: [String] = ["debian"], autostart: Bool = true) throws -> DaemonFixture {
    let fixture = try DaemonFixture()
    fixture.configure {
      $0.stickInterval = 0.05
      $0.stickRest = 0.1
    }
    try fixture.report([])
    try fixture.start(names.map { Samples.domain($0, autostart: autostart) })
    for name in names where autostart { try eventually("\(name) starts") { fixture.starts(name).count == 1 } }
    return fixture
  }

  @Test("Guests are paused while it is gone, the user is told, and they go on when it is back")
  func pause() throws {
    let fixture = try fixture(["debian", "other"])
    let monitors = try ["debian", "other"].map { try fixture.monitor(of: $0) { _ in "ok" } }
    try report(.init(.present), to: fixture)
    MonotonicClock.sleep(milliseconds: 300)
    #expect(monitors.allSatisfy { $0.requests.isEmpty })
    try report(.init(.missing, notice: "put it back"), to: fixture)
    try eventually("both are paused") { monitors.allSatisfy { $0.requests == ["pause"] } }
    try eventually("it is told") { try fixture.client().list().appliance.notices == ["put it back"] }
    #expect(try fixture.status("debian").reason == "paused until the stick is back")
    #expect(fixture.log.contains("put it back"))
    // What is said changes, the guests stay as they are.
    try report(.init(.missing, notice: "not that one"), to: fixture)
    try eventually("it is told") { try fixture.client().list().appliance.notices == ["not that one"] }
    #expect(monitors.allSatisfy { $0.requests == ["pause"] })
    try report(.init(.present), to: fixture)
    try eventually("both go on") { monitors.allSatisfy { $0.requests == ["pause", "resume"] } }
    try eventually("it is over") {
      let overview = try fixture.client().list()
      return overview.appliance.notices.isEmpty && overview.domains.allSatisfy { $0.reason == nil }
    }
  }

  @Test("A monitor that answers late is told to go on after that, and not before")
  func late() throws {
    let fixture = try fixture()
    let isBack = Released()
    let monitor = try fixture.monitor(of: "debian") { request in
      // Its program is on the stick.
      while request == "pause", !isBack.value.load(ordering: .acquiring) { MonotonicClock.sleep(milliseconds: 10) }
      return "ok"
    }
    try report(.init(.missing, notice: "gone"), to: fixture)
    try eventually("it is asked") { monitor.requests == ["pause"] }
    try report(.init(.present), to: fixture)
    MonotonicClock.sleep(milliseconds: 500)
    #expect(monitor.requests == ["pause"])
    isBack.value.store(true, ordering: .releasing)
    try eventually("it goes on") { monitor.requests == ["pause", "resume"] }
  }

  private final class Released: Sendable {
    let value = Atomic(false)
  }

  @Test("What is asked of disks meanwhile is refused, not left waiting")
  func disks() throws {
    let fixture = try fixture(autostart: false)
    try report(.init(.missing, notice: "gone"), to: fixture)
    try eventually("it is told") { try !fixture.client().list().appliance.notices.isEmpty }
    let error = #expect(throws: ControlError.self) { _ = try fixture.client().disks() }
    #expect(error?.message.contains("put it back") == true && fixture.storageCalls.isEmpty)
  }

  @Test("A domain that is to start waits for the stick")
  func start() throws {
    let fixture = try fixture(autostart: false)
    try report(.init(.missing, notice: "gone"), to: fixture)
    try eventually("it is told") { try !fixture.client().list().appliance.notices.isEmpty }
    _ = try fixture.client().perform(.start, on: "debian")
    try eventually("it waits") { try fixture.status("debian").reason == "waits until the stick is back" }
    #expect(fixture.starts("debian").isEmpty)
    try report(.init(.present), to: fixture)
    try eventually("it starts") { fixture.starts("debian").count == 1 }
  }

  @Test("A monitor that refuses is asked again, and one that ended is forgotten")
  func refusal() throws {
    let fixture = try fixture()
    let asked = Released()
    let monitor = try fixture.monitor(of: "debian") { _ in
      asked.value.exchange(true, ordering: .acquiringAndReleasing) ? "ok" : "error not now"
    }
    try report(.init(.missing, notice: "gone"), to: fixture)
    try eventually("it is asked again") { monitor.requests == ["pause", "pause"] }
    #expect(fixture.log.contains("debian: its monitor does not pause: not now"))
    try fixture.exit("debian", 0)
    try fixture.await(.off, of: "debian")
    #expect(try fixture.status("debian").reason == nil)
    try report(.init(.present), to: fixture)
    MonotonicClock.sleep(milliseconds: 400)
    #expect(monitor.requests == ["pause", "pause"])
  }

  @Test("A domain manager that comes after another lets the paused go on")
  func successor() throws {
    // What an earlier one left: a monitor that runs, and that it paused.
    let sleeper = try ChildProcess.start(ChildRequest(["sleep", "600"]))
    defer {
      try? sleeper.signal(Signal.kill)
      _ = try? sleeper.wait()
    }
    let other = try DaemonFixture()
    other.configure { $0.stickInterval = 0.05 }
    try other.report([])
    let ticks = try #require(ChildProcess.startTicks(of: sleeper.pid))
    let directory = "\(other.configuration.runtimeDirectory)/domains/debian"
    try Files.makeDirectories(directory)
    try Files.write(
      #"{"pid":\#(sleeper.pid),"startTicks":\#(ticks),"startedAt":1,"readySeconds":1,"isPaused":true}"#,
      to: "\(directory)/monitor.json")
    let monitor = try other.monitor(of: "debian") { _ in "ok" }
    try other.start([Samples.domain("debian")])
    try eventually("it goes on") { monitor.requests.contains("resume") }
    var reason: String?
    defer { if let reason { Issue.record("\(reason); \(other.log)") } }
    try eventually("it is told") {
      reason = try other.status("debian").reason
      return reason == nil
    }
    #expect(Set(monitor.requests) == ["resume"])
  }

  @Test("Garbage is no report", arguments: ["", "{", #"{"state":"lost"}"#])
  func garbage(text: String) throws {
    let fixture = try fixture()
    try Files.replace("\(fixture.configuration.runtimeDirectory)/medium.json", with: Array(text.utf8))
    try eventually("it is told") { fixture.log.contains { $0.hasSuffix("medium.json is not understood") } }
    #expect(try fixture.client().list().appliance.notices.isEmpty)
  }
}
