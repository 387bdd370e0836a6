import TestMachine
import Testing

@testable import Devices

/// The functions of the i440FX board that firmware programs.
@Suite struct ChipsetTests {
  private let line = TestLine()

  private func write(
    _ bus: PCIBus, _ device: UInt64, _ function: UInt64, _ offset: UInt64, _ value: UInt64, _ width: AccessWidth
  ) {
    bus.write(0x8000_0000 | device << 11 | function << 8 | offset & 0xFC, at: 0, width: .doubleWord)
    bus.write(value, at: 4 + (offset & 3), width: width)
  }

  private func read(_ bus: PCIBus, _ device: UInt64, _ function: UInt64, _ offset: UInt64, _ width: AccessWidth)
    -> UInt64
  {
    bus.write(0x8000_0000 | device << 11 | function << 8 | offset & 0xFC, at: 0, width: .doubleWord)
    return bus.read(at: 4 + (offset & 3), width: width)
  }

  private func makePower() -> PowerManagement<TestLine> {
    PowerManagement(interrupt: line, nanoseconds: { 1_000_000_000 }, onPowerOff: {})
  }

  private func makeBus(
    _ power: PIIX4PowerManagement<TestLine>, isa: ISABridge = ISABridge()
  ) throws -> PCIBus {
    try PCIBus(functions: [
      (PCIAddress(device: 0), HostBridge()), (PCIAddress(device: 1), isa), (PCIAddress(device: 1, function: 3), power),
    ])
  }

  /// SeaBIOS, src/fw/pciinit.c, piix4_pm_config_setup, and src/fw/smm.c.
  @Test func powerManagementAsSeaBIOSSetsItUp() throws {
    let function = PIIX4PowerManagement(makePower())
    let bus = try makeBus(function)
    #expect(read(bus, 1, 3, 0, .doubleWord) == 0x7113_8086)
    #expect(read(bus, 1, 3, 8, .doubleWord) == 0x0680_0003)
    #expect(read(bus, 1, 3, 0x3D, .byte) == 1)
    #expect(function.powerBase == nil && bus.readPort(at: 0x608, width: .doubleWord) == nil)
    write(bus, 1, 3, 0x3C, 9, .byte)
    write(bus, 1, 3, 0x40, 0x601, .doubleWord)
    #expect(bus.readPort(at: 0x608, width: .doubleWord) == nil)
    write(bus, 1, 3, 0x80, 1, .byte)
    #expect(function.powerBase == 0x600)
    #expect(bus.readPort(at: 0x608, width: .doubleWord) == 3_579_545)
    write(bus, 1, 3, 0x90, 0x701, .doubleWord)
    write(bus, 1, 3, 0xD2, 9, .byte)
    #expect(bus.readPort(at: 0x700, width: .byte) == 0)
    // SMM counts as installed: nobody waits for an SMI.
    #expect(read(bus, 1, 3, 0x58, .doubleWord) & 1 << 25 != 0)
  }

  /// OVMF, AcpiTimerLib and PlatformInitLib: base 0xB000 unless the ports are enabled already.
  @Test func powerManagementAsOVMFSetsItUp() throws {
    let function = PIIX4PowerManagement(makePower())
    let bus = try makeBus(function)
    #expect(read(bus, 1, 3, 0x80, .byte) & 1 == 0)
    let before = read(bus, 1, 3, 0x40, .doubleWord)
    write(bus, 1, 3, 0x40, before & ~0xFFC0 | 0xB000, .doubleWord)
    write(bus, 1, 3, 4, read(bus, 1, 3, 4, .byte) | 1, .byte)
    write(bus, 1, 3, 0x80, 1, .byte)
    #expect(read(bus, 1, 3, 0x40, .doubleWord) & ~1 == 0xB000)
    #expect(bus.readPort(at: 0xB008, width: .doubleWord) == 3_579_545)
    #expect(bus.writePort(0x0100, at: 0xB002, width: .word))
    #expect(bus.readPort(at: 0xB000, width: .doubleWord) == 0x0100_0000)
    #expect(bus.readPort(at: 0xB028, width: .doubleWord) == 0)  // global control
  }

  @Test func powerManagementWithoutFirmware() throws {
    let function = PIIX4PowerManagement(makePower(), base: 0x600)
    let bus = try makeBus(function)
    try bus.assignResources(memory: 0xE000_0000..<0xFEB0_0000, ports: 0xC000..<0xD000) { _ in 10 }
    #expect(function.powerBase == 0x600)
    #expect(bus.readPort(at: 0x604, width: .word) == 1)
    #expect(read(bus, 1, 3, 0x3C, .byte) == 9)
    #expect(function.windows == [PCIWindow(bar: 6, isIO: true, base: 0x600, count: 64)])
  }

