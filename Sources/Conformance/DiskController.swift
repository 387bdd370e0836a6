import Machine

extension Probe {
  /// IDE channels (ATA-2, and the PIIX's compatibility ports).
  mutating func testDiskController() {
    test("ata: the primary channel's master identifies itself") { (_) throws(Verdict) in try Self.identify(0x1F0) }
    test("ata: the secondary channel's master identifies itself") { (_) throws(Verdict) in try Self.identify(0x170) }
  }

  private static func identify(_ base: UInt16) throws(Verdict) {
    guard machine_in8(base &+ 7) != 0xFF else { throw .skip("no such channel") }
    machine_out8(base &+ 6, 0xA0)
    // A packet device shows its signature after a reset, and is not ready for ATA commands (ATA/ATAPI-4, 9.12).
    let isSigned = machine_in8(base &+ 4) == 0x14 && machine_in8(base &+ 5) == 0xEB
    machine_out8(base &+ 2, 0x55)
    machine_out8(base &+ 3, 0xAA)
    guard machine_in8(base &+ 2) == 0x55, machine_in8(base &+ 3) == 0xAA, isSigned || machine_in8(base &+ 7) != 0 else {
      throw .skip("no drive")
    }
    machine_out8(base &+ 7, 0xEC)
    var settles = wait { machine_in8(base &+ 7) & 0x80 == 0 }
    try require(settles, "the drive becomes ready")
    var isPacket = false
    if machine_in8(base &+ 7) & 0x01 != 0 {
      // A packet device aborts the command and shows its signature (ATA/ATAPI-4, 9.1).
      try require(machine_in8(base &+ 4), equals: 0x14, "cylinder low of a packet device")
      try require(machine_in8(base &+ 5), equals: 0xEB, "cylinder high of a packet device")
      isPacket = true
      machine_out8(base &+ 7, 0xA1)
      settles = wait { machine_in8(base &+ 7) & 0x88 == 0x08 }
      try require(settles, "IDENTIFY PACKET DEVICE has data")
    }
    try require(machine_in8(base &+ 7) & 0x08, equals: 0x08, "there is data to read")
    var words = InlineArray<256, UInt16>(repeating: 0)
    for index in 0..<256 { words[index] = machine_in16(base) }
    try require(machine_in8(base &+ 7) & 0x08, equals: 0, "data requests after 256 words")
    if isPacket {
      try require(words[0] >> 14, equals: 2, "word 0 says that this is a packet device")
    } else {
      try require(words[0] >> 15, equals: 0, "word 0 says that this is an ATA device")
      try require(words[60] != 0 || words[61] != 0, "there are sectors")
    }
    try require(words[49] & 1 << 9 != 0, "logical block addresses are supported")
  }
}
