internal import Platform
internal import Recipe

/// The root file system of a guest out of a folder of the recipe's, as a tar file, and what is run in it.
struct FolderRoot: Sendable {
  /// The domain's name.
  let domain: String
  let root: Recipe.FolderRoot
  /// Where the folder is.
  let path: String

  var name: String { "\(domain): folder" }
  private var called: String { "\(domain): the folder \(path)" }

  func step(epoch: Int) throws(BuildError) -> Step {
    let planned = try FolderTree(path, called: called).digest
    return Step(
      name: name, kind: "folder-root", version: 1,
      settings: root.launch.words + [root.owner, "\(epoch)", "\(planned)"], inputs: [],
      outputs: [LaunchDisk.archive, LaunchProgram.file]
    ) { context throws(BuildError) in
      let (user, group) = try owner()
      let tree = try FolderTree(path, called: called, user: user, group: group)
      let tar = "\(context.output)/\(LaunchDisk.archive)"
      let writer = try ArchiveWriter(tar, .tar, epoch: context.epoch)
      for entry in tree.entries {
        try context.cancellation.check()
        try writer.add(entry)
      }
      try writer.finish()
      // What was written is what was read before it and is there after it.
      guard tree.digest == planned, try FolderTree(path, called: called).digest == planned else {
        throw BuildError(.badFile, "\(called) changed during the build", hint: "build again")
      }
      try LaunchProgram.write(of: tar, nil, root.launch, called: called, context)
    }
  }

  /// Numbers, by the folder's own lists of users and groups.
  private func owner() throws(BuildError) -> (UInt32, UInt32) {
    let parts = root.owner.split(separator: ":").map(String.init)
    let (user, line) = try number(parts.first ?? "root", in: "etc/passwd")
    if parts.count > 1 { return (user, try number(parts[1], in: "etc/group").0) }
    return (user, line.count > 3 ? UInt32(line[3]) ?? user : user)
  }

  private func number(_ name: String, in list: String) throws(BuildError) -> (UInt32, [String]) {
    var lines: [[String]] = []
    let file = "\(path)/\(list)"
    if (try? Files.status(file))?.kind == .regular {
      let text = try attempt("cannot read \(called)") { () throws(SystemError) in try Files.readText(file) }
      lines = text.split(separator: "\n").map { line in
        line.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
      }
    }
    let line = lines.first { $0.count > 2 && $0[0] == name } ?? []
    if line.count > 2, let number = UInt32(line[2]) { return (number, line) }
    if name == "root" { return (0, []) }
    guard let number = UInt32(name) else {
      throw BuildError(
        .badFile, "\(called) has no '\(name)' in /\(list)", hint: "correct 'owner' in the recipe, or say a number")
    }
    return (number, [])
  }
}
