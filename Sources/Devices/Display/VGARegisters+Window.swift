/// The window at 0xA0000: the data path between processor and planes ("Graphics Controller", "Sequencer").
extension VGARegisters {
  /// How an address of the window reaches the planes.
  private enum Addressing {
    /// All planes at once.
    case planar
    /// Even addresses are planes 0 and 2, odd ones 1 and 3.
    case oddEven
    /// The low two bits are the plane.
    case chain4
  }

  /// Where the byte at `address` (0 to 0x1FFFF, from 0xA0000) lies from the start of what the window shows now; nil
  /// where it shows nothing.
  func windowOffset(_ address: Int) -> Int? {
    guard miscellaneous & 0x02 != 0 else { return nil }
    let range =
      switch graphics[6] >> 2 & 3 {
      case 0: 0..<0x20000
      case 1: 0..<0x10000
      case 2: 0x10000..<0x18000
      default: 0x18000..<0x20000
      }
    return range.contains(address) ? address - range.lowerBound : nil
  }

  /// Byte of display memory at which the four planes of `offset` begin.
  private func position(_ offset: Int, _ addressing: Addressing, mask: Int) -> Int {
    switch addressing {
    case .planar: offset << 2 & mask
    // As the hardware has it, with a zero in the place of the lowest bit; the CRT controller's word mode fits it.
    case .oddEven: (offset & ~1) << 2 & mask
    // The hardware uses every fourth byte of each plane. Here bytes follow each other, which is what VBE shows through
    // the same window; nothing but software that switches between both and looks could tell.
    case .chain4: offset & ~3 & mask
    }
  }

  private var isChained: Bool { sequencer[4] & 0x08 != 0 }

  /// Reads a byte at `offset` of the window, `mask` being how far display memory goes.
  mutating func readPlanes<Memory: DisplayMemory>(at offset: Int, mask: Int, memory: Memory) -> UInt8 {
    let addressing: Addressing = isChained ? .chain4 : graphics[5] & 0x10 != 0 ? .oddEven : .planar
    latches = memory.loadPlanes(at: position(offset, addressing, mask: mask))
    guard graphics[5] & 0x08 == 0 else {
      // Read mode 1: a bit is set where all planes that are cared about have the colour.
      let different = (latches ^ Self.expand(graphics[2])) & Self.expand(graphics[7])
      return ~UInt8(
        truncatingIfNeeded: different | different >> 8 | different >> 16 | different >> 24)
    }
    let plane =
      switch addressing {
      case .planar: UInt32(graphics[4] & 3)
      case .oddEven: UInt32(graphics[4] & 2) | UInt32(offset & 1)
      case .chain4: UInt32(offset & 3)
      }
    return UInt8(truncatingIfNeeded: latches >> (8 * plane))
  }

  /// Writes a byte at `offset` of the window.
  func writePlanes<Memory: DisplayMemory>(_ byte: UInt8, at offset: Int, mask: Int, memory: Memory) {
    let addressing: Addressing = isChained ? .chain4 : sequencer[4] & 0x04 == 0 ? .oddEven : .planar
    var planes = sequencer[2]
    switch addressing {
    case .planar: break
    case .oddEven: planes &= offset & 1 == 0 ? 0b0101 : 0b1010
    case .chain4: planes &= 1 << UInt8(offset & 3)
    }
    let selected = Self.expand(planes)
    guard selected != 0 else { return }
    let position = position(offset, addressing, mask: mask)
    let value = combined(byte)
    if selected == .max {
      memory.storePlanes(value, at: position)
    } else {
      memory.storePlanes(memory.loadPlanes(at: position) & ~selected | value & selected, at: position)
    }
  }

  /// What `byte` becomes on the four planes on its way through rotator, set/reset, function unit and bit mask.
  private func combined(_ byte: UInt8) -> UInt32 {
    let count = graphics[3] & 7
    let rotated = byte >> count | byte << (8 - count)
    var bits = Self.replicate(graphics[8])
    var value: UInt32
    switch graphics[5] & 3 {
    case 0:
      let enabled = Self.expand(graphics[1])
      value = Self.replicate(rotated) & ~enabled | Self.expand(graphics[0]) & enabled
    case 1: return latches
    case 2: value = Self.expand(byte)
    default:
      bits &= Self.replicate(rotated)
      value = Self.expand(graphics[0])
    }
    switch graphics[3] >> 3 & 3 {
    case 1: value &= latches
    case 2: value |= latches
    case 3: value ^= latches
    default: break
    }
    return value & bits | latches & ~bits
  }

  /// The byte on every plane.
  private static func replicate(_ byte: UInt8) -> UInt32 { UInt32(byte) &* 0x0101_0101 }

  /// Bit p of the low four, on all bits of plane p.
  private static func expand(_ bits: UInt8) -> UInt32 {
    var value: UInt32 = 0
    for plane in 0..<4 where bits >> plane & 1 != 0 { value |= 0xFF << (8 * UInt32(plane)) }
    return value
  }
}
