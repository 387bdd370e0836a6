import Binary
import Platform
import Testing

@Suite struct FileDigestTests {
  @Test(arguments: [0, 1, ChunkedDigest.chunkSize + 17])
  func filesHashLikeMemory(length: Int) throws {
    let directory = try Files.makeTemporaryDirectory(prefix: "/tmp/roost-digest-")
    defer { try? Files.removeTree(directory) }
    let bytes = (0..<length).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 12) }
    try Files.write(bytes, to: "\(directory)/file")
    var reported = 0
    let digest = try FileDigest.chunked("\(directory)/file", threads: 3) { reported = max(reported, $0) }
    #expect(digest == ChunkedDigest.hash(bytes))
    #expect(reported <= length)
  }

  @Test func oneFlippedBitShows() throws {
    let directory = try Files.makeTemporaryDirectory(prefix: "/tmp/roost-digest-")
    defer { try? Files.removeTree(directory) }
    var bytes = [UInt8](repeating: 3, count: 5000)
    for expected in [ContentDigest.chunked(ChunkedDigest.hash(bytes)), .sha256(SHA256.hash(bytes))] {
      try Files.write(bytes, to: "\(directory)/file")
      #expect(try FileDigest.compute(like: expected, "\(directory)/file") == expected)
      bytes[4500] ^= 1
      try Files.write(bytes, to: "\(directory)/file")
      #expect(try FileDigest.compute(like: expected, "\(directory)/file") != expected)
      bytes[4500] ^= 1
    }
  }

  @Test func aMissingFileIsNamed() {
    #expect(throws: SystemError("open", path: "/nonexistent/file", errno: .noSuchFile)) {
      try FileDigest.chunked("/nonexistent/file")
    }
  }
}
