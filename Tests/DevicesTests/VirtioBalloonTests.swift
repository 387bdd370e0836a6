import Synchronization
import TestMachine
import Testing

@testable import Devices

/// A memory's owner that takes notes.
final class TestBalloon: BalloonBackend {
  private let log = Mutex(
    (discarded: [GuestSegment](), restored: [GuestSegment](), statistics: [BalloonStatistics](), actual: UInt64(0)))

  func discard(_ segment: GuestSegment) { log.withLock { $0.discarded.append(segment) } }
  func restore(_ segment: GuestSegment) { log.withLock { $0.restored.append(segment) } }
  func report(_ statistics: BalloonStatistics) { log.withLock { $0.statistics.append(statistics) } }
  func balloonChanged(bytes: UInt64) { log.withLock { $0.actual = bytes } }

  var restored: [GuestSegment] { log.withLock { $0.restored } }
  var statistics: [BalloonStatistics] { log.withLock { $0.statistics } }
  var actual: UInt64 { log.withLock { $0.actual } }
  func takeDiscarded() -> [GuestSegment] {
    log.withLock { log in
      defer { log.discarded = [] }
      return log.discarded
    }
  }
}

@Suite struct VirtioBalloonTests {
  private let memory = TestMemory()
  private let backend = TestBalloon()
  private let interrupts = TestInterrupts()
  private let function: VirtioPCI<VirtioBalloon<TestMemory, TestBalloon>, TestInterrupts>
  private let driver: VirtioDriver

  init() throws {
    function = VirtioPCI(VirtioBalloon(backend), memory: memory, interrupts: interrupts)
    driver = VirtioDriver(bus: try makeBus(function), memory: memory)
    try #require(driver.start())
  }

  private func pages(_ numbers: [UInt32]) throws -> VirtioDriver.Part {
    let bytes = numbers.flatMap { number in (0..<4).map { UInt8(truncatingIfNeeded: number >> (8 * $0)) } }
    return .init(address: try driver.allocate(bytes), count: UInt32(bytes.count))
  }

  private func run(_ page: UInt64, _ count: Int = 1) -> GuestSegment {
    GuestSegment(address: GuestAddress(page << 12), count: count << 12)
  }

  @Test func targetAndActual() {
    #expect(driver.deviceFeatures & 0xFF_FFFF == 1 << 1 | 1 << 2 | 1 << 5)
    #expect(driver.readDevice(0, .quadWord) == 0)
    function.setBalloonTarget(10 << 20)
    #expect(driver.readDevice(0, .doubleWord) == 2560)
    #expect(driver.readISR() == 2)
    driver.bus.writeMemory(2000, at: driver.configuration + 4, width: .doubleWord)
    #expect(backend.actual == 2000 << 12)
    #expect(driver.readDevice(4, .doubleWord) == 2000)
    // num_pages is not the driver's, nor what lies beyond the structure.
    for offset: UInt64 in [0, 3, 5, 8] {
      driver.bus.writeMemory(0xFFFF_FFFF, at: driver.configuration + offset, width: .doubleWord)
    }
    #expect(driver.readDevice(0, .quadWord) == 2000 << 32 | 2560)
    // As a legacy driver writes it.
    driver.ports = driver.bar(0)
    for (index, byte) in [UInt64(1), 2, 0, 0].enumerated() { driver.writePort(byte, 24 + UInt64(index), .byte) }
    #expect(backend.actual == 0x201 << 12)
    function.setBalloonTarget(1 << 60)
    #expect(driver.readDevice(0, .doubleWord) == 0xFFFF_FFFF)
  }

  @Test func inflateAndDeflate() throws {
    try driver.send([pages([0x20, 0x21, 0x22, 0x40, 0x33, 0x32, 0x31])])
    #expect(try driver.takeUsed()?.written == 0)
    #expect(backend.takeDiscarded() == [run(0x20, 3), run(0x40), run(0x31, 3)])
    try driver.send([pages([0x20])], ring: 1)
    #expect(backend.restored == [run(0x20)])
    #expect(backend.takeDiscarded().isEmpty)
  }

  /// 0x8 to 0xF is no RAM, nor is what lies beyond the end.
  @Test func pagesThatAreNotMemory() throws {
    try driver.send([pages([7, 8, 9, 0x10, 0xFF, 0x100, 0xFFFF_FFFF, 0, 0xFFFF_FFFF, 0xFFFF_FFFE])])
    #expect(backend.takeDiscarded() == [run(7), run(0x10), run(0xFF), run(0)])
    #expect(function.failure == nil)
    // Half a page number, and a buffer that is no RAM.
    try driver.send([.init(address: driver.allocate([1, 0, 0, 0, 0x20].map { UInt8($0) }), count: 5)])
    #expect(backend.takeDiscarded() == [run(1)])
    try driver.send([.init(address: 0x8000, count: 4)])
    #expect(function.failure == .memory(GuestMemoryError(.read, address: GuestAddress(0x8000), count: 4)))
  }

