import Binary
import Testing

@Suite("SHA-256 (FIPS 180-4)")
struct SHA256Tests {
  @Test(
    "The standard's examples",
    arguments: [
      ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
      ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
      (
        "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
      ),
    ])
  func examples(text: String, digest: String) {
    #expect(SHA256.hash(text).description == digest)
  }

  @Test("A million times a, taken in by pieces of every size")
  func pieces() {
    var hash = SHA256()
    var left = 1_000_000
    var size = 1
    while left > 0 {
      let count = min(size, left)
      hash.update([UInt8](repeating: 0x61, count: count))
      left -= count
      size = size % 200 + 1
    }
    #expect(
      hash.finalize().description == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0")
  }

  @Test("A digest is read back, and nothing else is taken for one")
  func parse() {
    let digest = SHA256.hash("abc")
    #expect(SHA256.Digest(hex: digest.description) == digest)
    #expect(SHA256.Digest(hex: "abc") == nil)
    #expect(SHA256.Digest(hex: String(repeating: "g", count: 64)) == nil)
  }
}
