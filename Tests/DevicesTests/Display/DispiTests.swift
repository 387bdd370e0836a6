import Testing

@testable import Devices

@Suite struct DispiTests {
  private let display = TestDisplay(count: 1 << 21)

  @Test func identifiers() {
    #expect(display.getDispi(0) == 0xB0C5)
    for id in 0xB0C0...0xB0C5 as ClosedRange<UInt64> {
      display.setDispi(0, id)
      #expect(display.getDispi(0) == id)
    }
    display.setDispi(0, 0xB0C6)
    #expect(display.getDispi(0) == 0xB0C5)
    #expect(display.getDispi(10) == 32)  // 64 KiB units
  }

  @Test func capabilities() {
    display.setDispi(4, 0x02)
    #expect((1...3).map { display.getDispi($0) } == [2560, 1600, 32])
    display.setDispi(4, 0)
    #expect(display.getDispi(1) == 0)
  }

  @Test func modeAndVirtualScreen() {
    display.setMode(640, 400, 32)
    #expect((1...9).map { display.getDispi($0) } == [640, 400, 32, 0x41, 0, 640, 819, 0, 0])
    display.setDispi(6, 1024)
    display.setDispi(8, 100)
    display.setDispi(9, 50)
    #expect((6...9).map { display.getDispi($0) } == [1024, 512, 100, 50])
    display.setDispi(9, 113)  // its last lines would be outside of memory
    #expect(display.getDispi(9) == 0)
  }

  @Test func impossibleModesAreBent() {
    display.setMode(0xFFFF, 0xFFFF, 17)
    #expect((1...3).map { display.getDispi($0) } == [2560, 819, 8])
    display.setMode(0, 0, 32)
    #expect((1...3).map { display.getDispi($0) } == [8, 1, 32])
    let small = TestDisplay(count: 0x40000)
    small.setMode(2560, 1600, 32)
    #expect(small.getDispi(2) == 25)
    let picture = small.adapter.snapshot().picture()
    #expect((picture.width, picture.height) == (2560, 25))
  }

  @Test func modesBeginWithZerosUnlessAskedNotTo() {
    display.memory.store(0x77, at: 100)
    display.setMode(640, 480, 8, flags: 0xC1)
    #expect(display.memory.load(at: 100) == 0x77)
    display.setMode(640, 480, 8)
    #expect(display.memory.load(at: 100) == 0)
  }

  @Test func bankedWindow() {
    display.setMode(800, 600, 16)
    display.setDispi(5, 3)
    display.poke(0xA0012, 0xBEEF, .word)
    #expect(display.memory.load(at: 0x30012) == 0xEF)
    #expect(display.memory.load(at: 0x30013) == 0xBE)
    #expect(display.peek(0xA0013) == 0xBE)
    display.setDispi(5, 0x101)  // wraps at the end of memory
    #expect(display.getDispi(5) == 1)
  }

  /// What Linux's bochs-drm and OVMF do, all of it through register 2.
  @Test func registersInMemory() throws {
    let bus = try makeBus(display.adapter)
    let memory: UInt64 = 0xC000_0000
    let registers: UInt64 = 0xC020_0000
    #expect(display.adapter.windows.map(\.base) == [memory, registers])
    #expect(bus.readMemory(at: registers + 0x500, width: .word) == 0xB0C5)
    #expect(bus.readMemory(at: registers + 0x514, width: .word) == 32)
    #expect(bus.readMemory(at: registers + 0x600, width: .doubleWord) == 8)
    bus.writeMemory(0x1E1E_1E1E, at: registers + 0x604, width: .doubleWord)
    #expect(bus.readMemory(at: registers + 0x604, width: .doubleWord) == 0x1E1E_1E1E)
    bus.writeMemory(0x20, at: registers + 0x400, width: .byte)  // port 0x3C0: screen on
    for (register, value) in [(4, 0), (3, 32), (1, 640), (2, 480), (5, 0), (8, 0), (9, 0), (4, 0x41)]
      as [(UInt64, UInt64)]
    {
      bus.writeMemory(value, at: registers + 0x500 + register * 2, width: .word)
    }
    bus.writeMemory(0x0012_3456, at: memory + 640 * 4 + 8, width: .doubleWord)
    #expect(bus.readMemory(at: memory + 640 * 4 + 8, width: .doubleWord) == 0x0012_3456)
    let picture = display.adapter.snapshot().picture()
    #expect((picture.width, picture.height) == (640, 480))
    #expect(picture[2, 1] == 0x12_3456)
    // The EDID block: header, checksum, preferred timing of 1024 by 768.
    let block = (0..<128).map { bus.readMemory(at: registers + $0, width: .byte) ?? 0 }
    #expect(block.prefix(8) == [0, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0])
    #expect(block.reduce(0, +) % 256 == 0)
    #expect(block[56] | (block[58] >> 4) << 8 == 1024)
    #expect(block[59] | (block[61] >> 4) << 8 == 768)
  }

  @Test func identity() throws {
    let driver = VirtioDriver(bus: try makeBus(display.adapter), memory: TestMemory())
    #expect(driver.readConfiguration(0x00) == 0x1111_1234)
    #expect(driver.readConfiguration(0x08) == 0x0300_0002)
    #expect(driver.readConfiguration(0x2C) == 0x1100_1AF4)
    #expect(driver.readConfiguration(0x10) & 0xF == 8)  // prefetchable
    // No expansion ROM.
    driver.writeConfiguration(0xFFFF_FFFF, 0x30)
    #expect(driver.readConfiguration(0x30) == 0)
  }
}
