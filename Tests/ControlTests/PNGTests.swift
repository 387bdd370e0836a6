import Binary
import CZlib
import Testing

@testable import Control

@Suite("PNG files")
struct PNGTests {
  /// Types and contents of the chunks, whose checksums must be right.
  private func chunks(_ file: [UInt8]) throws -> [(type: String, content: [UInt8])] {
    let reader = ByteReader(file)
    var (position, result) = (8, [(type: String, content: [UInt8])]())
    while position < file.count {
      let count = Int(try reader.big(UInt32.self, at: position))
      let body = try reader.slice(at: position + 4, length: count + 4)
      #expect(try reader.big(UInt32.self, at: position + 8 + count) == CRC32.checksum(body))
      result.append((String(decoding: body.prefix(4), as: UTF8.self), Array(body.dropFirst(4))))
      position += count + 12
    }
    return result
  }

  @Test("What is written can be read")
  func roundTrip() throws {
    let file = try PNGFile.encode(width: 3, height: 2, pixels: [0xFF0000, 0x00FF00, 0x0000FF, 0x123456, 0, 0xFFFFFF])
    #expect(file.prefix(8) == [137, 80, 78, 71, 13, 10, 26, 10])
    let chunks = try chunks(file)
    #expect(chunks.map(\.type) == ["IHDR", "IDAT", "IEND"])
    #expect(chunks[0].content == [0, 0, 0, 3, 0, 0, 0, 2, 8, 2, 0, 0, 0])
    #expect(chunks[2].content == [])
    var (lines, count) = ([UInt8](repeating: 0xEE, count: 100), uLong(100))
    let status = unsafe chunks[1].content.withUnsafeBufferPointer { source in
      unsafe lines.withUnsafeMutableBufferPointer { target in
        unsafe uncompress(target.baseAddress, &count, source.baseAddress, uLong(source.count))
      }
    }
    #expect(status == Z_OK)
    #expect(
      lines.prefix(Int(count)) == [
        0, 0xFF, 0, 0, 0, 0xFF, 0, 0, 0, 0xFF, 0, 0x12, 0x34, 0x56, 0, 0, 0, 0xFF, 0xFF, 0xFF,
      ])
    // The empty chunk at the end is the same in every file.
    #expect(file.suffix(12) == [0, 0, 0, 0, 0x49, 0x45, 0x4E, 0x44, 0xAE, 0x42, 0x60, 0x82])
  }

  @Test("Flat pictures are small, and wrong sizes are refused")
  func sizes() throws {
    #expect(try PNGFile.encode(width: 720, height: 400, pixels: Array(repeating: 0, count: 288_000)).count < 4000)
    for (width, height, count) in [(2, 2, 3), (0, 1, 0), (-1, -1, 1), (70_000, 1, 70_000)] {
      #expect(throws: ControlError.self) {
        try PNGFile.encode(width: width, height: height, pixels: Array(repeating: 0, count: count))
      }
    }
  }
}
