import Synchronization
import TestMachine
import Testing

@testable import Devices

/// A memory's owner that takes notes, and refuses when it is told to.
final class TestBlocks: PluggableBackend {
  private let state = Mutex((plugged: [GuestSegment](), unplugged: [GuestSegment](), isRefusing: false))

  func plug(_ segment: GuestSegment) -> Bool {
    state.withLock { state in
      if !state.isRefusing { state.plugged.append(segment) }
      return !state.isRefusing
    }
  }
  func unplug(_ segment: GuestSegment) -> Bool {
    state.withLock { state in
      if !state.isRefusing { state.unplugged.append(segment) }
      return !state.isRefusing
    }
  }

  func refuse(_ isRefusing: Bool) { state.withLock { $0.isRefusing = isRefusing } }
  func takePlugged() -> [GuestSegment] {
    state.withLock { state in
      defer { state.plugged = [] }
      return state.plugged
    }
  }
  func takeUnplugged() -> [GuestSegment] {
    state.withLock { state in
      defer { state.unplugged = [] }
      return state.unplugged
    }
  }
}

@Suite struct VirtioMemTests {
  /// Sixteen blocks of 2 MiB from 1 GiB on.
  private static let region: UInt64 = 1 << 30
  private static let block: UInt64 = 2 << 20
  private let memory = TestMemory()
  private let backend = TestBlocks()
  private let function: VirtioPCI<VirtioMem<TestMemory, TestBlocks>, TestInterrupts>
  private let driver: VirtioDriver

  /// What the driver is answered: VIRTIO_MEM_RESP_… and, for requests of the state, VIRTIO_MEM_STATE_…
  private struct Answer: Equatable {
    var type: UInt16
    var state: UInt16 = 0
    static let acknowledged = Answer(type: 0)
    static let refused = Answer(type: 1)
    static let busy = Answer(type: 2)
    static let error = Answer(type: 3)
    static func state(_ state: UInt16) -> Answer { Answer(type: 0, state: state) }
  }

  init() throws {
    let device = VirtioMem<TestMemory, TestBlocks>(
      backend, region: GuestAddress(Self.region), blockCount: 16, blockBytes: Self.block)
    function = VirtioPCI(device, memory: memory, interrupts: TestInterrupts())
    driver = VirtioDriver(bus: try makeBus(function), memory: memory)
    try #require(driver.start())
  }

  /// `struct virtio_mem_req` of 5.15.6.
  private func bytes(_ type: UInt16, _ address: UInt64, _ count: UInt16) -> [UInt8] {
    var bytes: [UInt8] = [UInt8(truncatingIfNeeded: type), UInt8(truncatingIfNeeded: type >> 8), 0, 0, 0, 0, 0, 0]
    for index in 0..<8 { bytes.append(UInt8(truncatingIfNeeded: address >> UInt64(8 * index))) }
    return bytes + [UInt8(truncatingIfNeeded: count), UInt8(truncatingIfNeeded: count >> 8), 0, 0, 0, 0, 0, 0]
  }

  private func send(_ type: UInt16, _ address: UInt64, _ count: UInt16) throws -> Answer {
    let request = try driver.allocate(bytes(type, address, count))
    let response = try driver.allocate([UInt8](repeating: 0xEE, count: 16))
    try driver.send(
      [.init(address: request, count: 24), .init(address: response, count: 16, writable: true)])
    let used = try #require(try driver.takeUsed())
    try #require(used.written == 10)
    #expect(try memory.bytes(at: GuestAddress(response + 2), count: 6).allSatisfy { $0 == 0 })
    #expect(try memory.bytes(at: GuestAddress(response + 10), count: 6).allSatisfy { $0 == 0xEE })
    return Answer(
      type: try memory.loadUInt16(at: GuestAddress(response)),
      state: try memory.loadUInt16(at: GuestAddress(response + 8)))
  }

  private func plug(_ block: UInt64, _ count: UInt16 = 1) throws -> Answer { try send(0, address(block), count) }
  private func unplug(_ block: UInt64, _ count: UInt16 = 1) throws -> Answer { try send(1, address(block), count) }
  private func state(_ block: UInt64, _ count: UInt16 = 1) throws -> Answer { try send(3, address(block), count) }
  private func address(_ block: UInt64) -> UInt64 { Self.region + block * Self.block }
  private func run(_ block: UInt64, _ count: Int = 1) -> GuestSegment {
    GuestSegment(address: GuestAddress(address(block)), count: count * Int(Self.block))
  }
  private var plugged: UInt64 { driver.readDevice(40, .quadWord) }
  private var requested: UInt64 { driver.readDevice(48, .quadWord) }

