import Manifest
import Platform
import Synchronization
import TestMachine
import Testing
@testable import Control

@Suite("Memory that is set while a domain runs", .ownThreads, .timeLimit(.minutes(60)))
struct MemoryTests {
  private func domain(_ name: String = "debian", minimum: Int = 128, maximum: Int = 1024) -> ApplianceManifest.Domain {
    var domain = Samples.domain(name, memory: 512 << 20)
    domain.memoryMinimumBytes = minimum << 20
    domain.memoryMaximumBytes = maximum << 20
    return domain
  }

  /// A monitor whose guest has come to what it is asked for, but for what `actual` makes of it.
  private final class Guest: Sendable {
    let wanted = Mutex(512 << 20)
    let refusal = Mutex<String?>(nil)
    let isAnswering = Atomic(true)
    let balloon = Mutex("driven")
    let actual: @Sendable (Int) -> Int

    init(actual: @escaping @Sendable (Int) -> Int = { $0 }) { self.actual = actual }

    func answer(_ request: String) -> String? {
      let words = request.split(separator: " ")
      guard words.first == "memory" else { return "ok" }
      guard words.count > 1 else {
        let wanted = wanted.withLock { $0 }
        return
          "ok wanted=\(wanted) actual=\(actual(wanted)) start=1 max=2 balloon=\(balloon.withLock { $0 }) growth=idle "
          + "total=3 available=44444 age=0"
      }
      guard isAnswering.load(ordering: .acquiring) else { return nil }
      if let refusal = refusal.withLock({ $0 }) { return "error \(refusal)" }
      // To the block of 2 MiB, as the monitor does.
      let bytes = (Int(words[1]) ?? 0) & ~((2 << 20) - 1)
      wanted.withLock { $0 = bytes }
      return "ok \(bytes)"
    }
  }

  private func fixture(_ domains: [ApplianceManifest.Domain]) throws -> DaemonFixture {
    let fixture = try DaemonFixture()
    fixture.configure { $0.memoryPace = 0.05...0.2 }
    try fixture.start(domains)
    for domain in domains { try eventually("\(domain.name) starts") { fixture.starts(domain.name).count == 1 } }
    return fixture
  }

  @Test("The monitor has a balloon where it may shrink, and room where it may grow")
  func arguments() {
    func words(_ minimum: Int, _ maximum: Int) -> [String] {
      let words = MonitorCommand.arguments(
        monitor: "vmm", domain: domain(minimum: minimum, maximum: maximum), medium: "", disk: nil, taps: [],
        paths: DomainPaths(name: "d", runtimeDirectory: "/r", logDirectory: "/l"))
      return words.filter { ["--balloon", "--memory-max", "1024MiB"].contains($0) }
    }
    #expect(words(512, 512).isEmpty)
    #expect(words(128, 512) == ["--balloon"])
    #expect(words(512, 1024) == ["--memory-max", "1024MiB"])
    #expect(words(128, 1024) == ["--memory-max", "1024MiB", "--balloon"])
  }

