import Manifest
import Platform
import Synchronization
import TestMachine
import Testing
@testable import Control

@Suite("Memory that moves between domains", .ownThreads, .timeLimit(.minutes(60)))
struct MemoryBalanceTests {
  private typealias Machine = MemoryBalance.Machine
  private typealias Guest = MemoryBalance.Guest

  /// MiB. It has said what it says just now, at 1000 s.
  private func guest(
    _ name: String, _ actual: Int, available: Int, start: Int = 512, minimum: Int = 128, maximum: Int = 1024,
    wanted: Int? = nil, faults: Double = 0, said: Double = 1000, balloon: Bool = true, growth: Bool = true
  ) -> Guest {
    Guest(
      name: name, start: start << 20, minimum: minimum << 20, maximum: maximum << 20, wanted: (wanted ?? actual) << 20,
      actual: actual << 20, available: available << 20, said: said, faultRate: faults, hasBalloon: balloon,
      hasGrowth: growth)
  }

  private func machine(_ free: Int, pressure: Double? = 0) -> Machine {
    Machine(free: free << 20, pressure: pressure)
  }

  /// What becomes of each, in MiB.
  private func moves(
    _ balance: inout MemoryBalance, _ guests: [Guest], _ machine: Machine, now: Double = 1000
  ) -> [String: Int] {
    Dictionary(uniqueKeysWithValues: balance.decide(guests, machine, now: now).map { ($0.name, $0.bytes >> 20) })
  }

  private func first(_ guests: [Guest], _ machine: Machine) -> [String: Int] {
    var balance = MemoryBalance()
    return moves(&balance, guests, machine)
  }

  @Test("A guest that has little left gets an eighth more out of what is free; who has enough keeps what it has")
  func growth() {
    #expect(first([guest("a", 512, available: 63)], machine(4096)) == ["a": 576])
    #expect(first([guest("a", 512, available: 64), guest("b", 512, available: 500)], machine(4096)) == [:])
    // The step has bounds.
    #expect(first([guest("a", 64, available: 1, start: 64)], machine(4096)) == ["a": 80])
    let large = guest("a", 16384, available: 1, start: 16384, maximum: 32768)
    #expect(first([large], machine(65536)) == ["a": 16384 + 512])
  }

  @Test(
    "Reading back from disks makes a guest needy that has a quarter left, and keeps an idle one from being taken any")
  func faults() {
    #expect(first([guest("a", 512, available: 127, faults: 49)], machine(4096)) == [:])
    #expect(first([guest("a", 512, available: 127, faults: 50)], machine(4096)) == ["a": 576])
    #expect(first([guest("a", 512, available: 128, faults: 9999)], machine(4096)) == [:])
    let needy = guest("n", 512, available: 1)
    #expect(first([needy, guest("a", 512, available: 400, faults: 6)], machine(0)) == [:])
    #expect(first([needy, guest("a", 512, available: 400, faults: 5)], machine(0)) == ["a": 448])
  }

  @Test("Never more than is free, beside what the machine keeps: the neediest first")
  func free() {
    let guests = [guest("a", 512, available: 60), guest("b", 512, available: 10), guest("c", 512, available: 30)]
    #expect(first(guests, machine(128 + 192)) == ["a": 576, "b": 576, "c": 576])
    #expect(first(guests, machine(128 + 100)) == ["b": 576, "c": 548])
    #expect(first(guests, machine(128 + 3)) == [:])
    #expect(first(guests, machine(-500)) == [:])
    // A machine that is short itself gives nothing away, however much seems to be free.
    #expect(first(guests, machine(4096, pressure: 10)) == [:])
    #expect(first(guests, machine(4096, pressure: 9.9)).count == 3)
    #expect(first(guests, machine(4096, pressure: nil)).count == 3)
  }

