/// Appends little- and big-endian fields to a byte array.
public struct ByteWriter: Sendable {
  /// What was written so far.
  public private(set) var bytes: [UInt8]

  /// An empty writer with room for `capacity` bytes.
  public init(capacity: Int = 0) {
    bytes = []
    bytes.reserveCapacity(capacity)
  }

  /// Bytes written so far.
  public var count: Int { bytes.count }

  /// Appends an integer, least significant byte first.
  public mutating func little<T: FixedWidthInteger>(_ value: T) {
    for index in 0..<(T.bitWidth / 8) {
      bytes.append(UInt8(truncatingIfNeeded: value >> (index * 8)))
    }
  }

  /// Appends an integer, most significant byte first.
  public mutating func big<T: FixedWidthInteger>(_ value: T) {
    for index in (0..<(T.bitWidth / 8)).reversed() {
      bytes.append(UInt8(truncatingIfNeeded: value >> (index * 8)))
    }
  }

  /// Appends raw bytes.
  public mutating func raw(_ more: some Sequence<UInt8>) {
    bytes.append(contentsOf: more)
  }

  /// Appends the UTF-8 of `text`, cut or padded with `padding` to exactly `width` bytes.
  public mutating func fixed(_ text: String, width: Int, padding: UInt8 = 0) {
    let source = Array(text.utf8.prefix(width))
    bytes.append(contentsOf: source)
    bytes.append(contentsOf: repeatElement(padding, count: width - source.count))
  }

  /// Appends `count` zero bytes.
  public mutating func zeros(_ count: Int) {
    bytes.append(contentsOf: repeatElement(0, count: count))
  }

  /// Appends zeros until the length is a multiple of `alignment` bytes.
  public mutating func align(_ alignment: Int) {
    let excess = bytes.count % alignment
    if excess != 0 { zeros(alignment - excess) }
  }

  /// Overwrites a little-endian integer at byte `offset`, which must already have been written.
  public mutating func patchLittle<T: FixedWidthInteger>(_ value: T, at offset: Int) {
    for index in 0..<(T.bitWidth / 8) {
      bytes[offset + index] = UInt8(truncatingIfNeeded: value >> (index * 8))
    }
  }

  /// Overwrites the byte at `offset`.
  public mutating func patch(_ value: UInt8, at offset: Int) {
    bytes[offset] = value
  }
}
