extension VGARegisters {
  /// The registers as the video BIOS leaves them in mode 3: text of 80 columns and 25 rows, 720 by 400 dots, characters
  /// of 9 by 16, window at 0xB8000 (IBM PS/2 and PC BIOS Interface Technical Reference, 1991, video parameters).
  static let textMode: VGARegisters = {
    var registers = VGARegisters()
    registers.miscellaneous = 0x67
    registers.sequencer.replaceSubrange(0..<5, with: [0x03, 0x00, 0x03, 0x00, 0x02])
    registers.crt.replaceSubrange(
      0..<25,
      with: [
        0x5F, 0x4F, 0x50, 0x82, 0x55, 0x81, 0xBF, 0x1F, 0x00, 0x4F, 0x0D, 0x0E, 0x00, 0x00, 0x00, 0x00, 0x9C, 0x8E,
        0x8F, 0x28, 0x1F, 0x96, 0xB9, 0xA3, 0xFF,
      ])
    registers.graphics.replaceSubrange(0..<9, with: [0, 0, 0, 0, 0, 0x10, 0x0E, 0x0F, 0xFF])
    registers.attribute.replaceSubrange(
      0..<21,
      with: [
        0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x14, 0x07, 0x38, 0x39, 0x3A, 0x3B, 0x3C, 0x3D, 0x3E, 0x3F, 0x0C, 0x00,
        0x0F, 0x08, 0x00,
      ])
    registers.attributeIndex = 0x20
    // The 64 colours of the EGA: two bits a component, of which the high bit is two thirds.
    for entry in 0..<64 {
      for (component, bits) in [(0, entry >> 2), (1, entry >> 1), (2, entry)] {
        registers.palette[entry * 3 + component] = (bits & 1 != 0 ? 0x2A : 0) + (bits & 8 != 0 ? 0x15 : 0)
      }
    }
    return registers
  }()

  /// Puts an empty screen and `font` into display memory, as the planes are addressed in mode 3.
  static func fillTextMemory<Memory: DisplayMemory>(_ memory: Memory, font: DisplayFont) {
    memory.fill(0..<0x40000, with: 0)
    // Characters and attributes in planes 0 and 1, at even bytes: 0xB8000 to 0xBFFFF.
    for cell in stride(from: 0, to: 0x8000, by: 2) { memory.storePlanes(0x0720, at: cell * 4) }
    // Shapes in plane 2, 32 bytes for each.
    for (index, byte) in font.glyphs.enumerated() {
      memory.store(byte, at: (index / DisplayFont.height * 32 + index % DisplayFont.height) * 4 + 2)
    }
  }
}
