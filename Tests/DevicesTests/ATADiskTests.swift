import Testing

@testable import Devices

@Suite struct ATADiskTests {
  /// A text of IDENTIFY: the first of two characters is in the upper byte of its word (ATA/ATAPI-6, 8.15.12).
  private func text(_ words: ArraySlice<UInt16>) -> String {
    String(decoding: words.flatMap { [UInt8($0 >> 8), UInt8($0 & 0xFF)] }, as: UTF8.self)
  }

  @Test func identification() {
    let driver = IDEDriver(disk: TestStore(sectors: 4032))
    let words = driver.identify()
    #expect(words[0] == 0x0040)
    #expect([words[1], words[3], words[6]] == [4, 16, 63])
    #expect(text(words[10...19]) == "0042                ")
    #expect(text(words[23...26]) == "1.0     ")
    #expect(text(words[27...46]) == "ROOST DISK                              ")
    #expect(words[47] == 0x8010)
    #expect(words[49] & 0x0B00 == 0x0B00)  // IORDY, LBA, DMA
    #expect([words[54], words[55], words[56]] == [4, 16, 63])
    #expect(UInt32(words[57]) | UInt32(words[58]) << 16 == 4032)
    #expect(UInt32(words[60]) | UInt32(words[61]) << 16 == 4032)
    #expect(words[83] == 0x7400)
    #expect(words[86] & 0x0400 != 0)
    #expect(Array(words[100...103]) == [4032, 0, 0, 0])
    #expect(words[93] & 0xDF61 != 0x4041)  // SeaBIOS: device 0 does not answer for device 1
    #expect(words[255] & 0xFF == 0xA5)
    #expect(words.reduce(0) { ($0 + Int($1 & 0xFF) + Int($1 >> 8)) } & 0xFF == 0)
    #expect(driver.read(.status) == 0x50)
  }

  /// Beyond 28 bits: words 60 and 61 stop, words 100 to 103 and the geometry's limit do not lie.
  @Test func capacityBeyond28Bits() {
    struct Huge: SectorStore {
      var capacity: UInt64 { 0x1_2345_6789 * 512 + 511 }
      var isReadOnly: Bool { true }
      func read(at offset: UInt64, into destination: inout MutableSpan<UInt8>) -> Bool { true }
      func write(at offset: UInt64, from source: Span<UInt8>) -> Bool { false }
      func flush() -> Bool { true }
    }
    let words = ATADisk(Huge(), identity: ATAIdentity(model: "M", serial: "S")).identification
    #expect([words[1], words[3], words[6]] == [16383, 16, 63])
    #expect([words[60], words[61]] == [0xFFFF, 0x0FFF])
    #expect([words[100], words[101], words[102], words[103]] == [0x6789, 0x2345, 1, 0])
    #expect(UInt32(words[57]) | UInt32(words[58]) << 16 == 16_514_064)
  }

  /// The interrupt comes with each block, the status register takes it back, the alternate one does not.
  @Test func readsOneSector() {
    let driver = IDEDriver(disk: TestStore(sectors: 64))
    driver.begin(0x20, lba: 5, count: 1)
    #expect(driver.line.isHigh)
    #expect(driver.alternateStatus == 0x58)
    #expect(driver.line.isHigh)
    #expect(driver.read(.status) == 0x58)
    #expect(!driver.line.isHigh)
    #expect(driver.readData(512) == sectors(5, 1))
    #expect(driver.read(.status) == 0x50)
    #expect(driver.line.edges == 2)  // none at the end
    #expect(driver.readData(4) == [0, 0, 0, 0])
  }

  @Test func readsA256SectorRunByACountOfZero() {
    let driver = IDEDriver(disk: TestStore(sectors: 300))
    driver.begin(0x21, lba: 7, count: 0)
    var data: [UInt8] = []
    for sector in 0..<256 {
      #expect(driver.line.isHigh, "sector \(sector)")
      #expect(driver.read(.status) == 0x58)
      data += driver.readData(512)
    }
    #expect(driver.read(.status) == 0x50)
    #expect(data == sectors(7, 256))
    // ATA-3: the address of the last sector stays.
    #expect([driver.read(.count), driver.read(.low), driver.read(.middle)] == [0, 6, 1])
  }

  @Test func multipleSectorsPerInterrupt() {
    let driver = IDEDriver(disk: TestStore(sectors: 64))
    driver.begin(0xC4, lba: 0, count: 8)
    #expect(driver.read(.status) == 0x51)  // before SET MULTIPLE MODE
    #expect(driver.read(.error) == 0x04)
    driver.begin(0xC6, count: 3)
    #expect(driver.read(.error) == 0x04)
    driver.begin(0xC6, count: 32)
    #expect(driver.read(.error) == 0x04)
    driver.begin(0xC6, count: 8)
    #expect(driver.read(.status) == 0x50)
    #expect(driver.identify()[59] == 0x0108)
    let edges = driver.line.edges
    driver.begin(0xC4, lba: 1, count: 20)
    for count in [8, 8, 4] {
      #expect(driver.line.isHigh)
      #expect(driver.read(.status) == 0x58)
      #expect(driver.readData(count * 512).count == count * 512)
    }
    #expect(driver.read(.status) == 0x50)
    #expect(driver.line.edges == edges + 6)
  }

