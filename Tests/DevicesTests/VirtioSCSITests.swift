import TestMachine
import Testing

@testable import Devices

@Suite struct VirtioSCSITests {
  private typealias Host = VirtioSCSI<TestMemory, TestDisk>
  private let memory = TestMemory()
  private let interrupts = TestInterrupts()

  private func make(
    _ disk: TestDisk, disc: TestDisk? = nil, places: Int? = nil
  ) throws -> (VirtioDriver, VirtioPCI<VirtioSCSI<TestMemory, TestDisk>, TestInterrupts>) {
    let function = VirtioPCI(
      Host([.init(disk: disk), .init(cdrom: disc, serial: "drive")], places: places), memory: memory,
      interrupts: interrupts)
    let driver = VirtioDriver(bus: try makeBus(function), memory: memory)
    try #require(driver.start())
    for target in UInt8(0)..<2 {
      // The reset, of which each unit tells first.
      let one = try send(driver, [0], target: target)
      #expect(try response(one) == Response(sense: [0x70, 0, 6], residual: 0, status: 2, response: 0))
      _ = try driver.takeUsed(ring: 2)
    }
    return (driver, function)
  }

  private struct Response: Equatable {
    /// The first three bytes, where there are any.
    var sense: [UInt8]
    var residual: UInt32
    var status: UInt8
    var response: UInt8
    static let good = Response(sense: [], residual: 0, status: 0, response: 0)
  }

  private struct Sent {
    var data: UInt64
    var response: UInt64
  }

