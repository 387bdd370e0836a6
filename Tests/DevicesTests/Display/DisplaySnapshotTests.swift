import Testing

@testable import Devices

@Suite struct DisplaySnapshotTests {
  private let display = TestDisplay()

  private func write(_ text: String, row: UInt64, attribute: UInt64 = 0x07) {
    for (column, byte) in text.utf8.enumerated() {
      display.poke(0xB8000 + row * 160 + UInt64(column) * 2, attribute << 8 | UInt64(byte), .word)
    }
  }

  @Test func darkUntilSetUp() {
    let isBlack = display.adapter.snapshot().picture() == Picture(width: 640, height: 400)
    #expect(isBlack)
    #expect(display.adapter.snapshot().text() == nil)
  }

  @Test func textModeAsDrawn() {
    display.adapter.setTextMode(font: .frames)
    write("Hi ", row: 1, attribute: 0x1E)
    display.poke(0xB8000 + 160 + 10, 0x0FC4, .word)  // a line of line graphics, white
    let snapshot = display.adapter.snapshot()
    let picture = snapshot.picture()
    #expect((picture.width, picture.height) == (720, 400))
    #expect(picture[0, 16] == 0x0000AA)  // blue behind
    #expect(picture[1, 16 + 3] == 0xFFFF55)  // yellow, the frame's upper edge
    #expect(picture[8, 16 + 3] == 0x0000AA)  // the ninth column is background
    #expect(picture[20, 16 + 5] == 0x0000AA)
    #expect(picture[0, 0] == 0x000000)
    // The cursor: rows 13 and 14 of the first character, light grey.
    #expect(picture[0, 12] == 0x000000)
    #expect(picture[8, 13] == 0xAAAAAA)
    #expect(picture[0, 14] == 0xAAAAAA)
    #expect(picture[0, 15] == 0x000000)
    let text = snapshot.text()
    #expect(text?.count == 25)
    #expect(text?[1] == "Hi   ─")
    #expect(text?[0] == "")
  }

  @Test func lineGraphicsReachTheNinthColumn() {
    display.adapter.setTextMode(font: .frames)
    for code in [0xDB, 0xB0] as [UInt64] {
      display.poke(0xB8010, 0x0700 | code, .word)
      let picture = display.adapter.snapshot().picture()
      #expect(picture[8 * 9 + 7, 0] == 0xAAAAAA)
      #expect(picture[8 * 9 + 8, 0] == (code == 0xDB ? 0xAAAAAA : 0))
    }
  }

  @Test func scrollingAndCursorFollowTheStartAddress() {
    display.adapter.setTextMode(font: .frames)
    write("one", row: 0)
    write("two", row: 1)
    display.set(0x3D4, 0x0D, 80)
    display.set(0x3D4, 0x0F, 81)
    let snapshot = display.adapter.snapshot()
    #expect(snapshot.text()?[0] == "two")
    #expect(snapshot.picture()[9, 13] == 0xAAAAAA)
    display.set(0x3D4, 0x0A, 0x2D)  // cursor off
    #expect(display.adapter.snapshot().picture()[9, 14] == 0)
  }

  @Test func brightBackgroundAndColourSelect() {
    display.adapter.setTextMode(font: .frames)
    write(" ", row: 3, attribute: 0xC0)
    #expect(display.adapter.snapshot().picture()[0, 48] == 0xFF5555)
    display.setPalette(0x3C, 0x3F, 0x3F, 0)
    #expect(display.adapter.snapshot().picture()[0, 48] == 0xFFFF00)
  }

  @Test func planarMode() {
    display.setPlanarMode()
    display.setPalette(0x3A, 0x15, 0x3F, 0x15)
    display.set(0x3C4, 2, 0b1010)
    display.poke(0xA0000 + 80 * 479 + 79, 0x01)
    let picture = display.adapter.snapshot().picture()
    #expect((picture.width, picture.height) == (640, 480))
    #expect(picture[639, 479] == 0x55FF55)
    #expect(picture[638, 479] == 0)
    display.setAttribute(0x12, 0x07)  // plane 3 is not looked at
    display.setPalette(0x02, 0, 0x2A, 0)
    #expect(display.adapter.snapshot().picture()[639, 479] == 0x00AA00)
    #expect(display.adapter.snapshot().text() == nil)
  }

