internal import Binary
internal import CZlib

/// Writes pictures of screens as PNG (W3C Portable Network Graphics, second edition). zlib does the compression; what
/// is left of the format for one kind of picture is three chunks.
public enum PNGFile {
  /// A file of true colour, eight bits a component, no transparency.
  ///
  /// - Parameters:
  ///   - width: pixels a line, 1 to 65535.
  ///   - height: lines, 1 to 65535.
  ///   - pixels: 0x00RRGGBB, line by line from the upper left; `width` times `height` of them.
  public static func encode(width: Int, height: Int, pixels: [UInt32]) throws(ControlError) -> [UInt8] {
    guard (1...0xFFFF).contains(width), (1...0xFFFF).contains(height), pixels.count == width * height else {
      throw ControlError(
        .system, "\(pixels.count) pixels are no picture of \(width) by \(height); give as many as it has")
    }
    var header = ByteWriter(capacity: 13)
    header.big(UInt32(width))
    header.big(UInt32(height))
    header.raw([8, 2, 0, 0, 0])  // eight bits, true colour, deflate, the five filters, not interlaced
    var lines: [UInt8] = []
    lines.reserveCapacity(height * (1 + 3 * width))
    for y in 0..<height {
      lines.append(0)  // no filter: screens are flat enough
      for pixel in pixels[(y * width)..<((y + 1) * width)] {
        lines.append(UInt8(truncatingIfNeeded: pixel >> 16))
        lines.append(UInt8(truncatingIfNeeded: pixel >> 8))
        lines.append(UInt8(truncatingIfNeeded: pixel))
      }
    }
    var file: [UInt8] = [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A]
    file += chunk("IHDR", header.bytes)
    file += chunk("IDAT", try compressed(lines))
    file += chunk("IEND", [])
    return file
  }

  /// Length, type, content, checksum (5.3).
  private static func chunk(_ type: String, _ content: [UInt8]) -> [UInt8] {
    var writer = ByteWriter(capacity: content.count + 12)
    writer.big(UInt32(content.count))
    writer.raw(type.utf8)
    writer.raw(content)
    writer.big(CRC32.checksum(writer.bytes[4...]))
    return writer.bytes
  }

  private static func compressed(_ bytes: [UInt8]) throws(ControlError) -> [UInt8] {
    var count = compressBound(uLong(bytes.count))
    var result = [UInt8](repeating: 0, count: Int(count))
    // SAFETY: both pointers live for the call and come with their arrays' lengths, which zlib keeps to.
    let status = unsafe bytes.withUnsafeBufferPointer { source in
      unsafe result.withUnsafeMutableBufferPointer { target in
        unsafe compress2(
          target.baseAddress, &count, source.baseAddress, uLong(source.count), Z_DEFAULT_COMPRESSION)
      }
    }
    guard status == Z_OK else {
      throw ControlError(.system, "zlib cannot compress the picture (error \(status)); free memory and try again")
    }
    result.removeSubrange(Int(count)...)
    return result
  }
}
