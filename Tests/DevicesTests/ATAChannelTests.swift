import TestMachine
import Testing

@testable import Devices

@Suite struct ATAChannelTests {
  private static func disk(_ sectors: Int = 64) -> ATADrive<TestStore> {
    .disk(ATADisk(TestStore(sectors: sectors), identity: ATAIdentity(model: "ROOST DISK", serial: "0042")))
  }

  private static func cdrom() -> ATADrive<TestStore> {
    .cdrom(ATAPICD(TestStore(sectors: 64), identity: ATAIdentity(model: "ROOST CD-ROM", serial: "CD01")))
  }

  private func signature(_ driver: IDEDriver) -> [UInt8] {
    [driver.read(.count), driver.read(.low), driver.read(.middle), driver.read(.high)]
  }

  @Test func signaturesAfterReset() {
    let driver = IDEDriver(Self.disk(), Self.cdrom())
    for _ in 0..<2 {
      #expect(signature(driver) == [1, 1, 0, 0])
      #expect(driver.read(.error) == 1)
      #expect(driver.read(.status) == 0x50)
      driver.write(0xB0, .device)
      #expect(signature(driver) == [1, 1, 0x14, 0xEB])
      #expect(driver.read(.error) == 1)
      #expect(driver.read(.status) == 0)
      // In the middle of a command.
      driver.write(0, .device)
      driver.begin(0x20, lba: 0, count: 2)
      driver.setControl(0x04)
      #expect(!driver.line.isHigh)
      #expect(driver.read(.status) == 0x80)
      driver.write(0xEC, .status)  // not heard
      driver.write(0xB0, .device)
      driver.setControl(0x00)
      #expect(driver.read(.device) == 0)
      #expect(driver.readData(2) == [0, 0])
      #expect(!driver.line.isHigh)
    }
  }

  @Test func diagnosticsAreForBothDrives() {
    let driver = IDEDriver(Self.disk(), Self.cdrom())
    driver.write(0xB0, .device)
    driver.write(0x90, .status)
    #expect(driver.line.isHigh)
    #expect(driver.read(.device) == 0)  // device 0 is selected after it
    #expect(signature(driver) == [1, 1, 0, 0])
    #expect(driver.read(.status) == 0x50)
    driver.write(0xB0, .device)
    #expect(signature(driver) == [1, 1, 0x14, 0xEB])
  }

  /// What SeaBIOS, Linux and GRUB probe: status, and registers that hold what is written.
  @Test func absentDrives() {
    let driver = IDEDriver(Self.disk())
    func probe(_ device: UInt8) -> Bool {
      driver.write(device, .device)
      driver.write(0x55, .count)
      driver.write(0xAA, .low)
      return driver.read(.count) == 0x55 && driver.read(.low) == 0xAA && driver.read(.device) == device
    }
    #expect(probe(0xA0))
    #expect(!probe(0xB0))
    #expect(driver.read(.status) == 0)
    driver.write(0xEC, .status)
    #expect(driver.read(.status) == 0)
    #expect(!driver.line.isHigh)
    #expect(probe(0xA0))
    let secondary = ATAChannel.Ports(driver.ide.secondary, .command)
    for offset in 0..<UInt64(8) {
      secondary.write(0xEC, at: offset, width: .byte)
      #expect(secondary.read(at: offset, width: .byte) == 0)
    }
    // Device 1 without device 0.
    let other = IDEDriver(.none, Self.disk())
    #expect(other.read(.status) == 0)
    other.write(0xB0, .device)
    #expect(other.identify().first == 0x0040)
  }

  @Test func interruptDisableAndSelection() {
    let driver = IDEDriver(Self.disk(), Self.disk())
    driver.setControl(0x02)
    driver.begin(0xE7)
    #expect(!driver.line.isHigh)
    driver.setControl(0x00)
    #expect(driver.line.isHigh)  // it was pending
    driver.write(0x10, .device)
    #expect(!driver.line.isHigh)  // the other drive has none
    #expect(driver.read(.status) == 0x50)
    driver.write(0x00, .device)
    #expect(driver.line.isHigh)
    driver.write(0xE7, .status)
    #expect(driver.line.isHigh)
    #expect(driver.read(.status) == 0x50)
    #expect(!driver.line.isHigh)
  }

