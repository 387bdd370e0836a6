import Manifest
import Platform
import TestMachine
import Testing
@testable import Control

@Suite("Domains that start after others and go down before them", .ownThreads, .timeLimit(.minutes(60)))
struct OrderTests {
  // MARK: Pure

  @Test("A start waits for those on the way, goes on with the others, and says who is missing")
  func decisions() {
    let standings: [String: Standing] = [
      "db": .coming, "router": .coming, "up": .ready, "idle": .idle, "off": .missing("is off"),
      "bad": .missing("failed (no kernel)"),
    ]
    func decide(_ others: String...) -> DomainOrder.Decision {
      DomainOrder.decision(after: others) { standings[$0] }
    }
    #expect(decide() == .start(without: nil))
    #expect(decide("up", "idle", "removed") == .start(without: nil))
    #expect(decide("up", "db", "off") == .wait("waits for db"))
    #expect(decide("db", "up", "router") == .wait("waits for db and router"))
    #expect(decide("off", "up") == .start(without: "starts without off, which is off"))
    #expect(
      decide("off", "bad") == .start(without: "starts without off, which is off, and bad, which failed (no kernel)"))
  }

  @Test("A domain is awaited from its start until it is ready, or is not to be expected to be")
  func standings() {
    var machine = DomainMachine(readyText: "login:", readyTimeout: 60, onReboot: .restart, onCrash: .preserve)
    #expect(machine.standing == .idle)
    _ = machine.handle(.start, now: 10)
    _ = machine.handle(.wait(reason: "waits for the storage"), now: 10)
    #expect(machine.standing == .coming)
    _ = machine.handle(.launched(pid: 7, at: 10), now: 10)
    _ = machine.handle(.consoleConnected, now: 11)
    #expect(machine.state == .running && machine.standing == .coming)
    var late = machine
    _ = late.handle(.clock, now: 70)
    #expect(late.standing == .missing("was not ready in time"))
    _ = late.handle(.readyTextSeen, now: 80)
    #expect(late.standing == .ready)
    var crashed = machine
    _ = crashed.handle(.exited(.exited(11), words: nil), now: 20)
    #expect(crashed.standing == .missing("crashed (the guest crashed)"))
    _ = machine.handle(.reboot, now: 20)
    #expect(machine.standing == .coming)
    _ = machine.handle(.stop, now: 20)
    #expect(machine.standing == .missing("is shutting down"))
    _ = machine.handle(.exited(.exited(0), words: nil), now: 21)
    #expect(machine.standing == .missing("is off"))
    var refused = DomainMachine(readyText: "login:", readyTimeout: 60, onReboot: .restart, onCrash: .preserve)
    _ = refused.handle(.start, now: 10)
    _ = refused.handle(.refused(reason: "no memory"), now: 10)
    #expect(refused.standing == .missing("failed (no memory)"))
  }

  @Test("Who others come after goes down after these, and has its share of the time if they do not end")
  func goingDown() {
    let order = StartOrder([
      ("router", []), ("db", ["router"]), ("web", ["db", "router"]), ("cache", ["router"]), ("alone", []),
      ("off", ["alone"]),
    ])
    let all = ["router", "db", "web", "cache", "alone"]
    let plan = GoingDown(all, order: order, patience: 30)
    #expect(plan.due(all, elapsed: 0) == ["web", "cache", "alone"])
    #expect(plan.due(["router", "db", "cache"], elapsed: 1) == ["db", "cache"])
    #expect(plan.due(["router", "cache"], elapsed: 2) == ["cache"])
    #expect(plan.due(["router"], elapsed: 3) == ["router"])
    // Three in a row: 10 s for each.
    #expect(plan.looks == [10, 20])
    #expect(plan.due(all, elapsed: 9.9) == ["web", "cache", "alone"])
    #expect(plan.due(all, elapsed: 10) == ["db", "web", "cache", "alone"])
    #expect(plan.due(all, elapsed: 20) == all)
    // Who came meanwhile has no place.
    #expect(plan.due(["new", "db", "web"], elapsed: 1) == ["new", "web"])
    #expect(GoingDown(["a", "b"], order: StartOrder([("a", []), ("b", [])]), patience: 30).looks == [])
  }

  @Test("A domain that is made on the fly comes after those that there are, and not in a circle")
  func designs() throws {
    func design(_ name: String, _ after: [String]?, _ others: [ApplianceManifest.Domain]) throws -> [String]? {
      var spec = DomainSpec(name: name)
      spec.like = "base"
      spec.after = after
      let base = Samples.domain("base", network: false, after: ["gone"])
      return try DomainDesign(spec, in: DomainDesign.Surroundings(domains: [base] + others)).domain.after
    }
    #expect(try design("web", ["base"], []) == ["base"])
    // Whom it is like has an order of its own.
    #expect(try design("web", nil, []) == nil && design("web", [], []) == nil)
    func problem(_ name: String, _ after: [String], _ others: [ApplianceManifest.Domain] = []) -> String? {
      #expect(throws: ControlError.self) { _ = try design(name, after, others) }?.message
    }
    #expect(problem("web", ["bsae"]) == "web comes after 'bsae', which is no domain; did you mean 'base'?")
    #expect(problem("web", ["web"]) == "web comes after itself")
    // It had this name before.
    let other = Samples.domain("other", network: false, after: ["web"])
    #expect(problem("web", ["other"], [other])?.contains("itself in the end: web comes after other") == true)
  }

  // MARK: The domain manager

  private func fixture(_ domains: [ApplianceManifest.Domain]) throws -> DaemonFixture {
    let fixture = try DaemonFixture()
    try fixture.report([])
    try fixture.start(domains)
    return fixture
  }

  @Test(
    "A domain starts when the one it comes after is ready, whatever their order in the recipe, and says what it waits for"
  )
  func starts() throws {
    let fixture = try fixture([
      Samples.domain("web", network: false, after: ["db"]), Samples.domain("db", network: false),
      Samples.domain("spare", network: false, autostart: false),
      Samples.domain("free", network: false, after: ["spare"]),
    ])
    try eventually("db starts") { fixture.starts("db").count == 1 }
    try eventually("nobody waits for one that does not start") { fixture.starts("free").count == 1 }
    let web = try fixture.status("web")
    #expect(web.state == .starting && web.reason == "waits for db" && web.pid == nil)
    #expect(try fixture.client().info("web").lines(now: 1).contains { $0.hasSuffix("starting: waits for db") })
    #expect(
      try fixture.client().info("web").lines(now: 1).contains { $0.hasPrefix("starts after") && $0.hasSuffix(" db") })
    #expect(fixture.starts("web").isEmpty)
    try fixture.show("login:", on: "db")
    try eventually("web starts") { fixture.starts("web").count == 1 }
    #expect(try fixture.client().list().appliance.notices.isEmpty)
  }

  @Test(
    "When the one it comes after fails or is stopped a domain starts nevertheless, and a notice says so until it ends")
  func startsWithout() throws {
    let fixture = try fixture([
      Samples.domain("db", network: false), Samples.domain("web", network: false, after: ["db"]),
    ])
    func notices() throws -> [String] { try fixture.client().list().appliance.notices }
    try eventually("db starts") { fixture.starts("db").count == 1 }
    try fixture.exit("db", 11)
    try eventually("web starts") { fixture.starts("web").count == 1 }
    let notice = try notices().first ?? ""
    #expect(notice.hasPrefix("web starts without db, which crashed (the guest crashed"), "\(notice)")
    // It is over when all are there.
    _ = try fixture.client().perform(.start, on: "db")
    try eventually("db starts again") { fixture.starts("db").count == 2 }
    try fixture.show("login:", on: "db")
    try eventually("the notice is gone") { try notices().isEmpty }
    _ = try fixture.client().perform(.stop, on: "db")
    try fixture.await(.off, of: "db")
    #expect(try notices().isEmpty)
    try fixture.exit("web", 10)
    try eventually("web starts again") { fixture.starts("web").count == 2 }
    #expect(try notices() == ["web starts without db, which is off"])
    try fixture.exit("web", 0)
    try eventually("the notice is gone") { try notices().isEmpty }
  }

  @Test("The appliance's end stops first what comes after others; who does not answer costs these their order only")
  func shutdown() throws {
    let fixture = try DaemonFixture()
    try fixture.report([])
    fixture.configure { $0.shutdownPatience = 60 }
    try fixture.write("", to: "stuck.stubborn")
    try fixture.start([
      Samples.domain("db", network: false), Samples.domain("web", network: false, after: ["db"]),
      Samples.domain("disk", network: false), Samples.domain("stuck", network: false, after: ["disk"]),
      Samples.domain("never", network: false, ready: "x"), Samples.domain("late", network: false, after: ["never"]),
    ])
    for (first, second) in [("db", "web"), ("disk", "stuck")] {
      try eventually("\(first) starts") { fixture.starts(first).count == 1 }
      try fixture.show("login:", on: first)
      try eventually("\(second) starts") { fixture.starts(second).count == 1 }
    }
    fixture.stop()
    // Half of the time is the stubborn one's; the other half is for the one below it, and is not waited for here.
    try eventually("disk is off") { fixture.log.contains("disk: off") }
    fixture.stop()
    try eventually("it ends") { fixture.isDone }
    func isBefore(_ first: String, _ second: String) -> Bool {
      guard let first = fixture.log.firstIndex(of: first), let second = fixture.log.firstIndex(of: second) else {
        return false
      }
      return first < second
    }
    #expect(isBefore("web: off", "db: shutting down"), "\(fixture.log)")
    #expect(isBefore("disk: off", "stuck: did not power off in time and is ended"), "\(fixture.log)")
    #expect(isBefore("late: off: stopped before it was started", "web: off"), "\(fixture.log)")
    #expect(fixture.starts("late").isEmpty)
  }
}