  @Test func splitScreenAndPanning() {
    display.setPlanarMode()
    display.setPalette(0x3F, 63, 63, 63)
    display.poke(0xA0000, 0x80)
    display.set(0x3D4, 0x0C, 0x40)
    display.set(0x3D4, 0x11, 0)
    display.set(0x3D4, 0x18, 99)
    display.set(0x3D4, 0x07, 0x2E)
    display.set(0x3D4, 0x09, 0x00)
    var picture = display.adapter.snapshot().picture()
    #expect(picture[0, 100] == 0xFFFFFF)
    #expect(picture[0, 0] == 0)
    display.poke(0xA0001, 0x10)
    display.setAttribute(0x13, 3)
    picture = display.adapter.snapshot().picture()
    #expect(picture[8, 100] == 0xFFFFFF)
    #expect(picture[0, 100] == 0)
  }

  @Test func byteModes() {
    display.setByteMode()
    display.setPalette(200, 0x3F, 0, 0x20)
    display.poke(0xA0000 + 320 * 199 + 319, 200)
    var picture = display.adapter.snapshot().picture()
    #expect((picture.width, picture.height) == (320, 200))
    #expect(picture[319, 199] == 0xFF0082)
    display.setByteMode(unchained: true)
    display.set(0x3C4, 2, 0b0100)
    display.poke(0xA0000 + 80 * 10 + 5, 200)
    picture = display.adapter.snapshot().picture()
    #expect(picture[22, 10] == 0xFF0082)
    #expect(picture[21, 10] == 0)
  }

  /// Mode 4, the CGA's: two banks of lines, four pixels a byte.
  @Test func packedMode() {
    display.program(
      0x63, sequencer: [0x03, 0x09, 0x03, 0x00, 0x02],
      crt: [
        0x2D, 0x27, 0x28, 0x90, 0x2B, 0x80, 0xBF, 0x1F, 0x00, 0xC1, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x9C, 0x8E,
        0x8F, 0x14, 0x00, 0x96, 0xB9, 0xA2, 0xFF,
      ], graphics: [0, 0, 0, 0, 0, 0x30, 0x0F, 0, 0xFF],
      attributes: (0..<16).map { UInt64($0) } + [0x01, 0x00, 0x03, 0x00, 0x00])
    display.setPalette(1, 0x3F, 0, 0)
    display.setPalette(2, 0, 0x3F, 0)
    display.setPalette(3, 0, 0, 0x3F)
    display.poke(0xB8000, 0b00_01_10_11)
    display.poke(0xB8000 + 0x2000 + 81, 0b11_00_00_01)
    let picture = display.adapter.snapshot().picture()
    #expect((picture.width, picture.height) == (320, 200))
    #expect((0..<4).map { picture[$0, 0] } == [0, 0xFF0000, 0x00FF00, 0x0000FF])
    #expect(picture[4, 3] == 0x0000FF)
    #expect(picture[7, 3] == 0xFF0000)
  }

  @Test func depths() {
    for (depth, bytes, colour) in [
      (15, [0x00, 0x7C], 0xFF0000), (15, [0xE0, 0x03], 0x00FF00), (16, [0xE0, 0x07], 0x00FF00),
      (16, [0x1F, 0x00], 0x0000FF), (16, [0x00, 0x80], 0x840000), (24, [0x56, 0x34, 0x12], 0x123456),
      (32, [0x56, 0x34, 0x12, 0xFF], 0x123456), (8, [0x05], 0x808182),
    ] as [(UInt64, [UInt8], UInt32)] {
      display.setMode(64, 32, depth, flags: 0x61)  // palette of eight bits
      display.setPalette(5, 0x80, 0x81, 0x82)
      display.setDispi(6, 128)
      display.setDispi(8, 8)
      display.setDispi(9, 2)
      let stride = 128 * bytes.count
      for (index, byte) in bytes.enumerated() { display.memory.store(byte, at: 5 * stride + 18 * bytes.count + index) }
      let picture = display.adapter.snapshot().picture()
      #expect((picture.width, picture.height) == (64, 32))
      #expect(picture[10, 3] == colour, "depth \(depth)")
      #expect(picture[9, 3] == (depth == 8 ? picture[0, 0] : 0))
    }
  }

