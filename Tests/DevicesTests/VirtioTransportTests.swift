import Synchronization
import Testing

@testable import Devices

@Suite struct VirtioTransportTests {
  private let memory = TestMemory()
  private let interrupts = TestInterrupts()

  private func makeDriver(onFailure: @escaping @Sendable (VirtioError) -> Void = { _ in }) throws -> VirtioDriver {
    let function = VirtioPCI(
      VirtioEntropy(TestEntropy()), memory: memory, interrupts: interrupts, onFailure: onFailure)
    return VirtioDriver(bus: try makeBus(function), memory: memory)
  }

  @Test func capabilities() throws {
    let driver = try makeDriver()
    #expect(driver.common == 0xC000_0000)
    #expect(driver.isr == 0xC000_1000)
    #expect(driver.configuration == 0xC000_2000)
    #expect(driver.msixTable == 0xC000_4000)
    #expect(driver.msixPending == 0xC000_4800)
    #expect(driver.accessCapability != 0)
    #expect(driver.readConfiguration(driver.msixCapability + 2, .word) == 1)  // two vectors
    #expect(driver.readConfiguration(0x08, .byte) == 0)
  }

  @Test func initializationSequence() throws {
    let driver = try makeDriver()
    #expect(driver.deviceFeatures == 0x1_3000_0000)
    driver.write(2, 0, .doubleWord)
    #expect(driver.read(4, .doubleWord) == 0)
    #expect(driver.start())
    #expect(driver.status == 15)
    driver.write(0, 22, .word)
    #expect(driver.read(24, .word) == 16)
    #expect(driver.read(28, .word) == 1)
    #expect(driver.read(32, .quadWord) == driver.rings[0].descriptors)
    // A queue that is not there has size 0 and takes nothing.
    driver.write(1, 22, .word)
    #expect(driver.read(24, .word) == 0)
    driver.write(1, 28, .word)
    #expect(driver.read(28, .word) == 0)
    driver.status = 0
    #expect(driver.status == 0)
    driver.write(0, 22, .word)
    #expect(driver.read(24, .word) == 64)
    #expect(driver.read(28, .word) == 0)
  }

  @Test func featuresNotOfferedAreRefused() throws {
    let driver = try makeDriver()
    driver.status = 1
    driver.status = 3
    driver.setDriverFeatures(1 << 32 | 1 << 5)
    driver.status = 11
    #expect(driver.status == 3)
    // Without VERSION_1, a modern device cannot go on either.
    driver.setDriverFeatures(1 << 29)
    driver.status = 11
    #expect(driver.status == 3)
    // DRIVER_OK does not take without FEATURES_OK.
    driver.status = 7
    #expect(driver.status == 3)
    driver.setDriverFeatures(1 << 32)
    driver.status = 11
    #expect(driver.status == 11)
    // Features are settled now.
    driver.setDriverFeatures(0)
    #expect(driver.read(12, .doubleWord) == 1)
  }

  @Test func sizesAndVectorsThatDoNotTake() throws {
    let driver = try makeDriver()
    for size: UInt64 in [0, 3, 128, 0xFFFF] {
      driver.write(size, 24, .word)
      #expect(driver.read(24, .word) == 64)
    }
    driver.write(1, 26, .word)
    #expect(driver.read(26, .word) == 1)
    driver.write(2, 26, .word)
    #expect(driver.read(26, .word) == 0xFFFF)
    driver.write(7, 16, .word)
    #expect(driver.read(16, .word) == 0xFFFF)
  }

  @Test func ringsOutsideMemoryNeedAReset() throws {
    let failures = Mutex<[VirtioError]>([])
    let driver = try makeDriver { error in failures.withLock { $0.append(error) } }
    for (offset, address) in [(UInt64(32), TestMemory.hole.lowerBound), (40, 0x10001), (48, 0xFFFF_FFFF_FFFF_FFF0)] {
      driver.status = 0
      driver.status = 3
      driver.setDriverFeatures(1 << 32)
      driver.status = 11
      driver.write(0x2000, 32, .quadWord)
      driver.write(0x3000, 40, .quadWord)
      driver.write(0x4000, 48, .quadWord)
      driver.write(address, offset, .quadWord)
      driver.write(1, 28, .word)
      #expect(driver.status == 11 | 64)
      #expect(driver.read(28, .word) == 0)
    }
    #expect(failures.withLock { $0 } == Array(repeating: .ringAddress(queue: 0), count: 3))
  }

