import Machine

extension Probe {
  /// What every virtio function has to do, whatever its type (virtio 1.2, chapters 2 to 4).
  mutating func testVirtioTransports() {
    VirtioFunction.forEach { virtio in
      let function = virtio.function
      guard virtio.isModern else {
        test("virtio: modern interface", of: function) { (_) throws(Verdict) in throw .skip("it has none") }
        return
      }
      test("virtio: structures lie in their windows", of: function) { (_) throws(Verdict) in
        try require(virtio.common & 3, equals: 0, "alignment of the common configuration")
        try require(virtio.notify & 1, equals: 0, "alignment of the doorbells")
        try require(virtio.queueCount >= 1, "there is a queue")
        try require(
          virtio.isTransitional || PCI.read8(function, 0x08) >= 1, "a modern function has revision 1 or above")
      }
      test("virtio: reset, and status bits stay", of: function) { (_) throws(Verdict) in
        try virtio.reset()
        virtio.setStatus(1)
        try require(virtio.status, equals: 1, "ACKNOWLEDGE")
        virtio.setStatus(3)
        try require(virtio.status, equals: 3, "DRIVER")
        try virtio.reset()
      }
      test("virtio: features come in two windows of 32", of: function) { (_) throws(Verdict) in
        try require(virtio.offeredFeatures & VirtioFunction.Feature.version1 != 0, "VERSION_1 is offered")
        virtio.write32(0x00, 2)
        try require(virtio.read32(0x04), equals: 0, "the third window")
        virtio.write32(0x00, 0xFFFF_FFFF)
        try require(virtio.read32(0x04), equals: 0, "the last window")
      }
      test("virtio: FEATURES_OK for what is offered, not for what is not", of: function) { (_) throws(Verdict) in
        let offered = virtio.offeredFeatures
        try require(try virtio.negotiate(offered), "all that is offered may be accepted")
        try require(try virtio.negotiate(VirtioFunction.Feature.version1), "VERSION_1 alone may be accepted")
        let bits: InlineArray<3, UInt64> = [22, 40, 63]
        try each(bits) { (bit) throws(Verdict) in
          guard offered >> bit & 1 == 0 else { return }
          let agrees = try virtio.negotiate(offered | 1 << bit)
          try require(!agrees, "a feature that was not offered is refused")
        }
        try virtio.reset()
      }
      test("virtio: queues are set up, read back, and forgotten by a reset", of: function) { (_) throws(Verdict) in
        try virtio.begin(0)
        for queue in 0..<virtio.queues {
          virtio.select(queue)
          let size = virtio.read16(0x18)
          try require(size != 0 && size & (size &- 1) == 0, "the size is a power of two")
          virtio.write32(0x20, 0x0020_0000)
          virtio.write32(0x28, 0x0020_1000)
          virtio.write32(0x30, 0x0020_2000)
          try require(virtio.read32(0x20), equals: 0x0020_0000, "descriptor table")
          try require(virtio.read32(0x28), equals: 0x0020_1000, "available ring")
          try require(virtio.read32(0x30), equals: 0x0020_2000, "used ring")
          try require(virtio.read16(0x1C), equals: 0, "a queue is not enabled by itself")
        }
        virtio.select(virtio.queueCount)
        try require(virtio.read16(0x18), equals: 0, "size of a queue that is not there")
        virtio.write16(0x1C, 1)
        virtio.select(0xFFFF)
        try require(virtio.read16(0x18), equals: 0, "size of the last queue there could be")
        try virtio.reset()
        virtio.select(0)
        try require(virtio.read32(0x20), equals: 0, "descriptor table after a reset")
        try require(virtio.read16(0x1C), equals: 0, "enable after a reset")
      }
      test("virtio: vectors beyond the MSI-X table do not take", of: function) { (_) throws(Verdict) in
        guard PCI.capability(function, id: 0x11) != 0 else { throw .skip("no MSI-X") }
        try virtio.reset()
        virtio.write16(0x10, 0)
        try require(virtio.read16(0x10), equals: 0, "configuration vector")
        virtio.write16(0x10, 0x7FF)
        try require(virtio.read16(0x10), equals: 0xFFFF, "configuration vector beyond the table")
        virtio.select(0)
        virtio.write16(0x1A, 0x7FF)
        try require(virtio.read16(0x1A), equals: 0xFFFF, "queue vector beyond the table")
        try virtio.reset()
      }
      test("virtio: the configuration access capability shows the same", of: function) { (_) throws(Verdict) in
        guard virtio.access != 0 else { throw .skip("it has none") }
        PCI.write32(function, virtio.access &+ 4, virtio.accessBar)
        PCI.write32(function, virtio.access &+ 8, virtio.commonOffset &+ 0x12)
        PCI.write32(function, virtio.access &+ 12, 2)
        try require(PCI.read16(function, virtio.access &+ 16), equals: virtio.queueCount, "number of queues")
        PCI.write32(function, virtio.access &+ 8, 0xFFFF_FFFE)
        _ = PCI.read32(function, virtio.access &+ 16)
        PCI.write32(function, virtio.access &+ 12, 0)
        _ = PCI.read32(function, virtio.access &+ 16)
        try require(virtio.queueCount >= 1, "the device lives")
      }
      test("virtio: doorbells that mean nothing", of: function) { (_) throws(Verdict) in
        try virtio.reset()
        for queue in 0..<virtio.queues {
          virtio.select(queue)
          machine_store16(UInt(virtio.doorbell), queue)
        }
        try virtio.begin(0)
        virtio.select(0)
        let doorbell = virtio.doorbell
        machine_store16(UInt(doorbell), 0)
        machine_store32(UInt(doorbell), 0xFFFF_FFFF)
        machine_store8(UInt(doorbell), 0)
        if virtio.notifyCount >= 4 {
          machine_store16(UInt((virtio.notify &+ virtio.notifyCount &- 2) & ~1), 0xFFFF)
        }
        try virtio.goLive()
        machine_store16(UInt(doorbell), 0)
        machine_store16(UInt(doorbell), 0x1234)
        for _ in 0..<200 { machine_pause() }
        try require(virtio.status, equals: 0x0F, "status")
        try virtio.reset()
      }
      test("virtio: rings that are not in memory do not enable", of: function) { (_) throws(Verdict) in
        try virtio.begin(0)
        virtio.select(0)
        virtio.write32(0x20, 0xFFFF_F000)
        virtio.write32(0x28, 0xFFFF_F000)
        virtio.write32(0x30, 0xFFFF_F000)
        virtio.write16(0x1C, 1)
        virtio.setStatus(0x0F)
        machine_store16(UInt(virtio.doorbell), 0)
        for _ in 0..<200 { machine_pause() }
        try virtio.reset()
        try virtio.begin(0)
        try virtio.goLive()
        try virtio.reset()
      }
    }
  }
}