  @Test func fourBitModeOfTheExtensions() {
    display.setPlanarMode()
    display.setPalette(0x3C, 0x3F, 0, 0)
    display.setMode(800, 600, 4)
    display.set(0x3C4, 2, 0b1100)
    display.poke(0xA0000 + 100 * 2 + 1, 0x40)
    let picture = display.adapter.snapshot().picture()
    #expect((picture.width, picture.height) == (800, 600))
    #expect(picture[9, 2] == 0xFF0000)
    #expect(picture[8, 2] == 0)
  }

  @Test func screenOff() {
    display.setByteMode()
    display.setPalette(0, 63, 63, 63)
    #expect(display.adapter.snapshot().picture()[0, 0] == 0xFFFFFF)
    display.set(0x3C4, 1, 0x21)
    let isBlack = display.adapter.snapshot().picture() == Picture(width: 320, height: 200)
    #expect(isBlack)
  }

  @Test func fontOfAVideoBIOS() throws {
    var rom = [UInt8](repeating: 0xC3, count: 9000)
    var glyphs = [UInt8](repeating: 0, count: 4096)
    glyphs.replaceSubrange(
      16..<32, with: [0, 0, 0x7E, 0x81, 0xA5, 0x81, 0x81, 0xBD, 0x99, 0x81, 0x81, 0x7E, 0, 0, 0, 0])
    for line in 0..<16 { glyphs[0xDB * 16 + line] = 0xFF }
    glyphs[65 * 16 + 5] = 0x18
    #expect(DisplayFont(videoROM: rom) == nil)
    rom.replaceSubrange(3001..<7097, with: glyphs)
    let font = try #require(DisplayFont(videoROM: rom))
    #expect(font.glyphs == glyphs)
    #expect(DisplayFont(videoROM: Array(rom.prefix(7096))) == nil)
    display.adapter.setTextMode(font: font)
    write("A", row: 1)
    #expect(display.adapter.snapshot().picture()[3, 21] == 0xAAAAAA)
    #expect(display.adapter.snapshot().picture()[2, 21] == 0)
  }

  @Test func codePage() {
    #expect(CodePage437.count == 256)
    #expect(
      [0x01, 0x41, 0x7F, 0x80, 0xB0, 0xC4, 0xDB, 0xE1, 0xFE].map { CodePage437.character($0) } == Array("☺A⌂Ç░─█ß■"))
  }

  @Test func changedRectangles() {
    let old = Picture(width: 100, height: 70)
    var new = old
    #expect(new.changes(since: old) == [])
    new.pixels[0] = 1
    new.pixels[69 * 100 + 99] = 1
    #expect(
      Set(new.changes(since: old)) == [
        PictureRectangle(x: 0, y: 0, width: 32, height: 32), PictureRectangle(x: 96, y: 64, width: 4, height: 6),
      ])
    for y in 10..<40 { for x in 40..<70 { new.pixels[y * 100 + x] = 2 } }
    #expect(
      Set(new.changes(since: old)) == [
        PictureRectangle(x: 0, y: 0, width: 96, height: 32), PictureRectangle(x: 32, y: 32, width: 64, height: 32),
        PictureRectangle(x: 96, y: 64, width: 4, height: 6),
      ])
    #expect(
      new.changes(since: Picture(width: 99, height: 70)) == [PictureRectangle(x: 0, y: 0, width: 100, height: 70)])
    var column = old
    for y in 0..<70 { column.pixels[y * 100 + 33] = 3 }
    #expect(column.changes(since: old) == [PictureRectangle(x: 32, y: 0, width: 32, height: 70)])
  }
}
