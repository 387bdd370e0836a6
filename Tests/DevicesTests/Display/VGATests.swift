import TestMachine
import Testing

@testable import Devices

@Suite struct VGATests {
  private let display = TestDisplay()

  @Test func crtControllerFollowsTheMiscellaneousRegister() {
    display.out(0x3D4, 0x0E)
    #expect(display.input(0x3D4) == 0xFF)  // monochrome after a cold start
    display.set(0x3B4, 0x0E, 0x12)
    display.out(0x3C2, 0x67)
    #expect(display.input(0x3CC) == 0x67)
    #expect(display.get(0x3D4, 0x0E) == 0x12)
    #expect(display.input(0x3B4) == 0xFF)
  }

  @Test func protectedRegistersStay() {
    display.out(0x3C2, 0x67)
    display.set(0x3D4, 0x11, 0x00)
    display.set(0x3D4, 0x00, 0x5F)
    display.set(0x3D4, 0x07, 0x0F)
    display.set(0x3D4, 0x11, 0x8E)
    display.set(0x3D4, 0x00, 0x11)
    display.set(0x3D4, 0x07, 0xF0)
    #expect(display.get(0x3D4, 0x00) == 0x5F)
    #expect(display.get(0x3D4, 0x07) == 0x1F)  // line compare's bit 8 is never protected
    display.set(0x3D4, 0x13, 0x28)
    #expect(display.get(0x3D4, 0x13) == 0x28)
  }

  @Test func attributeFlipFlop() {
    display.out(0x3C2, 0x67)
    _ = display.input(0x3DA)
    display.out(0x3C0, 0x03)
    display.out(0x3C0, 0xFF)
    #expect(display.input(0x3C0) == 0x03)
    #expect(display.input(0x3C1) == 0x3F)
    display.out(0x3C0, 0x05)
    _ = display.input(0x3DA)
    display.out(0x3C0, 0x03)  // an index again
    #expect(display.input(0x3C1) == 0x3F)
    #expect(display.adapter.snapshot().registers.attribute[5] == 0)
  }

  @Test func bitsThatDoNotExistReadAsZero() {
    display.set(0x3C4, 4, 0xFF)
    #expect(display.get(0x3C4, 4) == 0x0E)
    display.set(0x3CE, 5, 0xFF)
    #expect(display.get(0x3CE, 5) == 0x7B)
  }

  @Test func paletteCountsItsComponents() {
    display.setPalette(7, 1, 2, 3)
    for component in [4, 5, 6] as [UInt64] { display.out(0x3C9, component) }  // entry 8
    #expect(display.input(0x3C7) == 0x00)
    display.out(0x3C7, 7)
    #expect((0..<6).map { _ in display.input(0x3C9) } == [1, 2, 3, 4, 5, 6])
    #expect(display.input(0x3C7) == 0x03)
    #expect(display.input(0x3C6) == 0xFF)
    display.out(0x3C8, 255)
    for component in [9, 9, 9, 8] as [UInt64] { display.out(0x3C9, component) }
    display.out(0x3C7, 0)
    #expect(display.input(0x3C9) == 8)  // after the last comes the first
  }

