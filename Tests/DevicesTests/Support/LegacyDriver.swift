import Devices

/// What a driver from before virtio 1.0 does, with the ports of BAR 0 (virtio 1.2, 4.1.4.10 and the legacy parts of 3.1).
extension VirtioDriver {
  func readPort(_ offset: UInt64, _ width: AccessWidth) -> UInt64 {
    bus.readPort(at: (ports ?? 0) + offset, width: width) ?? .max
  }

  func writePort(_ value: UInt64, _ offset: UInt64, _ width: AccessWidth) {
    bus.writePort(value, at: (ports ?? 0) + offset, width: width)
  }

  var legacyStatus: UInt64 {
    get { readPort(18, .byte) }
    set { writePort(newValue, 18, .byte) }
  }

  /// Reset, ACKNOWLEDGE, DRIVER, features, queues, DRIVER_OK.
  func startLegacy(features wanted: UInt64 = .max, vectors: Bool = false, live: Bool = true) throws {
    ports = bar(0)
    legacyStatus = 0
    legacyStatus = 1
    legacyStatus = 3
    writePort(readPort(0, .doubleWord) & wanted & 0xFFFF_FFFF, 4, .doubleWord)
    rings = []
    if vectors { writeConfiguration(0x8000, msixCapability + 2, .word) }
    var index: UInt16 = 0
    while true {
      writePort(UInt64(index), 14, .word)
      let size = UInt16(truncatingIfNeeded: readPort(12, .word))
      guard size != 0 else { break }
      // vring_size and vring_init of the specification's virtio_ring.h, at 4096 bytes.
      let driverArea = 16 * UInt64(size) + 6 + 2 * UInt64(size)
      let used = (driverArea + 4095) & ~4095
      let start = allocate(Int(used) + 6 + 8 * Int(size), alignment: 4096)
      writePort(start >> 12, 8, .doubleWord)
      if vectors { writePort(UInt64(index) + 1, 22, .word) }
      rings.append(
        Ring(
          index: index, size: size, descriptors: start, available: start + 16 * UInt64(size), used: start + used,
          doorbell: 0))
      index += 1
    }
    if live { legacyStatus = 7 }
  }
}
