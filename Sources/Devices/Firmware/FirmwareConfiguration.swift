internal import Binary
internal import Synchronization

/// The port through which firmware learns about the machine: fw_cfg, by ports and by DMA. QEMU,
/// docs/specs/fw_cfg.rst. Attach it to `FirmwareConfigurationLayout.portCount` ports from 0x510.
///
/// Concurrency model: safe from any thread. `state` is held while files are made and while guest memory is copied;
/// who makes files may not call back into the device.
///
/// A DMA transfer is done when the access that starts it returns. It costs the guest at most what its content has
/// plus 1 MiB of zeros: longer ones fail.
public final class FirmwareConfiguration<Memory: GuestMemory>: BusDevice, Sendable {
  private struct State: Sendable {
    var generated: [Int: [[UInt8]]] = [:]
    /// What is read; empty where nothing has the key.
    var selection: [UInt8] = []
    /// At most as many bytes as the selection has.
    var offset = 0
    /// Upper half of the descriptor's address.
    var addressHigh: UInt32 = 0
  }

  private let state = Mutex(State())
  private let memory: Memory
  private let items: [UInt16: FirmwareItems.Source]
  private let generators: [@Sendable () -> [[UInt8]]]
  private let lengths: [UInt16: Int]

  /// A device that offers `items`, whose DMA goes to `memory`.
  public init(_ items: FirmwareItems, memory: Memory) {
    self.memory = memory
    generators = items.generators
    var table: [UInt16: FirmwareItems.Source] = [:]
    var lengths: [UInt16: Int] = [:]
    for (key, bytes) in items.keyed { table[key] = .bytes(bytes) }
    // The directory: a count, then size, key and name of each file, all big-endian, sorted by name.
    let files = items.files.sorted { $0.name.lexicographicallyPrecedes($1.name) }
    var directory = ByteWriter()
    directory.big(UInt32(files.count))
    for (index, file) in files.enumerated() {
      let key = UInt16(FirmwareItems.firstFile + index)
      table[key] = file.source
      lengths[key] = file.count
      directory.big(UInt32(truncatingIfNeeded: file.count))
      directory.big(key)
      directory.big(0 as UInt16)
      directory.raw(file.name)
      directory.zeros(56 - file.name.count)
    }
    table[FirmwareItems.Key.directory.rawValue] = .bytes(directory.bytes)
    self.items = table
    self.lengths = lengths
  }

  // MARK: Ports

  /// Reads the register at `offset`.
  public func read(at offset: UInt64, width: AccessWidth) -> UInt64 {
    switch (offset, width) {
    case (0...1, .byte):
      return state.withLock { UInt64(nextByte(&$0)) }
    case (FirmwareConfigurationLayout.address...FirmwareConfigurationLayout.address + 7, _)
    where offset &+ width.count <= FirmwareConfigurationLayout.portCount:
      // The signature is a big-endian register.
      let shift = (FirmwareConfigurationLayout.portCount &- offset &- width.count) * 8
      return Self.swap(FirmwareConfigurationLayout.signature >> shift & width.mask, width)
    default:
      return width.mask
    }
  }

  /// Writes the register at `offset`.
  public func write(_ value: UInt64, at offset: UInt64, width: AccessWidth) {
    switch (offset, width) {
    case (0, .word):
      state.withLock { select(UInt16(truncatingIfNeeded: value), &$0) }
    case (FirmwareConfigurationLayout.address, .doubleWord):
      state.withLock { $0.addressHigh = UInt32(truncatingIfNeeded: Self.swap(value, width)) }
    case (FirmwareConfigurationLayout.address + 4, .doubleWord):
      state.withLock { state in
        let address = UInt64(state.addressHigh) << 32 | Self.swap(value, width)
        state.addressHigh = 0
        transfer(GuestAddress(address), &state)
      }
    case (FirmwareConfigurationLayout.address, .quadWord):
      state.withLock { transfer(GuestAddress(value.byteSwapped), &$0) }
    default:
      break  // the data port takes nothing: writes are for DMA
    }
  }

