import Testing

@testable import Devices

/// Rings as a guest may write them, driven through an entropy device's transport.
@Suite struct VirtqueueTests {
  private let memory = TestMemory()
  private let interrupts = TestInterrupts()
  private let function: VirtioPCI<VirtioEntropy<TestMemory, TestEntropy>, TestInterrupts>
  private let driver: VirtioDriver

  init() throws {
    function = VirtioPCI(VirtioEntropy(TestEntropy()), memory: memory, interrupts: interrupts)
    driver = VirtioDriver(bus: try makeBus(function), memory: memory)
    try #require(driver.start(queueSize: 8))
  }

  @Test func chainsOfSeveralParts() throws {
    let first = driver.allocate(3)
    let second = driver.allocate(5)
    try driver.send([
      .init(address: first, count: 3, writable: true), .init(address: 0, count: 0, writable: true),
      .init(address: second, count: 5, writable: true),
    ])
    #expect(try driver.takeUsed()?.written == 8)
    #expect(try memory.bytes(at: GuestAddress(first), count: 3) == [1, 2, 3])
    #expect(try memory.bytes(at: GuestAddress(second), count: 5) == [4, 5, 6, 7, 8])
  }

  /// Indices wrap at 65536.
  @Test func ringsWrapAround() throws {
    let buffer = driver.allocate(4)
    for round in 0..<70_000 {
      try driver.send([.init(address: buffer, count: 4, writable: true)])
      let used = try driver.takeUsed()
      if used?.written != 4 || function.failure != nil {
        Issue.record("round \(round): \(String(describing: used)), \(String(describing: function.failure))")
        return
      }
    }
  }

  @Test func indirectTable() throws {
    let table = driver.allocate(32)
    let buffer = driver.allocate(10)
    _ = try driver.chain(
      [
        .init(address: buffer, count: 4, writable: true), .init(address: buffer + 4, count: 6, writable: true),
      ], table: table)
    try driver.send([.init(address: table, count: 32, flags: 4)])
    #expect(try driver.takeUsed()?.written == 10)
  }

  /// Longer than the queue, as some drivers make them.
  @Test func longIndirectTable() throws {
    let table = driver.allocate(16 * 40)
    let buffer = driver.allocate(40)
    let parts = (0..<UInt64(40)).map { VirtioDriver.Part(address: buffer + $0, count: 1, writable: true) }
    _ = try driver.chain(parts, table: table)
    try driver.send([.init(address: table, count: 16 * 40, flags: 4)])
    #expect(try driver.takeUsed()?.written == 40)
  }

  @Test func loopIsAnError() throws {
    let buffer = driver.allocate(4)
    try driver.send([
      .init(address: buffer, count: 4, writable: true),
      .init(address: buffer, count: 4, writable: true, flags: 3, next: 0),
    ])
    #expect(function.failure == .chainTooLong(head: 0))
  }

  @Test func loopInAnIndirectTableIsAnError() throws {
    let table = driver.allocate(32)
    _ = try driver.chain([.init(address: table, count: 4, flags: 3, next: 0)], table: table)
    try driver.send([.init(address: table, count: 32, flags: 4)])
    #expect(function.failure == .chainTooLong(head: 0))
  }

  @Test func descriptorsBeyondTheTable() throws {
    try driver.send([.init(address: driver.allocate(4), count: 4, writable: true, flags: 3, next: 8)])
    #expect(function.failure == .descriptorIndex(8))
    #expect(driver.start(queueSize: 8))
    try driver.post(head: 0xFFFF)
    driver.kick()
    #expect(function.failure == .descriptorIndex(0xFFFF))
  }

  @Test func readableAfterWritable() throws {
    let buffer = driver.allocate(8)
    try driver.send([.init(address: buffer, count: 4, writable: true), .init(address: buffer, count: 4)])
    #expect(function.failure == .readableAfterWritable(head: 0))
  }

  @Test(arguments: [
    VirtioDriver.Part(address: 0x20000, count: 32, flags: 5),  // indirect and next
    VirtioDriver.Part(address: 0x20000, count: 31, flags: 4),
    VirtioDriver.Part(address: 0x20000, count: 0, flags: 4),
    VirtioDriver.Part(address: 0xFFFF_FFFF_FFFF_FFF0, count: 32, flags: 4),
  ])
  func wrongIndirectTables(_ part: VirtioDriver.Part) throws {
    try driver.send([part])
    #expect(function.failure == .indirectTable(head: 0))
  }