  /// Type 24 has no transitional form; the structure is 5.15.4's.
  @Test func identityAndConfiguration() {
    #expect(driver.readConfiguration(0) == 0x1058_1AF4)
    #expect(driver.readConfiguration(8) & 0xFF == 1)
    #expect(!function.isTransitional && driver.bar(0) == 0)
    #expect(driver.deviceFeatures & 0xFF_FFFF == 1 << 1)
    let words = (0..<7).map { driver.readDevice(8 * $0, .quadWord) }
    #expect(words == [Self.block, 0, Self.region, 16 * Self.block, 16 * Self.block, 0, 0])
    // None of it is the driver's.
    for offset in stride(from: UInt64(0), to: 64, by: 8) {
      driver.bus.writeMemory(.max, at: driver.configuration + offset, width: .quadWord)
    }
    #expect((0..<7).map { driver.readDevice(8 * $0, .quadWord) } == words)
  }

  /// A change is told once, in whole blocks and no more than there are.
  @Test func requestedSize() {
    #expect(function.requestMemory(3 * Self.block + 12345) == 3 * Self.block)
    #expect(driver.readISR() == 2)
    #expect(requested == 3 * Self.block)
    #expect(function.requestMemory(3 * Self.block) == 3 * Self.block)
    #expect(driver.readISR() == 0)
    #expect(function.requestMemory(.max) == 16 * Self.block)
    #expect(requested == 16 * Self.block)
    #expect(function.requestMemory(Self.block - 1) == 0)
  }

  @Test func plugAndUnplug() throws {
    function.requestMemory(8 * Self.block)
    #expect(try plug(3, 4) == .acknowledged)
    #expect(backend.takePlugged() == [run(3, 4)])
    #expect(plugged == 4 * Self.block)
    #expect(try state(3, 4) == .state(0))
    #expect(try state(2, 1) == .state(1))
    #expect(try state(2, 2) == .state(2))
    #expect(try unplug(4, 2) == .acknowledged)
    #expect(backend.takeUnplugged() == [run(4, 2)])
    #expect(plugged == 2 * Self.block)
    #expect(try state(0, 16) == .state(2))
    #expect(try plug(4) == .acknowledged)
    #expect(try unplug(3) == .acknowledged)
    #expect(try state(3) == .state(1))
    // A configuration change, and queues.
    #expect(driver.readISR() == 3)
  }

  /// No more than is requested, which may be less than what is plugged.
  @Test func noMoreThanRequested() throws {
    #expect(try plug(0) == .refused)
    function.requestMemory(2 * Self.block)
    #expect(try plug(0, 3) == .refused)
    #expect(try plug(0, 2) == .acknowledged)
    #expect(try plug(2) == .refused)
    function.requestMemory(Self.block)
    #expect(try plug(2) == .refused)
    #expect(plugged == 2 * Self.block)
    #expect(backend.takePlugged() == [run(0, 2)])
  }

  /// Blocks are in one state: what is plugged is not plugged again, in part neither.
  @Test func blocksInTheWrongState() throws {
    function.requestMemory(16 * Self.block)
    #expect(try plug(5, 2) == .acknowledged)
    #expect(try plug(5, 2) == .error)
    #expect(try plug(4, 2) == .error)
    #expect(try plug(6, 2) == .error)
    #expect(try unplug(4, 2) == .error)
    #expect(try unplug(6, 2) == .error)
    #expect(try unplug(0) == .error)
    #expect(backend.takePlugged() == [run(5, 2)] && backend.takeUnplugged().isEmpty)
    #expect(plugged == 2 * Self.block)
  }

  /// Outside of the region, not at a block, none at all, round the end of the address space.
  @Test func rangesThatAreNone() throws {
    function.requestMemory(16 * Self.block)
    try #require(try plug(0, 16) == .acknowledged)
    #expect(try unplug(0, 16) == .acknowledged)
    _ = (backend.takePlugged(), backend.takeUnplugged())
    let base = Self.region
    let block = Self.block
    let ranges: [(UInt64, UInt16)] = [
      (base - block, 1), (base - block, 2), (base + 16 * block, 1), (base + 15 * block, 2), (base, 17), (base, .max),
      (base + 1, 1), (base + block / 2, 1), (base - 1, 1), (base, 0), (0, 1), (.max, 1), (0 &- block, 1),
      (0 &- block, .max), (base + 15 * block + 1, 1),
    ]
    for type in [0, 1, 3] as [UInt16] {
      for (address, count) in ranges {
        #expect(try send(type, address, count) == .error, "\(type) \(address) \(count)")
      }
    }
    #expect(backend.takePlugged().isEmpty && backend.takeUnplugged().isEmpty)
    #expect(plugged == 0 && function.failure == nil)
  }

  @Test func unplugAll() throws {
    function.requestMemory(16 * Self.block)
    // With nothing plugged, and whatever else the request says.
    #expect(try send(2, .max, .max) == .acknowledged)
    for (first, count) in [(0, 1), (3, 4), (15, 1)] as [(UInt64, UInt16)] {
      #expect(try plug(first, count) == .acknowledged)
    }
    #expect(try send(2, 0, 0) == .acknowledged)
    #expect(backend.takeUnplugged() == [run(0), run(3, 4), run(15)])
    #expect(plugged == 0 && requested == 16 * Self.block)
    #expect(try state(0, 16) == .state(1))
  }

