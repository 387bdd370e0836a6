internal import Binary
internal import Platform
internal import Recipe

/// What a recipe adds to a Debian system, as entries of its tree.
struct SystemChanges: Sendable {
  private(set) var customization: Customization
  /// The domain that errors name.
  let owner: String
  /// The users' files by their paths in the recipe: where they are, and digests of their contents.
  private var sources: [String: (path: String, digest: String)]

  private static let mounted = ["dev", "proc", "run", "sys", "tmp"]
  static let settingsPath = "etc/sysctl.d/90-recipe.conf"

  init(_ customization: Customization, owner: String, recipe: Recipe) throws(BuildError) {
    self.customization = customization
    self.owner = owner
    var sources: [String: (path: String, digest: String)] = [:]
    for file in customization.files {
      guard case .file(let name) = file.content else { continue }
      let path = recipe.resolve(name)
      sources[name] = try attempt("\(owner): cannot read the file for \(file.path)") { () throws(SystemError) in
        (path, try FileDigest.chunked(path).description)
      }
    }
    self.sources = sources
  }

  /// Those of the files alone that `isWanted` names.
  func files(_ isWanted: (Customization.PlacedFile) -> Bool) -> SystemChanges {
    var own = self
    own.customization = Customization()
    own.customization.files = customization.files.filter(isWanted)
    own.sources = sources.filter { name, _ in own.customization.files.contains { $0.content == .file(name) } }
    return own
  }

