import Machine

extension Probe {
  /// ACPI's tables and the start info structure. Sections are those of ACPI 6.5.
  mutating func testTables() {
    test("start info: a memory map that does not overlap and holds this program") { (probe) throws(Verdict) in
      try require(probe.startInfo.isValid, "EBX points to a start info structure")
      try require(probe.startInfo.version >= 1, "version 1 has a memory map")
      let count = probe.startInfo.memoryMapCount
      var holdsImage = false
      for index in 0..<count {
        let region = probe.startInfo.memoryRegion(index)
        try require(region.end > region.start, "a region is not empty and does not wrap")
        for other in 0..<index {
          let before = probe.startInfo.memoryRegion(other)
          try require(region.end <= before.start || before.end <= region.start, "regions do not overlap")
        }
        if region.type == MemoryRegion.usable, region.start <= UInt64(machine_image_first()),
          UInt64(machine_image_limit()) <= region.end
        {
          holdsImage = true
        }
      }
      try require(holdsImage, "this program lies in usable memory")
    }
    test("acpi: FADT, DSDT and MADT with sound checksums") { (probe) throws(Verdict) in
      guard let acpi = probe.acpi else { throw .skip("no ACPI tables") }
      try require(acpi.hasSoundChecksum, "the FADT adds up to zero")
      try require(acpi.softOffType != nil, "the DSDT has \\_S5")
      let block = UInt64(PhysicalMemory.word32(acpi.fixedTable &+ 40))
      try require(PhysicalMemory.matches("DSDT", at: block), "the FADT leads to a DSDT")
      try require(PhysicalMemory.sum(block, count: PhysicalMemory.word32(block &+ 4)), equals: 0, "sum of the DSDT")
      guard let table = probe.table("APIC") else { throw .failed("there is a MADT") }
      try require(PhysicalMemory.sum(table, count: PhysicalMemory.word32(table &+ 4)), equals: 0, "sum of the MADT")
      try require(PhysicalMemory.word32(table &+ 36), equals: LocalAPIC.base, "the local APIC's address")
      try require(probe.processors(in: table) > 0, "there is a processor")
    }
  }

  /// Physical address of the table with that signature.
  func table(_ signature: StaticString) -> UInt64? {
    let root = startInfo.rootPointer
    guard root != 0, PhysicalMemory.matches("RSD PTR ", at: root) else { return nil }
    let extended = PhysicalMemory.byte(root &+ 15) >= 2 ? PhysicalMemory.word64(root &+ 24) : 0
    let list = extended != 0 ? extended : UInt64(PhysicalMemory.word32(root &+ 16))
    let width: UInt64 = extended != 0 ? 8 : 4
    let end = UInt64(min(PhysicalMemory.word32(list &+ 4), 4096))
    var offset: UInt64 = 36
    while offset &+ width <= end {
      let entry = list &+ offset
      let address = width == 8 ? PhysicalMemory.word64(entry) : UInt64(PhysicalMemory.word32(entry))
      if PhysicalMemory.matches(signature, at: address) { return address }
      offset &+= width
    }
    return nil
  }

  /// Processors that the MADT at `table` says are enabled (5.2.12.2).
  func processors(in table: UInt64) -> UInt32 {
    let end = UInt64(min(PhysicalMemory.word32(table &+ 4), 16384))
    var offset: UInt64 = 44
    var count: UInt32 = 0
    while offset &+ 2 <= end {
      let length = UInt64(PhysicalMemory.byte(table &+ offset &+ 1))
      guard length >= 2 else { break }
      if PhysicalMemory.byte(table &+ offset) == 0, PhysicalMemory.word32(table &+ offset &+ 4) & 1 == 1 { count += 1 }
      offset &+= length
    }
    return count
  }
}
