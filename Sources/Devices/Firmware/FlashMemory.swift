internal import Synchronization

/// What a flash chip keeps. Called with the chip's lock held, on the thread of a vCPU; ranges lie within `count`.
public protocol FlashStore: Sendable {
  /// Size in bytes.
  var count: Int { get }
  /// Whether programming and erasing are refused.
  var isReadOnly: Bool { get }
  /// The `count` bytes at `offset`.
  func read(at offset: Int, count: Int) -> [UInt8]
  /// Replaces the bytes at `offset`; false when the medium failed.
  func write(_ bytes: [UInt8], at offset: Int) -> Bool
  /// Makes what was written durable; false when the medium failed.
  func flush() -> Bool
}

/// A parallel NOR flash with Intel's command set (Intel 28F640J5 data sheet, 290606, "Command Definitions"; JEDEC
/// JESD68.01 for the CFI query), eight bits wide: what OVMF keeps its variables in. It differs from the chip where the
/// emulated one does for which OVMF is made (QEMU, hw/block/pflash_cfi01.c): the ready bit is clear after Clear
/// Status, which also ends in array mode, and programming may turn a 0 into a 1.
///
/// While `isArrayMode` holds, reads show the content and may be served from memory; every write must reach the chip.
///
/// Concurrency model: safe from any thread. The store and `modeChanged` are called with the lock held, so that
/// changes arrive in order; they must not call back.
public final class FlashMemory<Store: FlashStore>: BusDevice, Sendable {
  private enum Mode: Sendable {
    case array
    case status
    case identity
    case query
  }

  private enum Pending: Sendable {
    case none
    case program
    case erase
    case lock
    /// The next value is the number of bytes less one.
    case bufferCount
    case bufferData(remaining: Int)
    case bufferConfirm
  }

  private struct State: Sendable {
    var mode = Mode.array
    var pending = Pending.none
    var status = Status.ready
    /// Bytes of a buffered write, from `bufferBase` on; a byte that was not given is not programmed.
    var buffer: [UInt8?] = []
    var bufferBase = 0
    var isDirty = false
  }

  /// Bytes that a buffered write may have, as many as its count can say. The CFI table says so.
  static var bufferCount: Int { 256 }

  private let store: Store
  private let sectorCount: Int
  private let table: [UInt8]
  private let state = Mutex(State())
  private let modeChanged: @Sendable (_ isArrayMode: Bool) -> Void

  /// A chip that holds `store`.
  ///
  /// - Parameters:
  ///   - sectorCount: bytes that are erased at a time: a power of two that divides the size.
  ///   - modeChanged: told when reads begin or cease to show the content: the place to map it into the guest.
  public init(
    _ store: Store, sectorCount: Int = 4096, modeChanged: @escaping @Sendable (_ isArrayMode: Bool) -> Void = { _ in }
  ) {
    precondition(sectorCount > 0 && sectorCount & (sectorCount - 1) == 0, "sector size is no power of two")
    self.store = store
    self.sectorCount = sectorCount
    self.modeChanged = modeChanged
    table = Self.query(count: store.count, sectorCount: sectorCount)
  }

  /// Whether reads show the content.
  public var isArrayMode: Bool {
    state.withLock { $0.mode == .array }
  }

  /// Reads at `offset` of the chip.
  public func read(at offset: UInt64, width: AccessWidth) -> UInt64 {
    state.withLock { state in
      switch state.mode {
      case .array:
        guard let offset = Int(exactly: offset), offset <= store.count, width.rawValue <= store.count - offset else {
          return width.mask
        }
        return store.read(at: offset, count: width.rawValue).reversed().reduce(0) { $0 << 8 | UInt64($1) }
      case .status: return Self.fill(width) { _ in state.status }
      case .identity:
        return Self.fill(width) { index in
          // Manufacturer Intel, device 28F640J5.
          switch (offset &+ index) & 0xFF {
          case 0: 0x89
          case 1: 0x15
          default: 0
          }
        }
      case .query:
        return Self.fill(width) { index in
          Int(exactly: offset &+ index).flatMap { $0 < table.count ? table[$0] : nil } ?? 0
        }
      }
    }
  }

  private static func fill(_ width: AccessWidth, _ byte: (UInt64) -> UInt8) -> UInt64 {
    var value: UInt64 = 0
    for index in 0..<width.count { value |= UInt64(byte(index)) << (8 * index) }
    return value
  }

