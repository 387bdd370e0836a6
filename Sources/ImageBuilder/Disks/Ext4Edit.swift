/// Changes to an ext4 file system that is not mounted, as commands of debugfs(8): what a tree gets beside what is in it.
struct Ext4Edit {
  /// What is there.
  private var index: TreeIndex
  private let epoch: Int
  /// The commands so far.
  private(set) var commands: [String] = []
  /// Where contents of files are put for debugfs to read.
  private let spool: String
  private var spooled = 0
  /// Contents to be written there, in the order of their names.
  private(set) var contents: [(path: String, bytes: [UInt8])] = []

  /// Changes to a file system that holds what `index` has. Contents of files lie below `spool`.
  init(_ index: TreeIndex, epoch: Int, spool: String) {
    self.index = index
    self.epoch = epoch
    self.spool = spool
  }

  /// Gives the file system another identifier.
  mutating func setIdentifier(_ identifier: String) {
    commands.append("set_super_value uuid \(identifier)")
  }

  /// Removes a link or file.
  mutating func remove(_ path: String) throws(BuildError) {
    guard let place = index.place(of: path), index.entries[place] != nil else { return }
    commands.append("rm \(try enter(place))")
    index.forget(place)
  }

  /// Adds an entry, in place of what is there of that name, and the folders above it.
  mutating func add(_ entry: TreeEntry) throws(BuildError) {
    guard let place = index.place(of: entry.path), !place.isEmpty else {
      throw BuildError(.badFile, "/\(entry.path) leads in circles", hint: "choose another place")
    }
    let above = Self.folder(of: place)
    if !above.isEmpty, index.entries[above] == nil { try add(.directory(above)) }
    let old = index.entries[place]
    if case .directory = entry.content {
      if let old, old.kind != .directory { try remove(place) }
      if old?.kind != .directory { commands.append("mkdir \(try enter(place))") }
      index.note(.init(path: place, kind: .directory, permissions: entry.permissions, size: 0))
      try setAttributes(of: entry, at: place, type: 0o040000)
      return
    }
    if old?.kind == .directory {
      throw BuildError(.badFile, "/\(place) is a folder, and cannot become a file", hint: "choose another place")
    }
    if old != nil { try remove(place) }
    let name = try enter(place)
    switch entry.content {
    case .link(let target):
      commands.append("symlink \(name) \(try Self.quoted(target))")
      index.note(.init(path: place, kind: .symbolicLink(target), permissions: 0o777, size: 0))
      try setAttributes(of: entry, at: place, type: 0o120000)
    case .bytes(let bytes):
      spooled += 1
      let path = "\(spool)/\(spooled)"
      contents.append((path, bytes))
      try write(path, name, entry, at: place)
    case .file(let path): try write(path, name, entry, at: place)
    case .directory, .hardLink, .device:
      throw BuildError(.content, "/\(place) is nothing that a file system can get")
    }
  }

  /// Goes to the folder of a place; its name there. debugfs takes `/name` for a name in the folder that it is in.
  private mutating func enter(_ place: String) throws(BuildError) -> String {
    commands.append("cd \(try Self.quoted("/\(Self.folder(of: place))"))")
    return try Self.quoted(String(place.split(separator: "/").last ?? ""))
  }

  private static func folder(of place: String) -> String {
    place.split(separator: "/").dropLast().joined(separator: "/")
  }

  private mutating func write(
    _ path: String, _ name: String, _ entry: TreeEntry, at place: String
  ) throws(BuildError) {
    commands.append("write \(try Self.quoted(path)) \(name)")
    index.note(.init(path: place, kind: .file, permissions: entry.permissions, size: 0))
    try setAttributes(of: entry, at: place, type: 0o100000)
  }

  private mutating func setAttributes(of entry: TreeEntry, at place: String, type: UInt32) throws(BuildError) {
    let path = try Self.quoted("/\(place)")
    let mode = "0" + String(type | entry.permissions, radix: 8)
    for (field, value) in [
      ("mode", mode), ("uid", "\(entry.owner)"), ("gid", "\(entry.group)"), ("mtime", "@\(epoch)"),
      ("atime", "@\(epoch)"), ("ctime", "@\(epoch)"), ("crtime", "@\(epoch)"),
    ] {
      commands.append("set_inode_field \(path) \(field) \(value)")
    }
  }

  /// A word that stands for itself: a quote in it is doubled (libss). A command is one line of 8 KiB at most.
  private static func quoted(_ word: String) throws(BuildError) -> String {
    guard word.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7F }), word.utf8.count <= 4096 else {
      throw BuildError(.badFile, "the name \(word.debugDescription) cannot be written", hint: "choose another name")
    }
    return "\"\(word.utf8.contains(0x22) ? word.replacingQuotes : word)\""
  }
}

extension String {
  /// Every quote twice; a quote is a byte, whatever marks follow it.
  fileprivate var replacingQuotes: String {
    String(decoding: utf8.flatMap { $0 == 0x22 ? [$0, $0] : [$0] }, as: UTF8.self)
  }
}
