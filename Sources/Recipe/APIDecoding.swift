internal import Binary
internal import Manifest
internal import YAML

/// The recipe's `api`: the HTTP interface.
extension RecipeDecoder {
  mutating func api(_ recipe: NodeReader.Fields) -> Recipe.API? {
    guard let node = recipe.values["api"]?.value else { return nil }
    guard let fields = reader.fields(node, .api) else { return nil }
    let listen = reader.quantity(fields, "listen", ListenAddress.parse)
    let certificate = reader.path(fields, "certificate", Self.pathProblem)
    let key = reader.path(fields, "key", Self.pathProblem)
    let tokens = tokens(fields)
    if fields.has("certificate"), !fields.has("key") { reader.missing("key", in: fields) }
    if fields.has("key"), !fields.has("certificate") { reader.missing("certificate", in: fields) }
    for word in ["certificate", "tokens"] where fields.has(word) && !fields.has("listen") {
      reader.report(
        fields.mark(of: word), "'\(word)' in the API is for TLS: say where with 'listen', as in 'listen: 0.0.0.0:8443'")
    }
    if fields.has("listen"), tokens.isEmpty {
      reader.report(
        fields.mark(of: "listen"), "'listen' in the API lets nobody in without 'tokens'; 'roost token NAME' makes one")
    }
    let pair: Recipe.Certificate? =
      if let certificate, let key { .init(certificate: certificate, key: key) } else { nil }
    return Recipe.API(listen: listen, certificate: pair, tokens: tokens)
  }

  private mutating func tokens(_ api: NodeReader.Fields) -> [ApplianceManifest.Token] {
    guard let node = api.values["tokens"]?.value else { return [] }
    guard case .sequence(let sequence) = node else {
      reader.report(node.mark, "'tokens' in the API must be a list, not \(NodeReader.describe(node))")
      return []
    }
    guard sequence.count <= Limits.tokens else {
      reader.report(node.mark, "'tokens' has \(sequence.count) entries; \(Limits.tokens) are the most")
      return []
    }
    var tokens: [ApplianceManifest.Token] = []
    for node in sequence {
      guard let fields = reader.fields(node, .token) else { continue }
      let name = reader.checked(fields, "name", required: true, Names.problem)
      let role = reader.choice(fields, "role", Role.self, default: .viewer)
      let digest = reader.checked(fields, "sha256", required: true) { text in
        SHA256.Digest(hex: text) == nil
          ? "is not a SHA-256 in 64 hexadecimal digits; 'roost token NAME' makes one" : nil
      }
      guard let name, let digest else { continue }
      if tokens.contains(where: { $0.name == name }) {
        reader.report(fields.mark(of: "name"), "two tokens are named '\(name)'")
      }
      tokens.append(.init(name: name, role: role, sha256: digest.lowercased()))
    }
    return tokens
  }
}

extension Shape {
  static let api = Shape(
    "api", "the API",
    [
      Key("listen", .pattern("[0-9.]+:[0-9]+"), "Where it is served over TLS, as in 0.0.0.0:8443."),
      Key("certificate", .text, "The file with the certificate, as PEM; without one each start makes its own."),
      Key("key", .text, "The file with the certificate's key."),
      Key("tokens", .list(.group(token)), "Who may use it over TLS."),
    ])

  fileprivate static let token = Shape(
    "token", "a token", required: ["name"],
    [
      Key("name", .label, "What it is called."),
      Key("role", .words(of: Role.self), "What it lets do; viewer if left out."),
      Key("sha256", .pattern("[0-9A-Fa-f]{64}"), "The digest of the secret, which 'roost token NAME' makes."),
    ])
}
