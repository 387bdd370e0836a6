import Synchronization
import Testing

@testable import Devices

/// A port that keeps what is sent and has what the test puts there.
final class TestPort: NetworkBackend {
  let memory: TestMemory
  let offloads: NetworkOffloads = [.checksum, .tcp4]
  /// Lengths of the header that it can do.
  let headers: Set<Int>
  private let state = Mutex((sent: [[UInt8]](), waiting: [[UInt8]](), accepted: NetworkOffloads(), header: 12))

  init(memory: TestMemory, headers: Set<Int> = [10, 12]) {
    self.memory = memory
    self.headers = headers
  }

  func setHeaderCount(_ count: Int) -> Bool {
    guard headers.contains(count) else { return false }
    state.withLock { $0.header = count }
    return true
  }

  func setOffloads(_ offloads: NetworkOffloads) { state.withLock { $0.accepted = offloads } }

  func transmit(_ segments: [GuestSegment]) {
    var frame: [UInt8] = []
    for segment in segments { frame += (try? memory.bytes(at: segment.address, count: segment.count)) ?? [] }
    state.withLock { $0.sent.append(frame) }
  }

  func receive(into segments: [GuestSegment], rest: inout [UInt8]) -> Int? {
    let next: [UInt8]? = state.withLock { $0.waiting.isEmpty ? nil : $0.waiting.removeFirst() }
    guard let next, let count = try? DescriptorChain.copy(next.span, to: segments, at: 0, memory) else { return nil }
    let more = next.dropFirst(count).prefix(rest.count)
    rest.replaceSubrange(0..<more.count, with: more)
    return count + more.count
  }

  func offer(_ frame: [UInt8]) { state.withLock { $0.waiting.append(frame) } }
  var header: Int { state.withLock { $0.header } }
  var sent: [[UInt8]] { state.withLock { $0.sent } }
  var accepted: NetworkOffloads { state.withLock { $0.accepted } }
}

@Suite struct VirtioNetworkTests {
  private let memory = TestMemory()
  private let port: TestPort
  private let function: VirtioPCI<VirtioNetwork<TestMemory, TestPort>, TestInterrupts>
  private let driver: VirtioDriver

  init() throws {
    port = TestPort(memory: memory)
    function = VirtioPCI(
      VirtioNetwork(port, mac: [0x52, 0x54, 0, 1, 2, 3]), memory: memory, interrupts: TestInterrupts())
    driver = VirtioDriver(bus: try makeBus(function), memory: memory)
    try #require(driver.start())
  }

