import Testing

@testable import Devices

@Suite struct VirtioBlockTests {
  private let memory = TestMemory()
  private let interrupts = TestInterrupts()

  private func make(
    _ disk: TestDisk, features: UInt64 = .max
  ) throws -> (VirtioDriver, VirtioPCI<VirtioBlock<TestMemory, TestDisk>, TestInterrupts>) {
    let function = VirtioPCI(VirtioBlock(disk), memory: memory, interrupts: interrupts)
    let driver = VirtioDriver(bus: try makeBus(function), memory: memory)
    try #require(driver.start(features: features))
    return (driver, function)
  }

  /// Posts `struct virtio_blk_req`; where the data and the status are.
  private func request(
    _ driver: VirtioDriver, type: UInt32, sector: UInt64 = 0, data: [UInt8] = [], writable: Bool = false
  ) throws -> (data: UInt64, status: GuestAddress) {
    let header = driver.allocate(16)
    try memory.storeUInt32(type, at: GuestAddress(header))
    try memory.storeUInt64(sector, at: GuestAddress(header + 8))
    let buffer = try driver.allocate(data)
    let status = driver.allocate(1)
    try memory.write([0xEE], at: GuestAddress(status))
    var parts = [VirtioDriver.Part(address: header, count: 16)]
    if !data.isEmpty { parts.append(.init(address: buffer, count: UInt32(data.count), writable: writable)) }
    parts.append(.init(address: status, count: 1, writable: true))
    try driver.send(parts)
    return (buffer, GuestAddress(status))
  }

  private func status(_ address: GuestAddress) throws -> UInt8 { try memory.bytes(at: address, count: 1)[0] }

  @Test func configuration() throws {
    let (driver, _) = try make(TestDisk(memory: memory))
    #expect(driver.readDevice(0, .doubleWord) == 64)
    #expect(driver.readDevice(4, .doubleWord) == 0)
    #expect(driver.readDevice(12, .doubleWord) == 254)
    #expect(driver.readDevice(20, .doubleWord) == 512)
    #expect(driver.readDevice(36, .doubleWord) == 1 << 21)
    #expect(driver.readDevice(56, .byte) == 1)
    #expect(driver.deviceFeatures & (1 << 2 | 1 << 5 | 1 << 6 | 1 << 9 | 1 << 13 | 1 << 14) == 0x6244)
  }