  /// Waits of either kind end, and horizontal retrace is seen without the vertical one.
  @Test func retraceComesAndGoes() {
    display.out(0x3C2, 0x67)
    let seen = (0..<8).map { _ in display.input(0x3DA) & 0x09 }
    #expect(Set(seen) == [0, 1, 9])
    for _ in 0..<8 { #expect((0..<4).contains { _ in display.input(0x3DA) & 0x08 != 0 }) }
  }

  @Test func windowMappings() {
    display.setPlanarMode()
    for (mapping, first, last, outside) in [
      (0, 0xA0000, 0xBFFFF, nil), (1, 0xA0000, 0xAFFFF, 0xB0000), (2, 0xB0000, 0xB7FFF, 0xB8000),
      (3, 0xB8000, 0xBFFFF, 0xB7FFF),
    ] as [(UInt64, UInt64, UInt64, UInt64?)] {
      display.set(0x3CE, 6, mapping << 2 | 1)
      display.poke(first, 0x5A)
      #expect(display.memory.planes(0) == [0x5A, 0x5A, 0x5A, 0x5A])
      #expect(display.peek(first) == 0x5A)
      display.poke(first, 0)
      _ = display.peek(last)
      if let outside {
        display.poke(outside, 0x77)
        #expect(display.peek(outside) == 0xFF)
        #expect(display.memory.planes(Int(outside & 0x7FFF)) == [0, 0, 0, 0])
      }
    }
    display.out(0x3C2, 0xE1)  // memory off
    #expect(display.peek(0xB8000) == 0xFF)
  }

  /// Write mode 0: rotator, set/reset, functions, bit mask, map mask.
  @Test func writeModeZero() {
    display.setPlanarMode()
    display.set(0x3C4, 2, 0b0101)
    display.poke(0xA0010, 0xC3)
    #expect(display.memory.planes(0x10) == [0xC3, 0, 0xC3, 0])
    display.set(0x3C4, 2, 0x0F)
    display.set(0x3CE, 3, 0x04)  // rotate right by 4
    display.poke(0xA0011, 0x12)
    #expect(display.memory.planes(0x11) == [0x21, 0x21, 0x21, 0x21])
    display.set(0x3CE, 0, 0b1010)
    display.set(0x3CE, 1, 0b1100)  // set/reset on planes 2 and 3
    display.poke(0xA0012, 0x12)
    #expect(display.memory.planes(0x12) == [0x21, 0x21, 0x00, 0xFF])
    // XOR with the latches, on four of eight bits.
    display.set(0x3CE, 1, 0)
    display.set(0x3CE, 3, 0x18)
    display.set(0x3CE, 8, 0x0F)
    _ = display.peek(0xA0012)
    display.poke(0xA0012, 0xFF)
    #expect(display.memory.planes(0x12) == [0x2E, 0x2E, 0x0F, 0xF0])
    for (function, expected) in [(0x08, [0x20, 0x20, 0x00, 0xF0]), (0x10, [0x2F, 0x2F, 0x0F, 0xFF])]
      as [(UInt64, [UInt8])]
    {
      display.set(0x3CE, 3, function)
      _ = display.peek(0xA0012)
      display.poke(0xA0013, function == 0x08 ? 0x00 : 0xFF)
      #expect(display.memory.planes(0x13) == expected)
    }
  }

  @Test func writeModeOneCopiesTheLatches() {
    display.setPlanarMode()
    display.poke(0xA0000, 0x01)
    display.set(0x3C4, 2, 0x02)
    display.poke(0xA0000, 0x02)
    display.set(0x3C4, 2, 0x0F)
    display.set(0x3CE, 5, 0x01)
    _ = display.peek(0xA0000)
    display.poke(0xA0100, 0xEE)
    #expect(display.memory.planes(0x100) == [0x01, 0x02, 0x01, 0x01])
  }

  @Test func writeModeTwoSpreadsAColour() {
    display.setPlanarMode()
    display.set(0x3CE, 5, 0x02)
    display.set(0x3CE, 8, 0x80)
    _ = display.peek(0xA0000)
    display.poke(0xA0000, 0x0A)
    #expect(display.memory.planes(0) == [0, 0x80, 0, 0x80])
  }

  @Test func writeModeThreeMasksWithTheData() {
    display.setPlanarMode()
    display.set(0x3CE, 0, 0x06)
    display.set(0x3CE, 5, 0x03)
    display.set(0x3CE, 8, 0x3C)
    _ = display.peek(0xA0000)
    display.poke(0xA0000, 0xF0)
    #expect(display.memory.planes(0) == [0, 0x30, 0x30, 0])
  }

  @Test func readModes() {
    display.setPlanarMode()
    for plane in 0..<4 as Range<UInt64> {
      display.set(0x3C4, 2, 1 << plane)
      display.poke(0xA0000, 0xF0 >> plane)
    }
    for plane in 0..<4 as Range<UInt64> {
      display.set(0x3CE, 4, plane)
      #expect(display.peek(0xA0000) == 0xF0 >> plane)
    }
    // Colour compare: bit 3 of the byte is colour 1111, bit 7 is 0001.
    display.set(0x3CE, 5, 0x08)
    display.set(0x3CE, 2, 0x0F)
    #expect(display.peek(0xA0000) == 0b0001_0000)
    display.set(0x3CE, 2, 0x01)
    #expect(display.peek(0xA0000) == 0b1000_0000)
    display.set(0x3CE, 7, 0x01)  // only plane 0 counts
    #expect(display.peek(0xA0000) == 0b1111_0000)
    display.set(0x3CE, 7, 0x00)
    #expect(display.peek(0xA0000) == 0xFF)
  }

  @Test func chainedAndOddEvenAddresses() {
    display.setByteMode()
    display.poke(0xA0004, 0x4433_2211, .doubleWord)
    #expect(display.memory.planes(1) == [0x11, 0x22, 0x33, 0x44])
    #expect(display.window.read(at: 4, width: .doubleWord) == 0x4433_2211)
    display.set(0x3C4, 2, 0x01)
    display.poke(0xA0004, 0, .doubleWord)
    #expect(display.memory.planes(1) == [0, 0x22, 0x33, 0x44])
    display.adapter.setTextMode(font: .frames)
    display.poke(0xB8002, 0x1F41, .word)
    #expect(display.memory.planes(2) == [0x41, 0x1F, display.memory.planes(2)[2], 0])
    #expect(display.window.read(at: 0x18002, width: .word) == 0x1F41)
  }

  /// Registers and memory from a fixed seed, and a picture now and then: nothing traps and pictures stay in bounds.
  @Test func fuzz() {
    var random = SeededNumbers(11)
    var modes: [DisplaySnapshot<TestDisplayMemory>.Mode: Int] = [:]
    let display = TestDisplay(count: 0x40000)
    display.adapter.setTextMode(font: .frames)
    for round in 0..<6_000 {
      if round % 1000 == 0 { display.setByteMode(unchained: round % 2000 == 0) }
      if round % 1000 == 350 { display.setPlanarMode() }
      if round % 1000 == 700 { display.adapter.setTextMode(font: .frames) }
      let value = UInt64.random(in: 0...(.max), using: &random)
      let width = [AccessWidth.byte, .word, .doubleWord, .quadWord][Int(value & 3)]
      switch UInt8.random(in: 0..<8, using: &random) {
      case 0: display.ports.write(value, at: UInt64.random(in: 0..<0x30, using: &random), width: width)
      case 1: display.set([0x3C4, 0x3CE, 0x3D4][Int(value % 3)], value >> 8 & 31, value >> 16 & 0xFF)
      case 2: display.setAttribute(value & 31, value >> 8 & 0xFF)
      case 3: _ = display.ports.read(at: UInt64.random(in: 0..<0x30, using: &random), width: width)
      case 4:
        display.setDispi(value & 15, [0, 1, 8, 32, 0x41, value >> 16 & 0xFFF, 0xFFFF][Int(value >> 8 & 0xFF) % 7])
      case 5: _ = display.window.read(at: value >> 8 & 0x1FFFF, width: width)
      case 6: display.adapter.write(value, bar: Int(value & 7), offset: value >> 8 & 0xFFF, width: width)
      default: display.window.write(value, at: value >> 8 & 0x1FFFF, width: width)
      }
      guard round % 25 == 0 else { continue }
      let snapshot = display.adapter.snapshot()
      modes[snapshot.mode, default: 0] += 1
      // Large pictures take long in a debug build; a few of them are enough.
      guard snapshot.registers.columns * snapshot.registers.scanLines < 10_000 || round % 500 == 0 else { continue }
      let picture = snapshot.picture()
      #expect(picture.pixels.count == picture.width * picture.height)
      #expect(picture.pixels.max() ?? .max <= 0xFF_FFFF)
      _ = snapshot.text()
    }
    #expect(modes.count >= 5)
  }
}
