internal import Manifest
internal import YAML

/// A domain's source, and what of the recipe's text later checks need of it.
struct DecodedSource {
  let kind: Recipe.DomainSource
  /// The source's own keys; nil where it was left out.
  let fields: NodeReader.Fields?
  /// The command line that is in the source.
  var commandLine: String?
  /// What is said of a Debian system.
  var customization = Customization()

  /// True if there is something for the domain's disk to begin with, right or wrong.
  var hasImage: Bool {
    switch kind {
    case .debian, .freebsd, .plan9, .image, .folder: true
    case .hatchling: false
    case .files: ["image", "root", "efi"].contains { fields?.has($0) == true }
    }
  }
}

/// Where domains' systems come from.
extension RecipeDecoder {
  private static let fileKeys = ["kernel", "initrd", "modules", "command-line", "root", "image", "efi"]
  /// Keys that say what kind of source it is.
  private static let kinds = ["debian", "freebsd", "plan9", "oci", "directory", "hatchling", "kernel", "efi"]

  /// The domain's source. Where firmware runs, one may be left out or have no kernel.
  mutating func source(_ domain: NodeReader.Fields, name: String?, isFirmware: Bool) -> DecodedSource? {
    guard let node = domain.values["source"]?.value else {
      if isFirmware || domain.has("cdrom") || domain.has("floppy") {
        return DecodedSource(kind: .files(Recipe.Files()), fields: nil)
      }
      reader.missing("source", in: domain)
      return nil
    }
    guard let fields = reader.fields(node, .domainSource) else { return nil }
    let kinds = Self.kinds.filter(fields.has)
    guard kinds.count == 1 || kinds.isEmpty && fields.has("image") else {
      reader.report(
        node.mark,
        "a domain's source must have exactly one of the keys \(Self.kinds.map { "'\($0)'" }.joined(separator: ", "))"
          + ", or 'image' for a disk that firmware starts")
      return nil
    }
    guard let kind = kinds.first, !Self.fileKeys.contains(kind) else { return files(fields, domain) }
    for key in Self.fileKeys where fields.has(key) {
      let remedy = key == "command-line" ? "write it beside 'source'" : "leave it out"
      reader.report(
        fields.values[key]?.keyMark, "'\(key)' belongs to a source with 'kernel', not to '\(kind)'; \(remedy)")
    }
    var customization = Customization()
    let made =
      switch kind {
      case "debian": debian(fields, name: name, &customization)
      case "freebsd": freebsd(fields, name: name)
      case "plan9": plan9(fields, name: name)
      case "oci": imageRoot(fields, name: name)
      case "directory": folderRoot(fields, name: name)
      default: hatchling(fields)
      }
    return made.map { DecodedSource(kind: $0, fields: fields, customization: customization) }
  }

  private mutating func files(_ fields: NodeReader.Fields, _ domain: NodeReader.Fields) -> DecodedSource? {
    var files = Recipe.Files()
    files.kernel = file(fields, "kernel")
    files.initrd = file(fields, "initrd")
    files.modules = modules(fields)
    files.image = file(fields, "image") ?? file(fields, "root")
    if fields.has("image"), fields.has("root") {
      reader.report(
        fields.values["root"]?.keyMark, "'image' and 'root' both name what the disk begins with; leave one out")
    }
    files.program = file(fields, "efi")
    if fields.has("efi"), fields.has("image") || fields.has("root") {
      reader.report(fields.values["efi"]?.keyMark, "'efi' makes the whole disk, and so does 'image'; leave one out")
    }
    if fields.has("command-line"), domain.has("command-line") {
      reader.report(
        fields.values["command-line"]?.keyMark, "the domain has a 'command-line' of its own; leave one out")
    }
    for (key, file) in [("kernel", files.kernel), ("efi", files.program)] where fields.has(key) && file == nil {
      return nil
    }
    return DecodedSource(kind: .files(files), fields: fields, commandLine: commandLine(fields))
  }

