internal import Manifest
internal import YAML

/// Roots that are images or folders, and how they are run.
extension RecipeDecoder {
  mutating func imageRoot(_ source: NodeReader.Fields, name: String?) -> Recipe.DomainSource? {
    guard let node = source.values["oci"]?.value, let fields = reader.fields(node, .imageRoot) else { return nil }
    let image = file(fields, "image", required: true)
    let reference = reader.checked(fields, "reference") {
      $0.isEmpty || $0.utf8.count > 255 || !$0.allSatisfy { $0.isASCII && $0 > " " }
        ? "is not an image's name; write one as app:1.2" : nil
    }
    let launch = launch(fields, name: name)
    guard let image, let launch else { return nil }
    return .image(.init(image: image, reference: reference, launch: launch))
  }

  mutating func folderRoot(_ source: NodeReader.Fields, name: String?) -> Recipe.DomainSource? {
    guard let node = source.values["directory"]?.value, let fields = reader.fields(node, .folderRoot) else {
      return nil
    }
    if !fields.has("path") { reader.missing("path", in: fields) }
    let path = fields.has("path") ? hostFile(fields, "path", isFolder: true)?.path : nil
    let owner = reader.checked(fields, "owner", SystemNames.ownerProblem)
    let launch = launch(fields, name: name)
    guard let path, let launch else { return nil }
    return .folder(.init(path: path, owner: owner ?? "root:root", launch: launch))
  }

  private mutating func launch(_ fields: NodeReader.Fields, name: String?) -> Launch? {
    let suite = reader.checked(fields, "suite", required: true, Names.problem)
    let hostname = reader.checked(fields, "hostname", Names.problem)
    var launch = Launch(suite: suite ?? "", hostname: hostname ?? name ?? "guest")
    launch.command = entries(fields, "command", example: "[/bin/app, --verbose]", limit: Limits.customEntries) {
      decoder, node in
      decoder.reader.longText(node, "an entry of 'command' in \(fields.what)")
    }
    launch.environment = texts(fields, "environment", example: "{LANG: C.UTF-8}", Self.variableProblem)
    launch.start = reader.choice(fields, "start", Launch.Start.self, default: .automatic)
    launch.restart = reader.choice(fields, "restart", Launch.Restart.self, default: .never)
    if launch.command.first?.isEmpty == true {
      reader.report(fields.mark(of: "command"), "'command' in \(fields.what) begins with the name of no program")
    }
    if launch.start == .system {
      for key in ["command", "environment", "restart"] where fields.has(key) {
        reader.report(
          fields.values[key]?.keyMark,
          "'start: init' runs /sbin/init, which has no use for '\(key)'; leave one of them out")
      }
    }
    return suite == nil ? nil : launch
  }

  private static func variableProblem(_ name: String) -> String? {
    name.isEmpty || name.contains("=") ? "is no name of a variable" : nil
  }
}

extension Shape.Key {
  fileprivate static let launch: [Shape.Key] = [
    .init("suite", .text, "The Debian release whose kernel is entered, such as trixie."),
    .init("hostname", .label, "Its host name; the domain's name if left out."),
    .init("command", .list(.text), "Program and arguments, in the place of the image's own."),
    .init("environment", .named(.text), "Variables beside the image's own."),
    .init("start", .words(of: Launch.Start.self), "What is run: /sbin/init or the command."),
    .init("restart", .words(of: Launch.Restart.self), "When the command is run again; never if left out."),
  ]
}

extension Shape {
  static let imageRoot = Shape(
    "oci", "an OCI source",
    [
      Key("image", .file, "An image layout: a folder, or a tar of one."),
      Key("reference", .text, "The name of one image in it."),
    ] + Key.launch)

  static let folderRoot = Shape(
    "directory", "a directory source",
    [
      Key("path", .text, "The folder, in the recipe's own or below."),
      Key("owner", .text, "Whose everything in it is: user or user:group; root:root if left out."),
    ] + Key.launch)
}