  @Test func managementBusHasNobodyOnIt() throws {
    let bus = try makeBus(PIIX4PowerManagement(makePower()))
    write(bus, 1, 3, 0x90, 0x701, .doubleWord)
    write(bus, 1, 3, 0xD2, 1, .byte)
    bus.writePort(0xA1, at: 0x704, width: .byte)
    bus.writePort(0x48, at: 0x702, width: .byte)
    #expect(bus.readPort(at: 0x700, width: .byte) == 0x04)  // device error, not busy
    #expect(bus.readPort(at: 0x702, width: .byte) == 0x08)
    #expect(bus.readPort(at: 0x704, width: .byte) == 0xA1)
    bus.writePort(0xFF, at: 0x700, width: .byte)
    #expect(bus.readPort(at: 0x700, width: .byte) == 0)
    write(bus, 1, 3, 0xD2, 0, .byte)
    #expect(bus.readPort(at: 0x700, width: .byte) == nil)
  }

  /// SeaBIOS, src/fw/shadow.c: the registers as two words, 0x33 and 0x30 to open, 0x11 and 0x10 to close.
  @Test func memoryAttributes() throws {
    let bus = try makeBus(PIIX4PowerManagement(makePower()))
    #expect(read(bus, 0, 0, 0, .doubleWord) == 0x1237_8086)
    #expect(read(bus, 0, 0, 0x2C, .doubleWord) == 0x1100_1AF4)
    #expect(read(bus, 0, 0, 0x58, .doubleWord) == 0 && read(bus, 0, 0, 0x5C, .doubleWord) == 0)
    #expect(read(bus, 0, 0, 0x72, .byte) == 0x02)
    write(bus, 0, 0, 0x58, 0xFFFF_FFFF, .doubleWord)
    write(bus, 0, 0, 0x5C, 0xFFFF_FFFF, .doubleWord)
    #expect(read(bus, 0, 0, 0x58, .doubleWord) == 0x3333_3000)  // the low half of PAM0 is reserved
    #expect(read(bus, 0, 0, 0x5C, .doubleWord) == 0x3333_3333)
    write(bus, 0, 0, 0x59, 0x1F, .byte)
    write(bus, 0, 0, 0x5A, 0x13, .byte)
    #expect(read(bus, 0, 0, 0x58, .doubleWord) == 0x3313_1000)
    write(bus, 0, 0, 0x72, 0x4A, .byte)
    #expect(read(bus, 0, 0, 0x72, .byte) == 0x4A)
  }

  /// SeaBIOS, src/fw/pciinit.c, piix_isa_bridge_setup; OVMF's PlatformBootManagerLib writes the same numbers.
  @Test func interruptRoutes() throws {
    let bus = try makeBus(PIIX4PowerManagement(makePower()))
    #expect(read(bus, 1, 0, 0x60, .doubleWord) == 0x8080_8080)
    let interrupts: [UInt64] = [10, 10, 11, 11]
    for wire in 0..<4 { write(bus, 1, 0, 0x60 + UInt64(wire), interrupts[wire], .byte) }
    #expect(read(bus, 1, 0, 0x60, .doubleWord) == 0x0B0B_0A0A)
    write(bus, 1, 0, 0x62, 0xFB, .byte)  // bits 4 to 6 are not there
    #expect(read(bus, 1, 0, 0x60, .doubleWord) == 0x0B8B_0A0A)
    let routed = try makeBus(PIIX4PowerManagement(makePower()), isa: ISABridge(routes: [5, 9]))
    #expect(read(routed, 1, 0, 0x60, .doubleWord) == 0x8080_0905)
  }

  /// `pci_irqs[(pin - 1 + slot - 1) & 3]` of SeaBIOS's piix_pci_slot_get_irq, and OVMF's SetPciIntLine: the interrupt
  /// lines that they write must be the wires that we pull.
  @Test func swizzleIsFirmwares() {
    for slot in 1..<32 {
      for pin in 1...4 {
        #expect(PCIBus.wire(device: UInt8(slot), pin: UInt8(pin)) == (pin - 1 + slot - 1) & 3)
      }
    }
  }

  @Test func fuzz() throws {
    var random = SeededNumbers(23)
    let bus = try makeBus(PIIX4PowerManagement(makePower()))
    let widths: [AccessWidth] = [.byte, .word, .doubleWord, .quadWord]
    let functions: [UInt64] = [0, 1 << 11, 1 << 11 | 3 << 8]
    for _ in 0..<30_000 {
      let width = widths[Int.random(in: 0..<4, using: &random)]
      let value = UInt64.random(in: 0...(.max), using: &random) & width.mask
      let function = functions[Int.random(in: 0..<3, using: &random)]
      bus.write(0x8000_0000 | function | UInt64.random(in: 0..<256, using: &random), at: 0, width: .doubleWord)
      bus.write(value, at: UInt64.random(in: 4..<8, using: &random), width: width)
      _ = bus.read(at: UInt64.random(in: 4..<8, using: &random), width: width)
      let port = UInt64.random(in: 0..<0x1_0000, using: &random)
      _ = bus.readPort(at: port, width: width)
      bus.writePort(value, at: port, width: width)
      // Where the windows are now.
      let base = read(bus, 1, 3, random.next() & 1 == 0 ? 0x40 : 0x90, .word) & 0xFFC0
      bus.writePort(value, at: base + UInt64.random(in: 0..<64, using: &random), width: width)
      _ = bus.readPort(at: base + UInt64.random(in: 0..<64, using: &random), width: width)
    }
  }
}
