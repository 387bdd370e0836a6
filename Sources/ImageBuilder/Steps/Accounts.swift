internal import Recipe

/// The users and groups of a Debian system: passwd(5), shadow(5), group(5) and gshadow(5).
struct Accounts {
  /// A line of one of the files, taken apart at its colons.
  private typealias Line = [String]

  private var files: [String: [Line]] = [:]
  private let index: TreeIndex
  private static let passwd = "etc/passwd"
  private static let shadow = "etc/shadow"
  private static let group = "etc/group"
  private static let groupShadow = "etc/gshadow"
  /// Files whose contents an index must keep.
  static let paths = [passwd, shadow, group, groupShadow]

  /// A user that there is.
  struct User {
    let name: String
    let id: UInt32
    let group: UInt32
    /// Without the slash at its beginning.
    let home: String
  }

  init(_ index: TreeIndex) {
    self.index = index
    for path in Self.paths {
      guard let bytes = index.contents[path] else { continue }
      files[path] = String(decoding: bytes, as: UTF8.self).split(separator: "\n").map { line in
        line.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
      }
    }
  }

  /// The user of that name or number.
  func user(_ name: String) -> User? {
    let line = line(Self.passwd, name) ?? files[Self.passwd]?.first { $0.count == 7 && $0[2] == name }
    guard let line, line.count == 7, let id = UInt32(line[2]), let group = UInt32(line[3]) else { return nil }
    return User(name: line[0], id: id, group: group, home: line[5].split(separator: "/").joined(separator: "/"))
  }

  /// The number of a group.
  func group(_ name: String) -> UInt32? {
    guard let line = line(Self.group, name), line.count == 4 else { return nil }
    return UInt32(line[2])
  }

  /// Takes a shell for those who have the standard one, and for those who are added.
  mutating func useShell(_ shell: String) {
    for line in files[Self.passwd] ?? [] where line.last == standardShell {
      change(Self.passwd, line[0]) { $0[6] = shell }
    }
    standardShell = shell
  }

  /// Adds a user of the system's own that nobody logs in as.
  mutating func addService(_ name: String, id: UInt32) {
    files[Self.passwd, default: []].append([name, "x", "\(id)", "\(id)", "", "/nonexistent", "/usr/sbin/nologin"])
    files[Self.group, default: []].append([name, "x", "\(id)", ""])
  }

  /// Adds a user as useradd(8) does, with the next number from 1000 on and a group of its own, or changes the one that is
  /// there. `day` is the day of the password, counted from 1970. Groups that are not there are returned.
  mutating func apply(_ user: Customization.User, day: Int) -> [String] {
    if line(Self.passwd, user.name) == nil {
      let id = nextNumber
      let group = self.group(user.name) ?? id
      if self.group(user.name) == nil {
        files[Self.group, default: []].append([user.name, "x", "\(id)", ""])
        files[Self.groupShadow]?.append([user.name, "!", "", ""])
      }
      files[Self.passwd, default: []].append(
        [user.name, "x", "\(id)", "\(group)", "", "/home/\(user.name)", user.shell ?? standardShell])
    } else if let shell = user.shell {
      change(Self.passwd, user.name) { $0[6] = shell }
    }
    if line(Self.shadow, user.name) == nil {
      files[Self.shadow, default: []].append([user.name, "*", "\(day)", "0", "99999", "7", "", "", ""])
      change(Self.passwd, user.name) { $0[1] = "x" }
    }
    if let hash = user.passwordHash {
      change(Self.shadow, user.name) {
        $0[1] = hash
        $0[2] = "\(day)"
      }
    }
    var missing: [String] = []
    for group in user.groups {
      if line(Self.group, group) == nil { missing.append(group) }
      for path in [Self.group, Self.groupShadow] {
        change(path, group) { line in
          var members = line[3].split(separator: ",").map(String.init)
          if !members.contains(user.name) { members.append(user.name) }
          line[3] = members.joined(separator: ",")
        }
      }
    }
    return missing
  }

  /// The shell of who does not say otherwise.
  private(set) var standardShell = "/bin/bash"

  /// The files that there are, with the owners and permissions that they have.
  var entries: [TreeEntry] {
    Self.paths.compactMap { path in
      guard let lines = files[path] else { return nil }
      let text = lines.map { $0.joined(separator: ":") + "\n" }.joined()
      let isSecret = path == Self.shadow || path == Self.groupShadow
      let own = index.entries[path]
      return TreeEntry(
        path: path, content: .bytes(Array(text.utf8)), permissions: own?.permissions ?? (isSecret ? 0o640 : 0o644),
        owner: own?.owner ?? 0, group: own?.group ?? (isSecret ? group("shadow") ?? 0 : 0))
    }
  }

  private func line(_ path: String, _ name: String) -> Line? { files[path]?.first { $0.first == name } }

  /// Changes a line that is there and has all of its fields.
  private mutating func change(_ path: String, _ name: String, _ body: (inout Line) -> Void) {
    let count = [Self.passwd: 7, Self.shadow: 9][path] ?? 4
    guard var lines = files[path], let place = lines.firstIndex(where: { $0.first == name && $0.count == count }) else {
      return
    }
    body(&lines[place])
    files[path] = lines
  }

  /// The first number from 1000 on that no user and no group has.
  private var nextNumber: UInt32 {
    let lines = [Self.passwd, Self.group].flatMap { files[$0] ?? [] }
    let taken = Set(lines.compactMap { $0.count > 2 ? UInt32($0[2]) : nil })
    var number: UInt32 = 1000
    while taken.contains(number) { number += 1 }
    return number
  }
}