  @Test func twoDrivesKeepApart() {
    let driver = IDEDriver(Self.disk(64), Self.disk(32))
    driver.write(0x10, .device)
    #expect(driver.identify()[60] == 32)
    driver.write(0x00, .device)
    #expect(driver.identify()[60] == 64)
    driver.begin(0x20, lba: 4, count: 1)
    driver.write(0x50, .device)
    #expect(driver.readData(2) == [0, 0])
    driver.write(0x40, .device)
    #expect(driver.readData(512) == sectors(4, 1))
  }

  // MARK: The PCI function

  @Test func configurationSpace() throws {
    let driver = IDEDriver(Self.disk())
    let bus = try makeBus(driver.ide)
    func read(_ offset: UInt64, _ width: AccessWidth = .doubleWord) -> UInt64 {
      bus.write(0x8000_1000 | offset, at: 0, width: .doubleWord)
      return bus.read(at: 4, width: width)
    }
    func write(_ value: UInt64, _ offset: UInt64) {
      bus.write(0x8000_1000 | offset, at: 0, width: .doubleWord)
      bus.write(value, at: 4, width: .doubleWord)
    }
    #expect(read(0x00) == 0x7010_8086)
    #expect(read(0x08) >> 8 == 0x010180)
    #expect(read(0x3C) >> 8 & 0xFF == 0)  // no INTx
    #expect(read(0x40) == 0x8000_8000)
    write(0xA307_A307, 0x40)
    #expect(read(0x40) == 0xA307_A307)
    write(0xFFFF_FFFF, 0x20)
    #expect(read(0x20) == 0xFFFF_FFF1)
    write(0xC041, 0x20)
    #expect(driver.ide.windows == [PCIWindow(bar: 4, isIO: true, base: 0xC040, count: 16)])
    for bar in [0x10, 0x14, 0x18, 0x1C, 0x24] as [UInt64] {
      write(0xFFFF_FFFF, bar)
      #expect(read(bar) == 0)
    }
  }

  // MARK: The bus master

  @Test func readsByDMAInOddPieces() throws {
    let driver = IDEDriver(Self.disk(300))
    driver.begin(0xC8, lba: 3, count: 8)
    #expect(!driver.line.isHigh)
    let pieces: [(address: UInt64, count: Int)] = [(0x20000, 2), (0x30002, 1022), (0x20100, 2046), (0x41000, 1026)]
    try driver.startDMA(pieces, toMemory: true)
    #expect(driver.busMasterStatus == 0x04)  // the interrupt, and not active
    #expect(driver.line.isHigh)
    driver.stopDMA()
    #expect(driver.read(.status) == 0x50)
    var data: [UInt8] = []
    for piece in pieces { data += try driver.memory.bytes(at: GuestAddress(piece.address), count: piece.count) }
    #expect(data == sectors(3, 8))
    driver.ide.write(0x04, bar: 4, offset: 2, width: .byte)
    #expect(driver.busMasterStatus == 0)
  }

  /// 200 sectors are more than the buffer holds; a count of 0 in a region is 64 KiB; the start comes first here.
  @Test func writesByDMA() throws {
    let store = TestStore(sectors: 300)
    let driver = IDEDriver(disk: store)
    let data = (0..<102_400).map { UInt8(truncatingIfNeeded: $0 / 300) }
    try driver.memory.write(data, at: GuestAddress(0x20000))
    try driver.startDMA([(0x20000, 65_536), (0x30000, 36_864)], toMemory: false)
    #expect(driver.busMasterStatus == 0x01)
    driver.begin(0x35, lba: 50, count: 200, isExtended: true)
    #expect(driver.busMasterStatus == 0x04)
    #expect(driver.read(.status) == 0x50)
    #expect(store.bytes(sector: 50, count: 200) == data)
    #expect(store.bytes(sector: 49) == sectors(49, 1))
    #expect(store.bytes(sector: 250) == sectors(250, 1))
  }