  /// The host has none now: the driver asks again, and nothing has changed.
  @Test func busy() throws {
    function.requestMemory(16 * Self.block)
    #expect(try plug(1) == .acknowledged)
    backend.refuse(true)
    #expect(try plug(2) == .busy)
    #expect(try unplug(1) == .busy)
    #expect(try send(2, 0, 0) == .busy)
    #expect(plugged == Self.block)
    backend.refuse(false)
    #expect(try state(1, 2) == .state(2))
    #expect(try plug(2) == .acknowledged)
    #expect(try send(2, 0, 0) == .acknowledged)
  }

  @Test func unknownRequests() throws {
    function.requestMemory(16 * Self.block)
    for type in [4, 5, 0x100, .max] as [UInt16] { #expect(try send(type, address(0), 1) == .error) }
    #expect(function.failure == nil && plugged == 0)
  }

  @Test func malformedRequests() throws {
    let request = try driver.allocate(bytes(3, address(0), 1))
    let response = try driver.allocate([UInt8](repeating: 0, count: 16))
    func fails(_ parts: [VirtioDriver.Part]) throws {
      try #require(driver.start())
      try driver.send(parts)
      #expect(function.failure != nil)
    }
    try fails([.init(address: request, count: 23), .init(address: response, count: 16, writable: true)])
    try fails([.init(address: request, count: 24), .init(address: response, count: 9, writable: true)])
    try fails([.init(address: request, count: 24)])
    try fails([.init(address: response, count: 16, writable: true)])
    try fails([.init(address: 0x8000, count: 24), .init(address: response, count: 16, writable: true)])
    try fails([.init(address: request, count: 24), .init(address: 0x8000, count: 16, writable: true)])
    try #require(driver.start())
    #expect(try state(0) == .state(1))
  }

  /// The memory is in use, whatever becomes of the driver.
  @Test func resetKeepsWhatIsPlugged() throws {
    function.requestMemory(4 * Self.block)
    #expect(try plug(2, 3) == .acknowledged)
    try #require(driver.start())
    #expect(plugged == 3 * Self.block && requested == 4 * Self.block)
    #expect(try state(2, 3) == .state(0))
    #expect(backend.takeUnplugged().isEmpty)
  }

  /// Requests that look at many blocks make the visit a short one; the others come with the next.
  @Test func visitsAreBounded() throws {
    let backlog = Mutex(0)
    let memory = TestMemory(count: 4 << 20)
    let device = VirtioMem<TestMemory, TestBlocks>(
      TestBlocks(), region: GuestAddress(Self.region), blockCount: 1 << 16, blockBytes: Self.block)
    let function = VirtioPCI(
      device, memory: memory, interrupts: TestInterrupts(), onBacklog: { _ in backlog.withLock { $0 += 1 } })
    let driver = VirtioDriver(bus: try makeBus(function), memory: memory)
    try #require(driver.start())
    let request = try driver.allocate(bytes(3, Self.region, .max))
    let response = driver.allocate(16)
    for _ in 0..<5 {
      try driver.send(
        [.init(address: request, count: 24), .init(address: response, count: 10, writable: true)], kick: false)
    }
    driver.kick()
    func used() throws -> Int {
      var count = 0
      while try driver.takeUsed() != nil { count += 1 }
      return count
    }
    // Two of them leave two blocks to look at, so that a third is begun.
    #expect(try used() == 3 && backlog.withLock { $0 } == 1)
    function.serve(queue: 0)
    #expect(try used() == 2)
  }

  @Test func fuzz() throws {
    var random = SeededNumbers(43)
    function.requestMemory(4 * Self.block)
    var model = [Bool](repeating: false, count: 16)
    var answers: [UInt16: Int] = [:]
    for _ in 0..<4_000 {
      let type = UInt16.random(in: 0..<5, using: &random)
      let first = UInt64.random(in: 0..<18, using: &random)
      let count = UInt16.random(in: 0..<4, using: &random)
      let shift: UInt64 = UInt8.random(in: 0..<16, using: &random) == 0 ? 4096 : 0
      let answer = try send(type, address(first) + shift, count)
      answers[answer.type, default: 0] += 1
      let range = Int(first)..<Int(first) + Int(count)
      let isRange = shift == 0 && count > 0 && range.upperBound <= 16
      let on = isRange ? model[range].count { $0 } : 0
      let expected: Answer
      switch type {
      case 0 where isRange && on == 0 && model.count(where: { $0 }) + range.count > 4: expected = .refused
      case 0 where isRange && on == 0, 1 where isRange && on == range.count:
        expected = .acknowledged
        for index in range { model[index] = type == 0 }
      case 2:
        expected = .acknowledged
        model = [Bool](repeating: false, count: 16)
      case 3 where isRange: expected = .state(on == range.count ? 0 : on == 0 ? 1 : 2)
      default: expected = .error
      }
      guard answer == expected, plugged == UInt64(model.count { $0 }) * Self.block else {
        Issue.record("request \(type) of \(count) blocks from \(first) on: \(answer), not \(expected)")
        return
      }
    }
    #expect(answers.values.allSatisfy { $0 > 10 } && answers.count == 3)
  }
}
