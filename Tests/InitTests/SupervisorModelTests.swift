import Init
import Platform
import Testing

private let second: UInt64 = 1_000_000_000

@Suite struct BackoffTests {
  @Test func doublesUpToItsLimit() {
    var backoff = Backoff(initial: second, maximum: 10 * second, calm: 60 * second)
    #expect((0..<6).map { _ in backoff.wait(afterRunOf: 0) / second } == [1, 2, 4, 8, 10, 10])
  }

  @Test func aLongRunBeginsAnew() {
    var backoff = Backoff(initial: second, maximum: 10 * second, calm: 60 * second)
    for _ in 0..<4 { _ = backoff.wait(afterRunOf: 59 * second) }
    #expect(backoff.wait(afterRunOf: 60 * second) == second)
    #expect(backoff.failures == 1)
  }

  @Test func neverOverflows() {
    var backoff = Backoff(initial: .max / 2, maximum: .max, calm: .max)
    for _ in 0..<100 { #expect(backoff.wait(afterRunOf: 0) >= .max / 2) }
  }
}

@Suite struct ServiceOrderTests {
  private func service(_ name: String, after: [String] = []) -> Service {
    Service(name: name, command: ["/bin/\(name)"], kind: .always, after: after)
  }

  @Test func dependenciesComeFirst() throws {
    let services = [service("c", after: ["b"]), service("a"), service("b", after: ["a"]), service("d")]
    #expect(try orderServices(services).map(\.name) == ["a", "b", "c", "d"])
  }

  @Test func mistakesAreNamed() {
    #expect(throws: ServicePlanError.twice("a")) { try orderServices([service("a"), service("a")]) }
    #expect(throws: ServicePlanError.unknown("z", neededBy: "a")) { try orderServices([service("a", after: ["z"])]) }
    #expect(throws: ServicePlanError.circle(["a", "b"])) {
      try orderServices([service("a", after: ["b"]), service("b", after: ["a"]), service("c")])
    }
  }
}

@Suite struct SupervisorModelTests {
  private let services = [
    Service(name: "daemon", command: ["/daemon"], kind: .always, after: ["storage"]),
    Service(name: "storage", command: ["/storage"], kind: .once),
    Service(name: "console", command: ["/screen"], kind: .always, terminal: "/dev/tty1", fallback: ["/shell"]),
  ]

  @Test(arguments: [Platform.ExitStatus.exited(0), .exited(1), .killed(signal: 9)])
  func theDaemonWaitsForTheEndOfStorageHoweverItEnds(status: Platform.ExitStatus) throws {
    var model = try SupervisorModel(services)
    #expect(model.due(at: 0).map(\.name) == ["storage", "console"])
    for (index, start) in model.due(at: 0).enumerated() { model.started(start, pid: Int32(10 + index), at: 0) }
    #expect(model.due(at: second).isEmpty)
    #expect(model.ended(pid: 10, status, at: second) == "storage")
    #expect(model.due(at: second).map(\.name) == ["daemon"])
  }

  @Test func aServiceThatCannotStartDoesNotHoldOthersUp() throws {
    var model = try SupervisorModel(services)
    let storage = try #require(model.due(at: 0).first)
    model.failed(storage, "no such file", at: 0)
    #expect(model.due(at: 0).map(\.name).contains("daemon"))
    #expect(model.json.contains("\"lastEnd\":\"no such file\""))
  }

  @Test func restartsWaitAndStrangersAreNobody() throws {
    var model = try SupervisorModel([services[2]])
    model.started(try #require(model.due(at: 0).first), pid: 7, at: 0)
    #expect(model.ended(pid: 99, .exited(0), at: second) == nil)
    #expect(model.nextDue == nil)
    #expect(model.ended(pid: 7, .exited(1), at: second) == "console")
    #expect(model.due(at: second).isEmpty)
    let due = try #require(model.nextDue)
    #expect(due == second + second / 4)
    #expect(model.due(at: due).map(\.command) == [["/screen"]])
  }

  @Test func afterFiveFailuresTheFallbackRunsThenTheServiceAgain() throws {
    var model = try SupervisorModel([services[2]])
    var now: UInt64 = 0
    for run in 0..<Service.failureLimit {
      let start = try #require(model.due(at: now).first)
      #expect(!start.isFallback)
      model.started(start, pid: Int32(100 + run), at: now)
      model.ended(pid: Int32(100 + run), .exited(1), at: now)
      now = try #require(model.nextDue)
    }
    let shell = try #require(model.due(at: now).first)
    #expect(shell.command == ["/shell"])
    model.started(shell, pid: 200, at: now)
    #expect(model.json.contains("\"fallback\":true"))
    now += 5 * second
    model.ended(pid: 200, .exited(0), at: now)
    now = try #require(model.nextDue)
    #expect(model.due(at: now).map(\.command) == [["/screen"]])
  }

  @Test func statusIsJSON() throws {
    var model = try SupervisorModel([Service(name: "a\"\n", command: ["/a"], kind: .once)])
    model.started(try #require(model.due(at: 0).first), pid: 5, at: 0)
    #expect(model.json == "[{\"name\":\"a\\\"\\u000a\",\"state\":\"running\",\"pid\":5,\"starts\":1}]\n")
  }
}

@Suite struct PowerCommandTests {
  @Test func namesAndArguments() {
    #expect(PowerCommand.action(arguments: ["/usr/sbin/poweroff"]) == .powerOff)
    #expect(PowerCommand.action(arguments: ["reboot", "-f"]) == .restart)
    #expect(PowerCommand.action(arguments: ["/usr/sbin/roost-init", "halt"]) == .halt)
    #expect(PowerCommand.action(arguments: ["roost-init"]) == nil)
    #expect(PowerCommand.action(arguments: []) == nil)
  }

  @Test(arguments: PowerAction.allCases) func signalsAreUnderstood(action: PowerAction) {
    #expect(PowerCommand.action(signal: PowerCommand.signal(for: action)) == action)
  }

  @Test func ctrlAltDelRestartsAndOthersDoNothing() {
    #expect(PowerCommand.action(signal: Signal.interrupt) == .restart)
    #expect(PowerCommand.action(signal: Signal.child) == nil)
  }
}
