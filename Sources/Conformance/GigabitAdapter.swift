import Machine

extension Probe {
  /// An 82540EM, where there is one (Intel 317453, chapters 5 and 13).
  mutating func testGigabitAdapter() {
    var adapter: PCI.Function?
    PCI.forEachFunction { if $0.vendor == 0x8086, $0.product == 0x100E { adapter = $0 } }
    test("e1000: the EEPROM adds up to 0xBABA, by EERD") { (_) throws(Verdict) in
      let base = try Self.registers(adapter)
      var sum: UInt16 = 0
      for word in UInt32(0)..<64 {
        machine_store32(UInt(base &+ 0x14), word << 8 | 1)
        let done = wait { machine_load32(UInt(base &+ 0x14)) & 0x10 != 0 }
        try require(done, "a read is done")
        sum &+= UInt16(truncatingIfNeeded: machine_load32(UInt(base &+ 0x14)) >> 16)
      }
      try require(sum, equals: 0xBABA, "sum of the EEPROM")
    }
    test("e1000: the PHY is a Marvell 88E1011, and the link is up") { (_) throws(Verdict) in
      let base = try Self.registers(adapter)
      let ids: InlineArray<2, (UInt32, UInt32)> = [(2, 0x0141), (3, 0x0C20)]
      try each(ids) { (number, id) throws(Verdict) in
        machine_store32(UInt(base &+ 0x20), 2 << 26 | 1 << 21 | number << 16)
        let done = wait { machine_load32(UInt(base &+ 0x20)) & 1 << 28 != 0 }
        try require(done, "a read is done")
        try require(machine_load32(UInt(base &+ 0x20)) & 0xFFFF, equals: id, "PHY identifier")
      }
      try require(machine_load32(UInt(base &+ 0x08)) & 0x03, equals: 0x03, "full duplex and link")
    }
    test("e1000: a cause raises nothing while masked, and reading clears it") { (_) throws(Verdict) in
      let base = try Self.registers(adapter)
      machine_store32(UInt(base &+ 0xD8), 0xFFFF_FFFF)
      _ = machine_load32(UInt(base &+ 0xC0))
      machine_store32(UInt(base &+ 0xC8), 0x04)
      try require(machine_load32(UInt(base &+ 0xC0)), equals: 0x04, "cause")
      try require(machine_load32(UInt(base &+ 0xC0)), equals: 0, "cause, read again")
    }
  }

  /// Address of the adapter's registers.
  private static func registers(_ adapter: PCI.Function?) throws(Verdict) -> UInt32 {
    guard let adapter else { throw .skip("no 82540EM") }
    let base = PCI.address(adapter, bar: 0)
    try require(base != 0, "register 0 is at an address below 4 GiB")
    return base
  }
}