  /// What decides the result.
  var settings: [String] {
    customization.isEmpty
      ? [] : [customization.description] + sources.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value.digest)" }
  }

  /// Whether an index must keep a file's content for `entries`.
  static func keeps(_ path: String) -> Bool { Accounts.paths.contains(path) || path.hasPrefix(skeleton) }

  /// What homes begin with.
  private static let skeleton = "etc/skel/"

  /// The files' contents where they go, as files of root's.
  func contents(_ index: TreeIndex, spool: String) throws(BuildError) -> [TreeEntry] {
    var entries: [TreeEntry] = []
    for file in customization.files {
      guard let place = file.place(index) else { throw failure("\(file.path) leads in circles", Self.pathHint) }
      entries.append(
        TreeEntry(path: place, content: try content(of: file, spool), permissions: file.permissions))
    }
    return entries
  }

  /// What is added to or replaced in a root. `accounts` has the users that are made otherwise; copies of the user's files
  /// lie in the folder `spool`.
  func entries(
    _ index: TreeIndex, accounts: Accounts? = nil, spool: String, epoch: Int
  ) throws(BuildError) -> [TreeEntry] {
    var entries: [String: TreeEntry] = [:]
    func add(_ entry: TreeEntry) { entries[entry.path] = entry }
    var users = accounts ?? Accounts(index)
    for user in customization.users {
      if let shell = user.shell, !index.hasFile(shell) {
        throw failure("the shell \(shell) of '\(user.name)' is not there", "add the package that has it")
      }
      let isNew = users.user(user.name) == nil
      let missing = users.apply(user, day: epoch / 86_400)
      guard missing.isEmpty, let account = users.user(user.name) else {
        throw failure(
          "there is no group '\(missing.first ?? "")' for '\(user.name)' to be in",
          "correct 'groups', or add the package that makes it")
      }
      for entry in try home(of: account, user, isNew: isNew, index) { add(entry) }
      if user.mayDoAll {
        add(.text("etc/sudoers.d/\(user.name)", "\(user.name) ALL=(ALL:ALL) NOPASSWD: ALL\n", permissions: 0o440))
      }
    }
    if accounts != nil || !customization.users.isEmpty { for entry in users.entries { add(entry) } }
    if !customization.kernelSettings.isEmpty {
      let lines = customization.kernelSettings.sorted { $0.key < $1.key }.map { "\($0.key) = \($0.value)\n" }
      add(.text(Self.settingsPath, lines.joined()))
    }
    try checkPlaces(index)
    for file in customization.files {
      for entry in try placed(file, users, index, spool)
      where entries[entry.path] == nil || entry.path == file.place(index) {
        add(entry)
      }
    }
    return entries.values.sorted { $0.path.utf8.lexicographicallyPrecedes($1.path.utf8) }
  }

  /// A new user's home, and the keys of one that has them.
  private func home(
    of account: Accounts.User, _ user: Customization.User, isNew: Bool, _ index: TreeIndex
  ) throws(BuildError) -> [TreeEntry] {
    var entries: [TreeEntry] = []
    func add(_ path: String, _ content: TreeEntry.Content, _ permissions: UInt32) {
      entries.append(
        TreeEntry(
          path: path, content: content, permissions: permissions, owner: account.id, group: account.group))
    }
    if isNew {
      add(account.home, .directory, 0o700)
      for (path, entry) in index.entries where path.hasPrefix(Self.skeleton) {
        let place = "\(account.home)/\(path.dropFirst(Self.skeleton.count))"
        switch entry.kind {
        case .directory: add(place, .directory, entry.permissions)
        case .file: add(place, .bytes(index.contents[path] ?? []), entry.permissions)
        default: break
        }
      }
    }
    guard !user.sshKeys.isEmpty else { return entries }
    guard index.entries["\(account.home)/.ssh"].map({ $0.kind == .directory }) ?? true, !account.home.isEmpty else {
      throw failure("'\(user.name)' has no home for 'ssh-keys'", "leave them out")
    }
    add("\(account.home)/.ssh", .directory, 0o700)
    add("\(account.home)/.ssh/authorized_keys", .bytes(Array(user.sshKeys.map { "\($0)\n" }.joined().utf8)), 0o600)
    return entries
  }

  /// A file, and the folders above it in its owner's home.
  private func placed(
    _ file: Customization.PlacedFile, _ accounts: Accounts, _ index: TreeIndex, _ spool: String
  ) throws(BuildError) -> [TreeEntry] {
    guard let place = file.place(index), let top = place.split(separator: "/").first else {
      throw failure("\(file.path) leads in circles", Self.pathHint)
    }
    if Self.mounted.contains(String(top)) {
      throw failure("\(file.path) is \(place), which is empty at each start", "choose another place")
    }
    if index.entries[place]?.kind == .directory {
      throw failure("\(file.path) is a folder", "name the file in it")
    }
    let above = place.split(separator: "/").dropLast()
    for count in above.indices.map({ $0 + 1 }) {
      let folder = above.prefix(count).joined(separator: "/")
      if let kind = index.entries[folder]?.kind, kind != .directory {
        throw failure("\(file.path) cannot be: /\(folder) is a file", "choose another place")
      }
    }
    let user = accounts.user(file.owner)
    guard let owner = user?.id ?? UInt32(file.owner) else {
      throw failure("there is no user '\(file.owner)' to have \(file.path)", Self.ownerHint)
    }
    let group = file.group.map { accounts.group($0) ?? UInt32($0) } ?? (user?.group ?? owner)
    guard let group else {
      throw failure("there is no group '\(file.group ?? "")' to have \(file.path)", Self.ownerHint)
    }
    var entries = [
      TreeEntry(
        path: place, content: try content(of: file, spool), permissions: file.permissions, owner: owner, group: group)
    ]
    guard let user, !user.home.isEmpty, place.hasPrefix("\(user.home)/"), user.id != 0 else { return entries }
    let depth = user.home.split(separator: "/").count
    for count in above.indices.map({ $0 + 1 }) where count > depth {
      let folder = above.prefix(count).joined(separator: "/")
      if index.entries[folder] != nil { continue }
      entries.append(
        TreeEntry(path: folder, content: .directory, permissions: 0o755, owner: user.id, group: user.group))
    }
    return entries
  }

  /// The content of a file: of the user's own it is a copy, which is still what it was when the build was planned. Its
  /// digest then is part of what the result is known by.
  private func content(
    of file: Customization.PlacedFile, _ spool: String
  ) throws(BuildError) -> TreeEntry.Content {
    let name: String
    switch file.content {
    case .text(let text): return .bytes(Array(text.utf8))
    case .file(let path): name = path
    }
    let path = sources[name]?.path ?? name
    let copy = "\(spool)/\(SHA256.hash(name))"
    let digest = try attempt("\(owner): cannot read the file for \(file.path)") { () throws(SystemError) in
      try Files.makeDirectories(spool)
      try Files.copy(path, to: copy)
      return try FileDigest.chunked(copy).description
    }
    guard digest == sources[name]?.digest else {
      throw failure("\(path), the file for \(file.path), changed during the build", "build again")
    }
    return .file(copy)
  }

  /// Refuses files that links of the tree bring to one place, or one to a place in another.
  private func checkPlaces(_ index: TreeIndex) throws(BuildError) {
    var paths: [String: String] = [:]
    for file in customization.files {
      guard let place = file.place(index) else { continue }
      if let other = paths.updateValue(file.path, forKey: place) {
        throw failure("\(other) and \(file.path) are both /\(place)", "leave one out")
      }
    }
    for file in customization.files {
      guard let place = file.place(index) else { continue }
      var above = place[...]
      while let slash = above.utf8.lastIndex(of: 47) {
        above = above[..<slash]
        if let other = paths[String(above)] {
          throw failure("\(file.path) cannot be: \(other) is a file", "choose another place")
        }
      }
    }
  }

  private static let pathHint = "correct 'path' in the recipe"
  private static let ownerHint = "correct 'owner', or add the package or the user under 'users'"

  private func failure(_ message: String, _ hint: String) -> BuildError {
    BuildError(.badFile, "\(owner): \(message)", hint: hint)
  }
}

extension Customization.PlacedFile {
  fileprivate func place(_ index: TreeIndex) -> String? { index.place(of: path) }
}