  /// Writes at `offset` of the chip: a command, or what one waits for.
  public func write(_ value: UInt64, at offset: UInt64, width: AccessWidth) {
    guard let offset = Int(exactly: offset), offset <= store.count, width.rawValue <= store.count - offset else {
      return
    }
    let command = UInt8(truncatingIfNeeded: value)
    state.withLock { state in
      let pending = state.pending
      state.pending = .none
      switch pending {
      case .none: begin(command, at: offset, &state)
      case .program:
        let bytes = (0..<width.rawValue).map { UInt8(truncatingIfNeeded: value >> UInt64(8 * $0)) }
        program(bytes, at: offset, &state)
      case .erase:
        if command == 0xD0 { erase(at: offset, &state) } else { refuse(command, &state) }
      case .lock:
        // There are no lock bits: locking and unlocking succeed.
        if command == 0xD0 || command == 0x01 { state.status |= Status.ready } else { refuse(command, &state) }
      case .bufferCount:
        state.bufferBase = offset & ~(Self.bufferCount - 1)
        state.buffer = []
        state.pending = .bufferData(remaining: Int(command) + 1)
      case .bufferData(let remaining):
        let at = offset - state.bufferBase
        guard at >= 0, at + width.rawValue <= Self.bufferCount else {
          state.status |= Status.programError | Status.ready
          return
        }
        while state.buffer.count < at + width.rawValue { state.buffer.append(nil) }
        for index in 0..<width.rawValue {
          state.buffer[at + index] = UInt8(truncatingIfNeeded: value >> UInt64(8 * index))
        }
        let rest = remaining - width.rawValue
        state.pending = rest > 0 ? .bufferData(remaining: rest) : .bufferConfirm
      case .bufferConfirm:
        if command == 0xD0 { programBuffer(&state) } else { refuse(command, &state) }
      }
    }
  }

  private func begin(_ command: UInt8, at offset: Int, _ state: inout State) {
    switch command {
    case 0x10, 0x40:
      show(.status, &state)
      state.pending = .program
    case 0x20:
      show(.status, &state)
      state.pending = .erase
    case 0x60:
      show(.status, &state)
      state.pending = .lock
    case 0xE8:
      show(.status, &state)
      state.status |= Status.ready  // the buffer is free
      state.pending = .bufferCount
    case 0x50:
      state.status = 0
      showArray(&state)
    case 0x70: show(.status, &state)
    case 0x90: show(.identity, &state)
    case 0x98: show(.query, &state)
    default: showArray(&state)  // 0xFF, and what is no command
    }
  }

  /// The second cycle of a command was not the one that belongs there.
  private func refuse(_ command: UInt8, _ state: inout State) {
    if command == 0xFF { return showArray(&state) }
    state.status |= Status.programError | Status.eraseError | Status.ready
  }

  private func program(_ bytes: [UInt8], at offset: Int, _ state: inout State) {
    state.status |= Status.ready
    if store.isReadOnly || !store.write(bytes, at: offset) {
      state.status |= Status.programError
    } else {
      state.isDirty = true
    }
  }

  private func programBuffer(_ state: inout State) {
    var run: [UInt8] = []
    for index in 0...state.buffer.count {
      if index < state.buffer.count, let byte = state.buffer[index] {
        run.append(byte)
      } else if !run.isEmpty {
        program(run, at: state.bufferBase + index - run.count, &state)
        run = []
      }
    }
    state.buffer = []
  }

  private func erase(at offset: Int, _ state: inout State) {
    let start = offset & ~(sectorCount - 1)
    let blank = [UInt8](repeating: 0xFF, count: min(sectorCount, store.count - start))
    state.status |= Status.ready
    if store.isReadOnly || !store.write(blank, at: start) {
      state.status |= Status.eraseError
    } else {
      state.isDirty = true
    }
  }

  private func showArray(_ state: inout State) {
    state.pending = .none
    state.buffer = []
    if state.isDirty {
      state.isDirty = false
      if !store.flush() { state.status |= Status.programError }
    }
    show(.array, &state)
  }

  private func show(_ mode: Mode, _ state: inout State) {
    let before = state.mode
    state.mode = mode
    if (before == .array) != (mode == .array) { modeChanged(mode == .array) }
  }

  /// The CFI query table (JESD68.01, 2.4; Intel AP-646): identification, timing, geometry, one erase region.
  private static func query(count: Int, sectorCount: Int) -> [UInt8] {
    var table = [UInt8](repeating: 0, count: 0x52)
    func put(_ bytes: [UInt8], at offset: Int) {
      for (index, byte) in bytes.enumerated() { table[offset + index] = byte }
    }
    put(Array("QRY".utf8), at: 0x10)
    put([0x01, 0x00, 0x31, 0x00], at: 0x13)  // Intel's extended command set; its own table at 0x31
    // 4.5 to 5.5 V; typical and maximum times as powers of two.
    put([0x45, 0x55, 0x00, 0x00, 0x07, 0x07, 0x0A, 0x00, 0x04, 0x04, 0x04, 0x00], at: 0x1B)
    // The size is 2 to this.
    table[0x27] = UInt8(truncatingIfNeeded: count.bitWidth - max(1, count - 1).leadingZeroBitCount)
    put([0x00, 0x00], at: 0x28)  // x8 only
    put([UInt8(truncatingIfNeeded: bufferCount.trailingZeroBitCount), 0x00], at: 0x2A)
    table[0x2C] = 1
    let blocks = max(1, count / sectorCount) - 1
    put([UInt8(truncatingIfNeeded: blocks), UInt8(truncatingIfNeeded: blocks >> 8)], at: 0x2D)
    put([UInt8(truncatingIfNeeded: sectorCount >> 8), UInt8(truncatingIfNeeded: sectorCount >> 16)], at: 0x2F)
    put(Array("PRI10".utf8), at: 0x31)
    return table
  }
}

/// Bits of the status register.
private enum Status {
  static let programError: UInt8 = 0x10
  static let eraseError: UInt8 = 0x20
  static let ready: UInt8 = 0x80
}
