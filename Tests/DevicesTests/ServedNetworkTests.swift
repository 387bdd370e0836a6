import Synchronization
import Testing

@testable import Devices

/// A server that remembers what it was told.
final class TestServer: NetworkQueueServer {
  enum Call: Equatable {
    case start(queue: Int, VirtqueueRings, features: UInt64)
    case kick(queue: Int)
    case lead(queue: Int, vector: Int?)
    case stop(queue: Int)
    case header(Int)
    case offloads(NetworkOffloads)
  }

  let offloads: NetworkOffloads = [.checksum, .tcp4]
  let ringFeatures: UInt64
  private let canStart: Bool
  private let calls = Mutex<[Call]>([])

  init(ringFeatures: UInt64 = .max, canStart: Bool = true) {
    self.ringFeatures = ringFeatures
    self.canStart = canStart
  }

  /// What it was told since this was last asked.
  func takeCalls() -> [Call] {
    calls.withLock { calls in
      defer { calls = [] }
      return calls
    }
  }

  private func note(_ call: Call) { calls.withLock { $0.append(call) } }

  func setOffloads(_ offloads: NetworkOffloads) { note(.offloads(offloads)) }

  func setHeaderCount(_ count: Int) -> Bool {
    note(.header(count))
    return true
  }

  func start(queue: Int, _ rings: VirtqueueRings, features: UInt64) -> Bool {
    note(.start(queue: queue, rings, features: features))
    return canStart
  }

  func kick(queue: Int) { note(.kick(queue: queue)) }
  func lead(queue: Int, to vector: Int?) { note(.lead(queue: queue, vector: vector)) }
  func stop(queue: Int) { note(.stop(queue: queue)) }
}

@Suite struct ServedNetworkTests {
  typealias Function = VirtioPCI<ServedNetwork<TestMemory, TestServer>, TestInterrupts>

  private let memory = TestMemory()
  private let server = TestServer()
  private let interrupts = TestInterrupts()
  private let function: Function
  private let driver: VirtioDriver

  init() throws {
    function = Function(
      ServedNetwork(server, mac: [0x52, 0x54, 0, 1, 2, 3]), memory: memory, interrupts: interrupts)
    driver = VirtioDriver(bus: try makeBus(function), memory: memory)
  }

  private func rings(_ index: Int) -> VirtqueueRings {
    let ring = driver.rings[index]
    return VirtqueueRings(size: ring.size, descriptors: ring.descriptors, available: ring.available, used: ring.used)
  }

  @Test func offersWhatTheOtherInterfaceOffers() throws {
    let other = VirtioPCI(
      VirtioNetwork(TestPort(memory: memory), mac: [0x52, 0x54, 0, 1, 2, 3]), memory: memory,
      interrupts: TestInterrupts())
    let otherDriver = VirtioDriver(bus: try makeBus(other), memory: memory)
    #expect(driver.deviceFeatures == otherDriver.deviceFeatures)
    for offset in 0..<UInt64(12) {
      #expect(driver.readDevice(offset, .byte) == otherDriver.readDevice(offset, .byte), "byte \(offset)")
    }
    // A server that does not merge buffers is not said to.
    let plain = ServedNetwork<TestMemory, TestServer>(TestServer(ringFeatures: 1 << 32), mac: [2, 0, 0, 0, 0, 1])
    #expect(plain.features & 1 << 15 == 0)
    #expect(ServedNetwork<TestMemory, TestServer>.canBeServed(1 << 28 | 1 << 29 | 1 << 32))
    #expect(!ServedNetwork<TestMemory, TestServer>.canBeServed(1 << 28 | 1 << 32))
  }

