import Manifest
import Platform
import TestMachine
import Testing

@testable import Control

@Suite("What domains' CPUs, disks and networks did", .ownThreads, .timeLimit(.minutes(60)))
struct StatisticsTests {
  private static let answer =
    "exits=io:5,mmio:4,msr:3,signal:2,other:1 kernel=all:100,halt:40,hypercall:7,interrupt:30 "
    + "disk=debian:3,12288,2,8192,1,0,1,250000000,125000000:1,0,2,0,0,0,0,2,0,1 "
    + "disk=stranger:1,1,1,1,1,1,1,1,1:1,0,0,0,0,0,0,0,0,0"

  private let disk = UsageReport.DiskUsage(
    name: "volume", reads: 3, readBytes: 12288, writes: 2, writtenBytes: 8192, flushes: 1, discards: 0, failures: 1,
    seconds: 0.25, longestSeconds: 0.125, classes: [1, 0, 2, 0, 0, 0, 0, 2, 0, 1])

  @Test("A monitor's answer is read; disks that the domain does not have, and what is no count, are left out")
  func answers() throws {
    let whole = try #require(MonitorStatistics(Self.answer, disks: ["debian": "volume"]))
    #expect(
      whole.exits
        == .init(io: 5, mmio: 4, msr: 3, signal: 2, other: 1, all: 100, halt: 40, hypercall: 7, interrupt: 30))
    #expect(whole.disks == [disk])
    let plain = try #require(MonitorStatistics("future=1 exits=io:7 disk=debian:1:2", disks: ["debian": "volume"]))
    #expect(plain.exits == .init(io: 7) && plain.exits.all == nil && plain.disks.isEmpty)
    #expect(MonitorStatistics("", disks: [:]) == nil)
    #expect(MonitorStatistics("disk=a:1,1,1,1,1,1,1,1,1:1,0,0,0,0,0,0,0,0,0", disks: ["a": "a"]) == nil)
    for hostile in ["exits=io:-1,mmio:x", "exits=io:99999999999999999999,io", "exits=::,,:1", "exits="] {
      #expect(MonitorStatistics(hostile, disks: [:])?.exits == .init(), "\(hostile)")
    }
    let long = "exits=io:1 disk=debian:1,1,1,1,1,1,1,1,1:" + String(repeating: "1,", count: 5000)
    #expect(MonitorStatistics(long, disks: ["debian": "volume"])?.disks.isEmpty == true)
  }

  @Test("The kernel's counts of a tap are the guest's the other way round")
  func networks() throws {
    let directory = try Files.makeTemporaryDirectory(prefix: "/tmp/roost-net-")
    defer { try? Files.removeTree(directory) }
    try Files.makeDirectories("\(directory)/tap-web/statistics")
    let counts = [
      ("rx_packets", 1), ("rx_bytes", 2), ("rx_dropped", 3), ("tx_packets", 4), ("tx_bytes", 5), ("tx_dropped", 6),
    ]
    for (name, count) in counts { try Files.write("\(count)\n", to: "\(directory)/tap-web/statistics/\(name)") }
    let found = UsageReport.NetworkUsage(taps: ["tap-web"], directory: directory)
    #expect(
      found
        == .init(receivedFrames: 4, receivedBytes: 5, receivedDrops: 6, sentFrames: 1, sentBytes: 2, sentDrops: 3))
    // A domain with several cards has the sum.
    let both = UsageReport.NetworkUsage(taps: ["tap-web", "tap-off", "tap-web"], directory: directory)
    #expect(both?.receivedFrames == 8 && both?.sentDrops == 6)
    #expect(UsageReport.NetworkUsage(taps: ["tap-off"], directory: directory) == nil)
  }

  @Test("Who asks for what domains take waits for their monitors, and not long for one that does not answer")
  func monitors() throws {
    let fixture = try DaemonFixture()
    let domains = ["debian", "silent", "off"].map { Samples.domain($0, network: false, autostart: $0 != "off") }
    try fixture.start(domains)
    for name in ["debian", "silent"] { try eventually("\(name) runs") { fixture.starts(name).count == 1 } }
    let debian = try fixture.monitor(of: "debian") { $0 == "statistics" ? "ok \(Self.answer)" : "error what" }
    let client = try fixture.client()
    // On a machine that is busy a monitor that answers may be given up as well, until it is asked again.
    var reports: [UsageReport] = []
    try eventually("it is answered soon, with what debian's monitor says") {
      let began = MonotonicClock.now()
      reports.append(try client.usage())
      return reports.last?.domains.first?.exits?.halt == 40 && MonotonicClock.now() - began < 5_000_000_000
    }
    let usage = try #require(reports.last)
    #expect((1...reports.count).contains(debian.requests.filter { $0 == "statistics" }.count))
    #expect(usage.domains.map(\.name) == ["debian", "silent"])
    #expect(usage.domains.first?.disks?.isEmpty == true)
    #expect(usage.domains.last?.exits == nil && usage.domains.last?.disks == nil)
    try eventually("it is told in words") {
      try client.info("debian").lines(now: 0).contains {
        $0.hasPrefix("exits ") && $0.contains("100: io 5, mmio 4, msr 3, halt 40, hypercall 7")
      }
    }
  }

  @Test("What was counted is told in words")
  func words() {
    let usage = UsageReport.Domain(
      name: "web", pid: 1, cpuSeconds: 1, memoryBytes: 1, stealSeconds: 0.5, exits: .init(io: 1, msr: 2), disks: [disk],
      network: .init(
        receivedFrames: 4, receivedBytes: 5 << 20, receivedDrops: 6, sentFrames: 1, sentBytes: 0, sentDrops: 0))
    let rows = Dictionary(uniqueKeysWithValues: usage.rows)
    #expect(rows["waited for cpus"] == "0.5 s" && rows["exits"] == "io 1, mmio 0, msr 2")
    let words = rows["volume did"] ?? ""
    #expect(words.hasPrefix("3 reads (0 MiB), 2 writes (0 MiB), 1 flushes, 41.67 ms each, 125.0 ms at most, 1 failed"))
    #expect(rows["received"] == "4 frames (5 MiB), 6 dropped" && rows["sent"] == "1 frames (0 MiB)")
  }
}