  @Test func writesSectors() {
    let store = TestStore(sectors: 300)
    let driver = IDEDriver(disk: store)
    let data = (0..<512).map { UInt8(truncatingIfNeeded: $0 * 7) }
    driver.begin(0x30, lba: 3, count: 2)
    #expect(!driver.line.isHigh)  // not for the first block
    #expect(driver.alternateStatus == 0x58)
    driver.writeData(data)
    #expect(store.bytes(sector: 3) == data)
    #expect(driver.line.isHigh)
    #expect(driver.read(.status) == 0x58)
    driver.writeData(data)
    #expect(driver.line.isHigh)
    #expect(driver.read(.status) == 0x50)
    #expect(store.bytes(sector: 3, count: 3) == data + data + sectors(5, 1))
    #expect(store.flushes == 0)
    // WRITE MULTIPLE with a short last block, by string accesses that do not end with the blocks.
    driver.begin(0xC6, count: 4)
    driver.begin(0x39, lba: 10, count: 6, isExtended: true)
    let more = (0..<3072).map { UInt8(truncatingIfNeeded: $0 / 3) }
    driver.command.writeRun(more.span.extracting(0..<2500), at: 0, width: .word)
    #expect(store.bytes(sector: 10, count: 4) == Array(more[0..<2048]))
    #expect(store.bytes(sector: 14) == sectors(14, 1))
    driver.command.writeRun(more.span.extracting(2500..<3072), at: 0, width: .doubleWord)
    #expect(store.bytes(sector: 10, count: 6) == more)
    #expect(driver.read(.status) == 0x50)
  }

  @Test func stringReadsAndWideReads() {
    let driver = IDEDriver(disk: TestStore(sectors: 64))
    driver.begin(0x20, lba: 2, count: 3)
    var data = [UInt8](repeating: 0xEE, count: 2048)
    var span = data.mutableSpan
    driver.command.readRun(at: 0, width: .word, into: &span)
    #expect(data == sectors(2, 3) + [UInt8](repeating: 0, count: 512))
    driver.begin(0x20, lba: 9, count: 1)
    for index in 0..<128 {
      let bytes = sectors(9, 1)[(4 * index)...].prefix(4)
      #expect(driver.command.read(at: 0, width: .doubleWord) == bytes.reversed().reduce(0) { $0 << 8 | UInt64($1) })
    }
    #expect(driver.read(.status) == 0x50)
  }

  /// Each register of a 48-bit command takes two bytes, and HOB shows the first (ATA/ATAPI-6, 6.20).
  @Test func twoByteRegisters() {
    let driver = IDEDriver(disk: TestStore(sectors: 70_000))
    driver.begin(0x24, lba: 0x01_0203, count: 2, isExtended: true)
    #expect(driver.readData(1024) == sectors(0x01_0203, 2))
    driver.write(0x12, .middle)
    driver.write(0x34, .middle)
    #expect(driver.read(.middle) == 0x34)
    driver.setControl(0x80)
    #expect(driver.read(.middle) == 0x12)
    driver.write(0x56, .low)  // any write clears HOB
    #expect(driver.read(.middle) == 0x34)
    driver.begin(0x27)
    #expect([driver.read(.low), driver.read(.middle), driver.read(.high)] == [0x6F, 0x11, 0x01])
    driver.setControl(0x80)
    #expect([driver.read(.low), driver.read(.middle), driver.read(.high)] == [0, 0, 0])
    // A count of 0 is 65,536 sectors, which are there, and then not.
    driver.begin(0x42, lba: 0, count: 0, isExtended: true)
    #expect(driver.read(.status) == 0x50)
    driver.begin(0x42, lba: 70_000 - 65_535, count: 0, isExtended: true)
    #expect(driver.read(.error) == 0x10)
  }

  @Test func cylindersHeadsAndSectors() {
    let driver = IDEDriver(disk: TestStore(sectors: 4032))
    func read(_ cylinder: UInt8, _ head: UInt8, _ sector: UInt8) -> [UInt8]? {
      driver.write(head, .device)
      driver.write(1, .count)
      driver.write(sector, .low)
      driver.write(cylinder, .middle)
      driver.write(0, .high)
      driver.write(0x20, .status)
      return driver.read(.status) == 0x58 ? driver.readData(512) : nil
    }
    #expect(read(0, 0, 1) == sectors(0, 1))
    #expect(read(2, 3, 4) == sectors((2 * 16 + 3) * 63 + 3, 1))
    #expect([driver.read(.low), driver.read(.middle), driver.read(.device) & 0x0F] == [4, 2, 3])
    #expect(read(0, 0, 0) == nil)  // sectors count from 1
    #expect(driver.read(.error) == 0x10)
    #expect(read(0, 0, 64) == nil)
    #expect(read(4, 0, 1) == nil)
    // Another translation: 8 heads, 32 sectors.
    driver.write(0x07, .device)
    driver.write(32, .count)
    driver.write(0x91, .status)
    #expect(driver.read(.status) == 0x50)
    #expect(read(2, 3, 4) == sectors((2 * 8 + 3) * 32 + 3, 1))
    #expect(read(0, 8, 1) == nil)
    let words = driver.identify()
    #expect([words[1], words[3], words[6]] == [4, 16, 63])
    #expect([words[54], words[55], words[56]] == [15, 8, 32])
    driver.write(0, .count)
    driver.write(0x91, .status)
    #expect(driver.read(.error) == 0x04)
  }

