/// What a display adapter shows: its registers at one moment, and its memory as it is when a picture is made.
///
/// Blinking characters are bright instead, and the cursor does not blink: a picture is of no moment, and a screen that
/// nothing happens on should cost who watches it nothing.
public struct DisplaySnapshot<Memory: DisplayMemory>: Sendable {
  let registers: VGARegisters
  let dispi: DispiRegisters
  let memory: Memory

  /// How the picture is made of memory.
  enum Mode: Hashable, Sendable {
    /// The screen is off, or nothing was ever set up.
    case dark
    case text
    /// Sixteen colours of four planes.
    case planar
    /// Four colours, two bits a pixel, as the CGA had it.
    case packed
    /// A byte a pixel, four pixels a cell of the planes.
    case bytes
    /// A mode of the VBE extensions.
    case linear
  }

  var mode: Mode { registers.isShown ? content : .dark }

  /// What would be shown if the screen were on.
  private var content: Mode {
    if dispi.isEnabled { return dispi.depth == 4 ? .planar : .linear }
    if registers.isText { return .text }
    if registers.graphics[5] & 0x40 != 0 { return .bytes }
    return registers.graphics[5] & 0x20 != 0 ? .packed : .planar
  }

  /// What the screen shows now. A screen that is off is black, in the size of its mode.
  public func picture() -> Picture {
    switch mode {
    case .dark: darkPicture()
    case .text: textPicture()
    case .linear: linearPicture()
    case .planar, .packed, .bytes: graphicsPicture()
    }
  }

  private func darkPicture() -> Picture {
    if dispi.isEnabled { return Picture(width: Int(dispi.width), height: Int(dispi.height)) }
    let size = registers.isText ? textSize : graphicsSize
    // After a cold start the registers describe no size.
    return size.width < 64 || size.height < 64
      ? Picture(width: 640, height: 400) : Picture(width: size.width, height: size.height)
  }

  // MARK: Text

  /// Dots a character is wide: the ninth is made up by the attribute controller.
  private var characterWidth: Int { registers.sequencer[1] & 0x01 != 0 ? 8 : 9 }

  private var textSize: (width: Int, height: Int) {
    (registers.columns * characterWidth, registers.scanLines / registers.scansPerTextLine)
  }

  private func textPicture() -> Picture {
    let size = textSize
    var picture = Picture(width: size.width, height: size.height)
    let colours = registers.attributeColours(wide: dispi.hasWidePalette)
    let fonts = registers.fontPositions
    let cursor = registers.cursor
    let hasLineGraphics = registers.attribute[0x10] & 0x04 != 0
    let (columns, width) = (registers.columns, characterWidth)
    /// The cells of one row, which its scan lines share.
    var cells = (address: -1, values: [UInt32](repeating: 0, count: columns))
    registers.scan(every: registers.scansPerTextLine) { y, address, row in
      guard y < picture.height else { return }
      if cells.address != address {
        cells.address = address
        for column in 0..<columns {
          cells.values[column] = memory.loadPlanes(at: registers.cell(address + column) * 4)
        }
      }
      for column in 0..<columns {
        let cell = cells.values[column]
        let (code, attribute) = (Int(cell & 0xFF), Int(cell >> 8 & 0xFF))
        let font = attribute & 0x08 != 0 ? fonts.bright : fonts.normal
        var shape = memory.load(at: (font + code * 32 + row) * 4 + 2)
        let isCursor = (address + column) & 0xFFFF == cursor?.position && cursor?.rows.contains(row) == true
        if isCursor { shape = 0xFF }
        let (foreground, background) = (colours[attribute & 0x0F], colours[attribute >> 4])
        let start = y * picture.width + column * width
        for dot in 0..<8 {
          picture.pixels[start + dot] = shape >> UInt8(7 - dot) & 1 != 0 ? foreground : background
        }
        guard width == 9 else { continue }
        // Line graphics reach the neighbour: their ninth dot repeats the eighth.
        let joins = isCursor || hasLineGraphics && (0xC0...0xDF).contains(code)
        picture.pixels[start + 8] = joins && shape & 1 != 0 ? foreground : background
      }
    }
    return picture
  }

  /// The characters of a text screen, a line a row, blanks at the end of lines left out; nil in every other mode, and
  /// when the screen is dark.
  public func text() -> [String]? {
    guard mode == .text else { return nil }
    var lines: [String] = []
    var last = -1
    registers.scan(every: 1) { _, address, _ in
      // A row of characters is as many scan lines.
      guard address != last else { return }
      last = address
      var line = ""
      for column in 0..<registers.columns {
        line.append(
          CodePage437.character(UInt8(truncatingIfNeeded: memory.loadPlanes(at: registers.cell(address + column) * 4))))
      }
      while line.last == " " { line.removeLast() }
      lines.append(line)
    }
    return lines
  }