  private static func swap(_ value: UInt64, _ width: AccessWidth) -> UInt64 {
    value.byteSwapped >> (64 &- width.count * 8)
  }

  private func nextByte(_ state: inout State) -> UInt8 {
    guard state.offset < state.selection.count else { return 0 }
    defer { state.offset &+= 1 }
    return state.selection[state.offset]
  }

  /// Bit 14 of a key once asked for writing through the data port, and means nothing now.
  private func select(_ key: UInt16, _ state: inout State) {
    state.offset = 0
    let key = key & ~0x4000
    switch items[key] {
    case .bytes(let bytes):
      state.selection = bytes
    case .generated(let group, let index):
      let files = state.generated[group] ?? generators[group]()
      state.generated[group] = files
      let count = lengths[key] ?? 0
      var bytes = index < files.count ? Array(files[index].prefix(count)) : []
      bytes.append(contentsOf: repeatElement(0, count: count - bytes.count))
      state.selection = bytes
    case nil:
      state.selection = []
    }
  }

  // MARK: DMA

  /// Does what the descriptor at `address` says: control, length (32 bits each), address (64), all big-endian. The
  /// control field tells the end: 0, or the error bit.
  private func transfer(_ address: GuestAddress, _ state: inout State) {
    // Where no descriptor can be read, none can be answered.
    guard let descriptor = try? memory.bytes(at: address, count: 16) else { return }
    let reader = ByteReader(descriptor)
    guard let control = try? reader.big(UInt32.self, at: 0), let length = try? reader.big(UInt32.self, at: 4),
      let target = try? reader.big(UInt64.self, at: 8)
    else { return }
    if control & Control.select != 0 { select(UInt16(truncatingIfNeeded: control >> 16), &state) }
    let count = Int(length)
    let isDone =
      if control & Control.read != 0 {
        read(count, to: target, &state)
      } else if control & Control.write != 0 {
        false  // no item takes anything
      } else if control & Control.skip != 0 {
        skip(count, &state)
      } else {
        true
      }
    try? memory.storeUInt32((isDone ? 0 : Control.error).byteSwapped, at: address)
  }

  private func skip(_ count: Int, _ state: inout State) -> Bool {
    state.offset += min(count, state.selection.count - state.offset)
    return true
  }

  /// Copies content, then zeros.
  private func read(_ count: Int, to target: UInt64, _ state: inout State) -> Bool {
    guard count <= state.selection.count - state.offset + FirmwareConfigurationLayout.zeroLimit else { return false }
    var done = 0
    while done < count {
      let piece: [UInt8]
      if state.offset < state.selection.count {
        let length = min(count - done, state.selection.count - state.offset, FirmwareConfigurationLayout.piece)
        piece = Array(state.selection[state.offset..<(state.offset + length)])
        state.offset += length
      } else {
        piece = [UInt8](repeating: 0, count: min(count - done, FirmwareConfigurationLayout.piece))
      }
      guard let to = GuestAddress(target).advanced(by: UInt64(done)), (try? memory.write(piece, at: to)) != nil else {
        return false
      }
      done += piece.count
    }
    return true
  }
}

/// Bits of a descriptor's control field; the upper half is the key to select.
private enum Control {
  static let error: UInt32 = 1 << 0
  static let read: UInt32 = 1 << 1
  static let skip: UInt32 = 1 << 2
  static let select: UInt32 = 1 << 3
  static let write: UInt32 = 1 << 4
}

/// The ports of fw_cfg on a PC.
public enum FirmwareConfigurationLayout {
  /// Selector and data (a byte at offset 1); DMA address from offset 4.
  public static let base: UInt64 = 0x510
  /// Ports in all.
  public static let portCount: UInt64 = 12

  static let address: UInt64 = 4
  /// "QEMU CFG": what the DMA address reads as.
  static let signature: UInt64 = 0x5145_4D55_2043_4647
  /// Bytes copied at a time.
  static let piece = 64 << 10
  /// Zeros that a transfer may ask for behind the end of its item.
  static let zeroLimit = 1 << 20
}