  /// The key's value as a command line; an empty one may be written as nothing.
  mutating func commandLine(_ fields: NodeReader.Fields) -> String? {
    guard let node = fields.values["command-line"]?.value, NodeReader.describe(node) != "nothing" else { return nil }
    return reader.checked(fields, "command-line") {
      $0.utf8.count > Limits.commandLine || !$0.allSatisfy(\.isASCII)
        ? "must have at most \(Limits.commandLine) ASCII characters" : nil
    }
  }

  /// The key's value as a file: a path, or `{from: SOURCE, path: PATH IN IT}`.
  mutating func file(_ fields: NodeReader.Fields, _ key: String, required: Bool = false) -> Recipe.FileReference? {
    guard let field = fields.values[key], case .mapping = field.value else {
      return reader.path(fields, key, required: required, Self.pathProblem).map { .path($0) }
    }
    guard let place = reader.fields(field.value, .fileOfSource, called: "the file '\(key)'") else { return nil }
    let path = reader.checked(place, "path", Self.memberProblem)
    guard let (name, source) = sourceName(place, "from") else { return nil }
    if case .repository? = source, !place.has("path") {
      reader.report(place.mark, "the source '\(name)' is a repository; add 'path: FILE' to say which file of it")
    }
    return .source(name, path: path)
  }

  /// The key's value as the name of a source, and the source where its own text is right.
  mutating func sourceName(_ fields: NodeReader.Fields, _ key: String) -> (String, Recipe.Source?)? {
    guard let name = reader.text(fields, key) else {
      if !fields.has(key) { reader.missing(key, in: fields) }
      return nil
    }
    if let source = sources[name] { return (name, source) }
    var message = "there is no source '\(NodeReader.shown(name))'"
    if let nearest = Spelling.nearest(to: name, in: sources.keys.sorted()) {
      message += "; did you mean '\(nearest)'?"
    } else {
      message += "; add it to the recipe's 'sources'"
    }
    reader.report(fields.mark(of: key), message)
    return nil
  }

  static func pathProblem(_ path: String) -> String? {
    path.isEmpty ? "is not a file's path" : nil
  }

  /// What keeps `path` from naming a file inside of an archive or a repository.
  static func memberProblem(_ path: String) -> String? {
    let parts = path.split(separator: "/", omittingEmptySubsequences: false)
    return parts.contains { $0.isEmpty || $0 == "." || $0 == ".." } || path.hasPrefix("-")
      ? "is no path inside of a source; write one as boot/kernel/kernel" : nil
  }

  private mutating func modules(_ source: NodeReader.Fields) -> [Recipe.Module] {
    guard let node = source.values["modules"]?.value else { return [] }
    guard case .sequence(let sequence) = node else {
      reader.report(
        node.mark,
        "'modules' in a domain's source must be a list, each entry as in {file: FILE, command-line: TEXT}, not "
          + NodeReader.describe(node))
      return []
    }
    if sequence.count > Limits.modules {
      reader.report(node.mark, "'modules' has \(sequence.count) entries; \(Limits.modules) are the most")
      return []
    }
    var modules: [Recipe.Module] = []
    for entry in sequence {
      guard let fields = reader.fields(entry, .module) else { continue }
      let text = commandLine(fields) ?? ""
      if let file = file(fields, "file", required: true) { modules.append(.init(file: file, commandLine: text)) }
    }
    return modules
  }

  private mutating func debian(
    _ source: NodeReader.Fields, name: String?, _ customization: inout Customization
  ) -> Recipe.DomainSource? {
    guard let node = source.values["debian"]?.value, let fields = reader.fields(node, .debian, advice: Self.guestAdvice)
    else { return nil }
    let suite = reader.checked(fields, "suite", required: true, Names.problem)
    let packages = reader.packages(fields, "packages")
    let hostname = reader.checked(fields, "hostname", Names.problem)
    customization = self.customization(fields, packages: packages)
    guard let suite else { return nil }
    return .debian(suite: suite, packages: packages, hostname: hostname ?? name ?? "debian")
  }

