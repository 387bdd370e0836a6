/// The MSI-X table and pending bits of a function (PCI 3.0, 6.8.2). Guarded by its function's lock.
struct MSIX: Sendable {
  private struct Entry: Sendable {
    var address: UInt64 = 0
    var data: UInt32 = 0
    var isMasked = true
  }

  /// Bits of Message Control that software writes.
  static let enableBit: UInt16 = 1 << 15
  static let functionMaskBit: UInt16 = 1 << 14
  static let capabilityID: UInt8 = 0x11
  static let entryCount: UInt64 = 16  // bytes

  private var entries: [Entry]
  private var pending: [UInt64]
  private(set) var isEnabled = false
  private var isFunctionMasked = false

  init(vectors: Int) {
    entries = Array(repeating: Entry(), count: vectors)
    pending = Array(repeating: 0, count: (vectors + 63) / 64)
  }

  var vectors: Int { entries.count }

  /// The message of an unmasked vector.
  private func route(_ vector: Int) -> InterruptMessage? {
    guard isEnabled, !isFunctionMasked, !entries[vector].isMasked else { return nil }
    return InterruptMessage(address: entries[vector].address, data: entries[vector].data)
  }

  /// Whether `vector` is there and delivers what is signalled.
  func isOpen(_ vector: UInt16) -> Bool { Int(vector) < entries.count && route(Int(vector)) != nil }

  /// Software wrote Message Control.
  mutating func setControl(_ control: UInt16, _ interrupts: some PCIInterrupts) {
    let before = self
    isEnabled = control & Self.enableBit != 0
    isFunctionMasked = control & Self.functionMaskBit != 0
    for vector in entries.indices { settle(vector, before.route(vector), interrupts) }
  }

  /// Interrupts on vector `vector`, or remembers it while it is masked.
  mutating func signal(_ vector: Int, _ interrupts: some PCIInterrupts) {
    guard isEnabled, vector < entries.count else { return }
    if let message = route(vector) {
      interrupts.signal(vector: vector, message: message)
    } else {
      pending[vector / 64] |= 1 << UInt64(vector % 64)
    }
  }

  mutating func reset(_ interrupts: some PCIInterrupts) {
    let before = self
    self = MSIX(vectors: entries.count)
    for vector in entries.indices { settle(vector, before.route(vector), interrupts) }
  }

  /// Tells the monitor of a changed route and delivers what waited for it.
  private mutating func settle(_ vector: Int, _ before: InterruptMessage?, _ interrupts: some PCIInterrupts) {
    let now = route(vector)
    if now != before { interrupts.routeChanged(vector: vector, to: now) }
    let bit: UInt64 = 1 << UInt64(vector % 64)
    if let now, pending[vector / 64] & bit != 0 {
      pending[vector / 64] &= ~bit
      interrupts.signal(vector: vector, message: now)
    }
  }

  // MARK: The table in memory; offsets and values are the guest's

  func readTable(at offset: UInt64, width: AccessWidth) -> UInt64 {
    switch width {
    case .byte, .word:
      let word = readTable(at: offset & ~3, width: .doubleWord)
      return word >> ((offset & 3) &* 8) & width.mask
    case .doubleWord:
      guard offset & 3 == 0, offset / Self.entryCount < UInt64(entries.count) else { return 0 }
      let entry = entries[Int(offset / Self.entryCount)]
      switch offset % Self.entryCount {
      case 0: return entry.address & 0xFFFF_FFFF
      case 4: return entry.address >> 32
      case 8: return UInt64(entry.data)
      default: return entry.isMasked ? 1 : 0
      }
    case .quadWord:
      guard offset & 7 == 0 else { return 0 }
      return readTable(at: offset, width: .doubleWord) | readTable(at: offset + 4, width: .doubleWord) << 32
    }
  }

  /// Software shall write whole double or quad words (6.8.2); anything else is dropped.
  mutating func writeTable(_ value: UInt64, at offset: UInt64, width: AccessWidth, _ interrupts: some PCIInterrupts) {
    if width == .quadWord, offset & 7 == 0 {
      writeTable(value & 0xFFFF_FFFF, at: offset, width: .doubleWord, interrupts)
      writeTable(value >> 32, at: offset + 4, width: .doubleWord, interrupts)
      return
    }
    guard width == .doubleWord, offset & 3 == 0, offset / Self.entryCount < UInt64(entries.count) else { return }
    let vector = Int(offset / Self.entryCount)
    let before = route(vector)
    switch offset % Self.entryCount {
    case 0: entries[vector].address = entries[vector].address & ~0xFFFF_FFFF | value & 0xFFFF_FFFC
    case 4: entries[vector].address = entries[vector].address & 0xFFFF_FFFF | value << 32
    case 8: entries[vector].data = UInt32(truncatingIfNeeded: value)
    default: entries[vector].isMasked = value & 1 != 0
    }
    settle(vector, before, interrupts)
  }

  func readPending(at offset: UInt64, width: AccessWidth) -> UInt64 {
    guard offset / 8 < UInt64(pending.count), offset % 8 + width.count <= 8 else { return 0 }
    return pending[Int(offset / 8)] >> (offset % 8 * 8) & width.mask
  }
}
