internal import Binary
internal import Platform
internal import Recipe

/// The recipe's sources as steps of a plan: what is fetched, or taken from where the user has it.
struct SourceSet: Sendable {
  let recipe: Recipe
  /// Local copies by the names of sources, which are taken instead of fetching.
  let copies: [String: String]
  let versions: [String: String]
  /// URL of Debian's packages; nil leaves the choice to mmdebstrap.
  let mirror: String?
  /// Packages' newest versions are fetched though a result is there.
  let update: Bool
  /// The versions of packages to take.
  let lock: RecipeLock?

  /// Refuses a local copy of something that is no source of the recipe's.
  init(
    _ recipe: Recipe, copies: [String: String], versions: [String: String], mirror: String? = nil, update: Bool = false,
    lock: RecipeLock? = nil
  ) throws(BuildError) {
    self.recipe = recipe
    self.copies = copies
    self.versions = versions
    self.mirror = mirror
    self.update = update
    self.lock = lock
    for name in copies.keys.sorted() where recipe.sources[name] == nil {
      let known = recipe.sources.keys.sorted().joined(separator: ", ")
      throw BuildError(
        .badFile, "--source names '\(name)', which is no source of the recipe",
        hint: known.isEmpty ? "the recipe has no sources" : "its sources are \(known)")
    }
  }

  /// A step and the file that it makes.
  struct Product: Sendable {
    let step: Step
    let file: String

    var input: Step.Input { .init(step: step.name, file: file) }
  }

  /// The step that brings a file in and checks it.
  func content(_ name: String) throws(BuildError) -> Product {
    let product = try unsigned(name)
    guard let signature = recipe.signatures[name] else { return product }
    let check = try SignatureCheck(signature, source: name, recipe: recipe)
    let step = product.step
    return Product(
      step: Step(
        name: step.name, kind: "signed-source", version: 1,
        settings: [step.kind, "\(step.version)"] + step.settings + check.settings,
        inputs: step.inputs, outputs: step.outputs, isForced: step.isForced
      ) { context throws(BuildError) in
        try step.run(context)
        try check.run("\(context.output)/\(product.file)", context)
      }, file: product.file)
  }

  /// The same, whoever signed it.
  private func unsigned(_ name: String) throws(BuildError) -> Product {
    switch recipe.sources[name] {
    case .download(let url, let sha256)?:
      let download = Download(source: name, url: url, sha256: sha256)
      guard let copy = copies[name] else { return product(name, ["\(sha256)"], download.make) }
      _ = try localDigest(copy, of: name)
      return product(name, ["\(sha256)"]) { context throws(BuildError) in
        try Self.take(copy, of: name, sha256, context)
      }
    case .file(let path, let sha256)?:
      let path = copies[name] ?? recipe.resolve(path)
      let found = try localDigest(path, of: name)
      return product(name, [sha256.map { "\($0)" } ?? found]) { context throws(BuildError) in
        try Self.take(path, of: name, sha256, context)
      }
    case .debianFile(let suite, let package, let path)?:
      if let copy = copies[name] {
        return product(name, [try localDigest(copy, of: name)]) { context throws(BuildError) in
          try Self.take(copy, of: name, nil, context)
        }
      }
      var file = DebianFile(source: name, suite: suite, package: package, path: path, mirror: mirror)
      file.locked = lock?.root(file.want)
      return Product(step: file.step(versions: versions, isForced: update), file: Self.contentFile)
    case .repository?:
      throw BuildError(
        .badFile, "the source '\(name)' is a repository, not a file", hint: "add 'path: FILE' where it is named")
    case nil:
      throw BuildError(.content, "the recipe has no source '\(name)'")
    }
  }

  /// The step that brings files of a repository in, as a tar file.
  func tree(_ name: String, _ selection: TreeSelection) throws(BuildError) -> Product {
    guard case .repository(let url, let commit)? = recipe.sources[name] else {
      throw BuildError(
        .badFile, "the source '\(name)' is no repository", hint: "pin it with 'git' and 'commit' in the recipe")
    }
    if let copy = copies[name], (try? Files.status(copy, followingLinks: true))?.kind != .directory {
      throw BuildError(
        .badFile, "there is no repository \(copy) to be the source '\(name)'", hint: "correct --source \(name)=PATH")
    }
    let export = RepositoryExport(source: name, url: url, commit: commit, local: copies[name], selection: selection)
    return Product(
      step: Step(
        name: "source \(name): \(selection.title)", kind: "repository", version: 1,
        settings: [commit] + selection.words, inputs: [], outputs: [RepositoryExport.file], run: export.make),
      file: RepositoryExport.file)
  }

  /// The steps that bring in the file at `path` of a source, or the source itself; the last one makes the file.
  func file(_ name: String, path: String?) throws(BuildError) -> [Product] {
    guard let path else { return [try content(name)] }
    let archive: Product
    if case .repository? = recipe.sources[name] {
      archive = try tree(name, TreeSelection(title: path, required: [path]))
    } else {
      archive = try content(name)
    }
    let input = archive.input
    let step = Step(
      name: "source \(name): file \(path)", kind: "source-member", version: 1, settings: [path], inputs: [input],
      outputs: [Self.contentFile]
    ) { context throws(BuildError) in
      try Tree.extract(
        path, of: try context.input(input.step, input.file), called: "the source '\(name)'",
        to: "\(context.output)/\(Self.contentFile)", cancellation: context.cancellation)
    }
    return [archive, Product(step: step, file: Self.contentFile)]
  }

  static let contentFile = "content"

  private func product(
    _ name: String, _ settings: [String], _ run: @escaping @Sendable (borrowing StepContext) throws(BuildError) -> Void
  ) -> Product {
    Product(
      step: Step(
        name: "source \(name)", kind: "source", version: 1, settings: settings, inputs: [],
        outputs: [Self.contentFile], run: run), file: Self.contentFile)
  }

  private func localDigest(_ path: String, of name: String) throws(BuildError) -> String {
    guard let status = try? Files.status(path, followingLinks: true), status.kind == .regular else {
      let given = copies[name] == nil ? "the recipe" : "--source \(name)=PATH"
      throw BuildError(
        .badFile, "there is no file \(path) to be the source '\(name)'", hint: "correct the path in \(given)")
    }
    return try attempt("cannot read the source '\(name)'") { () throws(SystemError) in
      try FileDigest.chunked(path).description
    }
  }

  /// Copies a file of the user's, if it is what the recipe pins.
  private static func take(
    _ path: String, of name: String, _ sha256: SHA256.Digest?, _ context: borrowing StepContext
  ) throws(BuildError) {
    if let sha256 {
      context.progress("checking \(path)")
      let found = try attempt("cannot read \(path)") { () throws(SystemError) in try FileDigest.plain(path) }
      guard found == sha256 else { throw wrongDigest(name, file: path, found: found, pinned: sha256) }
    }
    let target = "\(context.output)/\(contentFile)"
    try attempt("cannot copy \(path)") { () throws(SystemError) in
      try Files.copy(path, to: target)
    }
  }

  static func wrongDigest(_ name: String, file: String, found: SHA256.Digest, pinned: SHA256.Digest) -> BuildError {
    BuildError(
      .wrongDigest, "the source '\(name)' is not what the recipe pins: \(file) has another content",
      hint:
        "compare with what its makers publish: either the file was changed on its way, or the recipe is out of date",
      details: ["SHA-256 in the recipe: \(pinned)", "SHA-256 of the file:   \(found)"])
  }
}