  private mutating func freebsd(_ source: NodeReader.Fields, name: String?) -> Recipe.DomainSource? {
    guard let node = source.values["freebsd"]?.value, let fields = reader.fields(node, .freebsd) else { return nil }
    var names: [String] = []
    for key in ["base", "kernel"] {
      guard let (name, source) = sourceName(fields, key) else { continue }
      if case .repository? = source {
        reader.report(
          fields.mark(of: key), "the source '\(name)' is a repository; '\(key)' is the release's \(key).txz, a file")
      }
      names.append(name)
    }
    let hostname = reader.checked(fields, "hostname", Names.problem)
    guard names.count == 2 else { return nil }
    return .freebsd(base: names[0], kernel: names[1], hostname: hostname ?? name ?? "freebsd")
  }

  private mutating func plan9(_ source: NodeReader.Fields, name: String?) -> Recipe.DomainSource? {
    guard let node = source.values["plan9"]?.value, let fields = reader.fields(node, .plan9) else { return nil }
    let tree = sourceName(fields, "tree")
    if let (name, source) = tree, let source {
      if case .repository = source {
      } else {
        reader.report(fields.mark(of: "tree"), "the source '\(name)' is no repository; pin one with 'git' and 'commit'")
      }
    }
    let kernel = reader.choice(fields, "kernel", Recipe.Plan9Kernel.self, default: .ram32)
    let hostname = reader.checked(fields, "hostname", Names.problem)
    guard let tree else { return nil }
    return .plan9(tree: tree.0, kernel: kernel, hostname: hostname ?? name ?? "gnot")
  }

  private mutating func hatchling(_ source: NodeReader.Fields) -> Recipe.DomainSource? {
    guard let node = source.values["hatchling"]?.value else { return nil }
    if case .mapping(let mapping) = node, mapping.isEmpty { return .hatchling }
    reader.report(node.mark, "'hatchling' has no settings; write it as 'hatchling: {}'")
    return nil
  }
}

extension Shape {
  static let domainSource = Shape(
    "domain-source", "a domain's source",
    [
      Key("debian", .group(debian), "A Debian, made of its packages."),
      Key("freebsd", .group(freebsd), "A FreeBSD, made of its release's archives."),
      Key("plan9", .group(plan9), "A small Plan 9, made of a repository of its distribution."),
      Key("oci", .group(imageRoot), "A system or a program out of an OCI image."),
      Key("directory", .group(folderRoot), "The same out of a folder."),
      Key("hatchling", .group(hatchling), "The bare-metal guest that comes with Roost: {}."),
      Key("kernel", .file, "A kernel that is entered."),
      Key("initrd", .file, "Its initial RAM disk."),
      Key("modules", .list(.group(module)), "What else it is handed."),
      Key("command-line", .text, "What it is told."),
      Key("root", .file, "The same as 'image', beside a kernel."),
      Key("image", .file, "What the disk begins with."),
      Key("efi", .file, "A program that UEFI starts, in the place of a disk."),
    ])

  fileprivate static let fileOfSource = Shape(
    "file-of-source", "a file",
    [
      Key("from", .label, "The source that it is, or is in."),
      Key("path", .text, "Its path in an archive, a disc or a repository."),
    ])

  fileprivate static let module = Shape(
    "module", "a module",
    [Key("file", .file, "The file."), Key("command-line", .text, "Its own command line.")])

  fileprivate static let debian = Shape(
    "debian", "a Debian source",
    [
      Key("suite", .text, "The release, such as trixie."),
      Key("hostname", .label, "Its host name; the domain's name if left out."),
    ] + Key.system + Key.guest)

  fileprivate static let freebsd = Shape(
    "freebsd", "a FreeBSD source",
    [
      Key("base", .label, "The source that is the release's base.txz."),
      Key("kernel", .label, "The source that is the release's kernel.txz."),
      Key("hostname", .label, "Its host name; the domain's name if left out."),
    ])

  fileprivate static let plan9 = Shape(
    "plan9", "a Plan 9 source",
    [
      Key("tree", .label, "The source that is the distribution's repository."),
      Key("kernel", .words(of: Recipe.Plan9Kernel.self), "The kernel; 9pcgz, whose root is in RAM, if left out."),
      Key("hostname", .label, "Its host name; the domain's name if left out."),
    ])

  fileprivate static let hatchling = Shape("hatchling", "hatchling", [])
}

extension Shape.Form {
  /// A file of the user's, or one of a source.
  static let file = either([text, group(.fileOfSource)])
}
