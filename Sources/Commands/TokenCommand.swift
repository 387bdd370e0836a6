internal import ArgumentParser
internal import Binary
internal import Manifest
internal import Platform

/// `roost token NAME`
struct TokenCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "token", abstract: "Make a token for the HTTP interface.",
    discussion: """
      Prints a secret and the line that lets its owner in, for 'api: tokens' of a recipe. The recipe and the image only \
      have the secret's SHA-256; the secret is shown once and kept nowhere.
      """)

  @Argument(help: "Who it is for, as the appliance's log is to call it.")
  var name: String
  @Option(
    help: "What its owner may do: viewer (look), operator (domains and disks), or admin (all).",
    transform: { text in
      guard let role = Role(rawValue: text) else {
        throw ValidationError("'\(text)' is none of \(Role.allCases.map(\.rawValue).joined(separator: ", "))")
      }
      return role
    })
  var role: Role = .operator

  @ParentCommand var roost: Roost

  func validate() throws {
    try roost.appliance.refuse(for: "token")
    if let problem = Names.problem(name) { throw ValidationError("'\(name)' \(problem)") }
  }

  func run() {
    var random = SystemRandomNumberGenerator()
    let secret = Hex.encode((0..<32).map { _ in UInt8.random(in: 0...255, using: &random) })
    StandardStream.output.write(
      """
      secret: \(secret)
      recipe:     - {name: \(name), role: \(role.rawValue), sha256: \(SHA256.hash(secret))}

      """)
  }
}
