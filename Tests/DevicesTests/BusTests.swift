import Devices
import Testing

@Suite struct BusTests {
  /// Answers with its number and what was asked of it.
  struct Probe: BusDevice {
    let number: UInt64
    func read(at offset: UInt64, width: AccessWidth) -> UInt64 { number << 8 | offset }
    func write(_ value: UInt64, at offset: UInt64, width: AccessWidth) {}
  }

  @Test func rangesAnswerAndGapsReadAsOnes() throws {
    var bus = Bus<Probe>()
    try bus.attach(Probe(number: 2), at: 0x3F8, count: 8)
    try bus.attach(Probe(number: 1), at: 0x60, count: 5)
    #expect(bus.read(at: 0x3FA, width: .word) == 0x202)
    #expect(bus.read(at: 0x64, width: .byte) == 0x04)
    #expect(bus.read(at: 0x3F7, width: .byte) == 0xFF)
    #expect(bus.read(at: 0x400, width: .word) == 0xFFFF)
    #expect(bus.read(at: 0x3FE, width: .doubleWord) == 0xFFFF_FFFF)
    #expect(bus.read(at: .max, width: .quadWord) == .max)
  }

  @Test func overlapIsRefused() throws {
    var bus = Bus<Probe>()
    try bus.attach(Probe(number: 1), at: 0x100, count: 8)
    #expect(throws: BusConflict.self) { try bus.attach(Probe(number: 2), at: 0x107, count: 1) }
    #expect(throws: BusConflict.self) { try bus.attach(Probe(number: 2), at: 0, count: 0) }
    #expect(throws: BusConflict.self) { try bus.attach(Probe(number: 2), at: .max, count: 2) }
    try bus.attach(Probe(number: 2), at: 0x108, count: 1)
    try bus.attach(Probe(number: 3), at: .max, count: 1)
  }
}
