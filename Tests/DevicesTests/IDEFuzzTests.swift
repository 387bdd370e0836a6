import TestMachine
import Testing

@testable import Devices

/// Drivers that mostly know what they do.
@Suite struct IDEFuzzTests {
  private static let widths: [AccessWidth] = [.byte, .word, .doubleWord, .quadWord]
  private static let commands: [UInt8] = [
    0x00, 0x08, 0x10, 0x20, 0x20, 0x20, 0x20, 0x24, 0x25, 0x27, 0x29, 0x30, 0x34, 0x35, 0x39, 0x40, 0x42, 0x70, 0x90,
    0x91, 0xA0, 0xA1, 0xA1, 0xC4, 0xC5, 0xC6, 0xC8, 0xCA, 0xE5, 0xE7, 0xEC, 0xEC, 0xEF, 0xF8,
  ]
  private static let packets: [UInt8] = [
    0x00, 0x03, 0x12, 0x1A, 0x1B, 0x1E, 0x25, 0x28, 0x42, 0x43, 0x46, 0x4A, 0x51, 0x55, 0x5A, 0xA8, 0xBE,
  ]

  @Test func randomAccesses() throws {
    var random = SeededNumbers(71)
    let driver = IDEDriver(
      .disk(ATADisk(TestStore(sectors: 200), identity: ATAIdentity(model: "D", serial: "1"))),
      .cdrom(ATAPICD(TestStore(bytes: 40 * 2048), identity: ATAIdentity(model: "C", serial: "2"))))
    for entry in 0..<UInt64(64) {
      try driver.memory.storeUInt64(
        UInt64.random(in: 0...(.max), using: &random) & 0x8000_FFFF_000F_FFFF, at: GuestAddress(0x1000 + 8 * entry))
    }
    var (moved, interrupts) = (0, 0)
    for _ in 0..<6_000 {
      let width = Self.widths[Int.random(in: 0..<4, using: &random)]
      let value = UInt64.random(in: 0...(.max), using: &random) & width.mask
      switch Int.random(in: 0..<16, using: &random) {
      case 0: driver.command.write(value, at: UInt64.random(in: 0..<8, using: &random), width: width)
      case 1: _ = driver.command.read(at: UInt64.random(in: 0..<8, using: &random), width: width)
      case 2: driver.control.write(value & (width == .byte ? 0xFF : 0x82), at: 0, width: .byte)
      case 3: driver.setControl(0)
      case 4: driver.ide.write(value, bar: 4, offset: UInt64.random(in: 0..<20, using: &random), width: width)
      case 5: _ = driver.ide.read(bar: 4, offset: UInt64.random(in: 0..<20, using: &random), width: width)
      case 6:
        driver.ide.write(0x1000, bar: 4, offset: 4, width: .doubleWord)
        driver.ide.write(value & 8 | 1, bar: 4, offset: 0, width: .byte)
      case 7: driver.stopDMA()
      case 8...11:
        driver.write(value & 1 == 0 ? 0x40 : 0x50, .device)
        driver.write(UInt8.random(in: 0..<12, using: &random), .count)
        driver.write(UInt8.random(in: 0..<210, using: &random), .low)
        driver.write(0, .middle)
        driver.write(value & 0x70 == 0 ? 1 : 0, .high)
        driver.write(Self.commands.randomElement(using: &random) ?? 0, .status)
        if driver.readData(8).contains(where: { $0 != 0 }) { moved += 1 }
      case 12:
        driver.write(0x50, .device)
        driver.write(UInt8.random(in: 0...1, using: &random), .error)
        driver.write(0xA0, .status)
        var packet = (0..<12).map { _ in UInt8.random(in: 0..<32, using: &random) & 0x1F }
        packet[0] = Self.packets.randomElement(using: &random) ?? 0
        if value & 3 != 0 { for index in 1...7 { packet[index] = 0 } }
        driver.writeData(packet)
      case 13:
        var data = [UInt8](repeating: 0, count: 2 * Int.random(in: 0..<300, using: &random))
        var span = data.mutableSpan
        driver.command.readRun(at: 0, width: .word, into: &span)
      case 14:
        let data = [UInt8](repeating: 0x77, count: 2 * Int.random(in: 0..<300, using: &random))
        driver.command.writeRun(data.span, at: 0, width: .word)
      default:
        if driver.line.isHigh { interrupts += 1 }
        _ = driver.read(.status)
      }
    }
    // Both must have happened, or the fuzzer is blind.
    #expect(moved > 100)
    #expect(interrupts > 100)
  }
}
