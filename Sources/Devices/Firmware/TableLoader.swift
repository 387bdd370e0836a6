internal import Binary

/// Writes the file "etc/table-loader": what firmware has to do so that the ACPI tables it was given lie in its memory
/// and point at each other. QEMU, hw/acpi/bios-linker-loader.c: entries of 128 bytes, little-endian.
public struct TableLoader: Sendable {
  /// Where firmware puts a file.
  public enum Zone: UInt8, Sendable {
    /// Anywhere in reserved memory below 4 GiB.
    case high = 1
    /// Between 0xE0000 and 1 MiB, where systems search for the root pointer.
    case below1MiB = 2
  }

  private var writer = ByteWriter()

  /// Bytes of an entry.
  public static let entryCount = 128
  private static let nameCount = 56

  /// A script that does nothing.
  public init() {}

  /// The script so far.
  public var bytes: [UInt8] { writer.bytes }

  /// Has `file` put into memory; must come before any other command that names it. `alignment` is a power of two up
  /// to 4096.
  public mutating func allocate(_ file: String, alignment: UInt32, zone: Zone) {
    command(1) { writer in
      writer.fixed(file, width: Self.nameCount)
      writer.little(alignment)
      writer.little(zone.rawValue)
    }
  }

  /// Has the address of file `target` added to the `size` bytes (1, 2, 4 or 8) at `offset` of `file`, which hold an
  /// offset within `target`.
  public mutating func addPointer(in file: String, at offset: Int, size: Int, to target: String) {
    command(2) { writer in
      writer.fixed(file, width: Self.nameCount)
      writer.fixed(target, width: Self.nameCount)
      writer.little(UInt32(truncatingIfNeeded: offset))
      writer.little(UInt8(truncatingIfNeeded: size))
    }
  }

  /// Has the byte at `offset` of `file`, which is zero, set so that the bytes of `range` sum up to zero.
  public mutating func addChecksum(in file: String, at offset: Int, over range: Range<Int>) {
    command(3) { writer in
      writer.fixed(file, width: Self.nameCount)
      writer.little(UInt32(truncatingIfNeeded: offset))
      writer.little(UInt32(truncatingIfNeeded: range.lowerBound))
      writer.little(UInt32(truncatingIfNeeded: range.count))
    }
  }

  private mutating func command(_ number: UInt32, _ body: (inout ByteWriter) -> Void) {
    let end = writer.count + Self.entryCount
    writer.little(number)
    body(&writer)
    writer.zeros(end - writer.count)
  }
}