  @Test func readAndWrite() throws {
    let disk = TestDisk(memory: memory)
    let (driver, _) = try make(disk)
    let read = try request(driver, type: 0, sector: 3, data: [UInt8](repeating: 0, count: 1024), writable: true)
    #expect(try driver.takeUsed()?.written == 1025)
    #expect(try status(read.status) == 0)
    #expect(
      try memory.bytes(at: GuestAddress(read.data), count: 1024)
        == Array(repeating: 3, count: 512) + Array(repeating: 4, count: 512))
    let write = try request(driver, type: 1, sector: 63, data: [UInt8](repeating: 0xAA, count: 512))
    #expect(try driver.takeUsed()?.written == 1)
    #expect(try status(write.status) == 0)
    #expect(disk.bytes(sector: 63) == Array(repeating: 0xAA, count: 512))
    #expect(interrupts.line)
  }

  /// However the driver cuts it into descriptors (2.7.4.1).
  @Test func anyLayout() throws {
    let (driver, _) = try make(TestDisk(memory: memory))
    let header = driver.allocate(16)
    try memory.storeUInt64(5, at: GuestAddress(header + 8))
    let answer = driver.allocate(513)
    try driver.send([
      .init(address: header, count: 7), .init(address: header + 7, count: 9),
      .init(address: answer, count: 513, writable: true),
    ])
    #expect(try driver.takeUsed()?.written == 513)
    #expect(try memory.bytes(at: GuestAddress(answer), count: 513) == Array(repeating: 5, count: 512) + [0])
  }

  @Test func beyondTheEndAndNotWholeSectors() throws {
    let (driver, _) = try make(TestDisk(memory: memory))
    for (sector, count) in [(64, 512), (63, 1024), (UInt64.max, 512), (UInt64.max / 512, 512), (0, 100)] {
      let one = try request(
        driver, type: 0, sector: sector, data: [UInt8](repeating: 0, count: count), writable: true)
      #expect(try status(one.status) == 1)
      #expect(try driver.takeUsed()?.written == 1)
    }
  }

  @Test func flushIdentifyAndUnknown() throws {
    let disk = TestDisk(memory: memory)
    let (driver, _) = try make(disk)
    let flush = try request(driver, type: 4)
    #expect(try status(flush.status) == 0)
    #expect(disk.kinds == ["flush"])
    let name = try request(driver, type: 8, data: [UInt8](repeating: 0xFF, count: 20), writable: true)
    #expect(try status(name.status) == 0)
    #expect(
      try memory.bytes(at: GuestAddress(name.data), count: 20) == Array("roost-test-disk".utf8) + [0, 0, 0, 0, 0])
    let unknown = try request(driver, type: 99)
    #expect(try status(unknown.status) == 2)
  }

  @Test func discardAndWriteZeroes() throws {
    let disk = TestDisk(memory: memory)
    let (driver, _) = try make(disk)
    func range(_ sector: UInt8, _ count: UInt8, _ flags: UInt8) -> [UInt8] {
      [sector, 0, 0, 0, 0, 0, 0, 0, count, 0, 0, 0, flags, 0, 0, 0]
    }
    #expect(try status(request(driver, type: 13, data: range(2, 2, 1)).status) == 0)
    #expect(disk.bytes(sector: 3) == Array(repeating: 0, count: 512))
    #expect(try status(request(driver, type: 11, data: range(4, 1, 0)).status) == 0)
    #expect(disk.kinds == ["writeZeroes(unmap: true)", "discard"])
    #expect(try status(request(driver, type: 11, data: range(4, 1, 1)).status) == 2)
    #expect(try status(request(driver, type: 13, data: range(60, 5, 0)).status) == 1)
    #expect(try status(request(driver, type: 13, data: Array(range(0, 1, 0).prefix(8))).status) == 1)
  }

  @Test func readOnlyDisk() throws {
    let disk = TestDisk(memory: memory, isReadOnly: true)
    let (driver, _) = try make(disk)
    #expect(driver.deviceFeatures & (1 << 5 | 1 << 13 | 1 << 14) == 1 << 5)
    #expect(try status(request(driver, type: 1, data: [UInt8](repeating: 1, count: 512)).status) == 1)
    #expect(try status(request(driver, type: 13, data: [UInt8](repeating: 0, count: 16)).status) == 2)
    #expect(disk.kinds.isEmpty)
  }

  @Test func writeThroughWithoutFlush() throws {
    let disk = TestDisk(memory: memory)
    let (driver, _) = try make(disk, features: ~(1 << 9))
    let one = try request(driver, type: 1, sector: 1, data: [UInt8](repeating: 1, count: 512))
    #expect(try status(one.status) == 0)
    #expect(disk.kinds == ["write", "flush"])
  }

  @Test func manyInFlightCompleteInAnyOrder() throws {
    let disk = TestDisk(memory: memory, deferred: true)
    let (driver, function) = try make(disk)
    var requests: [(data: UInt64, status: GuestAddress)] = []
    for sector in UInt64(0)..<5 {
      requests.append(
        try request(driver, type: 0, sector: sector, data: [UInt8](repeating: 0xFF, count: 512), writable: true))
    }
    #expect(try driver.takeUsed() == nil)
    let waiting = disk.takeWaiting()
    #expect(waiting.count == 5)
    for operation in waiting.reversed() { function.complete(operation.id, with: disk.perform(operation)) }
    var heads: [UInt32] = []
    while let used = try driver.takeUsed() { heads.append(used.head) }
    #expect(heads == [12, 9, 6, 3, 0])
    for (sector, one) in requests.enumerated() {
      #expect(try memory.bytes(at: GuestAddress(one.data), count: 1) == [UInt8(sector)])
    }
    // An id that is not in flight, or not any more, is nobody's.
    function.complete(waiting[0].id, with: .success)
    function.complete(.max, with: .success)
    #expect(try driver.takeUsed() == nil)
  }

  @Test func failedOperation() throws {
    let disk = TestDisk(memory: memory, deferred: true)
    let (driver, function) = try make(disk)
    let one = try request(driver, type: 0, data: [UInt8](repeating: 0, count: 512), writable: true)
    function.complete(try #require(disk.takeWaiting().first).id, with: .failure)
    #expect(try status(one.status) == 1)
    #expect(try driver.takeUsed()?.written == 1)
  }

  /// Reset is complete only when nothing can touch guest memory any more.
  @Test func resetWaitsForWhatIsInFlight() throws {
    let disk = TestDisk(memory: memory, deferred: true)
    let (driver, function) = try make(disk)
    let one = try request(driver, type: 0, data: [UInt8](repeating: 0, count: 512), writable: true)
    driver.status = 0
    #expect(driver.status == 15)
    driver.status = 1
    #expect(driver.status == 15)
    function.complete(try #require(disk.takeWaiting().first).id, with: .success)
    #expect(driver.status == 0)
    #expect(try status(one.status) == 0xEE)
    #expect(driver.start())
    let two = try request(driver, type: 4)
    function.complete(try #require(disk.takeWaiting().first).id, with: .success)
    #expect(try status(two.status) == 0)
  }

  @Test func malformedRequests() throws {
    let (driver, function) = try make(TestDisk(memory: memory))
    let buffer = driver.allocate(64)
    try driver.send([.init(address: buffer, count: 16)])
    #expect(function.failure == .malformedRequest("a block request has no room for its status"))
    #expect(driver.start())
    try driver.send([.init(address: buffer, count: 15), .init(address: buffer, count: 1, writable: true)])
    #expect(function.failure == .malformedRequest("a block request's header is shorter than 16 bytes"))
    #expect(driver.start())
    try driver.send([
      .init(address: buffer, count: 16), .init(address: 0x7F00, count: 512, writable: true),
      .init(address: buffer, count: 1, writable: true),
    ])
    #expect(function.failure == .memory(GuestMemoryError(.read, address: GuestAddress(0x7F00), count: 512)))
  }

  /// Another size (5.2.5.2): in the structure, with a generation of its own, and for requests.
  @Test func resizing() throws {
    let (driver, function) = try make(TestDisk(memory: memory, sectors: 128))
    let generation = driver.read(21, .byte)
    function.resize(capacity: 64 * 512 + 511)
    #expect(driver.readDevice(0, .quadWord) == 64)
    #expect(driver.read(21, .byte) == generation + 1)
    #expect(interrupts.line)
    #expect(driver.readISR() == 2)
    #expect(!interrupts.line)
    let beyond = try request(driver, type: 0, sector: 64, data: [UInt8](repeating: 0, count: 512), writable: true)
    #expect(try status(beyond.status) == 1)
    _ = driver.readISR()
    function.resize(capacity: 128 * 512)
    #expect(driver.readISR() == 2)
    let inside = try request(driver, type: 0, sector: 127, data: [UInt8](repeating: 0, count: 512), writable: true)
    #expect(try status(inside.status) == 0)
    _ = driver.readISR()
    // No sector more or less is no news.
    function.resize(capacity: 128 * 512 + 1)
    #expect(driver.readISR() == 0)
    #expect(driver.read(21, .byte) == generation + 2)
    // The size stays when the driver goes; who has not come up yet is not interrupted.
    driver.status = 0
    function.resize(capacity: 32 * 512)
    #expect(driver.readISR() == 0)
    #expect(driver.readDevice(0, .quadWord) == 32)
  }

  @Test func resizingByMessage() throws {
    let function = VirtioPCI(VirtioBlock(TestDisk(memory: memory)), memory: memory, interrupts: interrupts)
    let driver = VirtioDriver(bus: try makeBus(function), memory: memory)
    try #require(driver.start(vectors: true))
    driver.setVector(0, data: 0x40)
    driver.setVector(1, data: 0x41)
    function.resize(capacity: 32 * 512)
    #expect(interrupts.takeSignals() == [0])
    #expect(driver.readISR() == 0)
    // No vector for changes: no interrupt.
    driver.write(0xFFFF, 16, .word)
    function.resize(capacity: 64 * 512)
    #expect(interrupts.takeSignals() == [])
  }

  @Test func resizingUnderALegacyDriver() throws {
    let function = VirtioPCI(VirtioBlock(TestDisk(memory: memory)), memory: memory, interrupts: interrupts)
    let driver = VirtioDriver(bus: try makeBus(function), memory: memory)
    try driver.startLegacy()
    function.resize(capacity: 32 * 512)
    #expect(interrupts.line)
    #expect(driver.readPort(19, .byte) == 2)
    #expect(!interrupts.line)
    #expect(driver.readPort(20, .doubleWord) == 32)
    try driver.startLegacy(vectors: true)
    driver.setVector(0, data: 0x40)
    driver.writePort(0, 20, .word)
    function.resize(capacity: 64 * 512)
    #expect(interrupts.takeSignals() == [0])
    #expect(!interrupts.line)
    #expect(driver.readPort(24, .doubleWord) == 64)
  }
}