  @Test func nestedIndirectTable() throws {
    let table = driver.allocate(16)
    _ = try driver.chain([.init(address: table, count: 16, flags: 4)], table: table)
    try driver.send([.init(address: table, count: 16, flags: 4)])
    #expect(function.failure == .indirectTable(head: 0))
  }

  @Test func indirectWithoutTheFeature() throws {
    #expect(driver.start(features: ~(1 << 28), queueSize: 8))
    try driver.send([.init(address: 0x20000, count: 16, flags: 4)])
    #expect(function.failure == .indirectTable(head: 0))
  }

  @Test func availableIndexThatJumps() throws {
    try memory.storeUInt16(9, at: GuestAddress(driver.rings[0].available + 2))
    driver.kick()
    #expect(function.failure == .availableIndex(index: 9, next: 0))
    #expect(driver.status & 64 != 0)
  }

  /// `vring_need_event` (2.7.7.1): one interrupt when the used index passes the event, none before or after.
  @Test func usedEventSuppressesInterrupts() throws {
    let buffer = driver.allocate(4)
    func send() throws { try driver.send([.init(address: buffer, count: 4, writable: true)]) }
    try driver.setUsedEvent(2)
    try send()  // the first is always told
    #expect(driver.readISR() == 1)
    try send()
    #expect(driver.readISR() == 0)
    try send()
    #expect(driver.readISR() == 1)
    try send()
    #expect(driver.readISR() == 0)
  }

  @Test func noInterruptFlag() throws {
    #expect(driver.start(features: ~(1 << 29), queueSize: 8))
    try memory.storeUInt16(1, at: GuestAddress(driver.rings[0].available))
    try driver.send([.init(address: driver.allocate(4), count: 4, writable: true)])
    #expect(driver.readISR() == 0)
  }

  /// The device asks to be notified of the next buffer it has not seen (2.7.10).
  @Test func availableEventFollows() throws {
    let ring = driver.rings[0]
    let event = GuestAddress(ring.used + 4 + 8 * UInt64(ring.size))
    for round in UInt16(1)...20 {
      try driver.send([.init(address: driver.allocate(4), count: 4, writable: true)])
      #expect(try memory.loadUInt16(at: event) == round)
    }
  }

  /// A device that looks again by itself takes buffers and leaves the event where it is; when it wants to be told again,
  /// it is told of the next.
  @Test func availableEventRestsWhileTheDeviceLooks() throws {
    let ring = driver.rings[0]
    let event = GuestAddress(ring.used + 4 + 8 * UInt64(ring.size))
    let part = VirtioDriver.Part(address: driver.allocate(4), count: 4, writable: true)
    try driver.send([part])
    for _ in 0..<5 {
      try driver.send([part], kick: false)
      function.serve(queue: 0, asksForNotice: false)
      function.serve(queue: 0, asksForNotice: false)
      #expect(try memory.loadUInt16(at: event) == 1)
    }
    for _ in 0..<6 { #expect(try driver.takeUsed()?.written == 4) }
    function.serve(queue: 0)
    #expect(try memory.loadUInt16(at: event) == 6)
    try driver.send([part])
    #expect(try driver.takeUsed()?.written == 4 && memory.loadUInt16(at: event) == 7)
  }

  @Test func slices() {
    let segments = [
      GuestSegment(address: GuestAddress(100), count: 10), GuestSegment(address: GuestAddress(200), count: 10),
    ]
    #expect(DescriptorChain.slice(segments, dropping: 0) == segments)
    #expect(
      DescriptorChain.slice(segments, dropping: 4, limit: 8) == [
        GuestSegment(address: GuestAddress(104), count: 6), GuestSegment(address: GuestAddress(200), count: 2),
      ])
    #expect(DescriptorChain.slice(segments, dropping: 10) == [segments[1]])
    #expect(DescriptorChain.slice(segments, dropping: 20).isEmpty)
  }
}
