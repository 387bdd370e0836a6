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
      name: name, kind: "folder-root", version: 2,
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
    var contents: [String: [UInt8]] = [:]
    for list in Accounts.paths where (try? Files.status("\(path)/\(list)"))?.kind == .regular {
      contents[list] = try attempt("cannot read \(called)") { () throws(SystemError) in
        try Files.read("\(path)/\(list)")
      }
    }
    let accounts = Accounts(TreeIndex(contents: contents))
    let parts = root.owner.split(separator: ":").map(String.init)
    let name = parts.first ?? "root"
    let account = accounts.user(name)
    let user = if let account { account.id } else { try number(name, "etc/passwd") }
    guard parts.count > 1 else { return (user, account?.group ?? user) }
    let group = if let group = accounts.group(parts[1]) { group } else { try number(parts[1], "etc/group") }
    return (user, group)
  }

  private func number(_ name: String, _ list: String) throws(BuildError) -> UInt32 {
    if let number = UInt32(name) ?? (name == "root" ? 0 : nil) { return number }
    throw BuildError(
      .badFile, "\(called) has no '\(name)' in /\(list)", hint: "correct 'owner' in the recipe, or say a number")
  }
}