  @Test func configurationAndFeatures() {
    #expect((0..<6).map { driver.readDevice($0, .byte) } == [0x52, 0x54, 0, 1, 2, 3])
    #expect(driver.readDevice(6, .word) == 1)
    #expect(
      driver.deviceFeatures & 0xFFFF_FFFF == 1 | 2 | 1 << 5 | 1 << 7 | 1 << 11 | 1 << 15 | 1 << 16 | 1 << 28 | 1 << 29)
    #expect(port.accepted == [.checksum, .tcp4])
    // Whoever comes next may know nothing of segments.
    driver.status = 0
    #expect(driver.status == 0 && port.accepted == [])
  }

  @Test func transmit() throws {
    let header = driver.allocate(12)
    let frame = try driver.allocate([1, 2, 3, 4])
    try driver.send([.init(address: header, count: 12), .init(address: frame, count: 4)], ring: 1)
    #expect(port.sent == [[UInt8](repeating: 0, count: 12) + [1, 2, 3, 4]])
    #expect(try driver.takeUsed(ring: 1)?.written == 0)
    // A header and nothing behind it is dropped, not an error.
    try driver.send([.init(address: header, count: 12)], ring: 1)
    #expect(port.sent.count == 1)
    #expect(function.failure == nil)
  }

  @Test func receive() throws {
    let buffer = driver.allocate(1526)
    port.offer([UInt8](repeating: 0, count: 10) + [9, 9] + [7, 8])
    #expect(function.receiveFrames() == false)  // no buffer yet
    try driver.send([
      .init(address: buffer, count: 11, writable: true), .init(address: buffer + 11, count: 1515, writable: true),
    ])
    #expect(try driver.takeUsed()?.written == 14)
    // num_buffers, across two descriptors.
    #expect(try memory.bytes(at: GuestAddress(buffer + 10), count: 4) == [1, 0, 7, 8])
    try driver.send([.init(address: buffer, count: 1526, writable: true)])
    #expect(try driver.takeUsed() == nil)
    #expect(function.receiveFrames() == true)
    port.offer([UInt8](repeating: 0, count: 60))
    #expect(function.receiveFrames() == false)
    #expect(try driver.takeUsed()?.written == 60)
  }

  /// A buffer of 40 bytes for received frames.
  private func buffer(_ count: Int = 40) throws -> UInt64 {
    let address = driver.allocate(count)
    try driver.send([.init(address: address, count: UInt32(count), writable: true)])
    return address
  }

  @Test func aLongFrameGoesOnInTheBuffersThatFollow() throws {
    let frame = (0..<100).map { UInt8($0) }
    port.offer(frame)
    // Too few: nothing is used, and the frame waits.
    let first = try buffer()
    #expect(try driver.takeUsed() == nil)
    #expect(function.receiveFrames() == false)
    let second = try buffer()
    #expect(try driver.takeUsed() == nil)
    // Now it is delivered, in as many as it takes, and the next one comes behind it.
    port.offer([UInt8](repeating: 9, count: 14))
    let third = try buffer()
    #expect(try (0..<3).map { _ in try driver.takeUsed()?.written } == [40, 40, 20])
    #expect(try driver.takeUsed() == nil)
    var received: [UInt8] = []
    for (address, count) in [(first, 40), (second, 40), (third, 20)] {
      received += try memory.bytes(at: GuestAddress(address), count: count)
    }
    #expect(received[10..<12] == [3, 0], "num_buffers")
    #expect(received[..<10] == frame[..<10] && received[12...] == frame[12...])
    let fourth = try buffer()
    #expect(try driver.takeUsed()?.written == 14)
    #expect(try memory.bytes(at: GuestAddress(fourth + 10), count: 4) == [1, 0, 9, 9])
    #expect(function.failure == nil)
  }

  @Test func aFrameForWhichARingIsTooSmallIsLost() throws {
    let small = VirtioDriver(bus: try makeBus(function), memory: memory)
    try #require(small.start(queueSize: 2))
    port.offer([UInt8](repeating: 1, count: 100))
    for _ in 0..<2 { try small.send([.init(address: small.allocate(40), count: 40, writable: true)]) }
    #expect(try small.takeUsed() == nil)
    port.offer([UInt8](repeating: 2, count: 70))
    #expect(function.receiveFrames() == false)
    #expect(try (0..<2).map { _ in try small.takeUsed()?.written } == [40, 30])
    #expect(function.failure == nil)
  }

  @Test func withoutMergingWhatDoesNotFitIsCut() throws {
    let plain = VirtioDriver(bus: try makeBus(function), memory: memory)
    try #require(plain.start(features: plain.deviceFeatures & ~(1 << 15)))
    port.offer([UInt8](repeating: 1, count: 100))
    for _ in 0..<2 { try plain.send([.init(address: plain.allocate(40), count: 40, writable: true)]) }
    #expect(try plain.takeUsed()?.written == 40)
    #expect(try plain.takeUsed() == nil)
  }

  @Test func linkStatus() {
    let generation = driver.read(21, .byte)
    #expect(!function.changeConfiguration { _ in false })
    #expect(driver.read(21, .byte) == generation)
    function.changeConfiguration { device in
      device.isLinkUp = false
      return true
    }
    #expect(driver.readDevice(6, .word) == 0)
    #expect(driver.read(21, .byte) == generation + 1)
    #expect(driver.readISR() & 2 != 0)
  }

  @Test func shortReceiveBuffer() throws {
    port.offer([UInt8](repeating: 0, count: 60))
    try driver.send([.init(address: driver.allocate(11), count: 11, writable: true)])
    #expect(function.failure == .malformedRequest("a receive buffer is shorter than the network header"))
    #expect(function.receiveFrames() == false)
  }
}

@Suite struct VirtioConsoleTests {
  private let memory = TestMemory()
  private let sink = TestSink()
  private let function: VirtioPCI<VirtioConsole<TestMemory, TestSink>, TestInterrupts>
  private let driver: VirtioDriver

  init() throws {
    function = VirtioPCI(VirtioConsole(sink), memory: memory, interrupts: TestInterrupts())
    driver = VirtioDriver(bus: try makeBus(function), memory: memory)
    try #require(driver.start())
  }

  @Test func output() throws {
    let text = [UInt8](repeating: 0x61, count: 9000)
    let buffer = try driver.allocate(text)
    try driver.send([.init(address: buffer, count: 9000)], ring: 1)
    #expect(sink.bytes == text)
    #expect(try driver.takeUsed(ring: 1)?.written == 0)
  }

  @Test func input() throws {
    #expect(function.receive(Array("hello".utf8)) == 5)
    let first = driver.allocate(3)
    try driver.send([.init(address: first, count: 3, writable: true)])
    #expect(try driver.takeUsed()?.written == 3)
    #expect(try memory.bytes(at: GuestAddress(first), count: 3) == Array("hel".utf8))
    try driver.send([.init(address: first, count: 3, writable: true)])
    #expect(try driver.takeUsed()?.written == 2)
    // A guest that does not read holds 64 KiB and no more.
    #expect(function.receive([UInt8](repeating: 1, count: 70_000)) == 65_536)
    #expect(function.receive([1]) == 0)
    driver.status = 0
    #expect(function.receive([1]) == 0)
  }

  @Test func emergencyWriteAndSize() throws {
    driver.status = 0
    driver.bus.writeMemory(0x21, at: driver.configuration + 8, width: .doubleWord)
    #expect(sink.text == "!")
    function.changeConfiguration { device in
      device.resize(columns: 132, rows: 50)
      return true
    }
    #expect(driver.readDevice(0, .doubleWord) == 132 | 50 << 16)
  }
}
