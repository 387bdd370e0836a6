/// A key of a PC keyboard of 104 or 105 keys. The raw value is its code in scan code set 1, with bit 7 for keys whose
/// code follows a 0xE0 (IBM PS/2 Hardware Interface Technical Reference, "Keyboards (101- and 102-Key)").
public enum Keycode: UInt8, CaseIterable, Sendable {
  case escape = 0x01
  case digit1, digit2, digit3, digit4, digit5, digit6, digit7, digit8, digit9, digit0
  case minus, equals, backspace
  case tab = 0x0F
  case q, w, e, r, t, y, u, i, o, p
  case leftBracket, rightBracket, enter, leftControl
  case a = 0x1E
  case s, d, f, g, h, j, k, l
  case semicolon, apostrophe, grave, leftShift, backslash
  case z = 0x2C
  case x, c, v, b, n, m
  case comma, period, slash, rightShift, keypadMultiply, leftAlt, space, capsLock
  case f1 = 0x3B
  case f2, f3, f4, f5, f6, f7, f8, f9, f10
  case numLock, scrollLock
  case keypad7, keypad8, keypad9, keypadSubtract
  case keypad4, keypad5, keypad6, keypadAdd
  case keypad1, keypad2, keypad3, keypad0, keypadDecimal
  /// Between the left shift key and Z, where there are 105 keys.
  case lessThan = 0x56
  case f11, f12
  case keypadEnter = 0x9C
  case rightControl
  case keypadDivide = 0xB5
  case printScreen = 0xB7
  case rightAlt
  case pause = 0xC6
  case home
  case up, pageUp
  case left = 0xCB
  case right = 0xCD
  case end = 0xCF
  case down, pageDown, insert, delete
  case leftSuper = 0xDB
  case rightSuper, menu
}

extension Keycode {
  /// What a keyboard sends in scan code set `set` (1 to 3) when the key goes down or up.
  func scanCodes(set: UInt8, isDown: Bool) -> [UInt8] {
    switch (self, set) {
    case (_, 3): isDown ? [set3] : [0xF0, set3]
    // These two have been combinations of other keys.
    case (.pause, 1): isDown ? [0xE1, 0x1D, 0x45, 0xE1, 0x9D, 0xC5] : []
    case (.pause, _): isDown ? [0xE1, 0x14, 0x77, 0xE1, 0xF0, 0x14, 0xF0, 0x77] : []
    case (.printScreen, 1): isDown ? [0xE0, 0x2A, 0xE0, 0x37] : [0xE0, 0xB7, 0xE0, 0xAA]
    case (.printScreen, _): isDown ? [0xE0, 0x12, 0xE0, 0x7C] : [0xE0, 0xF0, 0x7C, 0xE0, 0xF0, 0x12]
    case (_, 1): prefix + [rawValue & 0x7F | (isDown ? 0 : 0x80)]
    default: prefix + (isDown ? [] : [0xF0]) + [set2]
    }
  }

  private var prefix: [UInt8] { rawValue & 0x80 != 0 ? [0xE0] : [] }

  /// The code of set 2, without prefix.
  private var set2: UInt8 {
    self == .f7 ? 0x83 : UInt8(truncatingIfNeeded: ScanCodeTranslation.table.firstIndex(of: rawValue & 0x7F) ?? 0)
  }

  /// The code of set 3, which has no prefixes: where it is not set 2's.
  private var set3: UInt8 {
    switch self {
    case .escape: 0x08
    case .f1: 0x07
    case .f2: 0x0F
    case .f3: 0x17
    case .f4: 0x1F
    case .f5: 0x27
    case .f6: 0x2F
    case .f7: 0x37
    case .f8: 0x3F
    case .f9: 0x47
    case .f10: 0x4F
    case .f11: 0x56
    case .f12: 0x5E
    case .printScreen: 0x57
    case .scrollLock: 0x5F
    case .pause: 0x62
    case .capsLock: 0x14
    case .leftControl: 0x11
    case .leftAlt: 0x19
    case .rightAlt: 0x39
    case .rightControl: 0x58
    case .leftSuper: 0x8B
    case .rightSuper: 0x8C
    case .menu: 0x8D
    case .backslash: 0x5C
    case .lessThan: 0x13
    case .insert: 0x67
    case .delete: 0x64
    case .home: 0x6E
    case .end: 0x65
    case .pageUp: 0x6F
    case .pageDown: 0x6D
    case .up: 0x63
    case .left: 0x61
    case .down: 0x60
    case .right: 0x6A
    case .numLock: 0x76
    case .keypadDivide: 0x77
    case .keypadMultiply: 0x7E
    case .keypadSubtract: 0x84
    case .keypadAdd: 0x7C
    case .keypadEnter: 0x79
    default: set2
    }
  }
}

/// What the controller makes of a keyboard's set 2 so that software written for the PC XT reads set 1.
struct ScanCodeTranslation: Sendable {
  private var isBreak = false

  /// Set 1 by set 2, for codes below 0x80.
  static let table: [UInt8] = [
    0xFF, 0x43, 0x41, 0x3F, 0x3D, 0x3B, 0x3C, 0x58, 0x64, 0x44, 0x42, 0x40, 0x3E, 0x0F, 0x29, 0x59,
    0x65, 0x38, 0x2A, 0x70, 0x1D, 0x10, 0x02, 0x5A, 0x66, 0x71, 0x2C, 0x1F, 0x1E, 0x11, 0x03, 0x5B,
    0x67, 0x2E, 0x2D, 0x20, 0x12, 0x05, 0x04, 0x5C, 0x68, 0x39, 0x2F, 0x21, 0x14, 0x13, 0x06, 0x5D,
    0x69, 0x31, 0x30, 0x23, 0x22, 0x15, 0x07, 0x5E, 0x6A, 0x72, 0x32, 0x24, 0x16, 0x08, 0x09, 0x5F,
    0x6B, 0x33, 0x25, 0x17, 0x18, 0x0B, 0x0A, 0x60, 0x6C, 0x34, 0x35, 0x26, 0x27, 0x19, 0x0C, 0x61,
    0x6D, 0x73, 0x28, 0x74, 0x1A, 0x0D, 0x62, 0x6E, 0x3A, 0x36, 0x1C, 0x1B, 0x75, 0x2B, 0x63, 0x76,
    0x55, 0x56, 0x77, 0x78, 0x79, 0x7A, 0x0E, 0x7B, 0x7C, 0x4F, 0x7D, 0x4B, 0x47, 0x7E, 0x7F, 0x6F,
    0x52, 0x53, 0x50, 0x4C, 0x4D, 0x48, 0x01, 0x45, 0x57, 0x4E, 0x51, 0x4A, 0x37, 0x49, 0x46, 0x54,
  ]

  /// The byte to show for `byte`; nil for the prefix of a released key, which becomes bit 7 of the next.
  mutating func translate(_ byte: UInt8) -> UInt8? {
    if byte == 0xF0 {
      isBreak = true
      return nil
    }
    let code: UInt8 =
      switch byte {
      case 0x83: 0x41
      case 0x84: 0x54
      case 0..<0x80: Self.table[Int(byte)]
      default: byte
      }
    defer { if byte != 0xE0 { isBreak = false } }
    return isBreak && byte != 0xE0 ? code | 0x80 : code
  }
}
