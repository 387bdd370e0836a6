import Synchronization
import TestMachine
import Testing

@testable import Devices

/// The legacy interface of transitional functions.
@Suite struct VirtioLegacyTests {
  private let memory = TestMemory()
  private let interrupts = TestInterrupts()

  private func makeEntropyDriver() throws -> (
    VirtioDriver, VirtioPCI<VirtioEntropy<TestMemory, TestEntropy>, TestInterrupts>
  ) {
    let function = makeEntropy(interrupts, memory: memory)
    let driver = VirtioDriver(bus: try makeBus(function), memory: memory)
    driver.ports = driver.bar(0)
    return (driver, function)
  }

  private func makeBlockDriver(
    _ disk: TestDisk
  ) throws -> (VirtioDriver, VirtioPCI<VirtioBlock<TestMemory, TestDisk>, TestInterrupts>) {
    let function = VirtioPCI(VirtioBlock(disk), memory: memory, interrupts: interrupts)
    let driver = VirtioDriver(bus: try makeBus(function), memory: memory)
    driver.ports = driver.bar(0)
    return (driver, function)
  }

  /// Device, revision and subsystem (4.1.2.1 and 4.1.2.3).
  @Test func identities() throws {
    func identity(_ function: PCIFunction) throws -> [UInt32] {
      let driver = VirtioDriver(bus: try makeBus(function), memory: memory)
      return [
        driver.readConfiguration(0x00) >> 16, driver.readConfiguration(0x08, .byte),
        driver.readConfiguration(0x2C) >> 16,
        driver.readConfiguration(0x10, .byte) & 3,
      ]
    }
    let disk = TestDisk(memory: memory)
    let network = VirtioNetwork<TestMemory, TestPort>(TestPort(memory: memory), mac: [])
    let console = VirtioConsole<TestMemory, TestSink>(TestSink())
    let balloon = VirtioBalloon<TestMemory, TestBalloon>(TestBalloon())
    let host = VirtioSCSI<TestMemory, TestDisk>([])
    #expect(try identity(VirtioPCI(network, memory: memory, interrupts: interrupts)) == [0x1000, 0, 1, 1])
    #expect(
      try identity(VirtioPCI(VirtioBlock(disk), memory: memory, interrupts: interrupts)) == [0x1001, 0, 2, 1])
    #expect(try identity(VirtioPCI(balloon, memory: memory, interrupts: interrupts)) == [0x1002, 0, 5, 1])
    #expect(try identity(VirtioPCI(console, memory: memory, interrupts: interrupts)) == [0x1003, 0, 3, 1])
    #expect(try identity(VirtioPCI(host, memory: memory, interrupts: interrupts)) == [0x1004, 0, 8, 1])
    #expect(try identity(makeEntropy()) == [0x1005, 0, 4, 1])
    let modern = VirtioPCI(
      VirtioBlock<TestMemory, TestDisk>(disk), memory: memory, interrupts: interrupts, isTransitional: false)
    #expect(try identity(modern) == [0x1042, 1, 0x42, 0])
    #expect(!modern.isTransitional)
  }

  @Test func registersBeforeTheDriver() throws {
    let (driver, _) = try makeEntropyDriver()
    // ANY_LAYOUT, INDIRECT_DESC, EVENT_IDX.
    #expect(driver.readPort(0, .doubleWord) == 0x3800_0000)
    #expect(driver.readPort(4, .doubleWord) == 0)
    #expect(driver.readPort(8, .doubleWord) == 0)
    #expect(driver.readPort(12, .word) == 64)
    driver.writePort(1, 14, .word)
    #expect(driver.readPort(14, .word) == 1)
    #expect(driver.readPort(12, .word) == 0)
    driver.writePort(5, 8, .doubleWord)  // a queue that is not there
    #expect(driver.readPort(8, .doubleWord) == 0)
    #expect(driver.readPort(18, .word) == 0)
    typealias Function = VirtioPCI<VirtioEntropy<TestMemory, TestEntropy>, TestInterrupts>
    #expect(Function.legacyDoorbell == (0, 16, .word))
  }

  @Test func buffersAndInterrupts() throws {
    let (driver, function) = try makeEntropyDriver()
    try driver.startLegacy(features: ~(1 << 29))
    #expect(driver.legacyStatus == 7)
    #expect(function.isRunning)
    driver.writePort(0, 14, .word)
    #expect(driver.readPort(8, .doubleWord) == driver.rings[0].descriptors >> 12)
    #expect(driver.readPort(4, .doubleWord) == 0x1800_0000)
    let buffer = driver.allocate(64)
    try driver.send([.init(address: buffer, count: 64, writable: true)])
    #expect(try #require(try driver.takeUsed()) == (0, 64))
    #expect(try memory.bytes(at: GuestAddress(buffer), count: 3) == [1, 2, 3])
    #expect(interrupts.line)
    // The status beside it does not acknowledge the interrupt; the ISR does.
    #expect(driver.readPort(18, .byte) == 7)
    #expect(interrupts.line)
    #expect(driver.readPort(19, .byte) == 1)
    #expect(!interrupts.line)
    #expect(driver.readPort(19, .byte) == 0)
    try driver.send([.init(address: buffer, count: 64, writable: true)])
    #expect(driver.readPort(16, .doubleWord) == 0x0107_0000)
    #expect(!interrupts.line)
    // A driver that accepts what was not offered gets what was.
    driver.legacyStatus = 0
    driver.writePort(0xFFFF_FFFF, 4, .doubleWord)
    #expect(driver.readPort(4, .doubleWord) == 0x3800_0000)
  }

  /// The vectors are there only while MSI-X is on, and the configuration moves with them (4.1.4.10).
  @Test func vectorsShiftTheConfiguration() throws {
    let (driver, _) = try makeBlockDriver(TestDisk(memory: memory))
    #expect(driver.readPort(20, .doubleWord) == 64)
    #expect(driver.readPort(40, .byte) == 0)
    #expect(driver.readPort(41, .byte) == 2)  // blk_size, byte by byte
    try driver.startLegacy(features: ~(1 << 29), vectors: true)
    #expect(driver.readPort(24, .doubleWord) == 64)
    #expect(driver.readPort(20, .word) == 0xFFFF)
    driver.writePort(0, 14, .word)
    #expect(driver.readPort(22, .word) == 1)
    driver.writePort(2, 22, .word)
    #expect(driver.readPort(22, .word) == 0xFFFF)
    driver.writePort(1, 22, .word)
    driver.writePort(0, 20, .word)
    #expect(driver.readPort(20, .word) == 0)
    driver.setVector(1, data: 0x41)
    let buffer = driver.allocate(32)
    try memory.storeUInt32(4, at: GuestAddress(buffer))
    try driver.send([.init(address: buffer, count: 16), .init(address: buffer + 16, count: 1, writable: true)])
    #expect(interrupts.takeSignals() == [1])
    #expect(driver.readPort(19, .byte) == 0)
    driver.writeConfiguration(0, driver.msixCapability + 2, .word)
    #expect(driver.readPort(20, .doubleWord) == 64)
  }

  /// Linux before 3.18 reads partitions in its probe, before DRIVER_OK (3.1.2).
  @Test func queuesWorkBeforeDriverOK() throws {
    let starts = Mutex(0)
    let function = VirtioPCI(
      VirtioEntropy(TestEntropy()), memory: memory, interrupts: interrupts, onStart: { starts.withLock { $0 += 1 } })
    let driver = VirtioDriver(bus: try makeBus(function), memory: memory)
    try driver.startLegacy(live: false)
    try driver.send([.init(address: driver.allocate(8), count: 8, writable: true)])
    #expect(try driver.takeUsed()?.written == 8)
    driver.legacyStatus = 7
    #expect(starts.withLock { $0 } == 1)
    // The modern interface has no such leniency.
    driver.ports = nil
    #expect(driver.start(live: false))
    try driver.send([.init(address: driver.allocate(8), count: 8, writable: true)])
    #expect(try driver.takeUsed() == nil)
  }

  /// used_event and avail_event lie at the ends of the rings (2.7.2 with VIRTIO_F_EVENT_IDX), across 65536 too.
  @Test func eventIndices() throws {
    let (driver, _) = try makeEntropyDriver()
    try driver.startLegacy()
    let ring = driver.rings[0]
    let event = GuestAddress(ring.used + 4 + 8 * UInt64(ring.size))
    let buffer = driver.allocate(4)
    func send() throws { try driver.send([.init(address: buffer, count: 4, writable: true)]) }
    try driver.setUsedEvent(2)
    try send()  // the first is always told
    #expect(driver.readPort(19, .byte) == 1)
    try send()
    #expect(driver.readPort(19, .byte) == 0)
    try send()
    #expect(driver.readPort(19, .byte) == 1)
    #expect(try memory.loadUInt16(at: event) == 3)
    for _ in 0..<3 { #expect(try driver.takeUsed()?.written == 4) }
    try driver.setUsedEvent(0xFFFF)
    var told: [Int] = []
    for round in 3..<65_540 {
      try send()
      guard try driver.takeUsed()?.written == 4 else {
        Issue.record("nothing was used in round \(round)")
        return
      }
      if interrupts.line {
        told.append(round)
        _ = driver.readPort(19, .byte)
      }
    }
    #expect(told == [0xFFFF])
    #expect(try memory.loadUInt16(at: event) == 4)
  }

  @Test func ringsOutsideMemory() throws {
    for page: UInt64 in [0x8, 0xFF, 0xFFFF_FFFF] {
      let (driver, function) = try makeEntropyDriver()
      driver.legacyStatus = 3
      driver.writePort(page, 8, .doubleWord)
      #expect(function.failure == .ringAddress(queue: 0))
      #expect(driver.readPort(8, .doubleWord) == 0)
      // DEVICE_NEEDS_RESET is nothing that a legacy driver knows.
      #expect(driver.legacyStatus == 3)
      driver.legacyStatus = 7
      #expect(!function.isRunning)
      try driver.startLegacy()
      #expect(function.isRunning)
    }
  }

  /// Page 0 takes everything back, and so does status 0.
  @Test func resets() throws {
    let (driver, function) = try makeEntropyDriver()
    try driver.startLegacy()
    driver.writePort(0, 14, .word)
    driver.writePort(0, 8, .doubleWord)
    #expect(driver.legacyStatus == 0)
    #expect(!function.isRunning)
    try driver.startLegacy()
    #expect(function.isRunning)
    driver.legacyStatus = 0
    #expect(!function.isRunning)
    driver.ports = nil
    #expect(driver.start())
    // The other interface's reset is a reset too.
    driver.ports = driver.bar(0)
    driver.legacyStatus = 0
    #expect(driver.status == 0)
  }

  /// A legacy driver does not wait for the end of its reset: it may go on at once, and is served when that has come.
  @Test func resetWithRequestsInFlight() throws {
    let disk = TestDisk(memory: memory, deferred: true)
    let (driver, function) = try makeBlockDriver(disk)
    try driver.startLegacy()
    func read() throws -> GuestAddress {
      let buffer = driver.allocate(1024)
      let status = GuestAddress(buffer + 600)
      try memory.write([0xEE], at: status)
      try driver.send([
        .init(address: buffer, count: 16), .init(address: buffer + 16, count: 512, writable: true),
        .init(address: status.rawValue, count: 1, writable: true),
      ])
      return status
    }
    let first = try read()
    let old = try #require(disk.takeWaiting().first)
    try driver.startLegacy()
    #expect(driver.legacyStatus == 7)
    #expect(!function.isRunning)
    let second = try read()
    #expect(disk.takeWaiting().isEmpty)
    function.complete(old.id, with: .success)
    #expect(try memory.bytes(at: first, count: 1) == [0xEE])
    #expect(function.isRunning)
    function.complete(try #require(disk.takeWaiting().first).id, with: .success)
    #expect(try memory.bytes(at: second, count: 1) == [0])
    #expect(try driver.takeUsed()?.written == 513)
  }

  /// Without FLUSH the disk writes through (5.2.5).
  @Test(arguments: [(UInt64.max, ["write"]), (~(1 << 9), ["write", "flush"])])
  func block(_ features: UInt64, _ kinds: [String]) throws {
    let disk = TestDisk(memory: memory)
    let (driver, _) = try makeBlockDriver(disk)
    try driver.startLegacy(features: features)
    let buffer = driver.allocate(1024)
    try memory.storeUInt32(1, at: GuestAddress(buffer))
    try memory.storeUInt64(5, at: GuestAddress(buffer + 8))
    try memory.write([UInt8](repeating: 0xAB, count: 512), at: GuestAddress(buffer + 16))
    try driver.send([
      .init(address: buffer, count: 16), .init(address: buffer + 16, count: 512),
      .init(address: buffer + 600, count: 1, writable: true),
    ])
    #expect(try driver.takeUsed()?.written == 1)
    #expect(disk.bytes(sector: 5) == [UInt8](repeating: 0xAB, count: 512))
    #expect(disk.kinds == kinds)
  }

  @Test func console() throws {
    let sink = TestSink()
    let function = VirtioPCI(VirtioConsole<TestMemory, TestSink>(sink), memory: memory, interrupts: interrupts)
    let driver = VirtioDriver(bus: try makeBus(function), memory: memory)
    try driver.startLegacy()
    #expect(driver.readPort(20, .word) == 80)
    try driver.send([.init(address: try driver.allocate([0x68, 0x69]), count: 2)], ring: 1)
    #expect(sink.text == "hi")
    try driver.send([.init(address: driver.allocate(8), count: 8, writable: true)])
    #expect(function.receive([1, 2]) == 2)
    #expect(try driver.takeUsed()?.written == 2)
  }

  /// Ten bytes of header in front of a legacy driver's frames, twelve of a modern one's (5.1.6.1).
  @Test func network() throws {
    let port = TestPort(memory: memory)
    let function = VirtioPCI(VirtioNetwork(port, mac: []), memory: memory, interrupts: interrupts)
    let driver = VirtioDriver(bus: try makeBus(function), memory: memory)
    // One that merges buffers has `num_buffers`, too.
    try driver.startLegacy()
    #expect(port.header == 12)
    try driver.startLegacy(features: ~(1 << 15))
    #expect(port.header == 10)
    let frame = try driver.allocate([UInt8](repeating: 0, count: 10) + [1, 2, 3])
    try driver.send([.init(address: frame, count: 10), .init(address: frame + 10, count: 3)], ring: 1)
    #expect(port.sent == [[UInt8](repeating: 0, count: 10) + [1, 2, 3]])
    let buffer = driver.allocate(1524)
    try driver.send([.init(address: buffer, count: 1524, writable: true)])
    port.offer([UInt8](repeating: 0, count: 10) + [7, 8, 9])
    #expect(function.receiveFrames() == false)
    #expect(try driver.takeUsed()?.written == 13)
    // Nothing of the frame is written over where a longer header has num_buffers.
    #expect(try memory.bytes(at: GuestAddress(buffer + 10), count: 3) == [7, 8, 9])
    try driver.send([.init(address: buffer, count: 9, writable: true)])
    port.offer([0])
    _ = function.receiveFrames()
    #expect(function.failure == .malformedRequest("a receive buffer is shorter than the network header"))
    driver.ports = nil
    #expect(driver.start())
    #expect(port.header == 12)
  }

  @Test func networkPortThatCannotShortenItsHeader() throws {
    let port = TestPort(memory: memory, headers: [12])
    let function = VirtioPCI(VirtioNetwork(port, mac: []), memory: memory, interrupts: interrupts)
    let driver = VirtioDriver(bus: try makeBus(function), memory: memory)
    try driver.startLegacy(features: ~(1 << 15))
    try driver.send([.init(address: driver.allocate(60), count: 60)], ring: 1)
    #expect(port.sent.isEmpty)
    #expect(try driver.takeUsed(ring: 1) != nil)
    port.offer([UInt8](repeating: 0, count: 60))
    try driver.send([.init(address: driver.allocate(100), count: 100, writable: true)])
    #expect(function.receiveFrames() == false)
    #expect(try driver.takeUsed() == nil)
  }

  /// Registers of both interfaces and rings at random places, on a disk that answers late.
  @Test func fuzz() throws {
    var random = SeededNumbers(31)
    let memory = TestMemory(count: 1 << 18)
    let disk = TestDisk(memory: memory, deferred: true)
    let function = VirtioPCI(VirtioBlock(disk), memory: memory, interrupts: TestInterrupts())
    let driver = VirtioDriver(bus: try makeBus(function), memory: memory)
    driver.ports = driver.bar(0)
    let widths: [AccessWidth] = [.byte, .word, .doubleWord, .quadWord]
    for page in 0x20..<0x24 {
      // Rings that say that a chain of rubbish is there.
      try memory.storeUInt64(0x28000, at: GuestAddress(UInt64(page) << 12))
      try memory.storeUInt64(0x0000_0002_0000_0600, at: GuestAddress(UInt64(page) << 12 + 8))
      try memory.storeUInt16(1, at: GuestAddress(UInt64(page) << 12 + 16 * 256 + 2))
    }
    var (ran, failed) = (0, 0)
    for _ in 0..<30_000 {
      let register: (UInt64, AccessWidth) =
        [(4, .doubleWord), (8, .doubleWord), (14, .word), (16, .word), (18, .byte), (20, .word), (22, .word)]
        .randomElement(using: &random) ?? (18, .byte)
      let value: UInt64 =
        switch UInt8.random(in: 0..<8, using: &random) {
        case 0: UInt64.random(in: 0...(.max), using: &random)
        case 1...3: UInt64.random(in: 0x1F..<0x26, using: &random)
        case 4: 7
        default: UInt64.random(in: 0..<4, using: &random)
        }
      if UInt8.random(in: 0..<8, using: &random) == 0 {
        let width = widths[Int.random(in: 0..<4, using: &random)]
        let offset = UInt64.random(in: 0..<128, using: &random)
        driver.writePort(value & width.mask, offset, width)
        _ = driver.readPort(offset, width)
      } else {
        driver.writePort(value & register.1.mask, register.0, register.1)
      }
      if UInt8.random(in: 0..<32, using: &random) == 0 { driver.status = UInt8(truncatingIfNeeded: value) }
      if UInt8.random(in: 0..<16, using: &random) == 0 {
        for operation in disk.takeWaiting() { function.complete(operation.id, with: disk.perform(operation)) }
      }
      if function.isRunning { ran += 1 }
      if function.failure != nil { failed += 1 }
    }
    // Both must have happened, or the fuzzer is blind.
    #expect(ran > 500)
    #expect(failed > 500)
  }
}

/// A guest that never stops must not keep a thread, nor the lock, for ever.
@Suite struct VirtioFloodTests {
  /// A port whose guest makes another buffer available with each that is sent.
  private final class EndlessPort: NetworkBackend {
    let memory: TestMemory
    let offloads: NetworkOffloads = []
    private let state = Mutex((available: UInt64(0), left: 0, count: 0))

    init(memory: TestMemory) {
      self.memory = memory
    }

    func begin(available: UInt64, rounds: Int) { state.withLock { $0 = (available, rounds, 0) } }
    var count: Int { state.withLock { $0.count } }

    func setOffloads(_ offloads: NetworkOffloads) {}
    func receive(into segments: [GuestSegment], rest: inout [UInt8]) -> Int? { nil }
    func transmit(_ segments: [GuestSegment]) {
      state.withLock { state in
        state.count += 1
        guard state.left > 0 else { return }
        state.left -= 1
        let index = GuestAddress(state.available + 2)
        guard let now = try? memory.loadUInt16(at: index) else { return }
        try? memory.storeUInt16(now &+ 1, at: index)
      }
    }
  }

  private let memory = TestMemory()

  @Test func oneVisitIsBounded() throws {
    let port = EndlessPort(memory: memory)
    let backlog = Mutex<[Int]>([])
    let function = VirtioPCI(
      VirtioNetwork(port, mac: []), memory: memory, interrupts: TestInterrupts(),
      onBacklog: { queue in backlog.withLock { $0.append(queue) } })
    let driver = VirtioDriver(bus: try makeBus(function), memory: memory)
    try #require(driver.start())
    port.begin(available: driver.rings[1].available, rounds: .max)
    try driver.send([.init(address: driver.allocate(60), count: 60)], ring: 1)
    #expect(port.count == 1024)
    #expect(backlog.withLock { $0 } == [1])
    function.serve(queue: 1)
    #expect(port.count == 2048)
    #expect(backlog.withLock { $0 } == [1, 1])
  }

  /// Where nobody takes care of the backlog nothing is left lying.
  @Test func backlogIsWorkedOff() throws {
    let port = EndlessPort(memory: memory)
    let function = VirtioPCI(VirtioNetwork(port, mac: []), memory: memory, interrupts: TestInterrupts())
    let driver = VirtioDriver(bus: try makeBus(function), memory: memory)
    try #require(driver.start())
    port.begin(available: driver.rings[1].available, rounds: 4999)
    try driver.send([.init(address: driver.allocate(60), count: 60)], ring: 1)
    #expect(port.count == 5000)
    #expect(function.failure == nil)
  }

  @Test func doorbells() throws {
    let port = TestPort(memory: memory)
    let interrupts = TestInterrupts()
    let function = VirtioPCI(VirtioNetwork(port, mac: []), memory: memory, interrupts: interrupts)
    let driver = VirtioDriver(bus: try makeBus(function), memory: memory)
    try #require(driver.start())
    for queue in 0..<UInt64(2000) {
      driver.bus.writeMemory(queue, at: driver.rings[1].doorbell, width: .word)
      function.serve(queue: Int(queue))
    }
    #expect(function.failure == nil)
    #expect(!interrupts.line)
  }

  /// No frame is longer than segmentation offload makes it, whatever the guest says.
  @Test func framesAreBounded() throws {
    let port = TestPort(memory: memory)
    let function = VirtioPCI(VirtioNetwork(port, mac: []), memory: memory, interrupts: TestInterrupts())
    let driver = VirtioDriver(bus: try makeBus(function), memory: memory)
    try #require(driver.start())
    try driver.send([.init(address: 0x10000, count: 65_563)], ring: 1)
    #expect(port.sent.isEmpty)
    try driver.send([.init(address: 0x10000, count: 65_562)], ring: 1)
    #expect(port.sent.count == 1)
    #expect(function.failure == nil)
  }

  /// A console's buffers may name the same memory over and over.
  @Test func outputIsBounded() throws {
    let sink = CountingSink()
    let backlog = Mutex(0)
    let function = VirtioPCI(
      VirtioConsole<TestMemory, CountingSink>(sink), memory: memory, interrupts: TestInterrupts(),
      onBacklog: { _ in backlog.withLock { $0 += 1 } })
    let driver = VirtioDriver(bus: try makeBus(function), memory: memory)
    try #require(driver.start())
    let parts = (0..<8).map { _ in VirtioDriver.Part(address: 0x10000, count: 0xF0000) }
    try driver.send(parts, ring: 1, kick: false)
    try driver.send([.init(address: 0x10000, count: 5)], ring: 1)
    #expect(sink.count == 1 << 20)
    #expect(backlog.withLock { $0 } == 1)
    function.serve(queue: 1)
    #expect(sink.count == 1 << 20 + 5)
  }

  private final class CountingSink: ByteSink {
    private let bytes = Mutex(0)
    var count: Int { bytes.withLock { $0 } }
    func write(_ byte: UInt8) { bytes.withLock { $0 += 1 } }
    func write(_ run: Span<UInt8>) {
      let count = run.count
      bytes.withLock { $0 += count }
    }
  }
}