  // MARK: Graphics of the VGA

  private var pixelsPerCell: Int { content == .bytes ? 4 : 8 }

  private var graphicsSize: (width: Int, height: Int) {
    if dispi.isEnabled { return (Int(dispi.width), Int(dispi.height)) }
    let perLine = registers.scansPerGraphicsLine
    return (registers.columns * pixelsPerCell, (registers.scanLines + perLine - 1) / perLine)
  }

  private func graphicsPicture() -> Picture {
    let size = graphicsSize
    var picture = Picture(width: size.width, height: size.height)
    let kind = mode
    let wide = dispi.hasWidePalette
    let attributes = registers.attributeColours(wide: wide)
    let colours = kind == .bytes ? (0..<256).map { registers.colour($0, wide: wide) } : attributes
    let perCell = pixelsPerCell
    let columns = (picture.width + perCell - 1) / perCell
    // The panning register counts half pixels where they are eight bits wide.
    let pan = dispi.isEnabled ? 0 : Int(registers.attribute[0x13] & 7) >> (kind == .bytes ? 1 : 0)
    var line = [UInt32](repeating: 0, count: (columns + 1) * perCell)
    func draw(_ y: Int, _ cell: (Int) -> Int) {
      guard y < picture.height else { return }
      for column in 0..<(pan == 0 ? columns : columns + 1) {
        let planes = memory.loadPlanes(at: cell(column) * 4 & (memory.count - 1))
        for pixel in 0..<perCell {
          line[column * perCell + pixel] = colours[Self.index(pixel, of: planes, kind)]
        }
      }
      for x in 0..<picture.width { picture.pixels[y * picture.width + x] = line[x + pan] }
    }
    if dispi.isEnabled {
      let (start, stride) = (dispi.start / 4, dispi.stride / 4)
      for y in 0..<picture.height { draw(y) { start + y * stride + $0 } }
    } else {
      registers.scan(every: registers.scansPerGraphicsLine) { y, address, row in
        draw(y) { registers.cell(address + $0, row: row) }
      }
    }
    return picture
  }

  /// Colour number of a pixel of one cell of the planes.
  private static func index(_ pixel: Int, of planes: UInt32, _ mode: Mode) -> Int {
    switch mode {
    case .bytes:
      return Int(planes >> (8 * UInt32(pixel)) & 0xFF)
    case .packed:
      // Four pixels of plane 0, then four of plane 1; planes 2 and 3 have the high bits.
      let shift = UInt32(6 - 2 * (pixel & 3)) + (pixel < 4 ? 0 : 8)
      return Int(planes >> shift & 3 | (planes >> (shift + 16) & 3) << 2)
    default:
      let bits = planes >> UInt32(7 - pixel)
      return Int(bits & 1 | bits >> 7 & 2 | bits >> 14 & 4 | bits >> 21 & 8)
    }
  }

  // MARK: Modes of the VBE extensions

  private func linearPicture() -> Picture {
    var picture = Picture(width: Int(dispi.width), height: Int(dispi.height))
    let bytes = (Int(dispi.depth) + 7) / 8
    let colours = bytes == 1 ? (0..<256).map { registers.colour($0, wide: dispi.hasWidePalette) } : []
    var row = [UInt8](repeating: 0, count: picture.width * bytes)
    let (start, stride, width, depth) = (dispi.start, dispi.stride, picture.width, dispi.depth)
    for y in 0..<picture.height {
      let position = start + y * stride
      guard position + row.count <= memory.count else { break }
      var span = row.mutableSpan
      memory.read(at: position, into: &span)
      for x in 0..<width {
        let at = x * bytes
        picture.pixels[y * width + x] =
          switch depth {
          case 8: colours[Int(row[at])]
          case 15: Self.colour(UInt32(row[at]) | UInt32(row[at + 1]) << 8, green: 5)
          case 16: Self.colour(UInt32(row[at]) | UInt32(row[at + 1]) << 8, green: 6)
          default: UInt32(row[at]) | UInt32(row[at + 1]) << 8 | UInt32(row[at + 2]) << 16
          }
      }
    }
    return picture
  }

  /// The colour of a pixel of five bits red, `green` bits green and five bits blue, spread over eight bits each.
  static func colour(_ pixel: UInt32, green: UInt32) -> UInt32 {
    let red = pixel >> (5 + green) & 0x1F
    let middle = pixel >> 5 & (1 << green - 1)
    let blue = pixel & 0x1F
    return (red << 3 | red >> 2) << 16 | (middle << (8 - green) | middle >> (2 * green - 8)) << 8
      | (blue << 3 | blue >> 2)
  }
}
