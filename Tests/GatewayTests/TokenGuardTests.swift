import Manifest
import Testing
@testable import Gateway

@Suite("Tokens of the HTTP interface")
struct TokenGuardTests {
  @Test("A pause doubles with each failure of an address, up to a limit, and is forgotten in time")
  func pausesGrow() {
    var penalties = Penalties()
    var pauses: [Double] = []
    for _ in 0..<8 {
      pauses.append(penalties.begin("10.0.0.1", at: 1) ?? -1)
      penalties.end("10.0.0.1")
    }
    #expect(pauses == [0.25, 0.5, 1, 2, 4, 8, 8, 8])
    #expect(penalties.begin("10.0.0.2", at: 1) == 0.25)
    #expect(penalties.begin("10.0.0.1", at: 602) == 0.25)
  }

  @Test("An address that does not wait for its pauses is not looked at any more")
  func pausesAreBounded() {
    var penalties = Penalties()
    for _ in 0..<Penalties.waiting { #expect(penalties.begin("10.0.0.1", at: 1) != nil) }
    #expect(penalties.begin("10.0.0.1", at: 1) == nil)
    penalties.end("10.0.0.1")
    #expect(penalties.begin("10.0.0.1", at: 1) != nil)
  }

  @Test("More addresses than are remembered share what they did")
  func addressesAreBounded() {
    var penalties = Penalties()
    for number in 0..<Penalties.peers {
      #expect(penalties.begin("peer \(number)", at: 1) == 0.25)
      penalties.end("peer \(number)")
    }
    #expect(penalties.begin("one more", at: 1) == 0.25)
    penalties.end("one more")
    #expect(penalties.begin("another", at: 1) == 0.5)
  }

  @Test(
    "Only the secret itself is the secret",
    arguments: [
      ("Bearer right", true), ("bearer  right", true), ("Bearer wrong", false), ("Bearer righ", false),
      ("Bearer rights", false), ("Bearer", false), ("Bearer ", false), ("Basic right", false), ("right", false),
      ("", false),
      ("Bearer \(String(repeating: "r", count: 10_000))", false),
      ("Bearer \(TestDigest.hex("right"))", false),
    ])
  func secrets(header: String, isRight: Bool) async throws {
    let tokens = TokenGuard(
      [
        .init(name: "a", role: .viewer, sha256: TestDigest.hex("left")),
        .init(name: "b", role: .operator, sha256: TestDigest.hex("right")),
      ], sleep: { _ in })
    let token = try? await tokens.admit(header, from: "10.0.0.1", now: 1)
    #expect(token?.name == (isRight ? "b" : nil))
  }
}