  private func entry(_ tag: UInt8, _ value: UInt8) -> [UInt8] { [tag, 0, value, 1, 0, 0, 0, 0, 0, 0] }

  /// VIRTIO_BALLOON_S_SWAP_IN (0) to VIRTIO_BALLOON_S_CACHES (7) of 5.5.6.4.
  @Test func statisticsByTag() throws {
    let buffer = try driver.allocate((0..<8).flatMap { entry($0, $0 + 1) })
    try driver.send([.init(address: buffer, count: 80)], ring: 2)
    let said = try #require(backend.statistics.first)
    let values = [
      said.swapIn, said.swapOut, said.majorFaults, said.minorFaults, said.free, said.total, said.available, said.caches,
    ]
    #expect(values == (1...8).map { 0x100 + $0 })
  }

  /// A driver that gives two statistics buffers gets the first one back; one with nothing in it says nothing.
  @Test func oneStatisticsBufferIsKept() throws {
    let buffer = try driver.allocate(entry(4, 5))
    let first = try driver.send([.init(address: buffer, count: 10)], ring: 2)
    let second = try driver.send([.init(address: buffer, count: 9)], ring: 2)
    #expect(backend.statistics.count == 1)
    #expect(try driver.takeUsed(ring: 2)?.head == UInt32(first))
    #expect(try driver.takeUsed(ring: 2) == nil)
    #expect(function.requestStatistics())
    #expect(try driver.takeUsed(ring: 2)?.head == UInt32(second))
  }

  /// What a driver had given up is the next one's again, and its buffers are not.
  @Test func resetForgetsTheDriver() throws {
    driver.bus.writeMemory(2000, at: driver.configuration + 4, width: .doubleWord)
    function.setBalloonTarget(10 << 20)
    try driver.send([.init(address: driver.allocate(entry(4, 5)), count: 10)], ring: 2)
    try #require(driver.start())
    #expect(driver.readDevice(0, .quadWord) == 2560)
    #expect(!function.requestStatistics())
    #expect(try driver.takeUsed(ring: 2) == nil)
    #expect(function.failure == nil)
  }

  /// Queues that no accepted feature gives a meaning are not served.
  @Test func queuesWithoutAMeaning() throws {
    try #require(driver.start(features: ~(1 << 1 | 1 << 5)))
    for ring in 2...3 {
      try driver.send([.init(address: 0x40000, count: 0x1000, writable: true)], ring: ring)
      #expect(try driver.takeUsed(ring: ring) == nil)
    }
    #expect(backend.takeDiscarded().isEmpty && backend.statistics.isEmpty)
    #expect(function.failure == nil)
  }

  @Test func statistics() throws {
    #expect(!function.requestStatistics())
    let buffer = try driver.allocate(entry(4, 5) + entry(5, 6) + entry(99, 7) + [1, 0])
    try driver.send([.init(address: buffer, count: 32)], ring: 2)
    // The buffer stays with the device until it wants another look.
    #expect(try driver.takeUsed(ring: 2) == nil)
    var wanted = BalloonStatistics()
    wanted.free = 0x105
    wanted.total = 0x106
    #expect(backend.statistics == [wanted])
    _ = driver.readISR()
    #expect(function.requestStatistics())
    #expect(try driver.takeUsed(ring: 2) != nil)
    #expect(driver.readISR() == 1)
    #expect(!function.requestStatistics())
    try driver.send([.init(address: buffer, count: 32)], ring: 2)
    #expect(backend.statistics.count == 2)
    driver.status = 0
    #expect(!function.requestStatistics())
  }

  @Test func freePageReporting() throws {
    try driver.send(
      [
        .init(address: 0x40000, count: 0x2000, writable: true), .init(address: 0x50001, count: 0x1000, writable: true),
        .init(address: 0x50000, count: 0x1001, writable: true), .init(address: 0x8000, count: 0x1000, writable: true),
        .init(address: 0x60000, count: 0x1000, writable: true),
      ], ring: 3)
    #expect(backend.takeDiscarded() == [run(0x40, 2), run(0x60)])
    #expect(try driver.takeUsed(ring: 3) != nil)
    // Without statistics, reporting is the third queue.
    #expect(driver.start(features: ~(1 << 1)))
    try driver.send([.init(address: 0x40000, count: 0x2000, writable: true)], ring: 2)
    #expect(backend.takeDiscarded() == [run(0x40, 2)])
  }