  @Test("What a needy guest lacks comes from idle ones, no more than that, those first that have most to spare")
  func donors() {
    let needy = guest("n", 512, available: 10)
    let idle = [guest("a", 512, available: 300), guest("b", 1024, available: 900), guest("c", 512, available: 256)]
    // 64 MiB for the guest, and 128 for the machine: b has an eighth of 1024 to give, and a the rest.
    #expect(first([needy] + idle, machine(0)) == ["b": 1024 - 128, "a": 448])
    #expect(first([needy] + idle, machine(128)) == ["b": 1024 - 64])
    #expect(first([needy] + idle, machine(128 + 32)) == ["n": 544, "b": 1024 - 32])
    #expect(first([needy, idle[0], idle[2]], machine(0)) == ["a": 448])
    // Half is not idle yet; nobody needs anything: nobody is taken anything.
    #expect(first(idle, machine(4096)) == [:] && first([needy, idle[2]], machine(0)) == [:])
    // The machine needs it.
    #expect(first(idle, machine(100)) == ["b": 1024 - 28])
    #expect(first(idle, machine(4096, pressure: 50)) == ["b": 1024 - 16])
  }

  @Test("No guest goes out of its bounds, nor below what it uses and a reserve")
  func bounds() {
    let free = machine(4096)
    #expect(first([guest("a", 1000, available: 10)], free) == ["a": 1024])
    #expect(first([guest("a", 1024, available: 10)], free) == [:])
    #expect(first([guest("a", 1021, available: 10)], free) == [:])
    let needy = guest("n", 512, available: 1, said: 1000)
    #expect(first([needy, guest("a", 512, available: 400, minimum: 480)], machine(0)) == ["a": 480])
    #expect(first([needy, guest("a", 512, available: 400, minimum: 500)], machine(0)) == [:])
    // 112 used and 64 reserve; a quarter of what is used where that is more.
    #expect(guest("a", 512, available: 400, minimum: 8).floor == 176 << 20)
    #expect(guest("a", 1512, available: 512, minimum: 8).floor == 1250 << 20)
    // Says that it uses nothing, or more than it has.
    #expect(guest("a", 512, available: 9999, minimum: 8).floor == 64 << 20)
    #expect(first([needy, guest("a", 90, available: 60, start: 96, minimum: 8)], machine(0)) == [:])
  }

  @Test("What a guest has no driver for is not asked of it")
  func drivers() {
    let free = machine(4096)
    #expect(first([guest("a", 512, available: 1, growth: false)], free) == [:])
    #expect(first([guest("a", 480, available: 1, growth: false)], free) == ["a": 512])
    #expect(first([guest("a", 480, available: 1, balloon: false)], free) == [:])
    let needy = guest("n", 512, available: 1)
    #expect(first([needy, guest("a", 512, available: 400, balloon: false)], machine(0)) == [:])
    #expect(first([needy, guest("a", 544, available: 400, balloon: false)], machine(0)) == ["a": 512])
  }

