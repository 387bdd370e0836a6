import Platform

/// Writes a cpio archive of the "newc" kind, which Linux unpacks as its first root
/// (Documentation/driver-api/early-userspace/buffer-format.rst). Everything belongs to root.
struct InitramfsWriter: ~Copyable {
  private let file: FileDescriptor
  private var inode = 1

  init(_ path: String) throws {
    file = try FileDescriptor(opening: path, [.writeOnly, .create, .truncate])
  }

  /// Adds the tree at `source` as `name`, leaving out what `excluded` says of names within the archive.
  mutating func add(tree source: String, as name: String, except excluded: (String) -> Bool = { _ in false }) throws {
    guard !excluded(name), let status = try Files.status(source) else { return }
    switch status.kind {
    case .directory:
      try entry(name, 0o040000 | status.permissions, [])
      for child in try Files.list(source) {
        try add(tree: "\(source)/\(child)", as: name.isEmpty ? child : "\(name)/\(child)", except: excluded)
      }
    case .symbolicLink: try entry(name, 0o120777, Array(Files.readLink(source).utf8))
    case .regular: try entry(name, 0o100000 | status.permissions, Files.read(source))
    default: break
    }
  }

  mutating func add(directory name: String) throws {
    try entry(name, 0o040755, [])
  }

  mutating func add(_ name: String, _ text: String, permissions: UInt32 = 0o755) throws {
    try entry(name, 0o100000 | permissions, Array(text.utf8))
  }

  mutating func finish() throws {
    try entry("TRAILER!!!", 0, [])
  }

  private mutating func entry(_ name: String, _ mode: UInt32, _ content: [UInt8]) throws {
    if name.isEmpty { return }
    func hex(_ value: Int) -> String {
      let digits = String(value, radix: 16, uppercase: true)
      return String(repeating: "0", count: 8 - digits.utf8.count) + digits
    }
    let nameBytes = Array(name.utf8) + [0]
    // ino mode uid gid nlink mtime filesize devmajor devminor rdevmajor rdevminor namesize check
    let fields = [inode, Int(mode), 0, 0, 1, 0, content.count, 0, 0, 0, 0, nameBytes.count, 0]
    var header = Array("070701".utf8) + fields.flatMap { Array(hex($0).utf8) } + nameBytes
    while header.count % 4 != 0 { header.append(0) }
    inode += 1
    try file.writeAll(header)
    try file.writeAll(content)
    try file.writeAll([UInt8](repeating: 0, count: (4 - content.count % 4) % 4))
  }
}