  @Test func queuesAreServedFromDriverOKToReset() throws {
    try #require(driver.start(live: false))
    #expect(server.takeCalls() == [.offloads([])])  // the reset that begins it
    driver.status |= 4
    // Of the type's own features none but the one that says how long the header is.
    let features: UInt64 = 1 << 15 | 1 << 28 | 1 << 29 | 1 << 32
    #expect(
      server.takeCalls() == [
        .header(12), .offloads([.checksum, .tcp4]), .start(queue: 0, rings(0), features: features),
        .start(queue: 1, rings(1), features: features),
      ])
    // A doorbell that comes by an exit of the CPU.
    driver.kick(1)
    #expect(server.takeCalls() == [.kick(queue: 1)])
    driver.status = 0
    #expect(server.takeCalls() == [.stop(queue: 0), .stop(queue: 1), .offloads([])])
    driver.kick(1)
    #expect(server.takeCalls() == [])
    // And once more.
    try #require(driver.start())
    #expect(server.takeCalls().filter { if case .start = $0 { true } else { false } }.count == 2)
  }

  @Test func interruptsGoStraightToAnOpenVector() throws {
    try #require(driver.start(vectors: true))
    _ = server.takeCalls()
    driver.setVector(1, data: 0x41)
    driver.setVector(2, data: 0x42)
    #expect(server.takeCalls() == [.lead(queue: 0, vector: 1), .lead(queue: 1, vector: 2)])
    // Masked, they come through the monitor, and are pending.
    driver.bus.writeMemory(1, at: driver.msixTable + 16 + 12, width: .doubleWord)
    #expect(server.takeCalls() == [.lead(queue: 0, vector: nil)])
    function.interrupt(queue: 0)
    #expect(interrupts.takeSignals() == [])
    driver.bus.writeMemory(0, at: driver.msixTable + 16 + 12, width: .doubleWord)
    #expect(interrupts.takeSignals() == [1])
    #expect(server.takeCalls() == [.lead(queue: 0, vector: 1)])
    // The whole function masked.
    driver.writeConfiguration(0xC000, driver.msixCapability + 2, .word)
    #expect(server.takeCalls() == [.lead(queue: 0, vector: nil), .lead(queue: 1, vector: nil)])
    driver.writeConfiguration(0x8000, driver.msixCapability + 2, .word)
    _ = server.takeCalls()
    // Another vector for a queue that runs.
    driver.write(0, 22, .word)
    driver.write(2, 26, .word)
    #expect(server.takeCalls() == [.lead(queue: 0, vector: 2)])
    // A driver that resets has no vectors any more.
    driver.status = 0
    #expect(
      server.takeCalls() == [
        .stop(queue: 0), .stop(queue: 1), .offloads([]), .lead(queue: 0, vector: nil), .lead(queue: 1, vector: nil),
      ])
    function.interrupt(queue: 0)
    #expect(interrupts.takeSignals() == [])
  }

  @Test func withoutVectorsTheWireIsUsed() throws {
    try #require(driver.start())
    #expect(!server.takeCalls().contains { if case .lead = $0 { true } else { false } })
    function.interrupt(queue: 0)
    #expect(interrupts.line)
    #expect(driver.readISR() == 1)
    #expect(!interrupts.line)
    function.interrupt(queue: 7)  // no such queue
    #expect(!interrupts.line)
  }

  @Test func whatTheServerRefusesStopsTheDevice() throws {
    try #require(driver.start())
    _ = server.takeCalls()
    function.serverRefused(queue: 1)
    #expect(server.takeCalls() == [.stop(queue: 0), .stop(queue: 1)])
    #expect(driver.status & 64 != 0)
    #expect("\(try #require(function.failure))".contains("queue 1"))
    // Said once; the driver's doorbells are not heard before it resets.
    function.serverRefused(queue: 1)
    driver.kick(0)
    #expect(server.takeCalls() == [])
    try #require(driver.start())
    #expect(function.failure == nil && function.isRunning)
  }

  @Test func aServerThatCannotBeginLeavesASilentDevice() throws {
    let refusing = TestServer(canStart: false)
    let function = Function(ServedNetwork(refusing, mac: [2, 0, 0, 0, 0, 1]), memory: memory, interrupts: interrupts)
    let driver = VirtioDriver(bus: try makeBus(function), memory: memory)
    try #require(driver.start())
    _ = refusing.takeCalls()
    driver.kick(0)
    driver.kick(1)
    #expect(refusing.takeCalls() == [])
    driver.status = 0
    #expect(refusing.takeCalls() == [.offloads([])])
  }

  @Test func aQueueThatIsEnabledTooLateIsServed() throws {
    try #require(driver.start(live: false))
    let ring = driver.rings[1]
    // Only the first queue, and the second after DRIVER_OK.
    driver.status = 0
    driver.status = 3
    driver.setDriverFeatures(driver.deviceFeatures)
    driver.status |= 8
    func place(_ index: Int) {
      let ring = driver.rings[index]
      driver.write(UInt64(index), 22, .word)
      driver.write(UInt64(ring.size), 24, .word)
      driver.write(ring.descriptors, 32, .quadWord)
      driver.write(ring.available, 40, .quadWord)
      driver.write(ring.used, 48, .quadWord)
      driver.write(1, 28, .word)
    }
    place(0)
    driver.status |= 4
    func started(_ calls: [TestServer.Call]) -> [Int] {
      calls.compactMap { if case .start(let queue, _, _) = $0 { queue } else { nil } }
    }
    #expect(started(server.takeCalls()) == [0])
    place(1)
    #expect(started(server.takeCalls()) == [1])
    #expect(ring.size == driver.rings[1].size && function.failure == nil)
  }

  @Test func driversFromBeforeVirtio1() throws {
    try driver.startLegacy()
    let calls = server.takeCalls()
    #expect(calls.contains(.header(12)), "it merges buffers")
    #expect(calls.filter { if case .start = $0 { true } else { false } }.count == 2)
    driver.kick(0)
    #expect(server.takeCalls() == [.kick(queue: 0)])
    try driver.startLegacy(features: ~(1 << 15))
    let plain = server.takeCalls()
    #expect(plain.contains(.header(10)))
    // VIRTIO_F_ANY_LAYOUT, which a legacy driver accepts, is a feature of another name to vhost.
    for case .start(_, _, let features) in calls + plain { #expect(features & 1 << 27 == 0) }
    #expect(plain.contains { if case .start = $0 { true } else { false } })
  }
}