  /// Posts `struct virtio_scsi_req_cmd`.
  private func send(
    _ driver: VirtioDriver, _ command: [UInt8], target: UInt8 = 0, unit: UInt8 = 0, tag: UInt8 = 1,
    dataOut: [UInt8] = [], dataIn: Int = 0
  ) throws -> Sent {
    var header: [UInt8] = [1, target, 0x40, unit, 0, 0, 0, 0, tag, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
    header += command + [UInt8](repeating: 0, count: 32 - command.count)
    var parts = [VirtioDriver.Part(address: try driver.allocate(header), count: 51)]
    if !dataOut.isEmpty { parts.append(.init(address: try driver.allocate(dataOut), count: UInt32(dataOut.count))) }
    let response = try driver.allocate([UInt8](repeating: 0xEE, count: 108))
    parts.append(.init(address: response, count: 108, writable: true))
    let data = driver.allocate(dataIn)
    if dataIn > 0 { parts.append(.init(address: data, count: UInt32(dataIn), writable: true)) }
    try driver.send(parts, ring: 2)
    return Sent(data: data, response: response)
  }

  private func response(_ sent: Sent) throws -> Response {
    let bytes = try memory.bytes(at: GuestAddress(sent.response), count: 15)
    let count = try memory.loadUInt32(at: GuestAddress(sent.response))
    return Response(
      sense: count == 0 ? [] : Array(bytes[12..<15]),
      residual: try memory.loadUInt32(at: GuestAddress(sent.response + 4)),
      status: bytes[10], response: bytes[11])
  }

  private func data(_ sent: Sent, _ count: Int) throws -> [UInt8] {
    try memory.bytes(at: GuestAddress(sent.data), count: count)
  }

  @Test func configuration() throws {
    let (driver, _) = try make(TestDisk(memory: memory))
    #expect((0..<7).map { driver.readDevice(4 * $0, .doubleWord) } == [1, 126, 0xFFFF, 128, 16, 96, 32])
    #expect(driver.readDevice(30, .word) == 1)  // max_target
    #expect(driver.read(18, .word) == 3)
  }

  @Test func inquiryAndCapacity() throws {
    let (driver, _) = try make(TestDisk(memory: memory))
    let inquiry = try send(driver, [0x12, 0, 0, 0, 36, 0], dataIn: 64)
    #expect(try driver.takeUsed(ring: 2)?.written == 108 + 36)
    #expect(try response(inquiry) == Response(sense: [], residual: 28, status: 0, response: 0))
    #expect(try data(inquiry, 4) == [0, 0, 5, 2])
    let serial = try send(driver, [0x12, 1, 0x80, 0, 255, 0], dataIn: 19)
    #expect(try data(serial, 19) == [0, 0x80, 0, 15] + Array("roost-test-disk".utf8))
    let capacity = try send(driver, [0x25], dataIn: 8)
    #expect(try data(capacity, 8) == [0, 0, 0, 63, 0, 0, 2, 0])
    // Less room than the reply is an overrun.
    let short = try send(driver, [0x25], dataIn: 7)
    #expect(try response(short).response == 1)
  }

  @Test func readAndWrite() throws {
    let disk = TestDisk(memory: memory)
    let (driver, _) = try make(disk)
    let read = try send(driver, [0x28, 0, 0, 0, 0, 3, 0, 0, 2, 0], dataIn: 1024)
    #expect(try driver.takeUsed(ring: 2)?.written == 108 + 1024)
    #expect(try response(read) == .good)
    #expect(try data(read, 1024) == Array(repeating: 3, count: 512) + Array(repeating: 4, count: 512))
    // FUA: flushed before it is done.
    let write = try send(
      driver, [0x2A, 8, 0, 0, 0, 63, 0, 0, 1, 0], dataOut: [UInt8](repeating: 0xAA, count: 512))
    #expect(try driver.takeUsed(ring: 2)?.written == 108)
    #expect(try response(write) == .good)
    #expect(disk.bytes(sector: 63) == Array(repeating: 0xAA, count: 512))
    #expect(disk.kinds == ["read", "write", "flush"])
    // More room than data, less room than data, beyond the end.
    let wide = try send(driver, [0x28, 0, 0, 0, 0, 3, 0, 0, 1, 0], dataIn: 1000)
    #expect(try response(wide) == Response(sense: [], residual: 488, status: 0, response: 0))
    let narrow = try send(driver, [0x28, 0, 0, 0, 0, 3, 0, 0, 2, 0], dataIn: 1023)
    #expect(try response(narrow) == Response(sense: [], residual: 0, status: 0, response: 1))
    let wrongWay = try send(
      driver, [0x28, 0, 0, 0, 0, 3, 0, 0, 1, 0], dataOut: [UInt8](repeating: 0, count: 512))
    #expect(try response(wrongWay).response == 1)
    let beyond = try send(driver, [0x28, 0, 0, 0, 0, 64, 0, 0, 1, 0], dataIn: 512)
    #expect(try response(beyond) == Response(sense: [0x70, 0, 5], residual: 512, status: 2, response: 0))
    let huge = try send(driver, [0xA8, 0, 0, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0], dataIn: 512)
    #expect(try response(huge).status == 2)
    let both = try send(
      driver, [0x28, 0, 0, 0, 0, 3, 0, 0, 1, 0], dataOut: [UInt8](repeating: 0, count: 512), dataIn: 512)
    #expect(try response(both).response == 9)
  }

  @Test func deallocation() throws {
    let disk = TestDisk(memory: memory)
    let (driver, _) = try make(disk)
    let list: [UInt8] = [0, 22, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 0]
    let unmap = try send(driver, [0x42, 0, 0, 0, 0, 0, 0, 0, 24, 0], dataOut: list)
    #expect(try response(unmap) == .good)
    #expect(disk.bytes(sector: 3) == Array(repeating: 0, count: 512))
    let same = try send(
      driver, [0x41, 8, 0, 0, 0, 5, 0, 0, 1, 0], dataOut: [UInt8](repeating: 0, count: 512))
    #expect(try response(same) == .good)
    #expect(disk.kinds == ["discard", "writeZeroes(unmap: true)"])
    // The parameters do not all come.
    let short = try send(driver, [0x42, 0, 0, 0, 0, 0, 0, 0, 24, 0], dataOut: Array(list.prefix(23)))
    #expect(try response(short).response == 1)
  }

  @Test func addresses() throws {
    let (driver, _) = try make(TestDisk(memory: memory))
    #expect(try response(send(driver, [0], target: 2)).response == 3)
    let absent = try send(driver, [0x12, 0, 0, 0, 36, 0], unit: 1, dataIn: 36)
    #expect(try response(absent) == .good)
    #expect(try data(absent, 1) == [0x7F])
    #expect(
      try response(send(driver, [0], unit: 1)) == Response(sense: [0x70, 0, 5], residual: 0, status: 2, response: 0))
    let list = try send(driver, [0xA0, 0, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0], dataIn: 16)
    #expect(try data(list, 4) == [0, 0, 0, 8])
  }

