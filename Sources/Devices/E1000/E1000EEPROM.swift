/// The Microwire EEPROM of 64 words behind the controller (Intel 317453, chapter 5): parallel reads through EERD and
/// the four wires through EECD. It cannot be written: erase and write commands are taken and change nothing.
struct E1000EEPROM: Sendable {
  static let wordCount = 64
  /// What all 64 words add up to (5.6.35).
  static let checksum: UInt16 = 0xBABA

  /// Bits of EECD (13.4.3).
  enum Wire {
    static let clock: UInt32 = 1 << 0
    static let select: UInt32 = 1 << 1
    static let dataIn: UInt32 = 1 << 2
    static let dataOut: UInt32 = 1 << 3
    static let request: UInt32 = 1 << 6
    static let grant: UInt32 = 1 << 7
    static let present: UInt32 = 1 << 8
    /// Clock, select, data in, flash write enable, request.
    static let writable: UInt32 = 0x77
  }

  /// Where a command on the wires is (National NM93C46: start bit, two bits of operation, six of address).
  private enum Phase: Sendable {
    case idle
    case command(bits: Int, value: UInt16)
    case reading(word: Int, bit: Int)
    case done
  }

  let words: [UInt16]
  private var wires: UInt32 = 0
  private var phase = Phase.idle
  private var output = true

  /// The image of a board with the six bytes of `mac`; what is missing of them is zero.
  init(mac: [UInt8]) {
    var words = [UInt16](repeating: 0xFFFF, count: Self.wordCount)
    for index in 0..<3 {
      let low = 2 * index < mac.count ? mac[2 * index] : 0
      let high = 2 * index + 1 < mac.count ? mac[2 * index + 1] : 0
      words[index] = UInt16(low) | UInt16(high) << 8
    }
    words[0x03] = 0  // compatibility: no special features
    words[0x0A] = 0x4408  // initialization control 1: signature 01, full duplex
    words[0x0B] = E1000Identity.subsystem
    words[0x0C] = E1000Identity.vendor
    words[0x0D] = E1000Identity.device
    words[0x0E] = E1000Identity.vendor
    words[0x0F] = 0x3040  // initialization control 2: pause in both directions
    for index in 0x10..<0x30 { words[index] = 0 }
    var sum: UInt16 = 0
    for word in words.dropLast() { sum &+= word }
    words[0x3F] = Self.checksum &- sum
    self.words = words
  }

  /// EERD after a write of `value` (13.4.4): done at once.
  func read(_ value: UInt32) -> UInt32 {
    guard value & 1 != 0 else { return value & 0xFF00 }
    return value & 0xFF00 | 1 << 4 | UInt32(words[Int(value >> 8) % Self.wordCount]) << 16
  }

  /// EECD as it reads: access is granted to who asks; 64 words.
  var control: UInt32 {
    var value = wires | Wire.present
    if wires & Wire.request != 0 { value |= Wire.grant }
    if output { value |= Wire.dataOut }
    return value
  }

  /// A write of EECD.
  mutating func setControl(_ value: UInt32) {
    let rises = value & Wire.clock != 0 && wires & Wire.clock == 0
    wires = value & Wire.writable
    guard wires & Wire.select != 0 else {
      phase = .idle
      output = true
      return
    }
    if rises { clock(wires & Wire.dataIn != 0) }
  }

  private mutating func clock(_ bit: Bool) {
    switch phase {
    case .idle:
      if bit { phase = .command(bits: 0, value: 0) }
    case .command(let bits, let value):
      let value = value << 1 | (bit ? 1 : 0)
      guard bits == 7 else {
        phase = .command(bits: bits + 1, value: value)
        return
      }
      // Operation 10 reads: a zero comes out first. The others have nothing to say but that they are done.
      if value >> 6 == 0b10 {
        phase = .reading(word: Int(value & 0x3F), bit: 15)
        output = false
      } else {
        phase = .done
        output = true
      }
    case .reading(let word, let bit):
      output = words[word] >> UInt16(bit) & 1 != 0
      phase = bit > 0 ? .reading(word: word, bit: bit - 1) : .reading(word: (word + 1) % Self.wordCount, bit: 15)
    case .done: break
    }
  }
}
