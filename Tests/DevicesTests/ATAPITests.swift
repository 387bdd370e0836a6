import Testing

@testable import Devices

@Suite struct ATAPITests {
  private let store = TestStore(bytes: 400 * 2048)
  private let driver: IDEDriver

  init() {
    driver = IDEDriver(disc: store)
  }

  private func read10(_ block: Int, _ count: Int) -> [UInt8] {
    [0x28, 0, 0, 0, UInt8(block >> 8), UInt8(block & 0xFF), 0, UInt8(count >> 8), UInt8(count & 0xFF), 0]
  }

  @Test func identification() {
    #expect(driver.identify(0xEC).isEmpty)
    #expect(driver.read(.error) == 0x04)
    #expect([driver.read(.middle), driver.read(.high)] == [0x14, 0xEB])
    let words = driver.identify(0xA1)
    #expect(words[0] == 0x85C0)
    #expect(words[27] == 0x524F)  // "RO"
    #expect(words[49] & 0x0300 == 0x0300)
    #expect(words[82] & 0x0210 == 0x0210)  // PACKET, DEVICE RESET
    #expect(words[83] == 0x4000)
    #expect(words[255] & 0xFF == 0xA5)
    #expect(driver.read(.status) == 0x50)
  }

  @Test func unitAttentionOnce() {
    let driver = IDEDriver(.cdrom(ATAPICD(store, identity: ATAIdentity(model: "CD", serial: "1"))))
    let first = driver.packet([0x00])
    #expect(first.status == 0x51)
    #expect(first.error == 0x60)
    #expect(driver.read(.count) == 3)
    let sense = driver.packet([0x03, 0, 0, 0, 18]).data
    #expect(sense.count == 18)
    #expect([sense[2] & 0x0F, sense[12], sense[13]] == [0x06, 0x29, 0x00])
    #expect(driver.packet([0x00]).status == 0x50)
    #expect(driver.read(.count) == 3)
    // A software reset is none of a SCSI unit.
    driver.setControl(4)
    driver.setControl(0)
    #expect(driver.packet([0x00]).status == 0x50)
  }

  @Test func inquiryAndCapacity() {
    let inquiry = driver.packet([0x12, 0, 0, 0, 36]).data
    #expect(inquiry.count == 36)
    #expect(inquiry[0] == 0x05)
    #expect(inquiry[1] & 0x80 != 0)
    #expect(driver.packet([0x25]).data == [0, 0, 1, 0x8F, 0, 0, 8, 0])
    let contents = driver.packet([0x43, 0, 0, 0, 0, 0, 0, 0, 20]).data
    #expect(contents.count == 20)
    #expect(Array(contents[0...3]) == [0, 18, 1, 1])
    #expect(contents[6] == 1)
    #expect(contents[14] == 0xAA)
    #expect(Array(contents[16...19]) == [0, 0, 1, 0x90])  // lead-out
  }

  /// Interrupt reasons: the packet, data to the host, the end (ATA/ATAPI-6, 9.10).
  @Test func phases() {
    driver.begin(0xA0, lba: 0x0008_0000)
    #expect(!driver.line.isHigh)
    #expect(driver.alternateStatus == 0x58)
    #expect(driver.read(.count) == 0x01)
    driver.writeData(read10(2, 1) + [0, 0])
    #expect(driver.line.isHigh)
    #expect(driver.read(.status) == 0x58)
    #expect(!driver.line.isHigh)
    #expect(driver.read(.count) == 0x02)
    #expect([driver.read(.middle), driver.read(.high)] == [0x00, 0x08])
    #expect(driver.readData(2048) == sectors(8, 4))
    #expect(driver.line.isHigh)
    #expect(driver.read(.status) == 0x50)
    #expect(driver.read(.count) == 0x03)
  }

  @Test func byteCountLimits() {
    let data = sectors(40, 140)  // 71,680 bytes: more than the buffer
    for limit in [2048, 0, 0xFFFF, 0xFFFE, 4000, 1001, 30_000] {
      let reply = driver.packet(read10(10, 35), limit: limit)
      #expect(reply.status == 0x50)
      #expect(reply.data == data, "limit \(limit)")
      let most = limit == 0 || limit == 0xFFFF ? 0xFFFE : limit & ~1
      #expect(reply.bursts.dropLast().allSatisfy { $0 == most })
      #expect(reply.bursts.count == (71_680 + most - 1) / most)
    }
    // 1 would never end, and becomes 2. An odd length ends a reply.
    #expect(driver.packet([0x12, 0, 0, 0, 5], limit: 1).bursts == [2, 2, 1])
    #expect(driver.packet([0x12, 0, 0, 0, 5]).data.count == 5)
  }

