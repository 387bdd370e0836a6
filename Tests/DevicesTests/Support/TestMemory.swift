import Devices
import Synchronization

/// Guest RAM in an array, with a hole.
final class TestMemory: GuestMemory {
  /// 0x8000..<0x10000 is no RAM.
  static let hole: Range<UInt64> = 0x8000..<0x10000

  private let bytes: Mutex<[UInt8]>
  let count: UInt64

  init(count: Int = 1 << 20) {
    bytes = Mutex(Array(repeating: 0, count: count))
    self.count = UInt64(count)
  }

  func contains(_ segment: GuestSegment) -> Bool {
    let start = segment.address.rawValue
    guard segment.count >= 0 else { return false }
    if segment.count == 0 { return true }
    guard start <= count, UInt64(segment.count) <= count - start else { return false }
    return start + UInt64(segment.count) <= Self.hole.lowerBound || start >= Self.hole.upperBound
  }

  private func check(
    _ address: GuestAddress, _ count: Int, _ operation: GuestMemoryError.Operation
  ) throws(GuestMemoryError) {
    guard contains(GuestSegment(address: address, count: count)) else {
      throw GuestMemoryError(operation, address: address, count: count)
    }
  }

  func read(at address: GuestAddress, into destination: inout MutableSpan<UInt8>) throws(GuestMemoryError) {
    try check(address, destination.count, .read)
    if destination.isEmpty { return }  // anywhere
    let start = Int(address.rawValue)
    let copy = bytes.withLock { Array($0[start..<(start + destination.count)]) }
    for index in copy.indices { destination[index] = copy[index] }
  }

  func write(at address: GuestAddress, from source: Span<UInt8>) throws(GuestMemoryError) {
    try check(address, source.count, .write)
    if source.isEmpty { return }
    let start = Int(address.rawValue)
    var copy: [UInt8] = []
    for index in source.indices { copy.append(source[index]) }
    bytes.withLock { $0.replaceSubrange(start..<(start + copy.count), with: copy) }
  }

  private func load(_ address: GuestAddress, _ count: Int) throws(GuestMemoryError) -> UInt64 {
    try check(address, count, .read)
    let start = Int(address.rawValue)
    return bytes.withLock { bytes in
      var value: UInt64 = 0
      var index = count
      while index > 0 {
        index &-= 1
        value = value << 8 | UInt64(bytes[start &+ index])
      }
      return value
    }
  }

  private func store(_ value: UInt64, _ address: GuestAddress, _ count: Int) throws(GuestMemoryError) {
    try check(address, count, .write)
    let start = Int(address.rawValue)
    bytes.withLock { bytes in
      var rest = value
      var index = start
      while index < start &+ count {
        bytes[index] = UInt8(truncatingIfNeeded: rest)
        rest >>= 8
        index &+= 1
      }
    }
  }

  func loadUInt16(at address: GuestAddress) throws(GuestMemoryError) -> UInt16 { UInt16(try load(address, 2)) }
  func loadUInt32(at address: GuestAddress) throws(GuestMemoryError) -> UInt32 { UInt32(try load(address, 4)) }
  func loadUInt64(at address: GuestAddress) throws(GuestMemoryError) -> UInt64 { try load(address, 8) }
  func storeUInt16(_ value: UInt16, at address: GuestAddress) throws(GuestMemoryError) {
    try store(UInt64(value), address, 2)
  }
  func storeUInt32(_ value: UInt32, at address: GuestAddress) throws(GuestMemoryError) {
    try store(UInt64(value), address, 4)
  }
  func storeUInt64(_ value: UInt64, at address: GuestAddress) throws(GuestMemoryError) {
    try store(value, address, 8)
  }
  func loadAcquiringUInt16(at address: GuestAddress) throws(GuestMemoryError) -> UInt16 {
    guard address.isAligned(to: 2) else { throw GuestMemoryError(.atomic, address: address, count: 2) }
    return try loadUInt16(at: address)
  }
  func storeReleasingUInt16(_ value: UInt16, at address: GuestAddress) throws(GuestMemoryError) {
    guard address.isAligned(to: 2) else { throw GuestMemoryError(.atomic, address: address, count: 2) }
    try storeUInt16(value, at: address)
  }
}
