internal import Binary

/// How a client wants pixels (RFC 6143, 7.4). Clients with a colour map get one of three bits red, three green and two
/// blue, once, and indices into it.
struct RFBPixelFormat: Hashable, Sendable {
  private var bytesPerPixel = 4
  private var isBigEndian = false
  private var maximum: [UInt32] = [255, 255, 255]
  private var shift: [UInt32] = [16, 8, 0]
  /// The client has a colour map, which it must be sent.
  private(set) var hasColourMap = false

  /// What the server offers: 32 bits, 0x00RRGGBB, least byte first.
  init() {}

  /// The format in the 16 bytes of a client's message; nil when pixels cannot be like that.
  init?(_ bytes: ArraySlice<UInt8>) {
    let bytes = Array(bytes)
    guard bytes.count == 16, [8, 16, 32].contains(bytes[0]) else { return nil }
    bytesPerPixel = Int(bytes[0]) / 8
    isBigEndian = bytes[2] != 0
    if bytes[3] == 0 {
      hasColourMap = true
      (maximum, shift) = ([7, 7, 3], [0, 3, 6])
      return
    }
    maximum = (0..<3).map { UInt32(bytes[4 + 2 * $0]) << 8 | UInt32(bytes[5 + 2 * $0]) }
    shift = (0..<3).map { UInt32(bytes[10 + $0]) }
    guard maximum.allSatisfy({ $0 > 0 }), shift.allSatisfy({ $0 < UInt32(bytes[0]) }) else { return nil }
  }

  /// The 16 bytes that describe the format.
  var encoded: [UInt8] {
    var writer = ByteWriter(capacity: 16)
    writer.raw([UInt8(bytesPerPixel * 8), 24, isBigEndian ? 1 : 0, 1])
    for value in maximum { writer.big(UInt16(truncatingIfNeeded: value)) }
    writer.raw(shift.map { UInt8(truncatingIfNeeded: $0) })
    writer.zeros(3)
    return writer.bytes
  }

  /// SetColourMapEntries with all 256 colours (7.6.2).
  static var colourMap: [UInt8] {
    var writer = ByteWriter(capacity: 6 + 256 * 6)
    writer.raw([1, 0, 0, 0, 1, 0])
    for index in 0..<256 as Range<UInt32> {
      writer.big(UInt16((index & 7) * 0xFFFF / 7))
      writer.big(UInt16((index >> 3 & 7) * 0xFFFF / 7))
      writer.big(UInt16((index >> 6) * 0xFFFF / 3))
    }
    return writer.bytes
  }

  /// Appends pixels of 0x00RRGGBB in this format.
  func append(_ pixels: ArraySlice<UInt32>, to bytes: inout [UInt8]) {
    let count = UInt32(bytesPerPixel)
    let plain = self == RFBPixelFormat()
    for pixel in pixels {
      let value = plain ? pixel : converted(pixel)
      for index in 0..<count {
        bytes.append(UInt8(truncatingIfNeeded: value >> (8 * (isBigEndian ? count - 1 - index : index))))
      }
    }
  }

  private func converted(_ pixel: UInt32) -> UInt32 {
    var value: UInt32 = 0
    for component in 0..<3 {
      let part = pixel >> UInt32(16 - 8 * component) & 0xFF
      value |= ((part * maximum[component] + 127) / 255) << shift[component]
    }
    return value
  }
}