  @Test func legacyInterruptAndStatus() throws {
    let driver = try makeDriver()
    #expect(driver.start(features: ~(1 << 29)))
    let buffer = driver.allocate(64)
    try driver.send([.init(address: buffer, count: 64, writable: true)])
    #expect(interrupts.line)
    #expect(driver.readConfiguration(0x06, .word) & 8 != 0)
    #expect(driver.readISR() == 1)
    #expect(!interrupts.line)
    #expect(driver.readISR() == 0)
    let used = try #require(try driver.takeUsed())
    #expect(used == (0, 64))
    #expect(try memory.bytes(at: GuestAddress(buffer), count: 3) == [1, 2, 3])
    // Interrupt Disable (PCI 3.0, 6.2.2).
    driver.writeConfiguration(0x0406, 0x04, .word)
    try driver.send([.init(address: buffer, count: 64, writable: true)])
    #expect(!interrupts.line)
    driver.writeConfiguration(0x0006, 0x04, .word)
    #expect(interrupts.line)
    driver.status = 0
    #expect(!interrupts.line)
  }

  @Test func messageInterrupts() throws {
    let driver = try makeDriver()
    #expect(driver.start(features: ~(1 << 29), vectors: true))
    driver.setVector(0, data: 0x40)
    driver.setVector(1, data: 0x41)
    #expect(interrupts.routes[1] == InterruptMessage(address: 0xFEE0_0000, data: 0x41))
    let buffer = driver.allocate(8)
    try driver.send([.init(address: buffer, count: 8, writable: true)])
    #expect(interrupts.takeSignals() == [1])
    #expect(!interrupts.line)
    #expect(driver.readISR() == 0)
    // Masked in the table: pending, and delivered on unmasking.
    driver.setVector(1, data: 0x41, masked: true)
    try driver.send([.init(address: buffer, count: 8, writable: true)])
    #expect(interrupts.takeSignals() == [])
    #expect(driver.bus.readMemory(at: driver.msixPending, width: .quadWord) == 2)
    driver.setVector(1, data: 0x41)
    #expect(interrupts.takeSignals() == [1])
    // No vector for the queue: no interrupt.
    driver.write(0xFFFF, 26, .word)
    try driver.send([.init(address: buffer, count: 8, writable: true)])
    #expect(interrupts.takeSignals() == [])
  }

  /// VIRTIO_PCI_CAP_PCI_CFG (4.1.4.9): the registers without the window.
  @Test func configurationAccessCapability() throws {
    let driver = try makeDriver()
    let capability = driver.accessCapability
    driver.writeConfiguration(4, capability + 4, .byte)
    driver.writeConfiguration(0x12, capability + 8)
    driver.writeConfiguration(2, capability + 12)
    #expect(driver.readConfiguration(capability + 16, .word) == 1)  // num_queues
    driver.writeConfiguration(0x14, capability + 8)
    driver.writeConfiguration(1, capability + 12)
    driver.writeConfiguration(3, capability + 16, .byte)
    #expect(driver.status == 3)
    // Nonsense reaches nothing.
    driver.writeConfiguration(0x3FFF_FFFF, capability + 8)
    driver.writeConfiguration(0, capability + 16, .byte)
    driver.writeConfiguration(3, capability + 12)
    _ = driver.readConfiguration(capability + 16)
    #expect(driver.status == 3)
  }

  @Test func failureInterruptsAndStopsUntilReset() throws {
    let failures = Mutex<[VirtioError]>([])
    let driver = try makeDriver { error in failures.withLock { $0.append(error) } }
    #expect(driver.start())
    try driver.send([.init(address: TestMemory.hole.lowerBound, count: 8, writable: true)])
    #expect(driver.status == 15 | 64)
    #expect(driver.readISR() == 2)
    #expect(failures.withLock { $0.count } == 1)
    // Nothing more is served.
    driver.kick()
    #expect(failures.withLock { $0.count } == 1)
    #expect(try driver.takeUsed() == nil)
    #expect(driver.start())
    try driver.send([.init(address: driver.allocate(8), count: 8, writable: true)])
    #expect(try driver.takeUsed()?.written == 8)
  }

  @Test func startIsTold() throws {
    let starts = Mutex(0)
    let function = VirtioPCI(
      VirtioEntropy(TestEntropy()), memory: memory, interrupts: interrupts, onStart: { starts.withLock { $0 += 1 } })
    let driver = VirtioDriver(bus: try makeBus(function), memory: memory)
    #expect(driver.start(live: false))
    #expect(starts.withLock { $0 } == 0)
    driver.status = 15
    driver.status = 15
    #expect(starts.withLock { $0 } == 1)
    #expect(driver.start())
    #expect(starts.withLock { $0 } == 2)
  }

  /// Buffers posted before DRIVER_OK are found with it.
  @Test func buffersBeforeDriverOK() throws {
    let driver = try makeDriver()
    #expect(driver.start(live: false))
    try driver.send([.init(address: driver.allocate(8), count: 8, writable: true)])
    #expect(try driver.takeUsed() == nil)
    driver.status = 15
    #expect(try driver.takeUsed()?.written == 8)
    #expect(driver.readDevice(0, .doubleWord) == 0)
  }
}