  @Test func dma() throws {
    func begin(_ packet: [UInt8]) {
      driver.begin(0xA0, features: 1)
      driver.writeData(packet + [UInt8](repeating: 0, count: 12 - packet.count))
    }
    begin(read10(10, 40))
    #expect(!driver.line.isHigh)
    #expect(driver.alternateStatus & 0x08 != 0)
    try driver.startDMA([(0x20000, 65_536), (0x30000, 16_384)], toMemory: true)
    #expect(driver.busMasterStatus == 0x04)
    #expect(driver.line.isHigh)
    #expect(driver.read(.status) == 0x50)
    #expect(driver.read(.count) == 0x03)
    #expect(try driver.memory.bytes(at: GuestAddress(0x20000), count: 81_920) == sectors(40, 160))
    driver.stopDMA()
    // The bus master is started before the packet is there; the reply is shorter than the table.
    try driver.startDMA([(0x20000, 4096)], toMemory: true)
    begin([0x12, 0, 0, 0, 36])
    #expect(driver.busMasterStatus == 0x05)
    #expect(try driver.memory.bytes(at: GuestAddress(0x20000), count: 1) == [0x05])
    driver.stopDMA()
    // No data at all.
    begin([0x00])
    #expect(driver.read(.status) == 0x50)
    // A hole.
    begin(read10(0, 1))
    try driver.startDMA([(TestMemory.hole.lowerBound, 2048)], toMemory: true)
    #expect(driver.busMasterStatus == 0x06)
    #expect(driver.read(.status) == 0x51)
    #expect(driver.read(.error) == 0xB0)
  }

  @Test func refusals() {
    #expect(driver.packet([0xFF]).error == 0x50)
    #expect(driver.packet(read10(399, 2)).error == 0x50)
    #expect(driver.packet([0x2A, 0, 0, 0, 0, 0, 0, 0, 1]).status == 0x51)
    driver.begin(0xA0, features: 2)  // overlapped
    #expect(driver.read(.status) == 0x51)
    for code: UInt8 in [0x20, 0xC8, 0x00, 0xF8] {
      driver.begin(code, lba: 0, count: 1)
      #expect(driver.read(.status) == 0x51)
      #expect(driver.read(.error) == 0x04)
    }
    driver.begin(0x08)
    #expect(!driver.line.isHigh)
    #expect(driver.read(.status) == 0)
    #expect([driver.read(.middle), driver.read(.high)] == [0x14, 0xEB])
  }

  @Test func badMedium() {
    store.spoil(200)
    let reply = driver.packet(read10(10, 41), limit: 2048)
    #expect(reply.status == 0x51)
    #expect(reply.error == 0x30)
    let sense = driver.packet([0x03, 0, 0, 0, 18]).data
    #expect([sense[2], sense[12]] == [0x03, 0x11])
  }

  @Test func parameters() {
    let page = driver.packet([0x5A, 0, 0x01, 0, 0, 0, 0, 0, 64]).data
    #expect(page.count > 8)
    let reply = driver.packet([0x55, 0x10, 0, 0, 0, 0, 0, 0, UInt8(page.count)], limit: 6, parameters: page)
    #expect(reply.status == 0x50)
    #expect(reply.bursts.first == 6)
  }

  @Test func discs() {
    let driver = IDEDriver(disc: nil)
    #expect(driver.packet([0x00]).error == 0x20)  // not ready
    #expect(driver.ide.primary.insert(store, drive: 0))
    #expect(driver.packet([0x00]).error == 0x60)  // medium changed
    #expect(driver.packet([0x00]).status == 0x50)
    #expect(driver.packet(read10(1, 1)).data == sectors(4, 4))
    // Another disc in the middle of a command.
    driver.begin(0xA0, lba: 0x0008_0000)
    driver.writeData(read10(0, 100) + [0, 0])
    #expect(driver.ide.primary.insert(TestStore(bytes: 2048), drive: 0))
    _ = driver.readData(65_536)
    #expect(driver.alternateStatus == 0x51)
    #expect(!driver.ide.primary.insert(nil, drive: 1))
  }
}
