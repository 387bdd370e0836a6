/// An access to guest-physical addresses that are not RAM, or not aligned as the operation needs.
public struct GuestMemoryError: Error, Hashable, Sendable, CustomStringConvertible {
  /// The first byte that was wanted.
  public let address: GuestAddress
  /// How many bytes were wanted.
  public let count: Int
  /// What was to be done with them.
  public let operation: Operation

  /// What a device does with guest memory.
  public enum Operation: String, Sendable {
    case read, write, atomic
  }

  /// The access of `count` bytes at `address` failed.
  public init(_ operation: Operation, address: GuestAddress, count: Int) {
    self.operation = operation
    self.address = address
    self.count = count
  }

  /// What is wrong, and what to do about it.
  public var description: String {
    "the guest named \(count) bytes at \(address) for a device's \(operation.rawValue), which are not all RAM"
      + " or not aligned; its driver is at fault"
  }
}

/// The guest's RAM, as a device may touch it.
///
/// vCPUs and other devices write it at any time, so there is no borrowing: bytes are copied in, checked, and
/// used from the copy. RAM may have holes; every access is checked against them first, and one that is
/// not wholly RAM throws and changes nothing.
///
/// Integers are little-endian in memory, as on every guest that Roost runs. Any thread may call any method.
public protocol GuestMemory: Sendable {
  /// Whether every byte of the run is RAM. An empty run anywhere is.
  func contains(_ segment: GuestSegment) -> Bool

  /// Copies `destination.count` bytes out of the guest.
  func read(at address: GuestAddress, into destination: inout MutableSpan<UInt8>) throws(GuestMemoryError)

  /// Copies `source` into the guest.
  func write(at address: GuestAddress, from source: Span<UInt8>) throws(GuestMemoryError)

  /// A 16-bit load; `address` may be unaligned.
  func loadUInt16(at address: GuestAddress) throws(GuestMemoryError) -> UInt16
  /// A 32-bit load; `address` may be unaligned.
  func loadUInt32(at address: GuestAddress) throws(GuestMemoryError) -> UInt32
  /// A 64-bit load; `address` may be unaligned.
  func loadUInt64(at address: GuestAddress) throws(GuestMemoryError) -> UInt64
  /// A 16-bit store; `address` may be unaligned.
  func storeUInt16(_ value: UInt16, at address: GuestAddress) throws(GuestMemoryError)
  /// A 32-bit store; `address` may be unaligned.
  func storeUInt32(_ value: UInt32, at address: GuestAddress) throws(GuestMemoryError)
  /// A 64-bit store; `address` may be unaligned.
  func storeUInt64(_ value: UInt64, at address: GuestAddress) throws(GuestMemoryError)

  /// A load with acquire ordering of a ring index; throws when `address` is odd.
  func loadAcquiringUInt16(at address: GuestAddress) throws(GuestMemoryError) -> UInt16
  /// A store with release ordering of a ring index; throws when `address` is odd.
  func storeReleasingUInt16(_ value: UInt16, at address: GuestAddress) throws(GuestMemoryError)
}

extension GuestMemory {
  /// The `count` bytes at `address`, copied. The caller bounds `count`.
  public func bytes(at address: GuestAddress, count: Int) throws(GuestMemoryError) -> [UInt8] {
    guard count >= 0, contains(GuestSegment(address: address, count: count)) else {
      throw GuestMemoryError(.read, address: address, count: count)
    }
    var copy = [UInt8](repeating: 0, count: count)
    var span = copy.mutableSpan
    try read(at: address, into: &span)
    return copy
  }

  /// Copies `bytes` into the guest.
  public func write(_ bytes: [UInt8], at address: GuestAddress) throws(GuestMemoryError) {
    try write(at: address, from: bytes.span)
  }
}
