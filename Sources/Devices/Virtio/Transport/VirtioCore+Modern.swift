/// The registers of the modern interface (`struct virtio_pci_common_cfg`; virtio 1.2, 4.1.4.3).
extension VirtioCore {
  /// Reads of common configuration have no side effects, so any width works: the 32 bits around `offset`, cut.
  func readCommon(at offset: UInt64, width: AccessWidth) -> UInt64 {
    switch width {
    case .quadWord:
      guard offset & 7 == 0 else { return 0 }
      return UInt64(commonRegister(at: offset)) | UInt64(commonRegister(at: offset + 4)) << 32
    case .byte, .word, .doubleWord:
      let shift = (offset & 3) * 8
      return UInt64(commonRegister(at: offset & ~3)) >> shift & width.mask
    }
  }

  private func commonRegister(at offset: UInt64) -> UInt32 {
    let queue = selectedQueue.map { queues.queues[$0] }
    switch offset {
    case 0x00: return deviceFeatureSelect
    case 0x04: return deviceFeatures(window: deviceFeatureSelect)
    case 0x08: return driverFeatureSelect
    case 0x0C: return driverFeatures(window: driverFeatureSelect)
    case 0x10: return UInt32(configurationVector) | UInt32(queues.queues.count) << 16
    case 0x14: return UInt32(status) | UInt32(configurationGeneration) << 8 | UInt32(queueSelect) << 16
    // A size of 0 says that there is no such queue.
    case 0x18:
      let vector = selectedQueue.map { queueVectors[$0] } ?? Self.noVector
      return UInt32(queue?.size ?? 0) | UInt32(vector) << 16
    case 0x1C: return (queue?.isEnabled == true ? 1 : 0) | UInt32(selectedQueue ?? 0) << 16
    case 0x20: return UInt32(truncatingIfNeeded: queue?.descriptors ?? 0)
    case 0x24: return UInt32(truncatingIfNeeded: (queue?.descriptors ?? 0) >> 32)
    case 0x28: return UInt32(truncatingIfNeeded: queue?.available ?? 0)
    case 0x2C: return UInt32(truncatingIfNeeded: (queue?.available ?? 0) >> 32)
    case 0x30: return UInt32(truncatingIfNeeded: queue?.used ?? 0)
    case 0x34: return UInt32(truncatingIfNeeded: (queue?.used ?? 0) >> 32)
    default: return 0
    }
  }

  /// Writes one field, with the field's width; 64-bit fields also in halves (4.1.3.1). `vectors` is how many MSI-X
  /// vectors there are.
  mutating func writeCommon(_ value: UInt64, at offset: UInt64, width: AccessWidth, vectors: Int) -> Notice {
    let word = UInt16(truncatingIfNeeded: value)
    let doubleWord = UInt32(truncatingIfNeeded: value)
    // A vector beyond the table reads back as none (4.1.5.1.2.1).
    let vector = Int(word) < vectors ? word : Self.noVector
    switch (offset, width) {
    case (0x00, .doubleWord): deviceFeatureSelect = doubleWord
    case (0x08, .doubleWord): driverFeatureSelect = doubleWord
    case (0x0C, .doubleWord): setDriverFeatures(doubleWord, window: driverFeatureSelect)
    case (0x10, .word): configurationVector = vector
    case (0x14, .byte): return setStatus(UInt8(truncatingIfNeeded: value))
    case (0x16, .word): queueSelect = word
    case (0x18, .word): setSize(word)
    case (0x1A, .word):
      if let queue = selectedQueue { queueVectors[queue] = vector }
    case (0x1C, .word):
      // The driver may not write 0 (4.1.4.3.2).
      if value == 1 { return enableSelectedQueue() }
    case (0x20...0x37, .quadWord) where offset & 7 == 0:
      setAddress(value, mask: .max, field: offset)
    case (0x20...0x37, .doubleWord) where offset & 3 == 0:
      let shift = (offset & 4) * 8
      setAddress(value << shift, mask: 0xFFFF_FFFF << shift, field: offset & ~7)
    default: break
    }
    return Notice()
  }

  /// A size that is no power of two, or above the maximum, does not take (4.1.5.1.3).
  private mutating func setSize(_ size: UInt16) {
    guard let index = selectedQueue, !queues.queues[index].isEnabled, size != 0, size & (size - 1) == 0,
      size <= queues.queues[index].maximumSize
    else { return }
    queues.queues[index].size = size
  }

  private mutating func setAddress(_ value: UInt64, mask: UInt64, field: UInt64) {
    guard let index = selectedQueue, !queues.queues[index].isEnabled else { return }
    switch field {
    case 0x20: queues.queues[index].descriptors = queues.queues[index].descriptors & ~mask | value
    case 0x28: queues.queues[index].available = queues.queues[index].available & ~mask | value
    default: queues.queues[index].used = queues.queues[index].used & ~mask | value
    }
  }

  /// Reads the device configuration structure; what lies beyond it reads 0.
  func readDevice(at offset: Int, width: AccessWidth) -> UInt64 {
    let bytes = device.configuration
    var value: UInt64 = 0
    for index in 0..<width.rawValue where offset + index < bytes.count {
      value |= UInt64(bytes[offset + index]) << UInt64(8 * index)
    }
    return value
  }
}