  @Test("Who was given memory is given more after a while only, by what it says then, and keeps it for longer")
  func restAfterGrowth() {
    var balance = MemoryBalance()
    #expect(moves(&balance, [guest("a", 512, available: 1)], machine(4096)) == ["a": 576])
    // On the way.
    #expect(moves(&balance, [guest("a", 512, available: 1, wanted: 576, said: 1011)], machine(4096), now: 1011) == [:])
    #expect(moves(&balance, [guest("a", 576, available: 1, said: 1009)], machine(4096), now: 1009) == [:])
    // It said so before.
    #expect(moves(&balance, [guest("a", 576, available: 1, said: 999)], machine(4096), now: 1011) == [:])
    #expect(moves(&balance, [guest("a", 576, available: 1, said: 1011)], machine(4096), now: 1011) == ["a": 648])
    let needy = { (now: Double) in guest("n", 512, available: 1, said: now) }
    #expect(moves(&balance, [guest("a", 648, available: 600, said: 1070), needy(1070)], machine(0), now: 1070) == [:])
    #expect(
      moves(&balance, [guest("a", 648, available: 600, said: 1071), needy(1071)], machine(0), now: 1071) == ["a": 568])
  }

  @Test("Who was taken memory is not taken more until it said something since and rested; what is on the way counts")
  func restAfterShrinking() {
    var balance = MemoryBalance()
    func others(_ now: Double) -> [Guest] {
      [guest("n", 512, available: 1, said: now), guest("b", 512, available: 300, said: now)]
    }
    #expect(moves(&balance, others(1000) + [guest("a", 1024, available: 900)], machine(128)) == ["a": 960])
    // 64 MiB are coming: b is left alone.
    #expect(
      moves(
        &balance, others(1005) + [guest("a", 1024, available: 900, wanted: 960, said: 1005)], machine(128), now: 1005)
        == [:])
    // It does not come down: somebody else has to.
    #expect(
      moves(
        &balance, others(1020) + [guest("a", 1024, available: 900, wanted: 960, said: 1020)], machine(128), now: 1020)
        == ["b": 448])
    #expect(
      moves(&balance, [others(1041)[0], guest("a", 960, available: 836, said: 999)], machine(128), now: 1021) == [:])
    #expect(
      moves(&balance, [others(1041)[0], guest("a", 960, available: 836, said: 1041)], machine(128), now: 1041)
        == ["a": 896])
  }

  @Test("A guest that took back what it was to give is given what it has, and more")
  func takenBack() {
    #expect(first([guest("a", 512, available: 10, wanted: 256)], machine(4096)) == ["a": 576])
  }

  @Test("Old words are none, and what a user has set stays for a while")
  func silence() {
    #expect(first([guest("a", 512, available: 1, said: 970)], machine(4096)) == ["a": 576])
    #expect(first([guest("a", 512, available: 1, said: 969)], machine(4096)) == [:])
    var balance = MemoryBalance()
    balance.userHasSet("a", now: 1000)
    #expect(moves(&balance, [guest("a", 512, available: 1, said: 1299)], machine(4096), now: 1299) == [:])
    #expect(moves(&balance, [guest("a", 512, available: 1, said: 1300)], machine(4096), now: 1300) == ["a": 576])
  }

  @Test("Two guests that are needy and idle by turns do not pass the same memory to and fro")
  func steadiness() {
    var balance = MemoryBalance()
    var sizes = ["a": 512, "b": 512]
    var changes = 0
    for second in stride(from: 1000, to: 1600, by: 5) {
      let isTurn = second / 10 % 2 == 0
      let guests = sizes.map { name, size in
        guest(name, size, available: (name == "a") == isTurn ? 10 : size - 100, said: Double(second))
      }
      let used = sizes.values.reduce(0, +)
      for (name, size) in moves(&balance, guests, machine(1024 + 128 - used), now: Double(second)) {
        sizes[name] = size
        changes += 1
      }
      #expect(sizes.values.reduce(0, +) <= 1024 && sizes.values.allSatisfy { $0 >= 128 && $0 <= 1024 })
    }
    // Who gets some keeps it for a minute, and both get some all the time.
    #expect(changes <= 4, "\(changes)")
  }

  @Test("What guests and the kernel say in any form")
  func words() throws {
    let text = "some avg10=12.50 avg60=3.00 avg300=1.00 total=99\nfull avg10=1.00 avg60=0.00 avg300=0.00 total=5\n"
    #expect(MemoryBalance.pressure(in: text) == 12.5)
    for wrong in ["", "full avg10=1.00", "some avg60=1", "some avg10=x", "some avg10=-1", "some avg10=inf"] {
      #expect(MemoryBalance.pressure(in: wrong) == nil, "\(wrong)")
    }
    var words = GuestWords()
    func figures(_ rest: String) throws -> MemoryFigures {
      try #require(MemoryFigures("wanted=1 actual=2 balloon=driven growth=none \(rest)"))
    }
    words.take(try figures(""), at: 10)
    #expect(words.available == nil && words.said == nil)
    words.take(try figures("available=7 faults=100 age=0"), at: 20)
    #expect(words.available == 7 && words.said == 19 && words.faultRate == 0)
    // The same again, older.
    words.take(try figures("available=7 faults=100 age=4"), at: 24)
    #expect(words.said == 19)
    words.take(try figures("available=8 faults=150 age=1"), at: 31)
    #expect(words.available == 8 && words.said == 29 && words.faultRate == 5)
    words.take(try figures("available=8 faults=3 age=0"), at: 41)
    #expect(words.faultRate == 0)
    let hostile = Guest(
      name: "x", start: 1 << 30, minimum: 1 << 27, maximum: 1 << 31, wanted: 1 << 30, actual: 0, available: .max,
      said: 1000, faultRate: .infinity, hasBalloon: true, hasGrowth: true)
    var huge = hostile
    (huge.name, huge.actual, huge.available, huge.wanted, huge.faultRate) = ("y", .max, 0, 0, 0)
    var larger = huge
    (larger.name, larger.available, larger.wanted) = ("z", .max / 4 * 3, .max)
    #expect(first([hostile, huge, larger], machine(0)).keys.sorted() == ["z"])
  }

  @Test("The domain manager has a needy guest grow, and says so in info and events; without a balancer it does not")
  func daemon() throws {
    for isOn in [false, true] {
      let fixture = try DaemonFixture()
      fixture.configure {
        $0.memoryPace = 0.05...0.2
        $0.balanceInterval = 0.1
        $0.memoryPressure = "\(fixture.directory)/pressure"
      }
      try fixture.write("some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n", to: "pressure")
      var domain = Samples.domain("debian", memory: 32 << 20)
      domain.memoryMinimumBytes = 16 << 20
      domain.memoryMaximumBytes = 64 << 20
      try fixture.start([domain], balancer: isOn)
      try eventually("it starts") { fixture.starts("debian").count == 1 }
      let wanted = Mutex(32 << 20)
      // It is in need from when somebody listens to events, as what was told before is told to nobody, until it is
      // given something: it would be given more after a while.
      let isNeedy = Mutex(!isOn)
      let monitor = try fixture.monitor(of: "debian") { request in
        let words = request.split(separator: " ")
        guard words.first == "memory" else { return "ok" }
        if words.count > 1 { wanted.withLock { $0 = Int(words[1]) ?? 0 } }
        let bytes = wanted.withLock { $0 }
        guard words.count == 1 else { return "ok \(bytes)" }
        let need = bytes < 48 << 20 && isNeedy.withLock { $0 } ? " available=1000000 faults=1 age=0" : ""
        return "ok wanted=\(bytes) actual=\(bytes) balloon=driven growth=driven\(need)"
      }
      try fixture.show("login:", on: "debian")
      try fixture.await(.ready, of: "debian")
      guard isOn else {
        try eventually("it was asked") { monitor.requests.count > 10 }
        #expect(monitor.requests.allSatisfy { $0 == "memory" })
        continue
      }
      let client = try fixture.client()
      var overview = try client.subscribe()
      isNeedy.withLock { $0 = true }
      var lines: [String] = []
      try eventually("it is given memory") {
        if let event = try client.nextEvent(within: 1) { lines += event.lines(after: &overview, uptime: 7) }
        return try fixture.status("debian").memory?.balance != nil
      }
      #expect(monitor.requests.contains("memory \(48 << 20)"))
      let balance = try #require(try fixture.status("debian").memory?.balance)
      #expect(balance.hasPrefix("raised to 48 MiB at ") && balance.hasSuffix(": it has 0 MiB left"), "\(balance)")
      #expect(
        try fixture.client().info("debian").lines(now: 1).contains {
          $0.hasPrefix("memory balancer ") && $0.contains(" raised to 48 MiB at ")
        })
      while lines.allSatisfy({ !$0.contains("memory raised") }), let event = try client.nextEvent(within: 120) {
        lines += event.lines(after: &overview, uptime: 7)
      }
      #expect(lines.contains { $0.contains("debian  memory raised to 48 MiB at ") }, "\(lines)")
      #expect(fixture.log.contains { $0.hasPrefix("debian: memory raised to 48 MiB") })
    }
  }
}
