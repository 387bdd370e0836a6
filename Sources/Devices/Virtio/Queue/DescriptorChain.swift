/// One buffer that a driver made available: what the device may read, then what it may write. A copy; the guest can
/// change it no more. Reused from pop to pop so that its arrays keep their storage.
public struct DescriptorChain: Sendable {
  /// The head descriptor's number, which names the buffer when it is used.
  public internal(set) var head: UInt16 = 0
  /// Device-readable segments in order; none is empty, none is checked to be RAM.
  public internal(set) var readable: [GuestSegment] = []
  /// Device-writable segments in order; none is empty, none is checked to be RAM.
  public internal(set) var writable: [GuestSegment] = []

  /// An empty chain, to pop into.
  public init() {}

  /// Bytes the device may read.
  public var readableCount: Int { Self.count(readable) }
  /// Bytes the device may write.
  public var writableCount: Int { Self.count(writable) }

  /// At most 2^10 segments below 2^32 bytes each: no overflow.
  static func count(_ segments: [GuestSegment]) -> Int {
    var sum = 0
    for segment in segments { sum &+= segment.count }
    return sum
  }

  /// The segments without their first `prefix` bytes, nor what follows the next `limit` bytes.
  public static func slice(_ segments: [GuestSegment], dropping prefix: Int, limit: Int = .max) -> [GuestSegment] {
    var result: [GuestSegment] = []
    result.reserveCapacity(segments.count)
    var skip = prefix
    var left = limit
    for segment in segments {
      if skip >= segment.count {
        skip -= segment.count
        continue
      }
      let count = min(segment.count - skip, left)
      if count <= 0 { break }
      // A segment that wraps the address space is caught when it is checked to be RAM.
      let address = GuestAddress(segment.address.rawValue &+ UInt64(truncatingIfNeeded: skip))
      result.append(GuestSegment(address: address, count: count))
      skip = 0
      left -= count
    }
    return result
  }

  /// Copies up to `destination.count` bytes out of `segments`, from byte `offset` on. How many there were.
  public static func copy(
    from segments: [GuestSegment], at offset: Int, into destination: inout MutableSpan<UInt8>,
    _ memory: some GuestMemory
  ) throws(VirtioError) -> Int {
    var done = 0
    for segment in slice(segments, dropping: offset, limit: destination.count) {
      var part = destination._mutatingExtracting(done..<(done + segment.count))
      do { try memory.read(at: segment.address, into: &part) } catch { throw .memory(error) }
      done += segment.count
    }
    return done
  }

  /// Copies `source` into `segments`, from byte `offset` on, as far as there is room. How many bytes were copied.
  public static func copy(
    _ source: Span<UInt8>, to segments: [GuestSegment], at offset: Int, _ memory: some GuestMemory
  ) throws(VirtioError) -> Int {
    var done = 0
    for segment in slice(segments, dropping: offset, limit: source.count) {
      do {
        try memory.write(at: segment.address, from: source.extracting(done..<(done + segment.count)))
      } catch { throw .memory(error) }
      done += segment.count
    }
    return done
  }
}
