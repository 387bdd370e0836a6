import Machine

extension Probe {
  /// Requests to a virtio disk, one ring or several rings long.
  mutating func testBlock() {
    test("block: reads, writes back and reads again") { (probe) throws(Verdict) in
      var disk = try BlockDevice(&probe, features: BlockDevice.flushFeature | BlockDevice.readOnlyFeature)
      try require(disk.sectors > 0, "there are sectors")
      guard try disk.isOurs() else { throw .skip("this disk is not made for tests") }
      try disk.read(7)
      try disk.requireSector(7)
      guard disk.function.offeredFeatures & BlockDevice.readOnlyFeature == 0 else { throw .skip("it is read-only") }
      let sector = disk.sectors &- 1
      for offset in UInt32(0)..<128 {
        machine_store32(UInt(disk.data(0) &+ 4 &* offset), offset &* 0x9E37_79B9 ^ 0x5A5A_5A5A)
      }
      let written = try disk.perform(BlockDevice.Kind.write, sector: sector)
      try require(written.status, equals: 0, "status of a write")
      try require(written.written, equals: 1, "bytes written by a write")
      let flushed = try disk.perform(BlockDevice.Kind.flush, sector: 0, count: 0)
      try require(flushed.status, equals: 0, "status of a flush")
      try disk.read(0)
      try disk.read(sector)
      for offset in UInt32(0)..<128 {
        let word = machine_load32(UInt(disk.data(0) &+ 4 &* offset))
        try require(word, equals: offset &* 0x9E37_79B9 ^ 0x5A5A_5A5A, "what was written")
      }
      try disk.function.reset()
    }
    test("block: more requests than the ring is long, two at a time") { (probe) throws(Verdict) in
      var disk = try BlockDevice(&probe)
      let isOurs = try disk.isOurs()
      let sectors = disk.sectors
      for round in UInt32(0)..<20 {
        let first = (round &* 2) & 15
        guard first &+ 1 < sectors else { continue }
        disk.add(BlockDevice.Kind.read, sector: first, head: 0)
        disk.add(BlockDevice.Kind.read, sector: first &+ 1, head: 3)
        disk.ring.publish()
        disk.ring.kick()
        let one = try disk.ring.waitUsed()
        let other = try disk.ring.waitUsed()
        try require(one.head ^ other.head == 3 && one.head != other.head, "both buffers come back, once each")
        try require(disk.status(0), equals: 0, "status of the first")
        try require(disk.status(3), equals: 0, "status of the second")
        if isOurs {
          try disk.requireSector(first, in: 0)
          try disk.requireSector(first &+ 1, in: 3)
        }
      }
      try require(disk.ring.usedIndex, equals: isOurs ? 41 : disk.ring.usedIndex, "used index")
      try disk.function.reset()
    }
    test("block: indirect descriptors, a full ring at a time") { (probe) throws(Verdict) in
      var disk = try BlockDevice(&probe, features: VirtioFunction.Feature.indirect)
      guard disk.function.offeredFeatures & VirtioFunction.Feature.indirect != 0 else { throw .skip("not offered") }
      let tables = try probe.allocate(48 &* 8)
      for round in UInt32(0)..<4 {
        for slot in UInt16(0)..<8 {
          let table = tables &+ 48 &* UInt32(slot)
          disk.prepare(slot, BlockDevice.Kind.read, sector: UInt32(slot) &+ round)
          VirtioRing.put(table, disk.header(slot), 16, VirtioRing.Flag.next, 1)
          VirtioRing.put(table &+ 16, disk.data(slot), 512, VirtioRing.Flag.next | VirtioRing.Flag.write, 2)
          VirtioRing.put(table &+ 32, disk.statusAddress(slot), 1, VirtioRing.Flag.write, 0)
          disk.ring.setDescriptor(slot, address: table, count: 48, flags: VirtioRing.Flag.indirect)
          disk.ring.add(slot)
        }
        disk.ring.publish()
        disk.ring.kick()
        var seen: UInt32 = 0
        for _ in 0..<8 {
          let element = try disk.ring.waitUsed()
          try require(element.head < 8, "a buffer that was made available")
          seen |= 1 << element.head
        }
        try require(seen, equals: 0xFF, "buffers that came back")
        for slot in UInt16(0)..<8 { try require(disk.status(slot), equals: 0, "status") }
      }
      try disk.function.reset()
    }
    test("block: requests that make no sense fail, and the next one works") { (probe) throws(Verdict) in
      var disk = try BlockDevice(&probe, features: BlockDevice.flushFeature)
      try require(try disk.perform(BlockDevice.Kind.read, sector: disk.sectors).status, equals: 1, "beyond the end")
      try require(try disk.perform(BlockDevice.Kind.read, sector: 0xFFFF_FFFF).status, equals: 1, "far beyond the end")
      try require(try disk.perform(BlockDevice.Kind.read, sector: 0, count: 100).status, equals: 1, "part of a sector")
      try require(try disk.perform(0xDEAD_BEEF, sector: 0).status, equals: 2, "a type that does not exist")
      let identified = try disk.perform(BlockDevice.Kind.identify, sector: 0, count: 20)
      try require(identified.status, equals: 0, "status of an identification")
      try disk.read(0)
      try disk.function.reset()
    }
    test("block: a reset in the middle of requests") { (probe) throws(Verdict) in
      for _ in 0..<4 {
        var disk = try BlockDevice(&probe)
        disk.add(BlockDevice.Kind.read, sector: 0, head: 0)
        disk.add(BlockDevice.Kind.read, sector: 1, head: 3)
        disk.ring.publish()
        disk.ring.kick()
        try disk.function.reset()
        let index = disk.ring.usedIndex
        for _ in 0..<200 { machine_pause() }
        try require(disk.ring.usedIndex, equals: index, "used index after the reset")
      }
      var disk = try BlockDevice(&probe)
      try disk.read(0)
      try disk.function.reset()
    }
  }

  /// The entropy source (virtio 1.2, 5.4).
  mutating func testEntropy() {
    test("entropy: bytes come, and they differ") { (probe) throws(Verdict) in
      guard let function = VirtioFunction.first(type: 4) else { throw .skip("no virtio entropy source") }
      var ring = try VirtioRing(&probe, size: 4)
      let buffer = try probe.allocate(64)
      try function.begin(0)
      try ring.enable(function)
      try function.goLive()
      var sums = InlineArray<2, UInt32>(repeating: 0)
      for round in 0..<2 {
        ring.setDescriptor(1, address: buffer, count: 64, flags: VirtioRing.Flag.write)
        ring.add(1)
        ring.publish()
        ring.kick()
        let element = try ring.waitUsed()
        try require(element.head, equals: 1, "the buffer that comes back")
        try require(element.written > 0 && element.written <= 64, "bytes are written, and not too many")
        for offset in UInt32(0)..<16 {
          sums[round] = (sums[round] << 5 | sums[round] >> 27) ^ machine_load32(UInt(buffer &+ 4 &* offset))
        }
      }
      try require(sums[0] != 0 && sums[0] != sums[1], "two answers differ")
      try function.reset()
    }
  }
}
