import Devices
import Synchronization

/// A wire in two lists.
final class TestFrames: FrameBackend {
  private let state = Mutex((sent: [[UInt8]](), waiting: [[UInt8]]()))

  func transmit(_ frame: Span<UInt8>) {
    var copy: [UInt8] = []
    for index in frame.indices { copy.append(frame[index]) }
    state.withLock { $0.sent.append(copy) }
  }

  func receive(into destination: inout MutableSpan<UInt8>) -> Int? {
    guard let frame = state.withLock({ $0.waiting.isEmpty ? nil : $0.waiting.removeFirst() }) else { return nil }
    for index in 0..<min(frame.count, destination.count) { destination[index] = frame[index] }
    return frame.count
  }

  func offer(_ frame: [UInt8]) {
    state.withLock { $0.waiting.append(frame) }
  }

  /// What was sent since this was last asked.
  func takeSent() -> [[UInt8]] {
    state.withLock { state in
      defer { state.sent = [] }
      return state.sent
    }
  }
}

/// What a guest does with an 82540EM: registers through the PCI bus, rings in guest memory.
final class E1000Driver {
  typealias Function = E1000<TestMemory, TestFrames, TestLine>

  /// Register offsets as the manual has them, for the test to have its own.
  enum Register {
    static let control: UInt64 = 0x0000
    static let status: UInt64 = 0x0008
    static let eepromControl: UInt64 = 0x0010
    static let eepromRead: UInt64 = 0x0014
    static let mediaInterface: UInt64 = 0x0020
    static let cause: UInt64 = 0x00C0
    static let causeSet: UInt64 = 0x00C8
    static let maskSet: UInt64 = 0x00D0
    static let maskClear: UInt64 = 0x00D8
    static let receiveControl: UInt64 = 0x0100
    static let transmitControl: UInt64 = 0x0400
    static let receiveRing: UInt64 = 0x2800
    static let transmitRing: UInt64 = 0x3800
    static let receiveTail: UInt64 = 0x2818
    static let transmitTail: UInt64 = 0x3818
    static let multicastTable: UInt64 = 0x5200
    static let receiveAddress: UInt64 = 0x5400
  }

  static let mac: [UInt8] = [0x52, 0x54, 0x00, 0x12, 0x34, 0x56]

  let memory = TestMemory()
  let frames = TestFrames()
  let line = TestLine()
  let rooms = TestLine()
  let function: Function
  let bus: PCIBus
  private(set) var base: UInt64 = 0
  private(set) var ports: UInt64 = 0
  var transmitCount: UInt32 = 8
  var receiveCount: UInt32 = 8
  var receiveBufferStride: UInt64 = 2048
  private(set) var transmitTail: UInt32 = 0
  private(set) var receiveHead: UInt32 = 0
  private(set) var receiveTail: UInt32 = 0

  static let transmitRing: UInt64 = 0x1000
  static let receiveRing: UInt64 = 0x2000
  static let transmitBuffer: UInt64 = 0x20000
  static let receiveBuffer: UInt64 = 0x60000

  init() throws {
    let rooms = rooms
    function = E1000(memory: memory, frames: frames, mac: Self.mac, interrupt: line) { rooms.set(true) }
    bus = try makeBus(function)
    for window in function.windows {
      if window.isIO { ports = window.base } else { base = window.base }
    }
  }

  func read(_ register: UInt64) -> UInt32 {
    UInt32(truncatingIfNeeded: bus.readMemory(at: base + register, width: .doubleWord) ?? 0)
  }

  func write(_ value: UInt32, _ register: UInt64) {
    bus.writeMemory(UInt64(value), at: base + register, width: .doubleWord)
  }

  // MARK: Transmit

  func startTransmit() {
    write(UInt32(Self.transmitRing), Register.transmitRing)
    write(0, Register.transmitRing + 4)
    write(transmitCount * 16, Register.transmitRing + 8)
    write(0, Register.transmitRing + 0x10)
    write(0, Register.transmitTail)
    transmitTail = 0
    write(0x0004_010A, Register.transmitControl)  // enable, pad
  }

  /// Puts a descriptor into the ring, without telling.
  func queue(_ low: UInt64, _ high: UInt64) throws {
    let address = Self.transmitRing + 16 * UInt64(transmitTail)
    try memory.storeUInt64(low, at: GuestAddress(address))
    try memory.storeUInt64(high, at: GuestAddress(address + 8))
    transmitTail = (transmitTail + 1) % transmitCount
  }

  /// A legacy descriptor over `bytes`, which are put at `offset` of the transmit buffer.
  func queue(_ bytes: [UInt8], at offset: UInt64 = 0, command: UInt64 = 0x09, extra: UInt64 = 0) throws {
    try memory.write(bytes, at: GuestAddress(Self.transmitBuffer + offset))
    try queue(Self.transmitBuffer + offset, UInt64(bytes.count) | command << 24 | extra)
  }

  func kick() { write(transmitTail, Register.transmitTail) }

  /// Status byte of the descriptor at `index`.
  func transmitStatus(_ index: UInt64) throws -> UInt8 {
    UInt8(truncatingIfNeeded: try memory.loadUInt32(at: GuestAddress(Self.transmitRing + 16 * index + 12)))
  }

  // MARK: Receive

  /// Sets the ring up with all but one descriptor for the adapter.
  func startReceive(control: UInt32 = 0x0400_8002, available: UInt32? = nil) throws {
    for index in 0..<UInt64(receiveCount) {
      try memory.storeUInt64(
        Self.receiveBuffer + index * receiveBufferStride, at: GuestAddress(Self.receiveRing + 16 * index))
      try memory.storeUInt64(0, at: GuestAddress(Self.receiveRing + 16 * index + 8))
    }
    write(UInt32(Self.receiveRing), Register.receiveRing)
    write(0, Register.receiveRing + 4)
    write(receiveCount * 16, Register.receiveRing + 8)
    write(0, Register.receiveRing + 0x10)
    receiveHead = 0
    receiveTail = available ?? receiveCount - 1
    write(receiveTail, Register.receiveTail)
    write(control, Register.receiveControl)
  }

  /// The next descriptor that is done, with its bytes; it goes back to the adapter.
  func takeReceived() throws -> (bytes: [UInt8], status: UInt8)? {
    let address = Self.receiveRing + 16 * UInt64(receiveHead)
    let fields = try memory.loadUInt64(at: GuestAddress(address + 8))
    guard fields >> 32 & 1 != 0 else { return nil }
    let buffer = try memory.loadUInt64(at: GuestAddress(address))
    let bytes = try memory.bytes(at: GuestAddress(buffer), count: Int(fields & 0xFFFF))
    try memory.storeUInt64(0, at: GuestAddress(address + 8))
    receiveHead = (receiveHead + 1) % receiveCount
    receiveTail = (receiveTail + 1) % receiveCount
    write(receiveTail, Register.receiveTail)
    return (bytes, UInt8(truncatingIfNeeded: fields >> 32))
  }
}
