/// How many bytes a port or memory access moves.
public enum AccessWidth: Int, Sendable {
  case byte = 1
  case word = 2
  case doubleWord = 4
  case quadWord = 8

  /// The bits that an access of this width moves.
  @inlinable
  public var mask: UInt64 {
    switch self {
    case .byte: 0xFF
    case .word: 0xFFFF
    case .doubleWord: 0xFFFF_FFFF
    case .quadWord: .max
    }
  }

  /// Length in bytes.
  @inlinable
  public var count: UInt64 { UInt64(truncatingIfNeeded: rawValue) }
}

/// Something that answers port or memory-mapped accesses. Offsets are within the range it was attached with.
///
/// Every device of this module is a final class that locks itself: accesses may come from any vCPU thread.
public protocol BusDevice {
  /// What the guest reads; bits beyond `width` are ignored.
  func read(at offset: UInt64, width: AccessWidth) -> UInt64
  /// What the guest writes; bits beyond `width` are zero.
  func write(_ value: UInt64, at offset: UInt64, width: AccessWidth)

  /// A run of reads at one offset, as string instructions make them: fills `destination`, whose length is a multiple of
  /// `width`. Worth its own code where a device moves data through a port.
  func readRun(at offset: UInt64, width: AccessWidth, into destination: inout MutableSpan<UInt8>)
  /// A run of writes at one offset; the length of `source` is a multiple of `width`.
  func writeRun(_ source: Span<UInt8>, at offset: UInt64, width: AccessWidth)
}

extension BusDevice {
  /// Reads access by access.
  public func readRun(at offset: UInt64, width: AccessWidth, into destination: inout MutableSpan<UInt8>) {
    readSingly(at: offset, width: width, into: &destination)
  }

  /// Writes access by access.
  public func writeRun(_ source: Span<UInt8>, at offset: UInt64, width: AccessWidth) {
    writeSingly(source, at: offset, width: width)
  }

  /// What `readRun` is where a device has no better way.
  public func readSingly(at offset: UInt64, width: AccessWidth, into destination: inout MutableSpan<UInt8>) {
    for start in stride(from: 0, through: destination.count - width.rawValue, by: width.rawValue) {
      let value = read(at: offset, width: width)
      for index in 0..<width.rawValue {
        destination[start + index] = UInt8(truncatingIfNeeded: value >> UInt64(8 * index))
      }
    }
  }

  /// What `writeRun` is where a device has no better way.
  public func writeSingly(_ source: Span<UInt8>, at offset: UInt64, width: AccessWidth) {
    for start in stride(from: 0, through: source.count - width.rawValue, by: width.rawValue) {
      var value: UInt64 = 0
      for index in 0..<width.rawValue { value |= UInt64(source[start + index]) << UInt64(8 * index) }
      write(value, at: offset, width: width)
    }
  }
}

/// Two devices that claim the same addresses, or a range that is none.
public struct BusConflict: Error, Hashable, Sendable, CustomStringConvertible {
  /// First address of the range that was refused.
  public let base: UInt64
  /// Its length.
  public let count: UInt64

  /// What is wrong, and what to do about it.
  public var description: String {
    "range 0x\(String(base, radix: 16)) of \(count) bytes is empty, leaves the address space, or is taken"
      + " by another device; give the device a free range"
  }
}

/// Ranges of one address space and what answers each. `Target` is one concrete type (the machine's enumeration of
/// its devices), so that an access costs a search and a switch, and no existential.
///
/// Filled while the machine is put together, constant while it runs.
public struct Bus<Target> {
  /// One attached range.
  @usableFromInline
  struct Entry {
    @usableFromInline let base: UInt64
    @usableFromInline let last: UInt64
    @usableFromInline let target: Target

    init(base: UInt64, last: UInt64, target: Target) {
      self.base = base
      self.last = last
      self.target = target
    }
  }

  /// Sorted by `base`; no two overlap.
  @usableFromInline var entries: [Entry] = []

  /// A bus with nothing on it.
  public init() {}

  /// Lets `target` answer the `count` addresses from `base`.
  public mutating func attach(_ target: Target, at base: UInt64, count: UInt64) throws(BusConflict) {
    let (last, overflow) = base.addingReportingOverflow(count &- 1)
    guard count > 0, !overflow, !entries.contains(where: { $0.base <= last && base <= $0.last }) else {
      throw BusConflict(base: base, count: count)
    }
    let index = entries.firstIndex { $0.base > base } ?? entries.endIndex
    entries.insert(Entry(base: base, last: last, target: target), at: index)
  }

  /// Index of the range that holds all `count` bytes at `address`.
  @inlinable
  func index(of address: UInt64, count: UInt64) -> Int? {
    var low = 0
    var high = entries.count
    while low < high {
      let middle = (low &+ high) / 2
      if entries[middle].last < address { low = middle &+ 1 } else { high = middle }
    }
    guard low < entries.count, entries[low].base <= address, count &- 1 <= entries[low].last &- address else {
      return nil
    }
    return low
  }
}

extension Bus: Sendable where Target: Sendable {}
extension Bus.Entry: Sendable where Target: Sendable {}

extension Bus where Target: BusDevice {
  /// Whether something answers an access.
  @inlinable
  public func answers(at address: UInt64, width: AccessWidth) -> Bool {
    index(of: address, count: width.count) != nil
  }

  /// Reads `width` bytes at `address`; nil where nothing answers.
  @inlinable
  public func answer(at address: UInt64, width: AccessWidth) -> UInt64? {
    guard let index = index(of: address, count: width.count) else { return nil }
    return entries[index].target.read(at: address &- entries[index].base, width: width) & width.mask
  }

  /// Writes `width` bytes at `address`; false where nothing answers.
  @inlinable
  public func take(_ value: UInt64, at address: UInt64, width: AccessWidth) -> Bool {
    guard let index = index(of: address, count: width.count) else { return false }
    entries[index].target.write(value & width.mask, at: address &- entries[index].base, width: width)
    return true
  }

  /// Reads `width` bytes at `address`; where nothing answers, all ones, as an undriven bus reads.
  @inlinable
  public func read(at address: UInt64, width: AccessWidth) -> UInt64 {
    answer(at: address, width: width) ?? width.mask
  }

  /// Writes `width` bytes at `address`; where nothing answers, nothing happens.
  @inlinable
  public func write(_ value: UInt64, at address: UInt64, width: AccessWidth) {
    _ = take(value, at: address, width: width)
  }

  /// A run of reads at `address`; where nothing answers, all ones.
  public func readRun(at address: UInt64, width: AccessWidth, into destination: inout MutableSpan<UInt8>) {
    guard let index = index(of: address, count: width.count) else {
      for index in destination.indices { destination[index] = 0xFF }
      return
    }
    entries[index].target.readRun(at: address &- entries[index].base, width: width, into: &destination)
  }

  /// A run of writes at `address`; where nothing answers, nothing happens.
  public func writeRun(_ source: Span<UInt8>, at address: UInt64, width: AccessWidth) {
    guard let index = index(of: address, count: width.count) else { return }
    entries[index].target.writeRun(source, at: address &- entries[index].base, width: width)
  }
}
