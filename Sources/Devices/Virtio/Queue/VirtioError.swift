/// How a guest's driver broke the protocol. Its device stops until the driver resets it (DEVICE_NEEDS_RESET; virtio
/// 1.2, 2.1.2).
public enum VirtioError: Error, Hashable, Sendable, CustomStringConvertible {
  /// A ring or buffer is not RAM.
  case memory(GuestMemoryError)
  /// Enabled with a ring that is misaligned or not RAM (2.7, 4.1.5.1.3).
  case ringAddress(queue: Int)
  /// The available index ran ahead of the ring.
  case availableIndex(index: UInt16, next: UInt16)
  /// More chains are in flight than the ring has descriptors.
  case tooManyInFlight
  /// A descriptor number beyond the table.
  case descriptorIndex(UInt16)
  /// A chain longer than its table, or one that loops.
  case chainTooLong(head: UInt16)
  /// A device-readable descriptor behind a device-writable one (2.7.4.2).
  case readableAfterWritable(head: UInt16)
  /// An indirect table inside an indirect table, one without the feature, one that goes on with NEXT, or one whose
  /// length is no multiple of 16 bytes (2.7.5.3).
  case indirectTable(head: UInt16)
  /// A request whose parts the device type does not allow.
  case malformedRequest(String)

  /// What is wrong, and what to do about it.
  public var description: String {
    let what =
      switch self {
      case .memory(let error): "\(error)"
      case .ringAddress(let queue): "the rings of queue \(queue) are misaligned or not in RAM"
      case .availableIndex(let index, let next): "the available index jumped from \(next) to \(index)"
      case .tooManyInFlight: "more requests are in flight than the queue has descriptors"
      case .descriptorIndex(let index): "descriptor \(index) is beyond the table"
      case .chainTooLong(let head): "the chain at descriptor \(head) is too long or loops"
      case .readableAfterWritable(let head): "the chain at descriptor \(head) has a readable part after a writable one"
      case .indirectTable(let head): "the chain at descriptor \(head) has an indirect table that is not allowed"
      case .malformedRequest(let text): text
      }
    return "virtio driver broke the protocol: \(what); the device stops until the guest resets it"
  }
}
