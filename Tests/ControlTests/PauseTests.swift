import Identity
import Manifest
import Platform
import TestMachine
import Testing
@testable import Control

@Suite("Domains that their users pause", .ownThreads, .timeLimit(.minutes(60)))
struct PauseTests {
  private func fixture() throws -> DaemonFixture {
    let fixture = try DaemonFixture()
    fixture.configure {
      $0.stickInterval = 0.05
      $0.stickRest = 0.1
    }
    try fixture.report([])
    try fixture.start([Samples.domain("debian"), Samples.domain("off", autostart: false)])
    try eventually("debian starts") { fixture.starts("debian").count == 1 }
    return fixture
  }

  private func refusal(_ fixture: DaemonFixture, _ operation: ControlOperation, _ name: String = "debian") -> String? {
    do {
      _ = try fixture.client().perform(operation, on: name)
      return nil
    } catch {
      return (error as? ControlError)?.message
    }
  }

  @Test("The answer comes when the monitor has done so, and what makes no sense is refused")
  func pause() throws {
    let fixture = try fixture()
    let monitor = try fixture.monitor(of: "debian") { _ in "ok" }
    let watcher = try fixture.client()
    _ = try watcher.subscribe()
    try fixture.show("hello", on: "debian")
    try fixture.await(.running, of: "debian")
    while try watcher.nextEvent(within: 0.2) != nil {}
    #expect(refusal(fixture, .unpause) == "debian is not paused")
    #expect(refusal(fixture, .pause, "off")?.contains("is not running") == true)
    #expect(refusal(fixture, .pause, "debain")?.contains("debian") == true)
    let status = try fixture.client().perform(.pause, on: "debian")
    #expect(monitor.requests == ["pause"] && status.isPaused == true && status.activity == "paused")
    #expect(try watcher.nextEvent(within: 120) == .domain(status))
    #expect(refusal(fixture, .pause) == "debian is paused already")
    #expect(refusal(fixture, .stop)?.contains("unpause it first") == true)
    #expect(refusal(fixture, .reboot)?.contains("unpause it first") == true)
    let going = try fixture.client().perform(.unpause, on: "debian")
    #expect(monitor.requests == ["pause", "resume"] && going.isPaused == nil && going.activity == going.state.rawValue)
    _ = try fixture.client().perform(.pause, on: "debian")
    #expect(try fixture.client().perform(.destroy, on: "debian").state == .shuttingDown)
    try fixture.await(.off, of: "debian")
    // The next run has nothing of it.
    _ = try fixture.client().perform(.start, on: "debian")
    try eventually("it starts") { fixture.starts("debian").count == 2 }
    #expect(try fixture.status("debian").isPaused == nil)
    #expect(monitor.requests == ["pause", "resume", "pause"])
  }

  @Test("A monitor that refuses is told, and its domain counts as running")
  func refused() throws {
    let fixture = try fixture()
    let monitor = try fixture.monitor(of: "debian") { _ in "error not now" }
    #expect(refusal(fixture, .pause)?.contains("debian's monitor does not pause: not now") == true)
    #expect(try fixture.status("debian").isPaused == nil)
    MonotonicClock.sleep(milliseconds: 1500)
    #expect(monitor.requests == ["pause"])
  }

  @Test("A domain that ends before it stands still is told")
  func ended() throws {
    let fixture = try fixture()
    let directory = fixture.directory
    let start = try #require(fixture.starts("debian").first)
    let pid = start.prefix { $0 != " " }
    let monitor = try fixture.monitor(of: "debian") { _ in
      try? Files.replace("\(directory)/debian.exit", with: Array("0\n".utf8))
      // The daemon has waited for it when it is gone.
      let end = MonotonicClock.now() + 300_000_000_000
      while Files.exists("/proc/\(pid)"), MonotonicClock.now() < end { MonotonicClock.sleep(milliseconds: 20) }
      return nil
    }
    #expect(refusal(fixture, .pause) == "debian ended meanwhile")
    try fixture.await(.off, of: "debian")
    #expect(monitor.requests == ["pause"])
  }

  @Test("A user's pause outlasts the stick's absence, and the absence a user's pause")
  func stick() throws {
    let fixture = try fixture()
    let monitor = try fixture.monitor(of: "debian") { _ in "ok" }
    func report(_ report: MediumReport) throws {
      try Files.replace("\(fixture.configuration.runtimeDirectory)/medium.json", with: report.json)
      try eventually("it is seen") {
        try fixture.client().list().appliance.notices == (report.notice.map { [$0] } ?? [])
      }
    }
    _ = try fixture.client().perform(.pause, on: "debian")
    try report(.init(.missing, notice: "gone"))
    try report(.init(.present))
    MonotonicClock.sleep(milliseconds: 400)
    #expect(monitor.requests == ["pause"])
    #expect(try fixture.status("debian").isPaused == true && fixture.status("debian").reason == nil)
    try report(.init(.missing, notice: "gone again"))
    let status = try fixture.client().perform(.unpause, on: "debian")
    #expect(status.isPaused == true && status.reason == "paused until the stick is back")
    #expect(refusal(fixture, .unpause) == "debian is paused until the stick is back")
    #expect(monitor.requests == ["pause"])
    try report(.init(.present))
    try eventually("it goes on") { monitor.requests == ["pause", "resume"] }
  }

