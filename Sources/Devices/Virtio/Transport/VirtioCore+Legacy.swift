/// The registers of the legacy interface (virtio 1.2, 4.1.4.10), at the start of an I/O window. The device's
/// configuration structure follows them, read as it is at that moment: there is no generation here (2.5.3).
enum VirtioLegacyLayout {
  static let bar = 0
  static let notify: UInt64 = 16
  static let interruptStatus: UInt64 = 19
  static let vectors: UInt64 = 20

  /// Where the configuration structure begins: the two vectors are there only while MSI-X is enabled.
  static func device(hasVectors: Bool) -> UInt64 { hasVectors ? 24 : 20 }

  /// Length of the window: registers, vectors and the structure.
  static func count(configuration: Int) -> UInt64 {
    var count: UInt64 = 32
    while count < 24 + UInt64(configuration) { count *= 2 }
    return count
  }
}

extension VirtioCore {
  /// Reads below the configuration structure, any width: the 32 bits around `offset`, cut. `interruptStatus` is what
  /// the function's ISR shows; reading that byte clears it, which is the caller's to do.
  func readLegacy(at offset: UInt64, width: AccessWidth, interruptStatus: UInt8) -> UInt64 {
    let queue = selectedQueue.map { queues.queues[$0] }
    let register: UInt32 =
      switch offset & ~3 {
      case 0: legacyFeatures
      case 4: UInt32(truncatingIfNeeded: driverFeatures)
      case 8: queue?.legacyPage ?? 0
      case 12: UInt32(queue?.maximumSize ?? 0) | UInt32(queueSelect) << 16
      // Notify reads 0. What legacy drivers have no name for is not shown in the status.
      case 16:
        UInt32(status & ~(VirtioStatus.needsReset | VirtioStatus.featuresOK)) << 16 | UInt32(interruptStatus) << 24
      default: UInt32(configurationVector) | UInt32(selectedQueue.map { queueVectors[$0] } ?? Self.noVector) << 16
      }
    return UInt64(register) >> ((offset & 3) * 8) & width.mask
  }

  /// Writes one register below the configuration structure, with its width. `vectors` is how many MSI-X vectors there
  /// are.
  mutating func writeLegacy(_ value: UInt64, at offset: UInt64, width: AccessWidth, vectors: Int) -> Notice {
    let word = UInt16(truncatingIfNeeded: value)
    let vector = Int(word) < vectors ? word : Self.noVector
    switch (offset, width) {
    case (4, .doubleWord): setLegacyFeatures(UInt32(truncatingIfNeeded: value))
    case (8, .doubleWord): return placeSelectedQueue(page: UInt32(truncatingIfNeeded: value))
    case (14, .word): queueSelect = word
    case (VirtioLegacyLayout.notify, _): return serve(Int(word))
    case (18, .byte): return setLegacyStatus(UInt8(truncatingIfNeeded: value))
    case (20, .word): configurationVector = vector
    case (22, .word):
      if let queue = selectedQueue { queueVectors[queue] = vector }
    default: break
    }
    return Notice()
  }
}
