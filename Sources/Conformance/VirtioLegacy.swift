import Machine

extension Probe {
  /// The interface of transitional functions in I/O register 0 (virtio 1.2, 4.1.4.10).
  mutating func testVirtioLegacy() {
    VirtioFunction.forEach { virtio in
      let function = virtio.function
      test("virtio legacy: negotiation, queue setup, reset", of: function) { (probe) throws(Verdict) in
        let port = try Self.legacyPort(virtio)
        machine_out8(port &+ 0x12, 0)
        let isReset = wait { machine_in8(port &+ 0x12) == 0 }
        try require(isReset, "the status reads 0 after a reset")
        machine_out8(port &+ 0x12, 1)
        machine_out8(port &+ 0x12, 3)
        let features = machine_in32(port)
        machine_out32(port &+ 4, features & ~(1 << 29))
        try require(machine_in32(port &+ 4), equals: features & ~(1 << 29), "the driver's features")
        machine_out16(port &+ 0x0E, 0)
        let size = machine_in16(port &+ 0x0C)
        try require(size != 0 && size & (size &- 1) == 0, "the size of queue 0 is a power of two")
        try require(machine_in32(port &+ 0x08), equals: 0, "address of a queue that was not set up")
        let count = 16 &* UInt32(size) &+ 4096 &+ 2 &* UInt32(size) &+ 4096 &+ 8 &* UInt32(size) &+ 6
        let ring = try probe.reserve(count, alignment: 4096)
        // Indices of the available and the used ring.
        machine_store32(UInt(ring &+ 16 &* UInt32(size)), 0)
        machine_store32(UInt(ring &+ ((16 &* UInt32(size) &+ 6 &+ 2 &* UInt32(size) &+ 4095) & ~4095)), 0)
        machine_out32(port &+ 0x08, ring >> 12)
        try require(machine_in32(port &+ 0x08), equals: ring >> 12, "address of the queue in pages")
        machine_out16(port &+ 0x0E, 0xFFFF)
        try require(machine_in16(port &+ 0x0C), equals: 0, "size of a queue that is not there")
        machine_out8(port &+ 0x12, 7)
        try require(machine_in8(port &+ 0x12), equals: 7, "status")
        machine_out16(port &+ 0x10, 0)
        machine_out16(port &+ 0x10, 0xFFFF)
        try require(machine_in8(port &+ 0x12), equals: 7, "status after doorbells")
        machine_out8(port &+ 0x12, 0)
        let isBack = wait { machine_in8(port &+ 0x12) == 0 }
        try require(isBack, "the status reads 0 after a reset")
        machine_out16(port &+ 0x0E, 0)
        try require(machine_in32(port &+ 0x08), equals: 0, "address of the queue after a reset")
      }
      if virtio.type == 2 {
        test("virtio legacy: a disk reads its first sector", of: function) { (probe) throws(Verdict) in
          try Self.readLegacy(&probe, try Self.legacyPort(virtio))
        }
      }
    }
  }

  private static func legacyPort(_ virtio: VirtioFunction) throws(Verdict) -> UInt16 {
    guard virtio.isTransitional, PCI.read8(virtio.function, 0x08) == 0,
      PCI.read32(virtio.function, 0x10) & 1 == 1,
      let port = UInt16(exactly: PCI.address(virtio.function, bar: 0)), port != 0
    else { throw .skip("no legacy interface") }
    return port
  }

  /// One read through a ring as legacy drivers lay it out: used ring on the next page (2.7.2).
  private static func readLegacy(_ probe: inout Probe, _ port: UInt16) throws(Verdict) {
    machine_out8(port &+ 0x12, 0)
    wait { machine_in8(port &+ 0x12) == 0 }
    machine_out8(port &+ 0x12, 1)
    machine_out8(port &+ 0x12, 3)
    machine_out32(port &+ 4, 0)
    machine_out16(port &+ 0x0E, 0)
    let size = UInt32(machine_in16(port &+ 0x0C))
    let offset = (16 &* size &+ 6 &+ 2 &* size &+ 4095) & ~4095
    let ring = try probe.reserve(offset &+ 8 &* size &+ 6, alignment: 4096)
    machine_store32(UInt(ring &+ offset), 0)
    let request = try probe.reserve(16 &+ 512 &+ 1)
    for word in UInt32(0)..<4 { machine_store32(UInt(request &+ 4 &* word), 0) }
    machine_store8(UInt(request &+ 528), 0xEE)
    VirtioRing.put(ring, request, 16, VirtioRing.Flag.next, 1)
    VirtioRing.put(ring &+ 16, request &+ 16, 512, VirtioRing.Flag.next | VirtioRing.Flag.write, 2)
    VirtioRing.put(ring &+ 32, request &+ 528, 1, VirtioRing.Flag.write, 0)
    machine_out32(port &+ 0x08, ring >> 12)
    machine_out8(port &+ 0x12, 7)
    let available = ring &+ 16 &* size
    machine_store32(UInt(available), 0)
    machine_store16(UInt(available &+ 4), 0)
    machine_fence()
    machine_store16(UInt(available &+ 2), 1)
    machine_fence()
    machine_out16(port &+ 0x10, 0)
    let isDone = wait { machine_load16(UInt(ring &+ offset &+ 2)) == 1 }
    try require(isDone, "the device gives the buffer back")
    try require(machine_load8(UInt(request &+ 528)), equals: 0, "status of the request")
    try require(machine_load32(UInt(ring &+ offset &+ 8)), equals: 513, "bytes written")
    try require(machine_in8(port &+ 0x13) & 1, equals: 1, "ISR status")
    try require(machine_in8(port &+ 0x13), equals: 0, "ISR status, read again")
    machine_out8(port &+ 0x12, 0)
  }
}