  @Test("A domain manager that comes after another keeps the pause, and makes sure of it")
  func successor() throws {
    let sleeper = try ChildProcess.start(ChildRequest(["sleep", "600"]))
    defer {
      try? sleeper.signal(Signal.kill)
      _ = try? sleeper.wait()
    }
    let fixture = try DaemonFixture()
    fixture.configure { $0.stickInterval = 0.05 }
    try fixture.report([])
    let ticks = try #require(ChildProcess.startTicks(of: sleeper.pid))
    try Files.makeDirectories("\(fixture.directory)/run/domains/debian")
    try fixture.write(
      #"{"pid":\#(sleeper.pid),"startTicks":\#(ticks),"startedAt":1,"readySeconds":1,"isPaused":true,"isHeld":true}"#,
      to: "run/domains/debian/monitor.json")
    let monitor = try fixture.monitor(of: "debian") { _ in "ok" }
    try fixture.start([Samples.domain("debian")])
    // The record is older than the deed: the monitor may not have heard of it.
    try eventually("it is asked") { monitor.requests == ["pause"] }
    MonotonicClock.sleep(milliseconds: 300)
    #expect(monitor.requests == ["pause"])
    #expect(try fixture.status("debian").activity == "paused")
    _ = try fixture.client().perform(.unpause, on: "debian")
    #expect(monitor.requests == ["pause", "resume"])
    let record = try Files.readText("\(fixture.directory)/run/domains/debian/monitor.json")
    #expect(!record.contains("isHeld") && !record.contains("isPaused"))
  }

  @Test("When the appliance ends, who stands still is let go first")
  func shutdown() throws {
    let fixture = try fixture()
    let monitor = try fixture.monitor(of: "debian") { _ in "ok" }
    _ = try fixture.client().perform(.pause, on: "debian")
    fixture.stop()
    try eventually("it goes on") { monitor.requests == ["pause", "resume"] }
    try eventually("it is over") { fixture.isDone }
  }

  // MARK: Looks at domains

  @Test("All that is known of a domain, as it is and as lines")
  func info() throws {
    let fixture = try fixture()
    let info = try fixture.client().info("debian")
    #expect(info.status == (try fixture.status("debian")))
    #expect(info.boot == "linux" && info.cpuModel == "host" && info.onReboot == "restart" && info.onCrash == "preserve")
    #expect(info.mac == "52:54:00:00:00:01" && info.disk == nil && info.disks.isEmpty && !info.acceptsDisks)
    #expect(info.usage?.pid == info.status.pid)
    #expect(throws: ControlError.self) { try fixture.client().info("debain") }
    var known = DomainInfo(
      status: Samples.status("web", .ready, reason: "why", ready: 9.5, started: 10), boot: "uefi", cpuModel: "baseline",
      onReboot: "destroy", onCrash: "restart", readyText: "login:\u{1B}[2J", disk: "web", disks: ["a", "b"],
      acceptsDisks: true, mac: "52:54:00:00:00:02",
      cards: [.init(mac: "52:54:00:00:00:02", address: "10.77.0.10"), .init(mac: "52:54:00:00:00:03", address: nil)],
      usage: .init(name: "web", pid: 7, cpuSeconds: 1.25, memoryBytes: 100 << 20))
    known.status.pid = 7
    known.status.restarts = 2
    let lines = known.lines(now: 70)
    #expect(lines.contains("state                  ready: why"), "\(lines)")
    #expect(lines.contains("up                     60.0 s"))
    #expect(lines.contains("cpus                   1 (baseline)"))
    #expect(lines.contains("memory used            100 MiB"))
    #expect(lines.contains("more disks             a, b"))
    #expect(lines.contains("network                52:54:00:00:00:02, 10.77.0.10"))
    #expect(lines.contains("network card 1         52:54:00:00:00:03"))
    #expect(lines.contains("restarts               2"))
    #expect(!lines.joined().contains("\u{1B}"))
  }

  @Test("Events in words: what changed, and nothing where nothing did")
  func events() throws {
    var known = Overview(
      appliance: ApplianceStatus(name: "a", state: .up, uptimeSeconds: 1, notices: ["old"]),
      domains: [Samples.status("web", .running)])
    func lines(_ event: ControlEvent) -> [String] { event.lines(after: &known, uptime: 7.25) }
    #expect(lines(.domain(Samples.status("web", .running))).isEmpty)
    #expect(lines(.domain(Samples.status("web", .ready, ready: 9.5))) == ["7.3 s  web  ready after 9.5 s"])
    var paused = Samples.status("web", .ready, ready: 9.5)
    paused.isPaused = true
    #expect(lines(.domain(paused)) == ["7.3 s  web  paused"])
    #expect(
      lines(.domain(Samples.status("web", .crashed, reason: "the guest crashed"))).first?.hasSuffix(
        "web  crashed: the guest crashed") == true)
    #expect(lines(.domain(Samples.status("new", .defined))) == ["7.3 s  new  defined"])
    #expect(
      lines(.appliance(ApplianceStatus(name: "a", state: .shuttingDown, uptimeSeconds: 2, notices: ["new"])))
        == ["7.3 s  appliance  shutting-down", "7.3 s  appliance  ! new", "7.3 s  appliance  over: old"])
  }
}
