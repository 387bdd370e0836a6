import Manifest
import Platform
import Synchronization
import TestMachine
import Testing
@testable import Control

@Suite("What a domain may take", .ownThreads, .timeLimit(.minutes(60)))
struct LimitTests {
  private func limits(_ change: (inout ResourceLimits) -> Void) -> ResourceLimits {
    var limits = ResourceLimits()
    change(&limits)
    return limits
  }

  @Test("What the kernel's control groups are told")
  func settings() {
    let none = ControlGroups.settings(ResourceLimits(), disks: ["254:3"])
    #expect(none.map(\.file) == ["cpu.weight", "cpu.max", "cpuset.cpus", "io.max"])
    #expect(none.map(\.text) == ["100", "max 100000", "\n", "254:3 rbps=max wbps=max riops=max wiops=max"])
    let all = ControlGroups.settings(
      limits { ($0.cpuWeight, $0.cpuCap, $0.cpus, $0.diskRate, $0.diskOperations) = (300, 150, "0-1", 1 << 20, 50) },
      disks: ["254:3", "254:4"])
    #expect(
      all.map(\.text) == [
        "300", "150000 100000", "0-1", "254:3 rbps=1048576 wbps=1048576 riops=50 wiops=50",
        "254:4 rbps=1048576 wbps=1048576 riops=50 wiops=50",
      ])
  }

  @Test("What a guest's interface is told, and that it is taken away")
  func rates() {
    let card = ApplianceManifest.NetworkCard(mac: "52:54:00:00:00:01", address: nil)
    let port = NetworkPlan.Port(domain: "web", index: 0, card: card, tap: "tap-web", link: LinkConditions())
    let text = port.cableCommands(rate: 10_000_000)
    #expect(text.contains("qdisc add dev tap-web root tbf rate 10000000bit burst 131072b latency 100ms\n"))
    #expect(text.contains("police rate 10000000bit burst 131072b mtu 64kb conform-exceed drop\n"))
    #expect(text.split(separator: "\n").count == 3)
    #expect(port.cableCommands(rate: 1_000_000_000).contains("burst 6250000b"))
    #expect(port.cableCommands(rate: nil).isEmpty && port.undoingCommands.contains("delete dev tap-web root\n"))
  }

  @Test("Changes add up, zero takes away, and what is out of range is named")
  func changes() {
    let first = limits { ($0.cpuCap, $0.cpus) = (50, "0") }
    let second = first.applying(limits { ($0.cpuWeight, $0.cpuCap) = (200, 0) })
    #expect(second == limits { ($0.cpuWeight, $0.cpus) = (200, "0") })
    #expect(second.applying(limits { ($0.cpuWeight, $0.cpus) = (0, "") }).isEmpty)
    #expect(limits { $0.cpuCap = 0 }.problem()?.contains("1 to 6400") == true)
    #expect(limits { ($0.cpuCap, $0.cpus) = (0, "") }.problem(isChange: true) == nil)
    for list in ["", "a", "1-", "-1", "3-1", "0,,1", "99999", "0-5000", " 1", "0x1"] {
      #expect(limits { $0.cpus = list }.problem()?.contains("0-1,3") == true, "\(list)")
    }
    #expect(ProcessorList("0-1,3")?.numbers == [0, 1, 3])
    #expect(limits { $0.networkRate = 1 }.problem() != nil && limits { $0.diskRate = 1 }.problem() != nil)
  }

  @Test("Rates of networks are read with their units")
  func bitRates() throws {
    #expect(try BitRate.parse("10 Mbit").get() == 10_000_000 && BitRate.format(10_000_000) == "10 Mbit")
    #expect(try BitRate.parse("500kbit").get() == 500_000 && BitRate.format(1_500) == "1500 bit")
    for text in ["", "10", "10 MB", "10 mbit", "-1 Mbit", "99999999999 Gbit"] {
      #expect(throws: QuantityError.self, "\(text)") { try BitRate.parse(text).get() }
    }
  }

  // MARK: The domain manager

  private func fixture(limits: ResourceLimits? = nil, cpus: Int = 1, maximum: Int? = nil) throws -> DaemonFixture {
    let fixture = try DaemonFixture()
    try fixture.report([])
    // The kernel makes the file with the group.
    try Files.makeDirectories("\(fixture.directory)/cgroup/roost/debian")
    try fixture.write("", to: "cgroup/roost/debian/cgroup.procs")
    fixture.configure { $0.controlGroups = "\(fixture.directory)/cgroup" }
    var domain = Samples.domain("debian")
    (domain.limits, domain.cpus, domain.cpusMaximum) = (limits, cpus, maximum)
    try fixture.start([domain, Samples.domain("bare", network: false, autostart: false)])
    try eventually("debian starts") { fixture.starts("debian").count == 1 }
    return fixture
  }

  private func setting(_ file: String, _ fixture: DaemonFixture) -> String? {
    try? Files.readText("\(fixture.directory)/cgroup/roost/debian/\(file)")
  }

  @Test("A monitor runs in a group of its own, with its recipe's limits and those that are set later")
  func life() throws {
    let fixture = try fixture(limits: limits { $0.cpuCap = 50 })
    // Who writes 0 joins.
    #expect(setting("cgroup.procs", fixture) == "0" && setting("pids.max", fixture) == "512")
    // 64 MiB of the guest's, 1 MiB for KVM's tables, 256 MiB beside.
    #expect(setting("memory.max", fixture) == "\(321 << 20)")
    #expect(setting("cpu.max", fixture) == "50000 100000")
    #expect(try Files.readText("\(fixture.directory)/cgroup/cgroup.subtree_control") == "+pids")
    let client = try fixture.client()
    // The double has plain files: they are there from now on.
    let info = try client.limit("debian", limits { ($0.cpuWeight, $0.cpuCap) = (300, 75) })
    #expect(info.limits == limits { ($0.cpuWeight, $0.cpuCap) = (300, 75) })
    #expect(setting("cpu.weight", fixture) == "300" && setting("cpu.max", fixture) == "75000 100000")
    #expect(info.lines(now: 1).contains { $0.hasPrefix("cpu cap") && $0.hasSuffix("75 % of one processor") })
    #expect(try client.limit("debian", limits { ($0.cpuWeight, $0.cpuCap) = (0, 0) }).limits == nil)
    #expect(setting("cpu.max", fixture) == "max 100000")
    // They are its own: the next run has them, and the next domain manager.
    _ = try client.limit("debian", limits { $0.cpuWeight = 7 })
    try fixture.exit("debian", 10)
    try eventually("it starts again") { fixture.starts("debian").count == 2 }
    #expect(try client.info("debian").limits?.cpuWeight == 7)
    let kept = try Files.readText("\(fixture.directory)/run/domains/debian/limits.json")
    #expect(kept.contains("\"cpuWeight\":7"))
    // One that is off has them from its next start.
    #expect(try client.limit("bare", limits { $0.cpuCap = 10 }).limits?.cpuCap == 10)
  }

  @Test("What makes no sense is refused, and nothing of it stays")
  func refusals() throws {
    let fixture = try fixture()
    let client = try fixture.client()
    func problem(_ name: String, _ change: (inout ResourceLimits) -> Void) -> String? {
      let error = #expect(throws: ControlError.self) { _ = try client.limit(name, limits(change)) }
      return error?.message
    }
    #expect(problem("debian") { _ in }?.contains("something in it") == true)
    #expect(problem("debian") { $0.cpuCap = -1 }?.contains("1 to 6400") == true)
    #expect(problem("debian") { $0.cpus = "x" }?.contains("0-1,3") == true)
    #expect(problem("debian") { $0.diskRate = 1 << 20 }?.contains("no disk") == true)
    #expect(problem("bare") { $0.networkRate = 1_000_000 }?.contains("no network card") == true)
    #expect(problem("nobody") { $0.cpuCap = 1 } != nil)
    #expect(try client.info("debian").limits == nil)
    // The kernel refuses: all stays as it was.
    try Files.remove("\(fixture.directory)/cgroup/roost/debian/cpuset.cpus")
    try Files.makeDirectories("\(fixture.directory)/cgroup/roost/debian/cpuset.cpus")
    #expect(problem("debian") { ($0.cpuWeight, $0.cpus) = (9, "0") }?.contains("does not take cpuset.cpus") == true)
    #expect(try client.info("debian").limits == nil && setting("cpu.weight", fixture) == "100")
  }

  @Test(
    "A domain has the time of some of its processors until its monitor ends, beside a cap, and over a domain manager's end"
  )
  func processors() throws {
    let fixture = try fixture(cpus: 4)
    let client = try fixture.client()
    #expect(setting("cpu.max", fixture) == nil)
    let status = try client.setProcessors(of: "debian", to: 2)
    #expect(status.usableCPUs == 2 && status.cpus == 4)
    #expect(setting("cpu.max", fixture) == "200000 100000")
    #expect(DomainTable.lines([status])[1].contains(" 2/4 "))
    #expect(try client.info("debian").lines(now: 1).contains { $0.hasSuffix("4 (host), with the time of 2") })
    // The smaller of both holds, whichever was said last.
    _ = try client.limit("debian", limits { $0.cpuCap = 150 })
    #expect(setting("cpu.max", fixture) == "150000 100000")
    _ = try client.setProcessors(of: "debian", to: 1)
    #expect(setting("cpu.max", fixture) == "100000 100000")
    _ = try client.limit("debian", limits { $0.cpuCap = 0 })
    #expect(setting("cpu.max", fixture) == "100000 100000")
    let kept = try Files.readText("\(fixture.directory)/run/domains/debian/monitor.json")
    #expect(kept.contains("\"processors\":1"))
    #expect(try client.setProcessors(of: "debian", to: 4).usableCPUs == nil)
    #expect(setting("cpu.max", fixture) == "max 100000")
    // The next monitor has all of them.
    _ = try client.setProcessors(of: "debian", to: 3)
    try fixture.exit("debian", 10)
    try eventually("it starts again") { fixture.starts("debian").count == 2 }
    #expect(try fixture.status("debian").usableCPUs == nil && setting("cpu.max", fixture) == "max 100000")
  }

  @Test("Where processors come and go, the monitor tells the guest, and the time of what it may use holds beside that")
  func processorsThatCome() throws {
    let fixture = try fixture(cpus: 2, maximum: 4)
    #expect(fixture.starts("debian").first?.contains(" --cpus 2,max=4 ") == true)
    let refusal = Mutex<String?>(nil)
    let monitor = try fixture.monitor(of: "debian") { request in
      request.hasPrefix("cpus") ? refusal.withLock { $0 } ?? "ok" : "ok"
    }
    let client = try fixture.client()
    // It has no more than it starts with, and no limit of time for that.
    #expect(try fixture.status("debian").usableCPUs == 2 && fixture.status("debian").cpus == 4)
    #expect(setting("cpu.max", fixture) == nil)
    #expect(try client.setProcessors(of: "debian", to: 3).usableCPUs == 3)
    #expect(setting("cpu.max", fixture) == "300000 100000" && monitor.requests.contains("cpus 3"))
    #expect(try client.setProcessors(of: "debian", to: 4).usableCPUs == nil)
    #expect(setting("cpu.max", fixture) == "max 100000" && monitor.requests.contains("cpus 4"))
    #expect(try client.setProcessors(of: "debian", to: 1).usableCPUs == 1)
    refusal.withLock { $0 = "error it does not like that" }
    let error = #expect(throws: ControlError.self) { _ = try client.setProcessors(of: "debian", to: 2) }
    #expect(error?.message == "the monitor of debian does not tell its guest: it does not like that")
    // The next monitor begins anew.
    try fixture.exit("debian", 10)
    try eventually("it starts again") { fixture.starts("debian").count == 2 }
    #expect(try fixture.status("debian").usableCPUs == 2 && setting("cpu.max", fixture) == "max 100000")
  }

  @Test(
    "Processors that a domain does not have, and domains that do not run, are refused; what the kernel refuses changes nothing"
  )
  func processorRefusals() throws {
    let fixture = try fixture(cpus: 2)
    let client = try fixture.client()
    func problem(_ name: String, _ count: Int) -> String? {
      #expect(throws: ControlError.self) { _ = try client.setProcessors(of: name, to: count) }?.message
    }
    for count in [-1, 0, 3, Int.max] {
      #expect(problem("debian", count)?.contains("can use 1 to 2 processors, not \(count); `cpus`") == true, "\(count)")
    }
    #expect(problem("bare", 1)?.hasPrefix("bare is not running (it is defined); when it starts") == true)
    #expect(problem("debain", 1)?.contains("debian") == true)
    try Files.makeDirectories("\(fixture.directory)/cgroup/roost/debian/cpu.max")
    #expect(problem("debian", 1)?.contains("does not take cpu.max") == true)
    #expect(try fixture.status("debian").usableCPUs == nil)
  }

  @Test("Without control groups domains run, and limits are refused")
  func none() throws {
    let fixture = try DaemonFixture()
    try fixture.report([])
    fixture.configure { $0.controlGroups = "/proc/nothing" }
    try fixture.start([Samples.domain("debian")])
    try eventually("debian starts") { fixture.starts("debian").count == 1 }
    let error = #expect(throws: ControlError.self) {
      _ = try fixture.client().limit("debian", limits { $0.cpuCap = 5 })
    }
    #expect(error?.message.contains("no control groups") == true)
    let other = #expect(throws: ControlError.self) { _ = try fixture.client().setProcessors(of: "debian", to: 1) }
    #expect(other?.message.contains("no control groups") == true)
  }
}
