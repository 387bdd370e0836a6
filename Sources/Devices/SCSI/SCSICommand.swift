/// A command descriptor block (SPC-3, 4.3): what the guest wrote, of at most 16 bytes; missing ones are zero. Its
/// integers are big-endian. Longer commands are of kinds that no target here has.
public struct SCSICommand: Sendable {
  /// Length of the longest command that is known, in bytes.
  public static let maximumCount = 16

  private var bytes: InlineArray<16, UInt8> = .init(repeating: 0)

  /// The command in the first 16 bytes of `bytes`.
  public init(_ bytes: Span<UInt8>) {
    for index in 0..<min(bytes.count, Self.maximumCount) { self.bytes[index] = bytes[index] }
  }

  /// The command in the first 16 bytes of `bytes`.
  public init(_ bytes: [UInt8]) {
    self.init(bytes.span)
  }

  /// Byte `index`, 0 to 15.
  public subscript(index: Int) -> UInt8 { bytes[index] }

  /// The operation code.
  public var operation: UInt8 { bytes[0] }

  /// The `count` bytes at `index`, at most eight, most significant first.
  func big(at index: Int, count: Int) -> UInt64 {
    var value: UInt64 = 0
    for offset in 0..<count { value = value << 8 | UInt64(bytes[index + offset]) }
    return value
  }

  /// The CONTROL byte, whose place the group code gives (SPC-3, 4.3.2); nil for groups of no fixed length.
  var control: UInt8? {
    switch operation >> 5 {
    case 0: bytes[5]
    case 1, 2: bytes[9]
    case 4: bytes[15]
    case 5: bytes[11]
    default: nil
    }
  }
}

/// Operation codes (SPC-3 annex C, SBC-3, MMC-5 annex).
enum SCSIOperation {
  static let testUnitReady: UInt8 = 0x00
  static let requestSense: UInt8 = 0x03
  static let read6: UInt8 = 0x08
  static let write6: UInt8 = 0x0A
  static let inquiry: UInt8 = 0x12
  static let modeSelect6: UInt8 = 0x15
  static let reserve6: UInt8 = 0x16
  static let release6: UInt8 = 0x17
  static let modeSense6: UInt8 = 0x1A
  static let startStop: UInt8 = 0x1B
  static let sendDiagnostic: UInt8 = 0x1D
  static let preventAllow: UInt8 = 0x1E
  static let readFormatCapacities: UInt8 = 0x23
  static let readCapacity10: UInt8 = 0x25
  static let read10: UInt8 = 0x28
  static let write10: UInt8 = 0x2A
  static let seek10: UInt8 = 0x2B
  static let writeVerify10: UInt8 = 0x2E
  static let verify10: UInt8 = 0x2F
  static let synchronizeCache10: UInt8 = 0x35
  static let writeSame10: UInt8 = 0x41
  /// UNMAP of disks; READ SUB-CHANNEL of discs.
  static let unmapOrSubchannel: UInt8 = 0x42
  static let readTOC: UInt8 = 0x43
  static let getConfiguration: UInt8 = 0x46
  static let getEventStatus: UInt8 = 0x4A
  static let readDiscInformation: UInt8 = 0x51
  static let modeSelect10: UInt8 = 0x55
  static let reserve10: UInt8 = 0x56
  static let release10: UInt8 = 0x57
  static let modeSense10: UInt8 = 0x5A
  static let read16: UInt8 = 0x88
  static let write16: UInt8 = 0x8A
  static let writeVerify16: UInt8 = 0x8E
  static let verify16: UInt8 = 0x8F
  static let synchronizeCache16: UInt8 = 0x91
  static let writeSame16: UInt8 = 0x93
  static let serviceActionIn16: UInt8 = 0x9E
  static let reportLUNs: UInt8 = 0xA0
  static let read12: UInt8 = 0xA8
  static let write12: UInt8 = 0xAA
  static let readDVDStructure: UInt8 = 0xAD
  static let writeVerify12: UInt8 = 0xAE
  static let verify12: UInt8 = 0xAF
  static let setCDSpeed: UInt8 = 0xBB
  static let mechanismStatus: UInt8 = 0xBD
  static let readCD: UInt8 = 0xBE
}