  @Test func requestsCompleteInAnyOrder() throws {
    let disk = TestDisk(memory: memory, deferred: true)
    let (driver, function) = try make(disk)
    var sent: [Sent] = []
    for sector in UInt8(0)..<4 {
      sent.append(try send(driver, [0x28, 0, 0, 0, 0, sector, 0, 0, 1, 0], tag: sector, dataIn: 512))
    }
    let waiting = disk.takeWaiting()
    #expect(try driver.takeUsed(ring: 2) == nil)
    for operation in waiting.reversed() { function.complete(operation.id, with: disk.perform(operation)) }
    for (sector, one) in sent.enumerated() { #expect(try data(one, 1) == [UInt8(sector)]) }
    let bad = try send(driver, [0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0], dataIn: 512)
    function.complete(try #require(disk.takeWaiting().first).id, with: .failure)
    #expect(try response(bad).sense == [0x70, 0, 3])
    function.complete(waiting[0].id, with: .success)
    function.complete(.max, with: .success)
    #expect(function.failure == nil)
  }

  /// Task management (5.6.6.2): an abort is over when the request is.
  @Test func abortsAndResets() throws {
    let disk = TestDisk(memory: memory, deferred: true)
    let (driver, function) = try make(disk)
    func manage(_ subtype: UInt8, tag: UInt8 = 0, target: UInt8 = 0) throws -> GuestAddress {
      let request: [UInt8] =
        [0, 0, 0, 0, subtype, 0, 0, 0, 1, target, 0x40, 0, 0, 0, 0, 0, tag, 0, 0, 0, 0, 0, 0, 0]
      let answer = try driver.allocate([UInt8(0xEE)])
      try driver.send([
        .init(address: driver.allocate(request), count: 24), .init(address: answer, count: 1, writable: true),
      ])
      return GuestAddress(answer)
    }
    func byte(_ address: GuestAddress) throws -> UInt8 { try memory.bytes(at: address, count: 1)[0] }
    #expect(try byte(manage(0, tag: 9)) == 0)
    #expect(try byte(manage(2)) == 11)
    #expect(try byte(manage(77)) == 11)
    #expect(try byte(manage(0, target: 5)) == 3)
    let one = try send(driver, [0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0], tag: 9, dataIn: 512)
    let two = try send(driver, [0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0], tag: 10, dataIn: 512)
    let waiting = disk.takeWaiting()
    #expect(try byte(manage(6, tag: 9)) == 10)
    #expect(try byte(manage(6, tag: 8)) == 0)
    let abort = try manage(0, tag: 9)
    #expect(try byte(abort) == 0xEE)
    function.complete(waiting[0].id, with: .success)
    #expect(try byte(abort) == 0)
    #expect(try response(one) == Response(sense: [], residual: 0, status: 0, response: 2))
    let reset = try manage(5)
    function.complete(waiting[1].id, with: .failure)
    #expect(try byte(reset) == 0)
    #expect(try response(two).response == 4)
    #expect(try response(send(driver, [0])).sense == [0x70, 0, 6])
    // A query of asynchronous events: none.
    let answer = try driver.allocate([UInt8](repeating: 0xEE, count: 5))
    try driver.send([
      .init(address: driver.allocate([1, 0, 0, 0] + [UInt8](repeating: 0, count: 12)), count: 16),
      .init(address: answer, count: 5, writable: true),
    ])
    #expect(try memory.bytes(at: GuestAddress(answer), count: 5) == [0, 0, 0, 0, 0])
  }

  @Test func resetWaitsForWhatIsInFlight() throws {
    let disk = TestDisk(memory: memory, deferred: true)
    let (driver, function) = try make(disk)
    let one = try send(driver, [0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0], dataIn: 512)
    driver.status = 0
    #expect(driver.status == 15)
    function.complete(try #require(disk.takeWaiting().first).id, with: .success)
    #expect(driver.status == 0)
    #expect(try memory.bytes(at: GuestAddress(one.response), count: 1) == [0xEE])
  }

  @Test func discs() throws {
    let (driver, function) = try make(TestDisk(memory: memory))
    #expect(try response(send(driver, [0], target: 1)).sense == [0x70, 0, 2])
    function.insert(TestDisk(memory: memory), target: 1)
    #expect(try response(send(driver, [0], target: 1)).sense == [0x70, 0, 6])
    let read = try send(driver, [0x28, 0, 0, 0, 0, 1, 0, 0, 1, 0], target: 1, dataIn: 2048)
    #expect(try response(read) == .good)
    #expect(try data(read, 1) == [4])
    function.insert(nil, target: 1)
    #expect(try response(send(driver, [0x25], target: 1, dataIn: 8)).sense == [0x70, 0, 2])
  }

  /// A size changes: an event, or the news that one was missed.
  @Test func events() throws {
    let (driver, function) = try make(TestDisk(memory: memory))
    let buffer = driver.allocate(16)
    try driver.send([.init(address: buffer, count: 16, writable: true)], ring: 1)
    #expect(try driver.takeUsed(ring: 1) == nil)
    function.resize(target: 0, capacity: 512 * 32)
    #expect(try driver.takeUsed(ring: 1)?.written == 16)
    #expect(
      try memory.bytes(at: GuestAddress(buffer), count: 16) == [3, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0x2A, 9, 0, 0])
    function.resize(target: 0, capacity: 512 * 64)
    try driver.send([.init(address: buffer, count: 16, writable: true)], ring: 1)
    #expect(try memory.loadUInt32(at: GuestAddress(buffer)) == 0x8000_0000)
  }

  /// A driver that did not accept VIRTIO_SCSI_F_CHANGE is told nothing, and has missed nothing.
  @Test func eventsNobodyWants() throws {
    let function = VirtioPCI(
      Host([.init(disk: TestDisk(memory: memory))], places: 4), memory: memory, interrupts: interrupts)
    let driver = VirtioDriver(bus: try makeBus(function), memory: memory)
    try #require(driver.start(features: ~6))
    function.resize(target: 0, capacity: 512 * 32)
    #expect(function.attach(disk: TestDisk(memory: memory)) == 1)
    #expect(function.detach(target: 1))
    try driver.send([.init(address: driver.allocate(16), count: 16, writable: true)], ring: 1)
    #expect(try driver.takeUsed(ring: 1) == nil)
  }

  // MARK: Targets that come and go

  private func makeHotplug(
    _ units: [Host.Unit] = [], places: Int = 4, vectors: Bool = false
  ) throws -> (VirtioDriver, VirtioPCI<VirtioSCSI<TestMemory, TestDisk>, TestInterrupts>) {
    let function = VirtioPCI(Host(units, places: places), memory: memory, interrupts: interrupts)
    let driver = VirtioDriver(bus: try makeBus(function), memory: memory)
    try #require(driver.start(vectors: vectors))
    return (driver, function)
  }

  /// Gives the device a buffer for an event, of which nothing may be there yet.
  private func awaitEvent(_ driver: VirtioDriver) throws -> GuestAddress {
    let buffer = driver.allocate(16)
    try driver.send([.init(address: buffer, count: 16, writable: true)], ring: 1)
    return GuestAddress(buffer)
  }

  private func event(_ driver: VirtioDriver, _ buffer: GuestAddress) throws -> [UInt8]? {
    guard let used = try driver.takeUsed(ring: 1) else { return nil }
    #expect(used.written == 16)
    return try memory.bytes(at: buffer, count: 16)
  }

  /// VIRTIO_SCSI_T_TRANSPORT_RESET (5.6.6.3): of `target`, for `reason`.
  private func transportReset(_ target: UInt8, reason: UInt8) -> [UInt8] {
    [1, 0, 0, 0, 1, target, 0, 0, 0, 0, 0, 0, reason, 0, 0, 0]
  }

  @Test func hotplugHostHasPlaces() throws {
    let (driver, _) = try makeHotplug()
    #expect(driver.deviceFeatures & 6 == 6)
    #expect(driver.readDevice(30, .word) == 3)  // max_target
    for target in UInt8(0)..<5 { #expect(try response(send(driver, [0], target: target)).response == 3) }
    // A host without places says so, and nothing comes or goes.
    let (plain, function) = try make(TestDisk(memory: memory))
    #expect(plain.deviceFeatures & 6 == 4)
    #expect(function.attach(disk: TestDisk(memory: memory)) == nil)
    #expect(!function.detach(target: 0) && !function.removeTarget(0))
    #expect(try response(send(plain, [0])).status == 0)
    // More units than places are all there; none at all is a host without targets.
    #expect(Host([.init(disk: TestDisk(memory: memory))], places: 0).units.count == 1)
    #expect(
      VirtioPCI(Host([], places: 0), memory: memory, interrupts: interrupts)
        .attach(disk: TestDisk(memory: memory)) == nil)
  }

  @Test func attaching() throws {
    let (driver, function) = try makeHotplug(vectors: true)
    for vector in 0..<4 as Range<UInt64> { driver.setVector(vector, data: 0x40 + vector) }
    try driver.setUsedEvent(0, ring: 1)
    let buffer = try awaitEvent(driver)
    #expect(function.attach(disk: TestDisk(memory: memory)) == 0)
    #expect(interrupts.takeSignals() == [2])
    #expect(try event(driver, buffer) == transportReset(0, reason: 1))
    #expect(try response(send(driver, [0])).sense == [0x70, 0, 6])
    let read = try send(driver, [0x28, 0, 0, 0, 0, 3, 0, 0, 1, 0], dataIn: 512)
    #expect(try response(read) == .good)
    #expect(try data(read, 1) == [3])
    // The places are taken in turn, until there are no more.
    #expect((1..<4).allSatisfy { function.attach(disk: TestDisk(memory: memory)) == $0 })
    #expect(function.attach(disk: TestDisk(memory: memory)) == nil)
    // Three came while there was no buffer for the news (5.6.6.3): one event says so.
    #expect(try event(driver, awaitEvent(driver)) == [0, 0, 0, 0x80, 1] + [UInt8](repeating: 0, count: 11))
    #expect(try event(driver, awaitEvent(driver)) == nil)
  }

  @Test func detaching() throws {
    let disk = TestDisk(memory: memory)
    let (driver, function) = try makeHotplug([.init(disk: disk), .init(disk: TestDisk(memory: memory))])
    let buffer = try awaitEvent(driver)
    #expect(!function.removeTarget(0), "it was not detached")
    #expect(function.detach(target: 0))
    #expect(try event(driver, buffer) == transportReset(0, reason: 2))
    #expect(!function.detach(target: 0) && !function.detach(target: 2) && !function.detach(target: -1))
    #expect(try response(send(driver, [0])).response == 3)
    #expect(try response(send(driver, [0], target: 1)).sense == [0x70, 0, 6])
    // Its place is free once it is let go, and is the last to be taken again.
    #expect(function.attach(disk: TestDisk(memory: memory)) == 2)
    #expect(function.detach(target: 2) && function.removeTarget(2))
    #expect(function.attach(disk: TestDisk(memory: memory)) == 3)
    #expect(function.attach(disk: TestDisk(memory: memory)) == 2)
    #expect(function.attach(disk: TestDisk(memory: memory)) == nil)
    #expect(function.removeTarget(0) && !function.removeTarget(0))
    #expect(function.attach(disk: TestDisk(memory: memory)) == 0)
    #expect(disk.kinds.isEmpty)
  }

  /// What is in flight when its target goes ends as it would have, a flush that follows included; nothing new begins.
  @Test func detachingWithRequestsInFlight() throws {
    let disk = TestDisk(memory: memory, deferred: true)
    let (driver, function) = try makeHotplug([.init(disk: disk)])
    _ = try send(driver, [0])
    let read = try send(driver, [0x28, 0, 0, 0, 0, 3, 0, 0, 1, 0], dataIn: 512)
    let write = try send(
      driver, [0x2A, 8, 0, 0, 0, 5, 0, 0, 1, 0], dataOut: [UInt8](repeating: 0xAA, count: 512))
    let bad = try send(driver, [0x28, 0, 0, 0, 0, 3, 0, 0, 1, 0], dataIn: 512)
    let waiting = disk.takeWaiting()
    #expect(function.detach(target: 0))
    #expect(try response(send(driver, [0x28, 0, 0, 0, 0, 3, 0, 0, 1, 0], dataIn: 512)).response == 3)
    #expect(disk.takeWaiting().isEmpty)
    #expect(!function.removeTarget(0))
    function.complete(waiting[0].id, with: disk.perform(waiting[0]))
    #expect(try response(read) == .good)
    #expect(try data(read, 1) == [3])
    function.complete(waiting[2].id, with: .failure)
    #expect(try response(bad).sense == [0x70, 0, 3])
    function.complete(waiting[1].id, with: disk.perform(waiting[1]))
    let flush = disk.takeWaiting()
    #expect(flush.count == 1)
    #expect(!function.removeTarget(0))
    function.complete(try #require(flush.first).id, with: .success)
    #expect(try response(write) == .good)
    #expect(function.removeTarget(0))
    #expect(function.failure == nil)
  }

  /// A driver that resets the device does not hold a target that goes.
  @Test func detachingAcrossAReset() throws {
    let disk = TestDisk(memory: memory, deferred: true)
    let (driver, function) = try makeHotplug([.init(disk: disk)])
    _ = try send(driver, [0])
    _ = try send(driver, [0x28, 0, 0, 0, 0, 3, 0, 0, 1, 0], dataIn: 512)
    #expect(function.detach(target: 0))
    driver.status = 0
    #expect(function.removeTarget(0), "it is in flight for nobody")
    #expect(driver.status == 15)
    function.complete(try #require(disk.takeWaiting().first).id, with: .success)
    #expect(driver.start())
    #expect(try response(send(driver, [0])).response == 3)
    // What happened before it was ready is not news.
    #expect(try event(driver, awaitEvent(driver)) == nil)
  }

  /// An event queue that is broken costs the driver its device; the target is there after a reset.
  @Test func attachingToABrokenDriver() throws {
    let (driver, function) = try makeHotplug()
    try driver.send([.init(address: TestMemory.hole.lowerBound, count: 16, writable: true)], ring: 1)
    #expect(function.attach(disk: TestDisk(memory: memory)) == 0)
    #expect(function.failure != nil)
    #expect(driver.start())
    #expect(try response(send(driver, [0])).sense == [0x70, 0, 6])
    try driver.send([.init(address: TestMemory.hole.lowerBound, count: 16, writable: true)], ring: 1)
    #expect(function.detach(target: 0))
    #expect(function.failure != nil)
    #expect(function.removeTarget(0))
  }

  @Test func malformedRequests() throws {
    let (driver, function) = try make(TestDisk(memory: memory))
    let buffer = driver.allocate(256)
    try driver.send(
      [.init(address: buffer, count: 50), .init(address: buffer + 60, count: 108, writable: true)], ring: 2)
    #expect(function.failure == .malformedRequest("a SCSI request is shorter than its header and command"))
    #expect(driver.start())
    try driver.send(
      [.init(address: buffer, count: 51), .init(address: buffer + 60, count: 107, writable: true)], ring: 2)
    #expect(function.failure == .malformedRequest("a SCSI request has no room for its response"))
    #expect(driver.start())
    driver.bus.writeMemory(0xFFFF_FFFF, at: driver.configuration + 24, width: .doubleWord)
    try driver.send(
      [.init(address: buffer, count: 51), .init(address: buffer + 60, count: 108, writable: true)], ring: 2)
    #expect(function.failure != nil)
    #expect(driver.start())
    #expect(driver.readDevice(24, .doubleWord) == 32)
    try driver.send([.init(address: buffer, count: 24)])
    #expect(function.failure == .malformedRequest("a task management request has no room for its response"))
  }

  /// Smaller commands and sense data, as the configuration lets a driver have them, by the legacy interface.
  @Test func legacyDriverWithShortSense() throws {
    let function = VirtioPCI(Host([.init(disk: TestDisk(memory: memory))]), memory: memory, interrupts: interrupts)
    let driver = VirtioDriver(bus: try makeBus(function), memory: memory)
    try driver.startLegacy()
    driver.writePort(14, 40, .byte)
    driver.writePort(16, 44, .byte)
    #expect(driver.readPort(40, .doubleWord) == 14)
    let request = try driver.allocate([1, 0, 0x40] + [UInt8](repeating: 0, count: 32))
    let answer = try driver.allocate([UInt8](repeating: 0xEE, count: 30))
    try driver.send(
      [.init(address: request, count: 35), .init(address: answer, count: 26, writable: true)], ring: 2)
    #expect(
      try memory.bytes(at: GuestAddress(answer), count: 28)
        == [14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0x70, 0, 6, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x29, 0, 0xEE, 0xEE])
  }

  @Test func fuzz() throws {
    var random = SeededNumbers(51)
    let disk = TestDisk(memory: memory, deferred: true)
    let (first, function) = try make(disk, disc: TestDisk(memory: memory, isReadOnly: true), places: 3)
    var driver = first
    var (served, failed) = (0, 0)
    let commands: [UInt8] = [
      0, 3, 0x12, 0x15, 0x1A, 0x1B, 0x25, 0x28, 0x2A, 0x35, 0x41, 0x42, 0x43, 0x88, 0x8A, 0x9E, 0xA0,
    ]
    for _ in 0..<6_000 {
      if function.failure != nil {
        failed += 1
        driver.status = 0
        for operation in disk.takeWaiting() { function.complete(operation.id, with: disk.perform(operation)) }
        driver = VirtioDriver(bus: driver.bus, memory: memory)
        try #require(driver.start())
      }
      func odd(_ range: ClosedRange<Int>) -> Bool { Int.random(in: range, using: &random) == 0 }
      var header = (0..<51).map { _ in odd(0...3) ? UInt8.random(in: 0...255, using: &random) : UInt8(0) }
      header[0] = odd(0...15) ? header[0] : 1
      header[1] = odd(0...15) ? header[1] : UInt8.random(in: 0..<2, using: &random)
      header[2] = 0
      header[3] = odd(0...15) ? 1 : 0
      header[19] = odd(0...3) ? header[19] : commands.randomElement(using: &random) ?? 0
      for index in 20..<27 where !odd(0...7) { header[index] = 0 }
      try memory.write(header, at: GuestAddress(0xC0000))
      var parts = [
        VirtioDriver.Part(address: 0xC0000, count: odd(0...31) ? UInt32.random(in: 0..<64, using: &random) : 51),
        VirtioDriver.Part(address: 0xC2000, count: UInt32.random(in: 0..<3000, using: &random)),
        VirtioDriver.Part(address: 0xC8000, count: 108, writable: true),
        VirtioDriver.Part(address: 0xCA000, count: UInt32.random(in: 0..<3000, using: &random), writable: true),
      ]
      if odd(0...63) {
        parts[Int.random(in: 0..<4, using: &random)].address = UInt64.random(in: 0...(.max), using: &random)
      }
      if !odd(0...7) { parts.remove(at: Bool.random(using: &random) ? 1 : 3) }
      let ring = odd(0...7) ? Int.random(in: 0..<2, using: &random) : 2
      try driver.send(parts, ring: ring)
      if odd(0...3) {
        for operation in disk.takeWaiting() { function.complete(operation.id, with: disk.perform(operation)) }
      }
      for ring in 0..<3 { while try driver.takeUsed(ring: ring) != nil { served += 1 } }
      if odd(0...200) { function.insert(odd(0...1) ? nil : disk, target: 1) }
      if odd(0...200) { function.resize(target: 0, capacity: 64 * 512) }
      if odd(0...50) {
        _ = odd(0...1) ? function.detach(target: 1) : function.removeTarget(1)
        _ = function.attach(disk: disk)
      }
    }
    #expect(served > 3_000)
    #expect(failed > 100)
  }
}