  @Test("Set, told and asked again: the status has what is wanted, what is there, and the bounds")
  func sets() throws {
    // It keeps 64 MiB more than it is asked for.
    let guest = Guest { $0 < 512 << 20 ? $0 + 64 << 20 : $0 }
    let fixture = try fixture([domain()])
    let monitor = try fixture.monitor(of: "debian") { guest.answer($0) }
    try eventually("it is told") { try fixture.status("debian").memory?.actualBytes == 512 << 20 }
    let client = try fixture.client()
    let set = try client.setMemory(of: "debian", bytes: 257 << 20)
    #expect(set.memory?.wantedBytes == 256 << 20 && set.memoryBytes == 512 << 20)
    try eventually("it came down") { try fixture.status("debian").memory?.actualBytes == 320 << 20 }
    #expect(
      try fixture.status("debian").memory
        == DomainMemoryStatus(
          minimumBytes: 128 << 20, maximumBytes: 1 << 30, builtMaximumBytes: 1 << 30, wantedBytes: 256 << 20,
          actualBytes: 320 << 20, balloon: .driven, growth: .idle))
    #expect(monitor.requests.contains("memory \(257 << 20)"))
    #expect(try client.usage().domains.first?.guestAvailableBytes == 44444)
    // What its guest does by itself is noticed too.
    guest.wanted.withLock { $0 = 512 << 20 }
    try eventually("it went up") { try fixture.status("debian").memory?.actualBytes == 512 << 20 }
  }

  @Test("What cannot be is refused with the bounds, and nobody is asked")
  func refusals() throws {
    let guest = Guest()
    let fixture = try fixture([domain(), domain("fixed", minimum: 512, maximum: 512), domain("spare")])
    let monitors = try ["debian", "fixed", "spare"].map { try fixture.monitor(of: $0) { guest.answer($0) } }
    func refusal(_ name: String, _ bytes: Int) throws -> ControlError? {
      #expect(throws: ControlError.self) { try fixture.client().setMemory(of: name, bytes: bytes) }
    }
    #expect(try refusal("debian", 127 << 20)?.message.contains("128 MiB at least") == true)
    #expect(try refusal("debian", 1025 << 20)?.message.contains("1 GiB at most; `max`") == true)
    #expect(try refusal("debian", 512 << 20 + 1)?.code == .malformedRequest)
    #expect(try refusal("debian", 0)?.code == .malformedRequest)
    #expect(try refusal("fixed", 256 << 20)?.message.contains("keeps the 512 MiB") == true)
    #expect(try refusal("debain", 256 << 20)?.code == .unknownDomain)
    try fixture.exit("spare", 0)
    try fixture.await(.off, of: "spare")
    #expect(try refusal("spare", 256 << 20)?.message.contains("it starts with 512 MiB") == true)
    #expect(monitors.allSatisfy { $0.requests.allSatisfy { $0 == "memory" } })
    // Nobody looks at what keeps its memory.
    #expect(monitors[1].requests.isEmpty)
    guest.refusal.withLock { $0 = "not today" }
    #expect(try refusal("debian", 256 << 20)?.message == "debian: not today")
    #expect(try fixture.status("debian").memory?.wantedBytes == 512 << 20)
    guest.refusal.withLock { $0 = nil }
    guest.isAnswering.store(false, ordering: .releasing)
    #expect(try refusal("debian", 256 << 20)?.code == .system)
    guest.isAnswering.store(true, ordering: .releasing)
    #expect(try fixture.client().setMemory(of: "debian", bytes: 256 << 20).memory?.wantedBytes == 256 << 20)
  }

  @Test("More than the machine has is refused, and what is free is said")
  func admission() throws {
    let directory = try Files.makeTemporaryDirectory(prefix: "/tmp/roost-memory-")
    defer { try? Files.removeTree(directory) }
    let memory = DomainMemory(
      MemoryBounds(start: 512 << 20, minimum: 128 << 20, maximum: 2 << 30), directory: directory)
    func objection(_ mebibytes: Int, free: Int?) -> String? {
      MemoryRules.objection(
        toSetting: mebibytes << 20, of: "d", memory, state: .ready, pid: 7, free: free.map { $0 << 20 })?.message
    }
    #expect(objection(768, free: 256) == nil)
    #expect(objection(768, free: nil) == nil)
    #expect(
      objection(768, free: 255)?.hasPrefix("d would need 256 MiB more of the machine, which has 255 MiB left") == true)
    #expect(objection(768, free: -10)?.contains("which has 0 MiB left") == true)
    #expect(objection(128, free: 0) == nil)
    // It may take what it has not come down from yet, and what it was asked to come up to.
    let figures = try #require(MemoryFigures("wanted=134217728 actual=402653184 balloon=driven growth=none"))
    memory.take(figures, of: 7, at: 0)
    #expect(memory.committed(to: 7) == 384 << 20 && memory.committed(to: 8) == 512 << 20)
    #expect(objection(512, free: 128) == nil && objection(512, free: 127) != nil)
    memory.order(1 << 30, of: 7)
    #expect(memory.committed(to: 7) == 1 << 30)
    memory.finish(nil, of: 7)
    #expect(memory.committed(to: 7) == 384 << 20)
    #expect(
      MemoryRules.objection(toSetting: 256 << 20, of: "d", memory, state: .shuttingDown, pid: 7, free: nil)?.message
        == "d is not running (it is shutting down)")
  }

  @Test("A domain manager that comes after another knows what was set, before the monitor has told")
  func successor() throws {
    try Samples.withDirectory { directory in
      let bounds = MemoryBounds(start: 512 << 20, minimum: 128 << 20, maximum: 1 << 30)
      let first = DomainMemory(bounds, directory: "\(directory)/d")
      first.order(768 << 20, of: 7)
      // In the middle of it: it may be done.
      #expect(DomainMemory(bounds, directory: "\(directory)/d").wanted(by: 7) == 768 << 20)
      first.finish(256 << 20, of: 7)
      first.setLimit(640 << 20)
      let second = DomainMemory(bounds, directory: "\(directory)/d")
      #expect(second.wanted(by: 7) == 256 << 20 && second.wanted(by: 8) == 512 << 20 && second.limit == 640 << 20)
      // What it has is not known yet: it may still be all.
      #expect(second.committed(to: 7) == 512 << 20)
      // A record of another recipe.
      #expect(DomainMemory(MemoryBounds(start: 700 << 20), directory: "\(directory)/d").limit == 700 << 20)
      try Files.write(Array("garbage".utf8), to: "\(directory)/d/memory.json")
      #expect(DomainMemory(bounds, directory: "\(directory)/d").limit == 1 << 30)
    }
  }

  @Test("How far a domain may grow is changed within what it was built for, and kept")
  func maximum() throws {
    let guest = Guest()
    let fixture = try fixture([domain()])
    let monitor = try fixture.monitor(of: "debian") { guest.answer($0) }
    let client = try fixture.client()
    #expect(try client.limitMemory(of: "debian", bytes: 512 << 20).memory?.maximumBytes == 512 << 20)
    let refused = #expect(throws: ControlError.self) { try client.setMemory(of: "debian", bytes: 513 << 20) }
    #expect(refused?.message.contains("512 MiB at most; `roost mem-max debian` lets it have up to 1 GiB") == true)
    func refusal(_ bytes: Int) throws -> String? {
      let error = #expect(throws: ControlError.self) { try client.limitMemory(of: "debian", bytes: bytes) }
      return error?.message
    }
    #expect(try refusal(1025 << 20)?.contains("can grow to 1 GiB at most") == true)
    #expect(try refusal(511 << 20)?.contains("starts with 512 MiB") == true)
    #expect(try refusal(1 << 20 + 5) == "give whole MiB of memory")
    _ = try client.limitMemory(of: "debian", bytes: 600 << 20)
    #expect(try client.setMemory(of: "debian", bytes: 600 << 20).memory?.wantedBytes == 600 << 20)
    #expect(try refusal(598 << 20)?.contains("has 600 MiB now") == true)
    #expect(!monitor.requests.contains("memory \(513 << 20)"))
    // The next monitor starts with what the recipe says, under the same bound.
    guest.wanted.withLock { $0 = 512 << 20 }
    try fixture.exit("debian", 10)
    try eventually("it starts anew") { fixture.starts("debian").count == 2 }
    let status = try fixture.status("debian")
    #expect(status.memory?.wantedBytes == 512 << 20 && status.memory?.maximumBytes == 600 << 20)
  }

  @Test("A domain that is made like another may shrink and grow like it, as far as its own start allows")
  func design() throws {
    func memory(_ base: ApplianceManifest.Domain, _ change: (inout DomainSpec) -> Void) throws -> MemoryBounds {
      var spec = DomainSpec(name: "new")
      spec.like = "debian"
      spec.cards = []
      change(&spec)
      return try DomainDesign(spec, in: DomainDesign.Surroundings(domains: [base])).domain.memory
    }
    func bounds(_ start: Int, _ minimum: Int, _ maximum: Int) -> MemoryBounds {
      MemoryBounds(start: start << 20, minimum: minimum << 20, maximum: maximum << 20)
    }
    #expect(try memory(domain()) { _ in } == bounds(512, 128, 1024))
    #expect(try memory(domain()) { $0.memoryBytes = 256 << 20 } == bounds(256, 64, 1024))
    #expect(try memory(domain()) { $0.memoryBytes = 2 << 30 } == bounds(2048, 512, 2048))
    #expect(try memory(domain(minimum: 512, maximum: 512)) { $0.memoryBytes = 1 << 30 } == bounds(1024, 1024, 1024))
    #expect(try memory(domain()) { $0.memoryMinimumBytes = 300 << 20 } == bounds(512, 300, 1024))
    for wrong in [513 << 20, 300 << 20 + 1, 0] {
      #expect(throws: ControlError.self) { try memory(domain()) { $0.memoryMinimumBytes = wrong } }
    }
    #expect(throws: ControlError.self) { try memory(domain()) { $0.memoryMaximumBytes = 511 << 20 } }
  }

  @Test("What a monitor tells is read word by word; what must be there is missed")
  func figures() {
    let full = MemoryFigures(
      "wanted=1 actual=2 start=3 max=4 balloon=idle growth=none total=5 free=6 available=7 caches=8 age=9 new=x y")
    #expect(full?.wanted == 1 && full?.actual == 2 && full?.available == 7)
    #expect(full?.balloon == .idle && full?.growth == DomainMemoryStatus.Driver.none)
    for text in [
      "", "wanted=1", "wanted=1 actual=-2 balloon=idle growth=none", "wanted=1 actual=2 balloon=lost growth=none",
      "wanted=99999999999999999999 actual=2 balloon=idle growth=none", "wanted actual balloon growth",
    ] { #expect(MemoryFigures(text) == nil) }
    #expect(
      MemoryFigures("wanted=1 actual=2 balloon=idle growth=none available=18446744073709551615")?.available == nil)
  }

  // MARK: Waiting

  private func look(
    _ actual: Int?, wanted: Int = 256, balloon: DomainMemoryStatus.Driver = .driven,
    growth: DomainMemoryStatus.Driver = .driven, state: DomainState = .ready
  ) -> DomainStatus {
    var status = Samples.status("d", state)
    status.memoryBytes = 512 << 20
    status.memory = DomainMemoryStatus(
      minimumBytes: 1, maximumBytes: 2, builtMaximumBytes: 2, wantedBytes: wanted << 20,
      actualBytes: actual.map { $0 << 20 }, balloon: balloon, growth: growth)
    return status
  }

  @Test("Waiting tells what changes, and ends when it is there")
  func progress() {
    var progress = MemoryProgress("d", wanted: 256 << 20, now: 0)
    #expect(progress.take(look(nil), now: 0) == .onward(nil))
    #expect(progress.take(look(512), now: 1) == .onward("d: 512 MiB, on the way to 256 MiB"))
    #expect(progress.take(look(512), now: 2) == .onward(nil))
    #expect(progress.take(look(300), now: 25) == .onward("d: 300 MiB, on the way to 256 MiB"))
    #expect(progress.take(look(300), now: 54) == .onward(nil))
    #expect(progress.take(look(256), now: 56) == .done("d: has 256 MiB"))
  }

  @Test("Waiting ends with the reason: no driver, no movement, no domain, another order")
  func stuck() {
    func reason(_ status: DomainStatus, wanted: Int = 256, at now: Double) -> String? {
      var progress = MemoryProgress("d", wanted: wanted << 20, now: 0)
      _ = progress.take(look(512, wanted: wanted), now: 0)
      guard case .stuck(let reason) = progress.take(status, now: now) else { return nil }
      return reason
    }
    #expect(reason(look(512, balloon: .idle), at: 9) == nil)
    #expect(reason(look(512, balloon: .idle), at: 10)?.contains("no driver for the balloon") == true)
    #expect(reason(look(512, balloon: .idle), at: 10)?.contains("keeps 512 MiB") == true)
    #expect(
      reason(look(512, wanted: 600, balloon: .idle, growth: .idle), wanted: 600, at: 10)?.contains("virtio-mem") == true
    )
    #expect(reason(look(512, wanted: 600, balloon: .idle), wanted: 600, at: 10) == nil)
    #expect(reason(look(512), at: 29) == nil)
    #expect(reason(look(512), at: 30)?.contains("has not moved for 30 s: it has 512 MiB") == true)
    #expect(reason(look(256, state: .off), at: 1)?.contains("not running any more (it is off)") == true)
    #expect(reason(look(256, state: .shuttingDown), at: 1) != nil)
    var paused = look(300)
    paused.isPaused = true
    #expect(reason(paused, at: 1)?.contains("is paused") == true)
    #expect(reason(look(512, wanted: 300), at: 1)?.contains("set to 300 MiB by somebody else") == true)
  }

  @Test("The table has what a domain has, and what it is to come to while that is something else")
  func table() {
    func cell(_ status: DomainStatus) -> Bool { DomainTable.lines([status])[1].contains("  256 MiB  ") }
    #expect(cell(look(256)))
    #expect(DomainTable.lines([look(300)])[1].contains("  300>256 MiB  "))
    #expect(DomainTable.lines([look(nil)])[1].contains("  512 MiB  "))
    var stopped = look(nil)
    stopped.memory?.wantedBytes = nil
    #expect(DomainTable.lines([stopped])[1].contains("  512 MiB  "))
    #expect(look(300).memoryWords == "300 MiB, on the way to 256 MiB (starts with 512 MiB; 0 MiB to 0 MiB)")
    #expect(Samples.status("d", .ready).memoryWords == "320 MiB")
    #expect(MemoryProgress.summary(look(300)) == "d: is to come to 256 MiB; it has 300 MiB")
    #expect(MemoryProgress.summary(look(256)) == "d: has 256 MiB")
    #expect(MemoryProgress.summary(look(nil)) == "d: is to come to 256 MiB")
  }
}
