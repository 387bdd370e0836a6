import Binary
import Manifest
import Recipe
import Testing

@Suite struct APITests {
  private static let digest = SHA256.hash("a secret").description

  private static func text(_ api: String) -> String {
    """
    name: lab
    control-domain: {suite: trixie}
    \(api)
    domains:
      - name: debian
        memory: 384 MiB
        disk: 2 GiB
        source: {debian: {suite: trixie}}
    """
  }

  @Test func itIsRead() throws {
    #expect(try Recipe.parse(Self.text("network: {}"), file: "r.yaml").api == nil)
    let local = try #require(try Recipe.parse(Self.text("api: {}"), file: "r.yaml").api)
    #expect(local.listen == nil)
    #expect(ApplianceManifest.API(local) == ApplianceManifest.API())
    let recipe = try Recipe.parse(
      Self.text(
        """
        api:
          listen: 0.0.0.0:8443
          certificate: tls/cert.pem
          key: tls/key.pem
          tokens:
            - {name: monitoring, sha256: \(Self.digest)}
            - {name: me, role: admin, sha256: \(Self.digest.uppercased())}
        """), file: "r.yaml")
    let manifest = ApplianceManifest.API(try #require(recipe.api))
    #expect(manifest.address?.description == "0.0.0.0:8443")
    #expect(manifest.certificate == "/roost/api/certificate.pem")
    #expect(manifest.key == "/roost/api/key.pem")
    #expect(
      manifest.tokens == [
        .init(name: "monitoring", role: .viewer, sha256: Self.digest),
        .init(name: "me", role: .admin, sha256: Self.digest),
      ])
  }

  @Test func itDecidesTheDigest() throws {
    func digest(_ api: String) throws -> String {
      try Recipe.parse(Self.text(api), file: "r.yaml").digest.description
    }
    let token = "{name: me, sha256: \(Self.digest)}"
    let digests = [
      try digest("network: {}"), try digest("api: {}"), try digest("api: {listen: 0.0.0.0:1, tokens: [\(token)]}"),
      try digest("api: {listen: 0.0.0.0:2, tokens: [\(token)]}"),
      try digest("api: {listen: 0.0.0.0:2, tokens: [{name: me, role: admin, sha256: \(Self.digest)}]}"),
    ]
    #expect(Set(digests).count == digests.count)
  }

  @Test(arguments: [
    ("api: true", "3:6: error: the API must have keys (listen, certificate, key, tokens), not 'true'"),
    ("api: {lisen: 0.0.0.0:1}", "unknown key 'lisen' in the API; did you mean 'listen'?"),
    ("api: {listen: 8443}", "'8443' is not an IPv4 address with a port; write one as 0.0.0.0:8443"),
    ("api: {listen: 0.0.0.0:0}", "'0.0.0.0:0' is not an IPv4 address with a port"),
    ("api: {listen: 0.0.0.0:70000}", "'0.0.0.0:70000' is not an IPv4 address with a port"),
    ("api: {listen: 0.0.0.0:1}", "3:15: error: 'listen' in the API lets nobody in without 'tokens'"),
    ("api: {tokens: [{name: me, sha256: \(digest)}]}", "3:15: error: 'tokens' in the API is for TLS"),
    ("api: {listen: 0.0.0.0:1, certificate: c, tokens: []}", "the API needs the key 'key'"),
    ("api: {listen: 0.0.0.0:1, key: c, tokens: []}", "the API needs the key 'certificate'"),
    ("api: {listen: 0.0.0.0:1, tokens: 7}", "'tokens' in the API must be a list, not '7'"),
    ("api: {listen: 0.0.0.0:1, tokens: [{name: me}]}", "a token needs the key 'sha256'"),
    ("api: {listen: 0.0.0.0:1, tokens: [{name: me, sha256: secret}]}", "'secret' is not a SHA-256 in 64"),
    ("api: {listen: 0.0.0.0:1, tokens: [{name: Me, sha256: \(digest)}]}", "'name' in a token: 'Me' may only"),
    ("api: {listen: 0.0.0.0:1, tokens: [{name: me, role: amin, sha256: \(digest)}]}", "did you mean 'admin'?"),
    (
      "api: {listen: 0.0.0.0:1, tokens: [{name: me, sha256: \(digest)}, {name: me, sha256: \(digest)}]}",
      "two tokens are named 'me'"
    ),
  ])
  func mistakesHaveTheirPlace(api: String, expected: String) {
    let found = problems(Self.text(api))
    #expect(found.contains { $0.contains(expected) }, "\(found)")
  }
}
