/// Why a field could not be read.
public struct TruncatedInput: Error, Hashable, Sendable, CustomStringConvertible {
  /// Byte offset of the field.
  public let offset: Int
  /// Bytes the field needs.
  public let needed: Int
  /// Bytes the input has in all.
  public let available: Int

  /// What was asked for, and what there is.
  public var description: String {
    "input ends early: \(needed) bytes are needed at offset \(offset), and it has \(available)"
  }
}

/// Endian reads at byte offsets of an array. Every read is bounds-checked and throws, never traps:
/// the input may be hostile.
public struct ByteReader: Sendable {
  /// The input.
  public let bytes: [UInt8]

  /// Reads from `bytes`.
  public init(_ bytes: [UInt8]) {
    self.bytes = bytes
  }

  /// Length of the input in bytes.
  public var count: Int { bytes.count }

  /// The `length` bytes at `offset`.
  public func slice(at offset: Int, length: Int) throws(TruncatedInput) -> ArraySlice<UInt8> {
    guard offset >= 0, length >= 0, offset <= bytes.count, length <= bytes.count - offset else {
      throw TruncatedInput(offset: offset, needed: length, available: bytes.count)
    }
    return bytes[offset..<(offset + length)]
  }

  /// The integer at `offset`, least significant byte first.
  public func little<T: FixedWidthInteger>(_: T.Type = T.self, at offset: Int) throws(TruncatedInput) -> T {
    var value: T = 0
    for byte in try slice(at: offset, length: T.bitWidth / 8).reversed() {
      value = (T.bitWidth > 8 ? value << 8 : 0) | T(truncatingIfNeeded: byte)
    }
    return value
  }

  /// The integer at `offset`, most significant byte first.
  public func big<T: FixedWidthInteger>(_: T.Type = T.self, at offset: Int) throws(TruncatedInput) -> T {
    T(truncatingIfNeeded: try little(T.self, at: offset).byteSwapped)
  }
}
