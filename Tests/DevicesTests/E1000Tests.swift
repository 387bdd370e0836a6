import Testing

@testable import Devices

private typealias Register = E1000Driver.Register

/// The 82540EM against Intel 317453: identity, EEPROM, PHY, reset, interrupts.
@Suite struct E1000Tests {
  @Test func identity() throws {
    let driver = try E1000Driver()
    driver.bus.write(0x8000_1000, at: 0, width: .doubleWord)
    #expect(driver.bus.read(at: 4, width: .doubleWord) == 0x100E_8086)
    driver.bus.write(0x8000_1008, at: 0, width: .doubleWord)
    #expect(driver.bus.read(at: 4, width: .doubleWord) == 0x0200_0003)
    #expect(driver.function.regions.map(\.count) == [0x20000, 64])
    #expect(driver.function.regions.map(\.region.isIO) == [false, true])
    // Link up, 1000 Mb/s, full duplex.
    #expect(driver.read(Register.status) & 0xC3 == 0x83)
  }

  @Test func eepromByEERDHasTheAddressAndTheChecksum() throws {
    let driver = try E1000Driver()
    var sum: UInt16 = 0
    var words: [UInt16] = []
    for index in 0..<UInt32(64) {
      driver.write(index << 8 | 1, Register.eepromRead)
      let value = driver.read(Register.eepromRead)
      #expect(value & 0x10 != 0)
      words.append(UInt16(value >> 16))
      sum &+= words.last ?? 0
    }
    #expect(words.prefix(3) == [0x5452, 0x1200, 0x5634])
    #expect(words[0x0D] == 0x100E && words[0x0A] >> 14 == 1)
    #expect(sum == 0xBABA)
    #expect(driver.read(Register.receiveAddress) == 0x1200_5452)
    #expect(driver.read(Register.receiveAddress + 4) == 0x8000_5634)
  }

  /// One word as a driver shifts it in: the request, start bit and operation, six bits of address, sixteen of data.
  private func bitBang(_ driver: E1000Driver, word: UInt32, bits: Int = 16) -> UInt32 {
    func clock(_ wires: UInt32) -> Bool {
      driver.write(wires, Register.eepromControl)
      driver.write(wires | 1, Register.eepromControl)
      let out = driver.read(Register.eepromControl) & 8 != 0
      driver.write(wires, Register.eepromControl)
      return out
    }
    driver.write(0x40, Register.eepromControl)
    #expect(driver.read(Register.eepromControl) & 0x180 == 0x180)  // granted, present
    driver.write(0x42, Register.eepromControl)
    for index in (0..<9).reversed() {
      _ = clock(0x42 | ((0b110 << 6 | word) >> UInt32(index) & 1) << 2)
    }
    #expect(driver.read(Register.eepromControl) & 8 == 0)  // a zero comes before the data
    var value: UInt32 = 0
    for _ in 0..<bits { value = value << 1 | (clock(0x42) ? 1 : 0) }
    driver.write(0x40, Register.eepromControl)
    driver.write(0, Register.eepromControl)
    #expect(driver.read(Register.eepromControl) & 0x80 == 0)
    return value
  }

  @Test func eepromByMicrowire() throws {
    let driver = try E1000Driver()
    #expect(bitBang(driver, word: 0) == 0x5452)
    #expect(bitBang(driver, word: 2) == 0x5634)
    #expect(bitBang(driver, word: 0x0D) == 0x100E)
    // Words follow one another while the chip is selected.
    #expect(bitBang(driver, word: 0, bits: 32) == 0x5452_1200)
  }

  @Test func phy() throws {
    let driver = try E1000Driver()
    func read(_ number: UInt32, address: UInt32 = 1) -> UInt32 {
      driver.write(2 << 26 | address << 21 | number << 16, Register.mediaInterface)
      return driver.read(Register.mediaInterface)
    }
    #expect(read(2) & 0xFFFF == 0x0141 && read(3) & 0xFFFF == 0x0C20)
    #expect(read(2) >> 28 & 1 == 1)
    #expect(read(2, address: 2) >> 30 & 1 == 1)  // nobody there
    #expect(read(1) & 0x24 == 0x24)  // link, autonegotiation complete
    #expect(read(17) & 0xEC00 == 0xAC00)  // 1000, full duplex, resolved, link
    driver.write(1 << 26 | 1 << 21 | 4 << 16 | 0x01E1, Register.mediaInterface)
    #expect(read(4) & 0xFFFF == 0x01E1)
    driver.write(1 << 26 | 1 << 21 | 2 << 16 | 0x5555, Register.mediaInterface)
    #expect(read(2) & 0xFFFF == 0x0141)
    // A reset clears itself, brings the registers back, and the link anew.
    _ = driver.read(Register.cause)
    driver.write(1 << 26 | 1 << 21 | 0x9140, Register.mediaInterface)
    #expect(read(0) & 0xFFFF == 0x1140 && read(4) & 0xFFFF == 0x0DE1)
    #expect(driver.read(Register.cause) == 0x04)
    driver.function.isLinkUp = false
    #expect(read(17) & 0x0400 == 0 && driver.read(Register.status) & 2 == 0)
    driver.function.isLinkUp = true
    #expect(read(1) & 4 == 0)  // was lost since it was last read
    #expect(read(1) & 4 == 4)
    driver.write(1 << 29 | 2 << 26 | 1 << 21, Register.mediaInterface)
    #expect(driver.read(Register.cause) == 0x204)
  }

