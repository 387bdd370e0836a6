/// What a drive is called, as ASCII; longer texts are cut.
public struct ATAIdentity: Hashable, Sendable {
  /// Model number, at most 40 bytes.
  public var model: String
  /// Serial number, at most 20 bytes.
  public var serial: String
  /// Firmware revision, at most 8 bytes.
  public var firmware: String

  /// A drive's names.
  public init(model: String, serial: String, firmware: String = "1.0") {
    self.model = model
    self.serial = serial
    self.firmware = firmware
  }
}

/// The 256 words that IDENTIFY DEVICE and IDENTIFY PACKET DEVICE return (ATA/ATAPI-6, 8.15 and 8.16).
struct ATAIdentification: Sendable {
  private var words = [UInt16](repeating: 0, count: 256)

  /// Words that every drive here shares.
  init(_ identity: ATAIdentity, transferMode: ATATransferMode) {
    set(identity.serial, at: 10, words: 10)
    set(identity.firmware, at: 23, words: 4)
    set(identity.model, at: 27, words: 20)
    self[53] = 0x0006  // words 64 to 70 and 88 are valid
    self[63] = 0x0007 | transferMode.multiwordBits
    self[64] = 0x0003  // PIO modes 3 and 4
    for index in 65...68 { self[index] = 120 }  // cycle times in nanoseconds
    self[80] = 0x007E  // ATA-1 to ATA/ATAPI-6
    self[88] = 0x003F | transferMode.ultraBits
    self[93] = 0x6001  // 80-conductor cable; device 0 does not answer for device 1
  }

  /// Word `index`.
  subscript(index: Int) -> UInt16 {
    get { words[index] }
    set { words[index] = newValue }
  }

  /// Sets as many words as `value` needs, the lowest first.
  mutating func set<Value: FixedWidthInteger>(_ value: Value, at index: Int) {
    for step in 0..<(Value.bitWidth / 16) { words[index + step] = UInt16(truncatingIfNeeded: value >> (16 * step)) }
  }

  /// Sets a text: padded with spaces, the first of two characters in the upper byte.
  private mutating func set(_ text: String, at index: Int, words count: Int) {
    var characters = text.utf8.prefix(2 * count).map { (0x20...0x7E).contains($0) ? $0 : 0x20 }
    characters.append(contentsOf: repeatElement(0x20, count: 2 * count - characters.count))
    for step in 0..<count {
      words[index + step] = UInt16(characters[2 * step]) << 8 | UInt16(characters[2 * step + 1])
    }
  }

  /// The 512 bytes, the last of which makes their sum 0 (8.15.61).
  var bytes: [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(512)
    for word in words.dropLast() {
      bytes.append(UInt8(truncatingIfNeeded: word))
      bytes.append(UInt8(truncatingIfNeeded: word >> 8))
    }
    bytes.append(0xA5)
    bytes.append(0 &- bytes.reduce(0, &+))
    return bytes
  }
}

/// The transfer mode of SET FEATURES (ATA/ATAPI-6, 8.46.11): kept for IDENTIFY, as speed is nothing here.
enum ATATransferMode: Hashable, Sendable {
  case pio
  case multiword(UInt8)
  case ultra(UInt8)

  /// The mode in a sector count register; nil for one that the drive has not.
  init?(_ value: UInt8) {
    switch (value >> 3, value & 7) {
    case (0, 0...1), (1, 0...4), (2, 0...2): self = .pio
    case (4, let mode) where mode <= 2: self = .multiword(mode)
    case (8, let mode) where mode <= 5: self = .ultra(mode)
    default: return nil
    }
  }

  /// Bits 15 to 8 of word 63.
  var multiwordBits: UInt16 {
    if case .multiword(let mode) = self { 0x0100 << UInt16(mode) } else { 0 }
  }

  /// Bits 15 to 8 of word 88.
  var ultraBits: UInt16 {
    if case .ultra(let mode) = self { 0x0100 << UInt16(mode) } else { 0 }
  }
}
