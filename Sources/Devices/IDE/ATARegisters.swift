/// A register of the command block that is two bytes deep: a write moves what was there into the previous content,
/// which 48-bit commands use as the upper half (ATA/ATAPI-6, 6.20).
struct ATARegister: Sendable {
  /// What was written last.
  var current: UInt8 = 0
  /// What was written before that.
  var previous: UInt8 = 0

  /// The host writes `value`.
  mutating func push(_ value: UInt8) {
    previous = current
    current = value
  }

  /// Both halves.
  var wide: UInt16 { UInt16(previous) << 8 | UInt16(current) }

  /// Sets what the host reads without HOB; with it, 0.
  mutating func set(_ value: UInt8) {
    current = value
    previous = 0
  }
}

/// How a command names its first sector.
enum ATAAddressing: Sendable {
  /// Cylinder, head and sector, translated by the geometry that is set.
  case chs
  case lba28
  case lba48
}

/// The command block of one drive (ATA/ATAPI-6, 7.3 to 7.15).
struct ATARegisters: Sendable {
  /// Status register bits (7.15).
  enum Status {
    static let error: UInt8 = 0x01
    static let dataRequest: UInt8 = 0x08
    static let seekComplete: UInt8 = 0x10
    static let deviceFault: UInt8 = 0x20
    static let ready: UInt8 = 0x40
    static let busy: UInt8 = 0x80
    /// Ready for a command.
    static let idle = ready | seekComplete
  }

  /// Error register bits (7.9).
  enum Failure {
    static let aborted: UInt8 = 0x04
    static let idNotFound: UInt8 = 0x10
    static let uncorrectable: UInt8 = 0x40
  }

  /// Device register: selects LBA (7.7).
  static let lbaBit: UInt8 = 0x40
  /// Device register: selects device 1.
  static let deviceBit: UInt8 = 0x10

  var features = ATARegister()
  var count = ATARegister()
  var low = ATARegister()
  var middle = ATARegister()
  var high = ATARegister()
  var device: UInt8 = 0
  var error: UInt8 = 0
  var status: UInt8 = 0

  /// What says which kind of device this is (9.12).
  mutating func setSignature(isPacketDevice: Bool) {
    count.set(1)
    low.set(1)
    middle.set(isPacketDevice ? 0x14 : 0)
    high.set(isPacketDevice ? 0xEB : 0)
  }

  /// The host writes register `index`, 1 to 6, of the command block.
  mutating func write(_ value: UInt8, at index: Int) {
    switch index {
    case 1: features.push(value)
    case 2: count.push(value)
    case 3: low.push(value)
    case 4: middle.push(value)
    case 5: high.push(value)
    case 6: device = value
    default: break
    }
  }

  /// What the host reads in register `index`, 1 to 7; `previous` is HOB of the device control register.
  func read(at index: Int, previous: Bool) -> UInt8 {
    switch index {
    case 1: error
    case 2: previous ? count.previous : count.current
    case 3: previous ? low.previous : low.current
    case 4: previous ? middle.previous : middle.current
    case 5: previous ? high.previous : high.current
    case 6: device
    default: status
    }
  }

  /// The 28 bits of an address.
  var address28: UInt64 {
    UInt64(device & 0x0F) << 24 | UInt64(high.current) << 16 | UInt64(middle.current) << 8 | UInt64(low.current)
  }

  /// The 48 bits of an address.
  var address48: UInt64 {
    UInt64(high.previous) << 40 | UInt64(middle.previous) << 32 | UInt64(low.previous) << 24
      | UInt64(high.current) << 16 | UInt64(middle.current) << 8 | UInt64(low.current)
  }

  /// How many sectors the command is for; 0 stands for one more than fits.
  func sectorCount(isExtended: Bool) -> UInt64 {
    if isExtended { return count.wide == 0 ? 65_536 : UInt64(count.wide) }
    return count.current == 0 ? 256 : UInt64(count.current)
  }

  /// Shows the sector `address`, of 28 or 48 bits.
  mutating func setAddress(_ address: UInt64, isExtended: Bool) {
    low.set(UInt8(truncatingIfNeeded: address))
    middle.set(UInt8(truncatingIfNeeded: address >> 8))
    high.set(UInt8(truncatingIfNeeded: address >> 16))
    if isExtended {
      low.previous = UInt8(truncatingIfNeeded: address >> 24)
      middle.previous = UInt8(truncatingIfNeeded: address >> 32)
      high.previous = UInt8(truncatingIfNeeded: address >> 40)
    } else {
      device = device & 0xF0 | UInt8(truncatingIfNeeded: address >> 24) & 0x0F
    }
  }
}
