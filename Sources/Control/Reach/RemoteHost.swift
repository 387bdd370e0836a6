/// A machine that is reached by SSH, as `--host` names it: `[ssh://][user@]name[:port]`.
public struct RemoteHost: Hashable, Sendable, CustomStringConvertible {
  /// Who to log in as; nil leaves it to SSH's own configuration.
  public let user: String?
  /// A host's name, an alias of SSH's configuration, or an address; IPv6 without its brackets.
  public let name: String
  /// The port; nil leaves it to SSH's own configuration.
  public let port: Int?

  /// Takes the text apart. Throws `unreachable` with what is wrong with it: nothing passes that SSH or a shell could
  /// take for something else than a name.
  public init(_ text: String) throws(ControlError) {
    if text.hasPrefix("https://") || text.hasPrefix("http://") {
      throw ControlError(
        .unreachable,
        "\(Text.quoted(text)): this command speaks SSH, as in --host root@lab-01; the HTTP interface is for curl and "
          + "the like (docs/http-api.md)")
    }
    var rest = text[...]
    if rest.hasPrefix("ssh://") { rest = rest.dropFirst(6) }
    if rest.hasSuffix("/") { rest = rest.dropLast() }
    if let at = rest.lastIndex(of: "@") {
      let user = rest[..<at]
      guard Self.isWord(user, and: "._-+") else { throw Self.odd(text, "the user's name is not one") }
      self.user = String(user)
      rest = rest[rest.index(after: at)...]
    } else {
      user = nil
    }
    if rest.first == "[" {
      guard let end = rest.firstIndex(of: "]") else { throw Self.odd(text, "a ] is missing") }
      let address = rest[rest.index(after: rest.startIndex)..<end]
      guard Self.isWord(address, and: ".:%"), address.contains(":") else {
        throw Self.odd(text, "what is in brackets is not an IPv6 address")
      }
      name = String(address)
      rest = rest[rest.index(after: end)...]
    } else {
      let colons = rest.count { $0 == ":" }
      guard colons < 2 else { throw Self.odd(text, "write an IPv6 address in brackets: [2001:db8::1]") }
      let end = rest.firstIndex(of: ":") ?? rest.endIndex
      guard Self.isWord(rest[..<end], and: "._-") else { throw Self.odd(text, "the host's name is not one") }
      name = String(rest[..<end])
      rest = rest[end...]
    }
    guard !rest.isEmpty else {
      port = nil
      return
    }
    guard rest.first == ":", let port = Int(rest.dropFirst()), (1...65_535).contains(port) else {
      throw Self.odd(text, "the port is not a number from 1 to 65535")
    }
    self.port = port
  }

  /// As it can be given to `--host` again.
  public var description: String {
    let place = name.contains(":") ? "[\(name)]" : name
    return (user.map { "\($0)@" } ?? "") + place + (port.map { ":\($0)" } ?? "")
  }

  /// Letters and digits, and some others behind the first.
  private static func isWord(_ text: Substring, and others: String) -> Bool {
    guard let first = text.first, first != "-", text.utf8.count <= 255 else { return false }
    return text.allSatisfy { ($0.isASCII && ($0.isLetter || $0.isNumber)) || others.contains($0) }
  }

  private static func odd(_ text: String, _ what: String) -> ControlError {
    ControlError(.unreachable, "\(Text.quoted(text)) is no host: \(what); it is [user@]name[:port], as in root@lab-01")
  }
}
