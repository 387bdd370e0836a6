/// The transceiver: a Marvell 88E1011S at address 1 (Intel 317453, 13.4.8 and chapter 8), which has agreed on 1000 Mb/s,
/// full duplex, with its partner whenever there is one.
struct E1000PHY: Sendable {
  /// Bits of MDIC (13.4.8).
  enum Access {
    static let ready: UInt32 = 1 << 28
    static let interrupt: UInt32 = 1 << 29
    static let error: UInt32 = 1 << 30
  }

  static let address: UInt32 = 1

  /// Link up (BMSR bit 2) latches low until it is read (IEEE 802.3, 22.2.4.2.13).
  private var hasLostLink = false
  var isLinkUp = true {
    didSet {
      if !isLinkUp { hasLostLink = true }
    }
  }

  private var registers = Self.initial

  private static let initial: [UInt16] = {
    var registers = [UInt16](repeating: 0, count: 32)
    registers[0] = 0x1140  // control: autonegotiation, full duplex, 1000
    registers[1] = 0x7949  // status, without what depends on the link
    registers[2] = 0x0141
    registers[3] = 0x0C20
    registers[4] = 0x0DE1  // advertisement: 10, 100, pause
    registers[5] = 0xCDE1  // the partner's, acknowledged
    registers[6] = 0x0001
    registers[9] = 0x0E00
    registers[10] = 0x3C00  // 1000BASE-T status: both receivers fine, the partner can do it
    registers[15] = 0x3000
    registers[16] = 0x0068
    registers[20] = 0x0D60
    return registers
  }()

  mutating func reset() {
    registers = Self.initial
  }

  /// MDIC after a write of `value`, and whether the PHY has agreed with its partner anew.
  mutating func access(_ value: UInt32) -> (result: UInt32, negotiated: Bool) {
    let kept = value & ~(Access.ready | Access.error)
    guard value >> 21 & 0x1F == Self.address else { return (kept | Access.ready | Access.error, false) }
    let number = Int(value >> 16 & 0x1F)
    switch value >> 26 & 3 {
    case 1:
      let negotiated = write(UInt16(truncatingIfNeeded: value), to: number)
      return (kept | Access.ready, negotiated)
    case 2: return (kept & ~0xFFFF | UInt32(read(number)) | Access.ready, false)
    default: return (kept | Access.ready | Access.error, false)
    }
  }

  private mutating func read(_ number: Int) -> UInt16 {
    switch number {
    case 1:
      defer { hasLostLink = !isLinkUp }
      let link: UInt16 = isLinkUp && !hasLostLink ? 0x0004 : 0
      return registers[1] | link | (isLinkUp ? 0x0020 : 0)
    case 5, 10: return isLinkUp ? registers[number] : 0
    // 88E1011 specific status: 1000 Mb/s, full duplex, resolved, link.
    case 17: return isLinkUp ? 0xAC00 : 0x0000
    default: return registers[number]
    }
  }

  /// True when autonegotiation was started, by a restart or a reset.
  private mutating func write(_ value: UInt16, to number: Int) -> Bool {
    switch number {
    case 0:
      if value & 0x8000 != 0 { reset() } else { registers[0] = value & ~0x0200 }
      return value & 0x8200 != 0
    case 1, 2, 3, 5, 6, 10, 15, 17, 19, 21: return false
    default:
      registers[number] = value
      return false
    }
  }
}
