/// The registers of a VGA (IBM PS/2 Hardware Interface Technical Reference, 1992, "Video Subsystem"; the names are its
/// own). A value type; the adapter guards it.
struct VGARegisters: Sendable {
  /// Miscellaneous output: bit 0 puts the CRT controller at 0x3D0, bit 1 lets the memory window answer.
  var miscellaneous: UInt8 = 0
  var featureControl: UInt8 = 0
  var sequencerIndex: UInt8 = 0
  var sequencer = [UInt8](repeating: 0, count: 8)
  var graphicsIndex: UInt8 = 0
  var graphics = [UInt8](repeating: 0, count: 16)
  var crtIndex: UInt8 = 0
  var crt = [UInt8](repeating: 0, count: 32)
  /// Bit 5, palette address source, connects the palette to the screen; without it the screen is dark.
  var attributeIndex: UInt8 = 0
  var attribute = [UInt8](repeating: 0, count: 32)
  /// Port 0x3C0 takes data next, not an index.
  var attributeExpectsData = false
  /// What the last read of the window left, a byte a plane.
  var latches: UInt32 = 0
  /// The digital-to-analogue converter: 256 times red, green, blue as written, six or eight bits each.
  var palette = [UInt8](repeating: 0, count: 768)
  var paletteMask: UInt8 = 0xFF
  /// Components, not entries: entry times three.
  private var paletteReadPosition = 0
  private var paletteWritePosition = 0
  private var paletteReads = false
  private var retracePhase = 0

  /// Bits of the sequencer's registers that exist.
  private static let sequencerMasks: [UInt8] = [0x03, 0x3D, 0x0F, 0x3F, 0x0E, 0, 0, 0]
  /// Bits of the graphics controller's registers that exist.
  private static let graphicsMasks: [UInt8] = [
    0x0F, 0x0F, 0x0F, 0x1F, 0x03, 0x7B, 0x0F, 0x0F, 0xFF, 0, 0, 0, 0, 0, 0, 0,
  ]
  /// Bits of the attribute controller's registers after the sixteen of the palette.
  private static let attributeMasks: [UInt8] = [0xEF, 0xFF, 0x3F, 0x0F, 0x0F]
  /// Input status 1, read after read: display, horizontal retrace, vertical retrace, horizontal retrace. Whoever waits
  /// for an edge of either bit sees it within four reads, and every combination that a tube shows comes by.
  private static let retracePhases: [UInt8] = [0x00, 0x01, 0x09, 0x01]

  /// First of the CRT controller's ports.
  private var crtBase: UInt16 { miscellaneous & 0x01 != 0 ? 0x3D0 : 0x3B0 }

  // MARK: Ports

  /// Reads a byte of ports 0x3B0 to 0x3DF; where nothing is, ones.
  mutating func read(port: UInt16) -> UInt8 {
    switch port {
    case 0x3C0: return attributeIndex
    case 0x3C1: return attribute[Int(attributeIndex & 0x1F)]
    case 0x3C2: return 0  // input status 0: no interrupt pending
    case 0x3C4: return sequencerIndex
    case 0x3C5: return sequencer[Int(sequencerIndex & 7)]
    case 0x3C6: return paletteMask
    case 0x3C7: return paletteReads ? 0x03 : 0x00
    case 0x3C8: return UInt8(truncatingIfNeeded: paletteWritePosition / 3)
    case 0x3C9: return readPalette()
    case 0x3CA: return featureControl
    case 0x3CC: return miscellaneous
    case 0x3CE: return graphicsIndex
    case 0x3CF: return graphics[Int(graphicsIndex & 15)]
    case crtBase + 4: return crtIndex
    case crtBase + 5: return crt[Int(crtIndex & 31)]
    case crtBase + 10:
      attributeExpectsData = false
      retracePhase = (retracePhase + 1) & 3
      return Self.retracePhases[retracePhase]
    default: return 0xFF
    }
  }

  /// Writes a byte of ports 0x3B0 to 0x3DF.
  mutating func write(_ byte: UInt8, port: UInt16) {
    switch port {
    case 0x3C0: writeAttribute(byte)
    case 0x3C2: miscellaneous = byte
    case 0x3C4: sequencerIndex = byte & 7
    case 0x3C5: sequencer[Int(sequencerIndex & 7)] = byte & Self.sequencerMasks[Int(sequencerIndex & 7)]
    case 0x3C6: paletteMask = byte
    case 0x3C7:
      paletteReadPosition = Int(byte) * 3
      paletteReads = true
    case 0x3C8:
      paletteWritePosition = Int(byte) * 3
      paletteReads = false
    case 0x3C9:
      palette[paletteWritePosition] = byte
      paletteWritePosition = (paletteWritePosition + 1) % 768
    case 0x3CE: graphicsIndex = byte & 15
    case 0x3CF: graphics[Int(graphicsIndex & 15)] = byte & Self.graphicsMasks[Int(graphicsIndex & 15)]
    case crtBase + 4: crtIndex = byte & 31
    case crtBase + 5: writeCRT(byte)
    case crtBase + 10: featureControl = byte
    default: break
    }
  }

  private mutating func readPalette() -> UInt8 {
    defer { paletteReadPosition = (paletteReadPosition + 1) % 768 }
    return palette[paletteReadPosition]
  }

  private mutating func writeAttribute(_ byte: UInt8) {
    defer { attributeExpectsData.toggle() }
    guard attributeExpectsData else {
      attributeIndex = byte & 0x3F
      return
    }
    let index = Int(attributeIndex & 0x1F)
    switch index {
    case 0..<16: attribute[index] = byte & 0x3F
    case 16..<21: attribute[index] = byte & Self.attributeMasks[index - 16]
    default: break
    }
  }

  /// Bit 7 of register 0x11 protects registers 0 to 7, but for the line compare bit in 7.
  private mutating func writeCRT(_ byte: UInt8) {
    let index = Int(crtIndex & 31)
    guard index <= 7, crt[0x11] & 0x80 != 0 else {
      if index <= 0x18 { crt[index] = byte }
      return
    }
    if index == 7 { crt[7] = crt[7] & ~0x10 | byte & 0x10 }
  }

  // MARK: What they mean

  /// Entry `index` of the palette as 0x00RRGGBB; its components have eight bits when `wide`, else six.
  func colour(_ index: Int, wide: Bool) -> UInt32 {
    let position = (index & Int(paletteMask) & 0xFF) * 3
    var colour: UInt32 = 0
    for component in 0..<3 {
      let value = UInt32(palette[position + component])
      colour = colour << 8 | (wide ? value : (value & 0x3F) << 2 | (value & 0x3F) >> 4)
    }
    return colour
  }

  /// Colours of the sixteen attributes, through the attribute controller and the palette.
  func attributeColours(wide: Bool) -> [UInt32] {
    (0..<16).map { value in
      let entry = Int(attribute[value & Int(attribute[0x12] & 0x0F)])
      let select = Int(attribute[0x14])
      // P5 and P4 of the palette's output come from the colour select register when bit 7 of the mode says so.
      let low = attribute[0x10] & 0x80 != 0 ? entry & 0x0F | (select & 0x03) << 4 : entry & 0x3F
      return colour(low | (select & 0x0C) << 4, wide: wide)
    }
  }

  /// Neither screen off nor palette disconnected.
  var isShown: Bool { attributeIndex & 0x20 != 0 && sequencer[1] & 0x20 == 0 }
  /// Characters, not dots.
  var isText: Bool { graphics[6] & 0x01 == 0 }
}
