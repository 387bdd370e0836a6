import Binary
import Testing

@Suite struct ContentDigestTests {
  @Test func chunkDigestsAreHashedInOrder() {
    let bytes = (0..<(ChunkedDigest.chunkSize + 5)).map { UInt8(truncatingIfNeeded: $0 &* 7) }
    let first = SHA256.hash(Array(bytes.prefix(ChunkedDigest.chunkSize)))
    let second = SHA256.hash(Array(bytes.suffix(5)))
    #expect(ChunkedDigest.hash(bytes) == SHA256.hash(first.bytes + second.bytes))
    #expect(ChunkedDigest.hash(bytes) != SHA256.hash(second.bytes + first.bytes))
  }

  @Test func nothingHasNoChunks() {
    #expect(ChunkedDigest.hash([]) == SHA256.hash([]))
    #expect(ChunkedDigest.chunkCount(of: 0) == 0)
    #expect(ChunkedDigest.chunkCount(of: ChunkedDigest.chunkSize) == 1)
    #expect(ChunkedDigest.chunkCount(of: ChunkedDigest.chunkSize + 1) == 2)
  }

  @Test func textSaysHowItWasMade() throws {
    let digest = SHA256.hash("roost")
    #expect(ContentDigest("sha256:\(digest)") == .sha256(digest))
    #expect(ContentDigest("sha256-4m:\(digest)") == .chunked(digest))
    #expect(ContentDigest(ContentDigest.chunked(digest).description) == .chunked(digest))
    for wrong in ["", "sha256", "sha256:", "\(digest)", "md5:\(digest)", "sha256:\(digest)0", "sha256:\(digest):"] {
      #expect(ContentDigest(wrong) == nil)
    }
  }

  /// FIPS 180-4's own examples, over every split of the input.
  @Test func knownHashes() {
    let text = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"
    let known = "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
    let bytes = Array(text.utf8)
    for split in 0...bytes.count {
      var hash = SHA256()
      hash.update(Array(bytes[..<split]))
      hash.update(Array(bytes[split...]))
      #expect(hash.finalize().description == known)
    }
    #expect(
      SHA256.hash([UInt8](repeating: UInt8(ascii: "a"), count: 1_000_000)).description
        == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0")
  }
}
