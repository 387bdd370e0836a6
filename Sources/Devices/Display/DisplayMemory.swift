/// The memory of a display adapter: bytes, of which the first 256 KiB are the VGA's four planes, interleaved (byte
/// 4n + p is byte n of plane p), and all of which are the linear framebuffer.
///
/// The guest may write it at any moment past the adapter (its linear framebuffer is a mapping), so an implementation
/// copies and never lends. Offsets are in range: the adapter masks them with `count`, a power of two.
public protocol DisplayMemory: Sendable {
  /// Length in bytes: a power of two, 256 KiB to 256 MiB.
  var count: Int { get }
  /// The byte at `offset`.
  func load(at offset: Int) -> UInt8
  /// Sets the byte at `offset`.
  func store(_ byte: UInt8, at offset: Int)
  /// The four bytes at `offset`, a multiple of four; the byte at `offset` (plane 0) is the lowest.
  func loadPlanes(at offset: Int) -> UInt32
  /// Sets the four bytes at `offset`, a multiple of four.
  func storePlanes(_ value: UInt32, at offset: Int)
  /// Copies the bytes from `offset` into the whole of `row`.
  func read(at offset: Int, into row: inout MutableSpan<UInt8>)
  /// Sets every byte of `range`.
  func fill(_ range: Range<Int>, with byte: UInt8)
}

extension DisplayMemory {
  /// The four bytes at `offset`, byte by byte.
  public func loadPlanes(at offset: Int) -> UInt32 {
    var value: UInt32 = 0
    for plane in 0..<4 { value |= UInt32(load(at: offset &+ plane)) << (8 * UInt32(plane)) }
    return value
  }

  /// Sets the four bytes at `offset`, byte by byte.
  public func storePlanes(_ value: UInt32, at offset: Int) {
    for plane in 0..<4 { store(UInt8(truncatingIfNeeded: value >> (8 * UInt32(plane))), at: offset &+ plane) }
  }
}
