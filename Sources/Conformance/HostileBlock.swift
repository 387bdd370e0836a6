import Machine

extension Probe {
  /// Hostile rings: the request fails or the device asks for a reset (virtio 1.2, 2.1.2); after it everything works.
  mutating func testHostileBlock() {
    hostile("hostile: a chain that loops") { (disk, _) throws(Verdict) in
      disk.add(BlockDevice.Kind.read, sector: 0)
      disk.ring.setDescriptor(
        1, address: disk.data(0), count: 512, flags: VirtioRing.Flag.next | VirtioRing.Flag.write, next: 1)
    }
    hostile("hostile: data where no memory is") { (disk, _) throws(Verdict) in
      disk.add(BlockDevice.Kind.read, sector: 0)
      disk.ring.setDescriptor(
        1, address: 0xFA00_0000, count: 512, flags: VirtioRing.Flag.next | VirtioRing.Flag.write, next: 2)
    }
    hostile("hostile: a header where no memory is") { (disk, _) throws(Verdict) in
      disk.add(BlockDevice.Kind.read, sector: 0)
      disk.ring.setDescriptor(0, address: 0, count: 16, flags: VirtioRing.Flag.next, next: 1, high: 0x4000_0000)
    }
    hostile("hostile: data that wraps the address space") { (disk, _) throws(Verdict) in
      disk.add(BlockDevice.Kind.read, sector: 0)
      disk.ring.setDescriptor(
        1, address: 0xFFFF_FF00, count: 0x1000, flags: VirtioRing.Flag.next | VirtioRing.Flag.write, next: 2,
        high: 0xFFFF_FFFF)
    }
    hostile("hostile: data of four gigabytes") { (disk, _) throws(Verdict) in
      disk.add(BlockDevice.Kind.read, sector: 0)
      disk.ring.setDescriptor(
        1, address: disk.data(0), count: 0xFFFF_FE00, flags: VirtioRing.Flag.next | VirtioRing.Flag.write, next: 2)
    }
    hostile("hostile: a next descriptor that is beyond the table") { (disk, _) throws(Verdict) in
      disk.add(BlockDevice.Kind.read, sector: 0)
      disk.ring.setDescriptor(
        1, address: disk.data(0), count: 512, flags: VirtioRing.Flag.next | VirtioRing.Flag.write, next: 0xFFF0)
    }
    hostile("hostile: a head that is beyond the table") { (disk, _) throws(Verdict) in
      disk.ring.add(0x4321)
    }
    hostile("hostile: no room for the status") { (disk, _) throws(Verdict) in
      disk.add(BlockDevice.Kind.write, sector: 0)
      disk.ring.setDescriptor(0, address: disk.header(0), count: 16, flags: 0)
    }
    hostile("hostile: descriptors of no length") { (disk, _) throws(Verdict) in
      disk.add(BlockDevice.Kind.read, sector: 0)
      disk.ring.setDescriptor(0, address: disk.header(0), count: 0, flags: VirtioRing.Flag.next, next: 1)
      disk.ring.setDescriptor(2, address: disk.statusAddress(0), count: 0, flags: VirtioRing.Flag.write)
    }
    hostile("hostile: a readable descriptor behind a writable one") { (disk, _) throws(Verdict) in
      disk.add(BlockDevice.Kind.read, sector: 0)
      disk.ring.setDescriptor(
        0, address: disk.header(0), count: 16, flags: VirtioRing.Flag.next | VirtioRing.Flag.write, next: 1)
      disk.ring.setDescriptor(1, address: disk.data(0), count: 512, flags: VirtioRing.Flag.next, next: 2)
    }
    hostile("hostile: an available index that runs ahead") { (disk, _) throws(Verdict) in
      disk.ring.publish(index: 0x1000)
    }
    hostile("hostile: an indirect table of 17 bytes", features: VirtioFunction.Feature.indirect) {
      (disk, probe) throws(Verdict) in
      disk.prepare(0, BlockDevice.Kind.read, sector: 0)
      let table = try probe.allocate(64)
      VirtioRing.put(table, disk.header(0), 16, 0, 0)
      disk.ring.setDescriptor(0, address: table, count: 17, flags: VirtioRing.Flag.indirect)
      disk.ring.add(0)
    }
    hostile("hostile: an indirect table in an indirect table", features: VirtioFunction.Feature.indirect) {
      (disk, probe) throws(Verdict) in
      let table = try probe.allocate(64)
      VirtioRing.put(table, table, 16, VirtioRing.Flag.indirect, 0)
      disk.ring.setDescriptor(0, address: table, count: 16, flags: VirtioRing.Flag.indirect)
      disk.ring.add(0)
    }
    hostile("hostile: an indirect table that loops", features: VirtioFunction.Feature.indirect) {
      (disk, probe) throws(Verdict) in
      let table = try probe.allocate(64)
      VirtioRing.put(table, disk.header(0), 16, VirtioRing.Flag.next, 1)
      VirtioRing.put(table &+ 16, disk.header(0), 16, VirtioRing.Flag.next, 0)
      disk.ring.setDescriptor(0, address: table, count: 32, flags: VirtioRing.Flag.indirect)
      disk.ring.add(0)
    }
  }

  private mutating func hostile(
    _ name: StaticString, features: UInt64 = 0,
    _ arrange: (inout BlockDevice, inout Probe) throws(Verdict) -> Void
  ) {
    test(name) { (probe) throws(Verdict) in
      var disk = try BlockDevice(&probe, features: features)
      let before = disk.ring.nextAvailable
      try arrange(&disk, &probe)
      if disk.ring.nextAvailable != before { disk.ring.publish() }
      disk.ring.kick()
      let answers = wait {
        disk.function.status & VirtioFunction.Status.needsReset != 0 || disk.ring.hasUsed
      }
      try require(answers, "the device asks for a reset, or gives the request back")
      if disk.function.status & VirtioFunction.Status.needsReset == 0 {
        try require(disk.status(0) != 0, "the request did not succeed")
      }
      // Whatever it was, a reset makes it good.
      try disk.function.reset()
      var again = try BlockDevice(&probe)
      try again.read(0)
      try again.function.reset()
    }
  }
}
