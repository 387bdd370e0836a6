internal import Binary
internal import Manifest
internal import YAML

/// The recipe's `sources`: what is fetched from elsewhere.
extension RecipeDecoder {
  /// Transports of curl's and git's that only fetch.
  private static let schemes = ["https", "http", "file"]

  mutating func sources(_ recipe: NodeReader.Fields) -> [String: Recipe.Source?] {
    guard let node = recipe.values["sources"]?.value else { return [:] }
    guard case .mapping(let mapping) = node else {
      reader.report(
        node.mark,
        "'sources' must have names as its keys, as in 'base: {url: …, sha256: …}', not \(NodeReader.describe(node))")
      return [:]
    }
    guard mapping.count <= Limits.sources else {
      reader.report(node.mark, "'sources' has \(mapping.count) entries; \(Limits.sources) are the most")
      return [:]
    }
    let names = mapping.compactMap { key, _ in key.scalar?.string }
    guard let fields = reader.fields(node, "the sources", keys: names) else { return [:] }
    var sources: [String: Recipe.Source?] = [:]
    for (name, field) in fields.values {
      if let problem = Names.problem(name) {
        reader.report(field.keyMark, "the source's name '\(NodeReader.shown(name))' \(problem)")
      }
      sources.updateValue(source(field.value, name), forKey: name)
    }
    return sources
  }

  private mutating func source(_ node: Node, _ name: String) -> Recipe.Source? {
    guard let fields = reader.fields(node, .source) else { return nil }
    signatures[name] = signature(fields)
    let kinds = ["url", "git", "file", "debian-file"].filter(fields.has)
    guard kinds.count == 1, let kind = kinds.first else {
      reader.report(node.mark, "a source must have exactly one of the keys 'url', 'git', 'file' and 'debian-file'")
      return nil
    }
    if kind == "debian-file" { return debianFile(fields) }
    let (pin, other) = kind == "git" ? ("commit", "sha256") : ("sha256", "commit")
    if fields.has(other) {
      reader.report(fields.values[other]?.keyMark, "'\(other)' does not pin a source with '\(kind)'; '\(pin)' does")
    }
    switch kind {
    case "url":
      let url = url(fields, "url")
      let digest = digest(fields, required: true)
      guard let url, let digest else { return nil }
      return .download(url: url, sha256: digest)
    case "git":
      let url = url(fields, "git")
      let commit = reader.checked(fields, "commit", required: true) {
        Self.isHexadecimal($0, 40)
          ? nil : "must be the 40 hexadecimal digits of a commit: a branch or tag may be another one tomorrow"
      }
      guard let url, let commit else { return nil }
      return .repository(url: url, commit: commit)
    default:
      let path = reader.path(fields, "file", Self.pathProblem)
      let digest = digest(fields, required: false)
      guard let path, digest != nil || !fields.has("sha256") else { return nil }
      return .file(path: path, sha256: digest)
    }
  }

  private mutating func debianFile(_ source: NodeReader.Fields) -> Recipe.Source? {
    for key in ["sha256", "commit"] where source.has(key) {
      reader.report(
        source.values[key]?.keyMark, "'\(key)' does not pin a source with 'debian-file'; its archive's signatures do")
    }
    guard let node = source.values["debian-file"]?.value,
      let fields = reader.fields(node, .debianFile)
    else { return nil }
    let package = reader.checked(fields, "package", required: true, Names.packageProblem)
    let path = reader.checked(fields, "path", required: true, Self.memberProblem)
    let suite = reader.checked(fields, "suite", required: true, Names.problem)
    guard let package, let path, let suite else { return nil }
    return .debianFile(suite: suite, package: package, path: path)
  }

  mutating func url(_ fields: NodeReader.Fields, _ key: String) -> String? {
    reader.checked(fields, key) { text in
      let parts = text.split(separator: "/", maxSplits: 2, omittingEmptySubsequences: false)
      guard parts.count == 3, parts[1].isEmpty, !parts[2].isEmpty, text.allSatisfy({ $0.isASCII && $0 != " " }),
        Self.schemes.contains(where: { parts[0] == "\($0):" })
      else { return "is not a URL that can be fetched; write one as https://example.org/base.txz" }
      return nil
    }
  }

  private mutating func digest(_ fields: NodeReader.Fields, required: Bool) -> SHA256.Digest? {
    let text = reader.checked(fields, "sha256", required: required) {
      Self.isHexadecimal($0, 64) ? nil : "must be the 64 hexadecimal digits that sha256sum prints"
    }
    return text.flatMap { SHA256.Digest(hex: $0) }
  }

  private static func isHexadecimal(_ text: String, _ count: Int) -> Bool {
    text.utf8.count == count && text.utf8.allSatisfy { (48...57).contains($0) || (97...102).contains($0) }
  }
}

extension Shape {
  static let source = Shape(
    "source", "a source",
    [
      Key("url", .text, "What is downloaded."),
      Key("sha256", .pattern("[0-9a-f]{64}"), "The digest of the file, which sha256sum prints."),
      Key("signature", .text, "The URL or the path of a signature of it, or of a signed list with its SHA-256."),
      Key("key", .text, "The file with the public keys of who may sign, in the recipe's folder."),
      Key("git", .text, "The URL of a repository."),
      Key("commit", .pattern("[0-9a-f]{40}"), "The commit that is taken of it."),
      Key("file", .text, "A file of yours."),
      Key("debian-file", .group(debianFile), "A file out of a package of Debian's."),
    ])

  fileprivate static let debianFile = Shape(
    "debian-file", "a file of Debian's",
    [
      Key("package", .pattern("[a-z0-9][a-z0-9+.-]+"), "The package."),
      Key("path", .text, "The file's path in it."), Key("suite", .text, "The release, such as trixie."),
    ])
}
