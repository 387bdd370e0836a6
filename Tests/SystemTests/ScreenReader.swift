import Platform
import Testing

/// Reads the text on a picture of a PC's screen (PPM, binary) by comparing each cell with the glyphs that the machine's
/// video BIOS has: a Linux console without a font of its own shows those, on a text screen 9 dots wide, elsewhere 8.
struct ScreenReader {
  private static let height = 16
  private let glyphs: [[UInt8]: Character]

  /// Takes the glyphs out of the BIOS that QEMU gives its display.
  init(bios: String = "/usr/share/seabios/vgabios-stdvga.bin") throws {
    let bytes = try Files.read(bios)
    // The 8x16 font is found by its letters A and B.
    let letters: [UInt8] = [
      0, 0, 0x10, 0x38, 0x6C, 0xC6, 0xC6, 0xFE, 0xC6, 0xC6, 0xC6, 0xC6, 0, 0, 0, 0,
      0, 0, 0xFC, 0x66, 0x66, 0x66, 0x7C, 0x66, 0x66, 0x66, 0x66, 0xFC, 0, 0, 0, 0,
    ]
    let place = try #require(
      (0..<(bytes.count - letters.count)).first { bytes[$0..<($0 + letters.count)].elementsEqual(letters) })
    var glyphs: [[UInt8]: Character] = [:]
    for code in 0x20..<0x7F {
      let start = place + (code - 0x41) * Self.height
      glyphs[Array(bytes[start..<(start + Self.height)])] = Character(UnicodeScalar(UInt8(code)))
    }
    self.glyphs = glyphs
  }

  /// The lines of a picture; a cell that is none of the glyphs is shown as `?`.
  func lines(_ path: String) throws -> [String] {
    let (width, height, pixels) = try Self.pixels(path)
    let cell = width == 720 ? 9 : 8
    return (0..<(height / Self.height)).map { row in
      let text = (0..<(width / cell)).map { column in
        character(row: row, column: column, cell: cell, width: width, pixels)
      }
      return String(text)
    }
  }

  private func character(row: Int, column: Int, cell: Int, width: Int, _ pixels: [UInt32]) -> Character {
    let rows = (0..<Self.height).map { line -> [UInt32] in
      let start = (row * Self.height + line) * width + column * cell
      return Array(pixels[start..<(start + 8)])
    }
    // Which of a cell's two colours is the paper is not known.
    let colours = Set(rows.joined())
    for ink in colours {
      let bits = rows.map { row in
        row.enumerated().reduce(UInt8(0)) { $1.element == ink ? $0 | 0x80 >> UInt8($1.offset) : $0 }
      }
      if let found = glyphs[bits] { return found }
    }
    return colours.count == 1 ? " " : "?"
  }

  /// A portable pixmap of 8 bits a sample (netpbm, ppm(5)).
  private static func pixels(_ path: String) throws -> (width: Int, height: Int, [UInt32]) {
    let bytes = try Files.read(path)
    var place = 0
    func word() -> String {
      while place < bytes.count, [0x20, 0x0A, 0x0D, 0x09].contains(bytes[place]) { place += 1 }
      let start = place
      while place < bytes.count, ![0x20, 0x0A, 0x0D, 0x09].contains(bytes[place]) { place += 1 }
      return String(decoding: bytes[start..<place], as: UTF8.self)
    }
    try #require(word() == "P6")
    let width = try #require(Int(word()))
    let height = try #require(Int(word()))
    try #require(word() == "255")
    place += 1
    try #require(bytes.count - place == width * height * 3)
    let pixels = (0..<(width * height)).map { index -> UInt32 in
      let at = place + index * 3
      return UInt32(bytes[at]) << 16 | UInt32(bytes[at + 1]) << 8 | UInt32(bytes[at + 2])
    }
    return (width, height, pixels)
  }
}
