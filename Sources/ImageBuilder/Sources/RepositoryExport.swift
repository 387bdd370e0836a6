internal import Binary
internal import Platform

/// What is taken of a repository's tree.
struct TreeSelection: Sendable, Hashable {
  /// In the step's name.
  let title: String
  /// Files that must be there.
  var required: [String] = []
  /// Files that are taken where they are there.
  var optional: [String] = []
  /// Folders that are taken whole, where they are there.
  var folders: [String] = []

  /// All of it as text.
  var words: [String] { ["required"] + required + ["optional"] + optional + ["folders"] + folders }

  /// The files of the selection among `names`, in the order of `names`; a required one that is not there is thrown.
  func files(in names: [String]) throws(MissingFile) -> [String] {
    let wanted = Set(required + optional)
    let prefixes = folders.map { "\($0)/" }
    let found = names.filter { name in wanted.contains(name) || prefixes.contains { name.hasPrefix($0) } }
    let present = Set(found)
    if let missing = required.first(where: { !present.contains($0) }) { throw MissingFile(path: missing) }
    return found
  }

  struct MissingFile: Error, Hashable {
    let path: String
  }
}

/// Files of one commit as a tar file. The commit is fetched alone, without its history, into the cache, or taken out
/// of a repository that the user names.
struct RepositoryExport: Sendable {
  /// The source's name in the recipe.
  let source: String
  let url: String
  /// 40 hexadecimal digits.
  let commit: String
  /// A repository of the user's that is used instead of fetching.
  let local: String?
  let selection: TreeSelection

  static let file = "tree.tar"

  /// What would otherwise be the user's: how files are changed when they leave a repository.
  private static let settings = [
    "-c", "safe.directory=*", "-c", "core.autocrlf=false", "-c", "core.eol=lf", "-c", "core.attributesFile=/dev/null",
    "-c", "tar.umask=0022", "-c", "gc.auto=0", "--literal-pathspecs",
  ]

  private static let environment = [
    // An absent object is an error, not a reason to go to the network.
    "GIT_TERMINAL_PROMPT": "0", "GIT_NO_LAZY_FETCH": "1", "GIT_ALLOW_PROTOCOL": "https:http:file",
  ]

  func make(_ context: borrowing StepContext) throws(BuildError) {
    if let local {
      guard try holdsCommit(local, context) else {
        throw BuildError(
          .badFile, "the repository \(local) does not hold the commit \(commit) of the source '\(source)'",
          hint: "fetch it there: git -C \(local) fetch \(url) \(commit)")
      }
      return try export(local, context)
    }
    let repository = "\(context.cache)/sources/git-\(SHA256.hash(url))"
    try Download.withLock("\(repository).lock", context) { (context) throws(BuildError) in
      if try !holdsCommit(repository, context) { try fetch(into: repository, context) }
      try? Files.touch(repository)
      try export(repository, context)
    }
  }

  private func holdsCommit(_ repository: String, _ context: borrowing StepContext) throws(BuildError) -> Bool {
    guard Files.exists(repository) else { return false }
    return try git(["-C", repository, "cat-file", "-e", "\(commit)^{tree}"], context).status.isSuccess
  }

  private func fetch(into repository: String, _ context: borrowing StepContext) throws(BuildError) {
    try context.refuseOffline("commit \(commit.prefix(12)) of the source '\(source)' is")
    context.progress("fetching commit \(commit.prefix(12))")
    try expect(git(["init", "--quiet", "--bare", repository], context), "cannot make a repository", context)
    let outcome = try git(
      ["-C", repository, "fetch", "--quiet", "--no-tags", "--depth", "1", "--", url, commit], context)
    guard outcome.status.isSuccess else {
      throw BuildError(
        .downloadFailed, "the source '\(source)' cannot be fetched: commit \(commit) from \(url)",
        hint: "check the network (and https_proxy), or name a repository that has the commit: --source \(source)=PATH",
        details: outcome.text.split(separator: "\n").suffix(3).map(String.init), log: context.log)
    }
  }

  private func export(_ repository: String, _ context: borrowing StepContext) throws(BuildError) {
    let listing = try git(["-C", repository, "ls-tree", "-r", "-z", "--name-only", "--full-tree", commit], context)
    try expect(listing, "cannot list the source '\(source)'", context)
    let names = listing.text.split(whereSeparator: { $0 == "\0" || $0 == "\n" }).map(String.init)
    let files: [String]
    do throws(TreeSelection.MissingFile) {
      files = try selection.files(in: names)
    } catch {
      var message = "the source '\(source)' has no file \(error.path) at commit \(commit.prefix(12))"
      let last = error.path.split(separator: "/").last.map(String.init) ?? ""
      let alike = names.filter { $0.hasSuffix("/\(last)") || $0 == last }.prefix(3)
      if !alike.isEmpty { message += "; it has \(alike.joined(separator: ", "))" }
      throw BuildError(.badFile, message, hint: "correct the path in the recipe")
    }
    let output = "\(context.output)/\(Self.file)"
    context.progress("\(files.count) files")
    let archive = try git(
      ["-C", repository, "archive", "--format=tar", "--output=\(output)", commit, "--"] + files, context)
    try expect(archive, "cannot take files out of the source '\(source)'", context)
  }

  private func git(_ arguments: [String], _ context: borrowing StepContext) throws(BuildError) -> Command.Outcome {
    let command = Command(
      ["git"] + Self.settings + arguments, environment: Self.environment, directory: context.scratch)
    return try command.run(cancellation: context.cancellation, log: context.log)
  }

  private func expect(
    _ outcome: Command.Outcome, _ doing: String, _ context: borrowing StepContext
  ) throws(BuildError) {
    guard !outcome.status.isSuccess else { return }
    throw BuildError(
      .toolFailed, "\(doing): git failed with \(outcome.status)",
      details: outcome.text.split(separator: "\n").suffix(4).map { String($0.prefix(200)) }, log: context.log)
  }
}
