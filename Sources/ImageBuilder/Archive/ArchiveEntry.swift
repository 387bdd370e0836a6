/// One member of an archive, or one to be.
struct ArchiveEntry: Sendable, Hashable {
  /// What the member is.
  enum Kind: Sendable, Hashable {
    case file, directory, symbolicLink(String), hardLink(String), other

    var isHardLink: Bool {
      if case .hardLink = self { true } else { false }
    }
  }

  /// Path without leading `/` or `./`; empty for the root.
  var path: String
  var kind: Kind
  /// Permission bits, 12 bits.
  var permissions: UInt32
  /// Bytes; 0 for anything but a file.
  var size: Int
  /// User id.
  var owner: UInt32 = 0
  /// Group id.
  var group: UInt32 = 0
}

/// A file, directory or link that is added to a tree, owned by root unless it says otherwise.
struct TreeEntry: Sendable {
  /// What it holds.
  enum Content: Sendable {
    case bytes([UInt8])
    /// The file of the host whose content it gets.
    case file(String)
    case directory
    case link(to: String)
    /// Another name of a file that comes before it.
    case hardLink(to: String)
    /// A character device.
    case device(major: UInt32, minor: UInt32)
  }

  let path: String
  let content: Content
  let permissions: UInt32
  var owner: UInt32 = 0
  var group: UInt32 = 0

  static func text(_ path: String, _ text: String, permissions: UInt32 = 0o644) -> TreeEntry {
    TreeEntry(path: path, content: .bytes(Array(text.utf8)), permissions: permissions)
  }

  static func bytes(_ path: String, _ bytes: [UInt8], permissions: UInt32 = 0o644) -> TreeEntry {
    TreeEntry(path: path, content: .bytes(bytes), permissions: permissions)
  }

  static func file(_ path: String, from host: String, permissions: UInt32 = 0o644) -> TreeEntry {
    TreeEntry(path: path, content: .file(host), permissions: permissions)
  }

  static func directory(_ path: String, permissions: UInt32 = 0o755) -> TreeEntry {
    TreeEntry(path: path, content: .directory, permissions: permissions)
  }

  static func link(_ path: String, to target: String) -> TreeEntry {
    TreeEntry(path: path, content: .link(to: target), permissions: 0o777)
  }
}
