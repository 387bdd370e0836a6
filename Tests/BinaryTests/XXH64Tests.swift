import Binary
import Testing

@Suite("XXH64")
struct XXH64Tests {
  @Test(
    "What xxhsum says",
    arguments: [
      ("", 0xEF46_DB37_51D8_E999), ("a", 0xD24E_C4F1_A98C_6E5B), ("abc", 0x44BC_2CF5_AD77_0999),
      ("Nobody inspects the spammish repetition", 0xFBCE_A83C_8A37_8BF1),
    ] as [(String, UInt64)])
  func examples(text: String, hash: UInt64) {
    #expect(XXH64.hash(Array(text.utf8)) == hash)
  }

  @Test("Every byte counts, at every length")
  func everyByteCounts() {
    for length in 1...100 {
      let bytes = (0..<length).map { UInt8(truncatingIfNeeded: $0 &* 37) }
      let hash = XXH64.hash(bytes)
      for index in bytes.indices {
        var changed = bytes
        changed[index] ^= 1
        #expect(XXH64.hash(changed) != hash)
      }
      #expect(XXH64.hash(bytes + [0]) != hash)
    }
  }
}
