/// The shapes of a text screen's 256 characters, 8 pixels wide and 16 high.
///
/// A PC has them in its video BIOS. No font is part of Roost: those of the distributions have licences of their own,
/// and the video BIOS that a machine with firmware runs (`vgabios-stdvga.bin` of the package seabios) has the same
/// shapes in it, so a machine that boots without firmware takes them from that file when it is there. Without it,
/// characters are frames: legible is the screen then by `DisplaySnapshot.text()` alone.
public struct DisplayFont: Hashable, Sendable {
  /// 16 bytes a character, top to bottom; the high bit is the left pixel.
  public let glyphs: [UInt8]

  /// Lines of a character.
  public static let height = 16

  /// The font that stands in a video BIOS; nil where none is found. It is known by its second character, the face that
  /// every VGA has there, with the empty first one before it, and by the full block at 0xDB.
  public init?(videoROM rom: [UInt8]) {
    let face: [UInt8] = [0, 0, 0x7E, 0x81, 0xA5, 0x81, 0x81, 0xBD, 0x99, 0x81, 0x81, 0x7E, 0, 0, 0, 0]
    let count = 256 * Self.height
    guard rom.count >= count else { return nil }
    for start in 0...(rom.count - count) where rom[start + 18] == 0x7E {
      let glyphs = rom[start..<(start + count)]
      guard glyphs.dropFirst(16).prefix(16).elementsEqual(face), glyphs.prefix(16).allSatisfy({ $0 == 0 }),
        glyphs.dropFirst(0xDB * 16).prefix(16).allSatisfy({ $0 == 0xFF })
      else { continue }
      self.glyphs = Array(glyphs)
      return
    }
    return nil
  }

  private init(glyphs: [UInt8]) {
    self.glyphs = glyphs
  }

  /// A frame for every character but the blank ones; full and half blocks as they are.
  public static let frames = DisplayFont(
    glyphs: (0..<256).flatMap { code -> [UInt8] in
      (0..<height).map { line in
        switch code {
        case 0x00, 0x20, 0xFF: 0
        case 0xB0...0xB2, 0xDB: 0xFF
        case 0xDC: line < 8 ? 0 : 0xFF
        case 0xDD: 0xF0
        case 0xDE: 0x0F
        case 0xDF: line < 8 ? 0xFF : 0
        default: line == 3 || line == 12 ? 0x7E : (4...11).contains(line) ? 0x42 : 0
        }
      }
    })
}