  @Test func reset() throws {
    let driver = try E1000Driver()
    driver.startTransmit()
    try driver.startReceive()
    driver.write(0x1234, Register.multicastTable)
    driver.write(0x55, Register.receiveAddress)
    driver.write(0xFFFF_FFFF, Register.maskSet)
    driver.write(4, Register.causeSet)
    #expect(driver.line.isHigh)
    driver.write(1 << 26, Register.control)
    #expect(!driver.line.isHigh)
    #expect(driver.read(Register.control) & 1 << 26 == 0)
    for register in [
      Register.receiveControl, Register.transmitControl, Register.maskSet, Register.cause, Register.transmitRing + 8,
      Register.receiveTail, Register.multicastTable,
    ] {
      #expect(driver.read(register) == 0)
    }
    #expect(driver.read(Register.receiveAddress) == 0x1200_5452)
    // Configuration space stays.
    #expect(!driver.function.windows.isEmpty)
  }

  @Test func interrupts() throws {
    let driver = try E1000Driver()
    driver.write(0x04, Register.causeSet)
    #expect(!driver.line.isHigh)
    driver.write(0x84, Register.maskSet)
    #expect(driver.line.isHigh && driver.read(Register.maskSet) == 0x84)
    driver.write(0x04, Register.maskClear)
    #expect(!driver.line.isHigh && driver.read(Register.maskSet) == 0x80)
    driver.write(0x81, Register.causeSet)
    #expect(driver.line.isHigh)
    // Reading clears all, and so the line.
    #expect(driver.read(Register.cause) == 0x85)
    #expect(!driver.line.isHigh && driver.read(Register.cause) == 0)
    // Writing ones clears those.
    driver.write(0x81, Register.causeSet)
    driver.write(0x80, Register.cause)
    #expect(!driver.line.isHigh && driver.read(Register.cause) == 0x01)
    // Interrupt Disable holds the line, and the status bit shows what it holds.
    driver.write(0x80, Register.causeSet)
    driver.bus.write(0x8000_1004, at: 0, width: .doubleWord)
    driver.bus.write(0x0407, at: 4, width: .word)
    #expect(!driver.line.isHigh && driver.bus.read(at: 6, width: .word) & 8 != 0)
    driver.bus.write(0x0007, at: 4, width: .word)
    #expect(driver.line.isHigh)
  }

  @Test func portsLeadToTheRegisters() throws {
    let driver = try E1000Driver()
    driver.bus.writePort(0x5400, at: driver.ports, width: .doubleWord)
    #expect(driver.bus.readPort(at: driver.ports, width: .doubleWord) == 0x5400)
    #expect(driver.bus.readPort(at: driver.ports + 4, width: .doubleWord) == 0x1200_5452)
    driver.bus.writePort(0xDEAD_BEEF, at: driver.ports + 4, width: .doubleWord)
    #expect(driver.read(Register.receiveAddress) == 0xDEAD_BEEF)
    driver.bus.writePort(0xFFFF_FFFC, at: driver.ports, width: .doubleWord)
    #expect(driver.bus.readPort(at: driver.ports + 4, width: .doubleWord) == 0)
    // The 82542's place of the same register, and a quad word.
    #expect(driver.read(0x0040) == 0xDEAD_BEEF)
    driver.bus.writeMemory(0x8000_5634_1200_5452, at: driver.base + 0x5400, width: .quadWord)
    #expect(driver.bus.readMemory(at: driver.base + 0x5400, width: .quadWord) == 0x8000_5634_1200_5452)
    #expect(driver.bus.readMemory(at: driver.base + 0x5402, width: .word) == 0x1200)
  }

  @Test func statisticsClearWhenRead() throws {
    let driver = try E1000Driver()
    driver.startTransmit()
    try driver.startReceive()
    try driver.queue([UInt8](repeating: 0xFF, count: 100))
    driver.kick()
    driver.frames.offer([UInt8](repeating: 0xFF, count: 196))
    driver.frames.offer([2] + [UInt8](repeating: 0, count: 59))  // for another station
    #expect(driver.function.receiveFrames())
    #expect(driver.read(0x4080) == 1 && driver.read(0x4080) == 0)  // GPTC
    #expect(driver.read(0x40F4) == 1)  // BPTC
    #expect(driver.read(0x4074) == 1 && driver.read(0x4078) == 1)  // GPRC, BPRC
    #expect(driver.read(0x40D0) == 2)  // TPR
    #expect(driver.read(0x4064) == 1)  // PRC255
    // The lower half stays until the upper one is read.
    #expect(driver.read(0x40C0) == 200 + 64 && driver.read(0x40C0) == 264)
    #expect(driver.read(0x40C4) == 0 && driver.read(0x40C0) == 0)
  }
}