  /// What a visit does before it ends: buffers given back, and runs handed over. The others come with the next visits.
  private func visits(
    _ count: Int, ring: Int = 0, _ part: (VirtioDriver) throws -> [VirtioDriver.Part]
  ) throws -> [(buffers: Int, runs: Int)] {
    let backlog = Mutex<[Int]>([])
    let memory = TestMemory(count: 4 << 20)
    let function = VirtioPCI(
      VirtioBalloon(backend), memory: memory, interrupts: interrupts,
      onBacklog: { queue in backlog.withLock { $0.append(queue) } })
    let driver = VirtioDriver(bus: try makeBus(function), memory: memory)
    try #require(driver.start(queueSize: 128))
    let parts = try part(driver)
    for _ in 0..<count { try driver.send(parts, ring: ring, kick: false) }
    driver.kick(ring)
    var visits: [(buffers: Int, runs: Int)] = []
    while true {
      var buffers = 0
      while try driver.takeUsed(ring: ring) != nil { buffers += 1 }
      visits.append((buffers, backend.takeDiscarded().count))
      guard backlog.withLock({ $0.popLast() }) == ring else { return visits }
      function.serve(queue: ring)
    }
  }

  /// Scattered pages: each is a call of the backend, and a buffer has its limit of them.
  @Test func runsAreBounded() throws {
    let visits = try visits(2) { driver in
      let bytes = (0..<20_000).flatMap { [$0 % 2 == 0 ? 0x20 : 0x40, 0, 0, 0] as [UInt8] }
      return [.init(address: try driver.allocate(bytes), count: UInt32(bytes.count))]
    }
    #expect(visits.map(\.buffers) == [1, 1])
    #expect(visits.map(\.runs) == [16_384, 16_384])
  }

  /// Few runs of many pages: reading their numbers is work as well.
  @Test func readingIsBounded() throws {
    let visits = try visits(60) { driver in
      let bytes = (0..<16_384).flatMap { [UInt8(0x20 + $0 % 128), 0, 0, 0] as [UInt8] }
      return [.init(address: try driver.allocate(bytes), count: UInt32(bytes.count))]
    }
    // 128 runs, and sixteen pieces of 4 KiB for sixteen runs each: 43 buffers use 2^14 up.
    #expect(visits.map(\.buffers) == [43, 17])
    #expect(visits.map(\.runs) == [43 * 128, 17 * 128])
  }

  /// Reports of free pages: each page of a buffer is a call of the backend.
  @Test func reportsAreBounded() throws {
    let visits = try visits(20, ring: 3) { driver in
      let table = driver.allocate(16 * 1000, alignment: 16)
      let pages = [VirtioDriver.Part](repeating: .init(address: 0x40000, count: 0x1000, writable: true), count: 1000)
      _ = try driver.chain(pages, ring: 3, table: table)
      return [.init(address: table, count: 16 * 1000, flags: 4)]
    }
    #expect(visits.map(\.buffers) == [17, 3])
    #expect(visits.map(\.runs) == [17_000, 3000])
  }

  @Test func fuzz() throws {
    var random = SeededNumbers(41)
    var driver = driver
    var (discarded, failed) = (0, 0)
    for _ in 0..<4_000 {
      if function.failure != nil || driver.rings.isEmpty {
        failed += 1
        driver = VirtioDriver(bus: driver.bus, memory: memory)
        try #require(driver.start(features: Bool.random(using: &random) ? .max : ~(1 << 1)))
      }
      let words = (0..<64).map { _ in
        UInt8.random(in: 0..<4, using: &random) == 0
          ? UInt64.random(in: 0...(.max), using: &random) : UInt64.random(in: 0..<0x110, using: &random)
      }
      for (index, word) in words.enumerated() {
        try memory.storeUInt64(word, at: GuestAddress(0xC0000 + 8 * UInt64(index)))
      }
      let ring = Int.random(in: 0..<driver.rings.count, using: &random)
      let address =
        UInt8.random(in: 0..<30, using: &random) == 0 ? 0x7F00 : 0xC0000 + UInt64.random(in: 0..<256, using: &random)
      try driver.send(
        [.init(address: address, count: UInt32.random(in: 0..<4096, using: &random), writable: ring == 3)], ring: ring)
      _ = try driver.takeUsed(ring: ring)
      if UInt8.random(in: 0..<16, using: &random) == 0 { _ = function.requestStatistics() }
      let taken = backend.takeDiscarded()
      discarded += taken.count
      if !taken.allSatisfy({ memory.contains($0) && $0.count > 0 && $0.address.isAligned(to: 4096) }) {
        Issue.record("\(taken) is not all whole pages of RAM")
        return
      }
    }
    #expect(discarded > 1000)
    #expect(failed > 20)
  }
}
