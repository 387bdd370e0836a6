/// A key that a terminal sent.
enum Key: Hashable, Sendable {
  case character(Character)
  case up, down, left, right, pageUp, pageDown, home, end, enter, escape
  /// Control and a lower-case letter.
  case control(Character)
}

/// Bytes of a terminal to keys (ECMA-48 and xterm's function keys).
struct KeyDecoder: Sendable {
  private var pending: [UInt8] = []

  /// True when a lone escape, or half a sequence, waits for more.
  var isWaiting: Bool { !pending.isEmpty }

  /// Takes the next bytes.
  mutating func append(_ bytes: some Sequence<UInt8>) -> [Key] {
    var keys: [Key] = []
    for byte in bytes {
      if pending.isEmpty {
        if byte == 0x1B { pending = [byte] } else if let key = Self.single(byte) { keys.append(key) }
      } else if pending.count == 1 {
        if byte == UInt8(ascii: "[") || byte == UInt8(ascii: "O") {
          pending.append(byte)
        } else {
          keys.append(.escape)
          pending = byte == 0x1B ? [byte] : []
          if byte != 0x1B, let key = Self.single(byte) { keys.append(key) }
        }
      } else {
        pending.append(byte)
        if (0x40...0x7E).contains(byte) || pending.count > 16 {
          if let key = Self.sequence(pending) { keys.append(key) }
          pending = []
        }
      }
    }
    return keys
  }

  /// Nothing came after an escape: it was the key.
  mutating func flush() -> [Key] {
    defer { pending = [] }
    return pending == [0x1B] ? [.escape] : []
  }

  private static func single(_ byte: UInt8) -> Key? {
    switch byte {
    case 0x0A, 0x0D: .enter
    case 0x01...0x1A: .control(Character(Unicode.Scalar(byte + 0x60)))
    case 0x20...0x7E: .character(Character(Unicode.Scalar(byte)))
    default: nil
    }
  }

  private static func sequence(_ bytes: [UInt8]) -> Key? {
    switch String(decoding: bytes.dropFirst(2), as: UTF8.self) {
    case "A": .up
    case "B": .down
    case "C": .right
    case "D": .left
    case "H", "1~", "7~": .home
    case "F", "4~", "8~": .end
    case "5~": .pageUp
    case "6~": .pageDown
    default: nil
    }
  }
}
