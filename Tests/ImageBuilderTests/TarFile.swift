/// Tar files of a test's own making, with what no tool would write.
enum TarFile {
  enum Kind: UInt8 {
    case file = 0x30
    case hardLink = 0x31
    case link = 0x32
    case device = 0x33
    case directory = 0x35
    case pipe = 0x36
  }

  struct Entry {
    let path: String
    let content: [UInt8]
    let kind: Kind
    let target: String
    /// What the header says.
    let size: Int
    var permissions = 0o644
    var owner = 0

    init(_ path: String, _ text: String = "", kind: Kind = .file, target: String = "", size: Int? = nil) {
      self.path = path
      content = Array(text.utf8)
      self.kind = kind
      self.target = target
      self.size = size ?? content.count
    }

    static func directory(_ path: String) -> Entry {
      var entry = Entry(path, kind: .directory)
      entry.permissions = 0o755
      return entry
    }
  }

  static func bytes(_ entries: [Entry]) -> [UInt8] {
    var bytes: [UInt8] = []
    for entry in entries {
      // GNU's way of saying a long name.
      for (mark, text) in [("L", entry.path), ("K", entry.target)] where text.utf8.count > 99 {
        let name = Array(text.utf8) + [0]
        bytes += header("././@LongLink", UInt8(ascii: mark.unicodeScalars.first ?? "L"), "", name.count, 0o644, 0)
        bytes += padded(name)
      }
      bytes += header(entry.path, entry.kind.rawValue, entry.target, entry.size, entry.permissions, entry.owner)
      bytes += padded(entry.content)
    }
    return bytes + [UInt8](repeating: 0, count: 1024)
  }

  private static func header(
    _ path: String, _ kind: UInt8, _ target: String, _ size: Int, _ permissions: Int, _ owner: Int
  ) -> [UInt8] {
    var block = [UInt8](repeating: 0, count: 512)
    func put(_ text: [UInt8], _ offset: Int) { block.replaceSubrange(offset..<offset + text.count, with: text) }
    func octal(_ number: Int, _ digits: Int) -> [UInt8] {
      let text = String(number, radix: 8)
      return Array((String(repeating: "0", count: max(digits - text.count, 0)) + text).utf8)
    }
    put(Array(path.utf8.prefix(99)), 0)
    put(octal(permissions, 7), 100)
    put(octal(owner, 7), 108)
    put(octal(owner, 7), 116)
    put(octal(size, 11), 124)
    put(octal(0, 11), 136)
    put([UInt8](repeating: 0x20, count: 8), 148)
    block[156] = kind
    put(Array(target.utf8.prefix(99)), 157)
    put(Array("ustar\u{0}00".utf8), 257)
    put(octal(block.reduce(0) { $0 + Int($1) }, 6) + [0, 0x20], 148)
    return block
  }

  private static func padded(_ bytes: [UInt8]) -> [UInt8] {
    bytes + [UInt8](repeating: 0, count: (512 - bytes.count % 512) % 512)
  }
}