  @Test func tablesThatDoNotFit() throws {
    let driver = IDEDriver(Self.disk())
    // Longer than the data: interrupt, and still active (1.0, 3.1).
    driver.begin(0xC8, lba: 0, count: 1)
    try driver.startDMA([(0x20000, 1024)], toMemory: true)
    #expect(driver.busMasterStatus == 0x05)
    driver.stopDMA()
    #expect(driver.busMasterStatus == 0x04)
    // Shorter: neither; the drive waits, and goes on with another table.
    driver.begin(0xC8, lba: 4, count: 2)
    try driver.startDMA([(0x20000, 512), (0x20200, 256)], toMemory: true)
    #expect(driver.busMasterStatus == 0x00)
    #expect(!driver.line.isHigh)
    #expect(driver.alternateStatus == 0x58)
    driver.stopDMA()
    try driver.startDMA([(0x20300, 256)], toMemory: true)
    #expect(driver.busMasterStatus == 0x04)
    #expect(try driver.memory.bytes(at: GuestAddress(0x20000), count: 1024) == sectors(4, 2))
  }

  @Test func holesInMemory() throws {
    let driver = IDEDriver(Self.disk())
    for toMemory in [true, false] {
      driver.begin(toMemory ? 0xC8 : 0xCA, lba: 0, count: 2)
      try driver.startDMA([(0x7E00, 512), (TestMemory.hole.lowerBound, 512)], toMemory: toMemory)
      #expect(driver.busMasterStatus == 0x06)
      #expect(driver.line.isHigh)
      #expect(driver.read(.status) == 0x51)
      #expect(driver.read(.error) == 0x04)
      driver.stopDMA()
    }
    // The table itself.
    driver.begin(0xC8, lba: 0, count: 1)
    driver.ide.write(TestMemory.hole.lowerBound, bar: 4, offset: 4, width: .doubleWord)
    driver.ide.write(0x06, bar: 4, offset: 2, width: .byte)
    driver.ide.write(0x09, bar: 4, offset: 0, width: .byte)
    #expect(driver.busMasterStatus == 0x06)
    // A table without an end, of regions as short as can be: bounded by the request.
    driver.stopDMA()
    for entry in 0..<UInt64(512) {
      try driver.memory.storeUInt64(0x0000_0002_0002_0000, at: GuestAddress(0x40000 + 8 * entry))
    }
    driver.ide.write(0x40000, bar: 4, offset: 4, width: .doubleWord)
    driver.ide.write(0x06, bar: 4, offset: 2, width: .byte)
    driver.begin(0xC8, lba: 0, count: 1)
    driver.ide.write(0x09, bar: 4, offset: 0, width: .byte)
    #expect(driver.busMasterStatus == 0x05)
  }

  @Test func withoutBusMasterEnableNothingMoves() throws {
    let driver = IDEDriver(Self.disk())
    _ = driver.ide.writeConfiguration(0x0001, at: 4, width: .word)
    driver.begin(0xC8, lba: 0, count: 1)
    try driver.startDMA([(0x20000, 512)], toMemory: true)
    #expect(driver.busMasterStatus == 0x01)
    #expect(!driver.line.isHigh)
    _ = driver.ide.writeConfiguration(0x0005, at: 4, width: .word)
    #expect(driver.busMasterStatus == 0x04)
    #expect(driver.line.isHigh)
  }

  @Test func busMasterRegisters() {
    let ide = IDEDriver(Self.disk()).ide
    ide.write(0x1234_5677, bar: 4, offset: 12, width: .doubleWord)
    #expect(ide.read(bar: 4, offset: 12, width: .doubleWord) == 0x1234_5674)
    ide.write(0xAB, bar: 4, offset: 13, width: .byte)
    #expect(ide.read(bar: 4, offset: 14, width: .word) == 0x1234)
    #expect(ide.read(bar: 4, offset: 12, width: .word) == 0xAB74)
    ide.write(0x60, bar: 4, offset: 10, width: .byte)
    #expect(ide.read(bar: 4, offset: 10, width: .byte) == 0x60)
    #expect(ide.read(bar: 4, offset: 2, width: .byte) == 0)
    ide.write(0xFF, bar: 4, offset: 0, width: .byte)
    #expect(ide.read(bar: 4, offset: 0, width: .byte) == 0x09)
    #expect(ide.read(bar: 4, offset: 6, width: .doubleWord) == 0xFFFF_FFFF)
  }
}