  @Test func refusals() {
    let driver = IDEDriver(disk: TestStore(sectors: 64))
    // NOP; packets; SMART; security; read buffer; a code of nobody's.
    for code: UInt8 in [0x00, 0xA0, 0xA1, 0x08, 0xB0, 0xF1, 0xE4, 0xFF] {
      driver.begin(code)
      #expect(driver.line.isHigh)
      #expect(driver.read(.status) == 0x51)
      #expect(driver.read(.error) == 0x04)
    }
    driver.begin(0x20, lba: 63, count: 2)
    #expect(driver.read(.status) == 0x51)
    #expect(driver.read(.error) == 0x10)
    driver.begin(0x25, lba: 0xFFFF_FFFF_FFFF, count: 1, isExtended: true)
    #expect(driver.read(.error) == 0x10)
    driver.begin(0xEF, count: 0x45, features: 0x03)
    #expect(driver.read(.status) == 0x50)
    #expect(driver.identify()[88] == 0x203F)
    driver.begin(0xEF, count: 0x22, features: 0x03)
    #expect(driver.read(.status) == 0x50)
    #expect(driver.identify()[63] == 0x0407)
    driver.begin(0xEF, count: 0x47, features: 0x03)
    #expect(driver.read(.error) == 0x04)
    driver.begin(0xEF, features: 0x99)
    #expect(driver.read(.error) == 0x04)
  }

  @Test func othersThatEndWell() {
    let driver = IDEDriver(disk: TestStore(sectors: 64))
    for code: UInt8 in [0x10, 0x40, 0x70, 0xE0, 0xE1, 0xE2, 0xE3, 0xE5, 0xE6, 0xE7, 0xEA, 0xF8] {
      driver.begin(code, lba: 3, count: 1)
      #expect(driver.line.isHigh)
      #expect(driver.read(.status) == 0x50, "command \(code)")
    }
    #expect(driver.read(.low) == 63)
    driver.begin(0xE5)
    #expect(driver.read(.count) == 0xFF)
    driver.begin(0x70, lba: 64)
    #expect(driver.read(.error) == 0x10)
  }

  /// The last part of a sector is not shown.
  @Test func oddSize() {
    let driver = IDEDriver(disk: TestStore(bytes: 3 * 512 + 511))
    #expect(driver.identify()[60] == 3)
    driver.begin(0x20, lba: 2, count: 1)
    #expect(driver.readData(512) == sectors(2, 1))
    driver.begin(0x20, lba: 3, count: 1)
    #expect(driver.read(.error) == 0x10)
  }

  @Test func readOnlyDisk() {
    let driver = IDEDriver(disk: TestStore(sectors: 64, isReadOnly: true))
    for code: UInt8 in [0x30, 0xCA] {
      driver.begin(code, lba: 0, count: 1)
      #expect(driver.read(.status) == 0x51)
      #expect(driver.read(.error) == 0x04)
    }
    driver.begin(0xE7)
    #expect(driver.read(.status) == 0x50)
  }

  @Test func badMedium() {
    let store = TestStore(sectors: 64)
    let driver = IDEDriver(disk: store)
    store.spoil(12)
    driver.begin(0x20, lba: 10, count: 4)
    #expect(driver.readData(1024) == sectors(10, 2))
    #expect(driver.line.isHigh)
    #expect(driver.read(.status) == 0x51)
    #expect(driver.read(.error) == 0x40)
    #expect(driver.read(.low) == 12)
    driver.begin(0x30, lba: 12, count: 1)
    driver.writeData([UInt8](repeating: 1, count: 512))
    #expect(driver.read(.status) == 0x71)
    #expect(driver.read(.low) == 12)
    store.failFlushes()
    driver.begin(0xE7)
    #expect(driver.read(.status) == 0x71)
  }

  @Test func withoutWriteCacheWritesAreDurable() {
    let store = TestStore(sectors: 64)
    let driver = IDEDriver(disk: store)
    #expect(driver.identify()[85] & 0x20 != 0)
    driver.begin(0xEF, features: 0x82)
    #expect(driver.identify()[85] & 0x20 == 0)
    #expect(store.flushes == 1)
    driver.begin(0x30, lba: 1, count: 2)
    driver.writeData([UInt8](repeating: 1, count: 1024))
    #expect(store.flushes == 2)
  }
}
