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

  @Test func holesHashLikeZeros() throws {
    let directory = try Files.makeTemporaryDirectory(prefix: "/tmp/roost-digest-")
    defer { try? Files.removeTree(directory) }
    let size = ChunkedDigest.chunkSize
    let file = try FileDescriptor(opening: "\(directory)/file", [.readWrite, .create])
    try file.truncate(to: 4 * size + 17)
    // The end of the second chunk, and the beginning of the fourth.
    var bytes = [UInt8](repeating: 0, count: 4 * size + 17)
    for place in [2 * size - 1, 3 * size] {
      bytes[place] = 7
      try file.writeAll([7], at: place)
    }
    let digest = try FileDigest.chunked("\(directory)/file", threads: 2)
    #expect(digest == ChunkedDigest.hash(bytes))
  }

  @Test(.timeLimit(.minutes(1))) func twoTebibytesOfHolesAreNotRead() throws {
    let directory = try Files.makeTemporaryDirectory(prefix: "/tmp/roost-digest-")
    defer { try? Files.removeTree(directory) }
    let file = try FileDescriptor(opening: "\(directory)/file", [.readWrite, .create])
    try file.truncate(to: 2 << 40)
    let zeros = SHA256.hash([UInt8](repeating: 0, count: ChunkedDigest.chunkSize))
    let expected = ChunkedDigest.combine(repeatElement(zeros, count: (2 << 40) / ChunkedDigest.chunkSize))
    #expect(try FileDigest.chunked("\(directory)/file") == expected)
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
