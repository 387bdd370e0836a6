import Testing

@testable import Recipe

@Suite("How an image is packed")
struct ImageWordsTests {
  private func parse(_ image: String) throws(RecipeError) -> Recipe {
    try Recipe.parse(
      """
      name: test
      control-domain: {suite: trixie}
      \(image)
      domains:
        - {name: one, os: Hatchling, memory: 32 MiB, source: {hatchling: {}}, ready: {console: "> ", timeout: 60 s}}

      """, file: "recipe.yaml")
  }

  @Test("Left out, it is zstd as hard as suits; the digest knows what is said and no more")
  func values() throws {
    let plain = try parse("")
    #expect(plain.image.compression == .zstd && plain.image.level == nil)
    #expect(try parse("image: {compression: zstd}").digest == plain.digest)
    let xz = try parse("image: {compression: xz}")
    #expect(xz.image.compression == .xz && xz.digest != plain.digest)
    let hard = try parse("image: {level: 22}")
    #expect(hard.image.level == 22 && hard.digest != plain.digest)
  }

  @Test("Who signs is Debian, nobody, or who has a key")
  func secureBoot() throws {
    let plain = try parse("")
    #expect(plain.image.secureBoot == .debian)
    #expect(try parse("image: {secure-boot: debian}").digest == plain.digest)
    let unsigned = try parse("image: {secure-boot: none, level: 3}")
    #expect(unsigned.image.secureBoot == .none && unsigned.image.level == 3)
    let own = try parse("image: {secure-boot: {key: db.key, certificate: db.pem}}")
    #expect(own.image.secureBoot == .key(.init(certificate: "db.pem", key: "db.key")))
    #expect(Set([plain.digest, try parse("image: {secure-boot: none}").digest, own.digest]).count == 3)
  }

  @Test(
    "Mistakes have their place",
    arguments: [
      ("image: {compression: gzip}", "3:22: error: 'compression' in the image must be one of zstd, xz, not 'gzip'"),
      ("image: {level: 23}", "3:16: error: 'level' in the image must be a whole number from 1 to 22, not '23'"),
      ("image: {compression: xz, level: 9}", "3:33: error: 'level' is zstd's; xz has none"),
      ("image: {levle: 3}", "3:9: error: unknown key 'levle' in the image; did you mean 'level'?"),
      ("image: small", "3:8: error: the image must have keys"),
      ("image: {secure-boot: off}", "3:22: error: 'secure-boot' in the image must be one of debian, none, not 'off'"),
      ("image: {secure-boot: {key: a}}", "3:22: error: 'secure-boot' needs the key 'certificate'"),
    ])
  func mistakes(image: String, expected: String) {
    #expect {
      _ = try parse(image)
    } throws: { "\($0)".contains("recipe.yaml:\(expected)") }
  }
}
