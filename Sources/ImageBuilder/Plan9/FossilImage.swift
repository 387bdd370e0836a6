internal import Binary
internal import Platform

/// A fossil file system (fossil(4)) without Venti, written as its own formatter and a copy of the files would.
///
/// Layout as in the sources of fossil (dat.h, disk.c, pack.c, vac.h). All numbers are big-endian.
///
/// ```
/// 127 KiB   configuration   commands for fossil's console
/// 128 KiB   header          where what follows begins
/// 144 KiB   super block     the root, and the number of the next file
///           labels          14 bytes for each data block: state, type, epoch, the stream that it belongs to
///           data            blocks of 8 KiB
/// ```
/// A file is a stream; a folder is one of entries (40 bytes, a stream each) and one of metadata pages (the names).
struct FossilImage {
  private static let block = 8192
  private static let entrySize = 40
  private static let scoreSize = 20
  private static let configurationOffset = 127 << 10
  private static let headerOffset = 128 << 10
  private static let none = UInt32.max
  private static let configuration = "fossil config\nfsys main config\nfsys main open -V -c 3000\n"

  /// Users and groups (users(6)), as the file adm/users has them.
  static let users = "adm:adm:adm:sys\nnone:none::\nnoworld:noworld::\nsys:sys::glenda\nglenda:glenda:glenda:\n"

  /// SHA-1 of nothing: what an absent block is called.
  private static let emptyScore: [UInt8] = [
    0xDA, 0x39, 0xA3, 0xEE, 0x5E, 0x6B, 0x4B, 0x0D, 0x32, 0x55, 0xBF, 0xEF, 0x95, 0x60, 0x18, 0x90, 0xAF, 0xD8, 0x07,
    0x09,
  ]

  /// A label's type of block: data or entries, plus how many levels of pointers lie below.
  private enum Kind {
    static let data: UInt8 = 0
    static let entries: UInt8 = 8
  }

  private let size: Int
  private let time: UInt32
  private let superBlock = (headerOffset + 2 * block) / block
  private let firstData: Int
  private let capacity: Int
  private var labels: [(kind: UInt8, tag: UInt32)] = []
  private var blocks: [[UInt8]] = []
  private var lastTag: UInt32 = 32
  private var nextFile: UInt64 = 1

  private var firstLabel: Int { superBlock + 1 }
  private static let labelsPerBlock = block / 14

  /// An empty one of `size` bytes; `time` is in seconds since 1970.
  init(size: Int, time: Int) {
    self.size = size
    self.time = UInt32(truncatingIfNeeded: time)
    let per = Self.labelsPerBlock
    let first = (Self.headerOffset + 2 * Self.block) / Self.block + 1
    capacity = max(0, per * (size / Self.block - first) / (per + 1))
    firstData = first + (capacity + per - 1) / per
  }

  /// What a folder holds.
  private indirect enum Node {
    case file([UInt8])
    case folder([Child])
  }

  private struct Child {
    let name: String
    let permissions: UInt32
    let owner: String
    let node: Node
  }

  /// Makes the file system and writes it to `path`. Every folder must come before what it holds.
  static func write(_ entries: [Plan9Entry], size: Int, time: Int, to path: String) throws(BuildError) {
    var image = FossilImage(size: size, time: time)
    let root = nest(entries, below: "")
    // The root's own description has the first number.
    let described = image.describe(Child(name: "root", permissions: 0o555, owner: "adm", node: .folder([])), 0, 1)
    let empty = { (name: String) in Child(name: name, permissions: 0o555, owner: "adm", node: .folder([])) }
    let (stream, metadata) = try image.folder([
      Child(name: "active", permissions: 0o555, owner: "adm", node: .folder(root)), empty("archive"), empty("snapshot"),
    ])
    let own = try image.stream([Self.page([described])], size: block, isFolder: false)
    let top = try image.stream([stream + metadata + own], size: 3 * entrySize, isFolder: true)
    let active = try image.allocate(Kind.entries, tag: 1, top)
    try image.write(active: active, to: path)
  }

  /// The tree below a folder out of the flat list.
  private static func nest(_ entries: [Plan9Entry], below folder: String) -> [Child] {
    var children: [String: [Plan9Entry]] = [:]
    for entry in entries {
      let above = entry.path.lastIndex(of: "/").map { String(entry.path[..<$0]) } ?? ""
      children[above, default: []].append(entry)
    }
    func list(_ folder: String) -> [Child] {
      (children[folder] ?? []).map { entry in
        let name = entry.path.split(separator: "/").last.map(String.init) ?? entry.path
        return Child(
          name: name, permissions: entry.permissions, owner: entry.owner,
          node: entry.content.map { .file($0) } ?? .folder(list(entry.path)))
      }
    }
    return list(folder)
  }

  private mutating func allocate(_ kind: UInt8, tag: UInt32, _ content: [UInt8]) throws(BuildError) -> UInt32 {
    guard blocks.count < capacity else {
      throw BuildError(
        .diskTooSmall, "the system does not fit into a fossil disk of \(size >> 20) MiB",
        hint: "give the domain a larger 'disk' in the recipe")
    }
    labels.append((kind, tag))
    blocks.append(content)
    return UInt32(blocks.count - 1)
  }

  /// Stores a stream's blocks, with blocks of pointers above them until one is left, and returns its entry.
  private mutating func stream(_ content: [[UInt8]], size: Int, isFolder: Bool) throws(BuildError) -> [UInt8] {
    let pointers = Self.block / Self.scoreSize
    var entry = ByteWriter(capacity: Self.entrySize)
    entry.big(UInt32(0))  // generation
    entry.big(UInt16(pointers * Self.scoreSize))
    entry.big(UInt16(Self.block))
    let active: UInt8 = 1 | (isFolder ? 2 : 0)
    guard !content.isEmpty else {
      entry.raw([active])
      entry.zeros(5 + 6)
      entry.raw(Self.emptyScore)
      return entry.bytes
    }
    lastTag += 1
    let tag = lastTag
    let kind = isFolder ? Kind.entries : Kind.data
    var level: [UInt32] = []
    for block in content { level.append(try allocate(kind, tag: tag, block)) }
    var depth: UInt8 = 0
    while level.count > 1 {
      depth += 1
      var upper: [UInt32] = []
      for start in stride(from: 0, to: level.count, by: pointers) {
        var block = ByteWriter(capacity: Self.block)
        let end = min(start + pointers, level.count)
        for address in level[start..<end] {
          block.zeros(16)
          block.big(address)
        }
        for _ in end - start..<pointers { block.raw(Self.emptyScore) }
        upper.append(try allocate(kind + depth, tag: tag, block.bytes))
      }
      level = upper
    }
    entry.raw([active | 0x20 | depth << 2])  // 0x20: the score is an address on this disk
    entry.zeros(5)
    entry.big(UInt16(truncatingIfNeeded: size >> 32))
    entry.big(UInt32(truncatingIfNeeded: size))
    entry.zeros(7 + 1 + 4)  // no archive, no snapshot
    entry.big(tag)
    entry.big(level[0])
    return entry.bytes
  }

  private static func pieces(_ bytes: [UInt8]) -> [[UInt8]] {
    stride(from: 0, to: bytes.count, by: block).map { Array(bytes[$0..<min($0 + block, bytes.count)]) }
  }

  /// Stores a folder with all below it; returns the entries of its stream and of its metadata.
  private mutating func folder(_ children: [Child]) throws(BuildError) -> (stream: [UInt8], metadata: [UInt8]) {
    var entries: [[UInt8]] = []
    var records: [[UInt8]] = []
    for child in children.sorted(by: { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }) {
      let position = UInt32(entries.count)
      switch child.node {
      case .file(let content):
        entries.append(try stream(Self.pieces(content), size: content.count, isFolder: false))
        records.append(describe(child, position, 0))
      case .folder(let below):
        let (stream, metadata) = try folder(below)
        entries += [stream, metadata]
        records.append(describe(child, position, position + 1))
      }
    }
    let per = Self.block / Self.entrySize
    let content = stride(from: 0, to: entries.count, by: per).map { start in
      Array(entries[start..<min(start + per, entries.count)].joined())
    }
    let size = entries.count / per * Self.block + entries.count % per * Self.entrySize
    let stream = try stream(content, size: size, isFolder: true)
    let pages = Self.paginate(records).map { Self.page($0) }
    return (stream, try self.stream(pages, size: pages.count * Self.block, isFolder: false))
  }

  /// A file's or folder's description in its folder's metadata.
  private mutating func describe(_ child: Child, _ entry: UInt32, _ metadata: UInt32) -> [UInt8] {
    var record = ByteWriter()
    func text(_ text: String) {
      record.big(UInt16(text.utf8.count))
      record.raw(text.utf8)
    }
    var mode = child.permissions
    if case .folder = child.node { mode |= 0x8000 }
    record.big(0x1C4D_9072 as UInt32)
    record.big(9 as UInt16)  // version
    text(child.name)
    for number in [entry, 0, metadata, 0] { record.big(number) }
    record.big(nextFile)
    nextFile += 1
    for _ in 0..<3 { text(child.owner) }  // user, group, who changed it last
    for number in [time, 0, time, time, mode] { record.big(number) }
    return record.bytes
  }

  private static let pageSlots = block / 100

  /// Records on pages: fossil fills them to four fifths.
  private static func paginate(_ records: [[UInt8]]) -> [[[UInt8]]] {
    var pages: [[[UInt8]]] = []
    var page: [[UInt8]] = []
    var used = 0
    for record in records {
      if !page.isEmpty, page.count == pageSlots || 12 + 4 * pageSlots + used + record.count > block * 80 / 100 {
        pages.append(page)
        page = []
        used = 0
      }
      page.append(record)
      used += record.count
    }
    return page.isEmpty ? pages : pages + [page]
  }

  private static func page(_ records: [[UInt8]]) -> [UInt8] {
    var index = ByteWriter()
    var body: [UInt8] = []
    let start = 12 + 4 * pageSlots
    for record in records {
      index.big(UInt16(start + body.count))
      index.big(UInt16(record.count))
      body += record
    }
    var page = ByteWriter(capacity: block)
    page.big(0x5656_FC7A as UInt32)
    for number in [start + body.count, 0, pageSlots, records.count] { page.big(UInt16(number)) }
    page.raw(index.bytes)
    page.zeros(start - page.count)
    page.raw(body)
    return page.bytes
  }

  private func write(active: UInt32, to path: String) throws(BuildError) {
    var header = ByteWriter()
    header.big(0x3776_AE89 as UInt32)
    header.big(1 as UInt16)
    header.big(UInt16(Self.block))
    for number in [superBlock, firstLabel, firstData, firstData + capacity] { header.big(UInt32(number)) }
    var root = ByteWriter()
    root.big(0x2340_A3B1 as UInt32)
    root.big(1 as UInt16)
    for number: UInt32 in [1, 1] { root.big(number) }  // epochs
    root.big(nextFile)
    for number in [active, Self.none, Self.none] { root.big(number) }
    root.zeros(20)
    root.fixed("main", width: 128)
    var table = ByteWriter()
    for start in stride(from: 0, to: labels.count, by: Self.labelsPerBlock) {
      for (kind, tag) in labels[start..<min(start + Self.labelsPerBlock, labels.count)] {
        table.raw([1, kind])  // in use
        for number in [1, Self.none, tag] { table.big(number) }
      }
      table.align(Self.block)
    }
    let pieces = [
      (Self.configurationOffset, Array(Self.configuration.utf8)), (Self.headerOffset, header.bytes),
      (superBlock * Self.block, root.bytes), (firstLabel * Self.block, table.bytes),
    ]
    try attempt("cannot write \(path)") { () throws(SystemError) in
      let file = try FileDescriptor(opening: path, [.readWrite, .create, .truncate])
      for (offset, bytes) in pieces { try file.writeAll(bytes, at: offset) }
      for (index, block) in blocks.enumerated() { try file.writeAll(block, at: (firstData + index) * Self.block) }
      try file.truncate(to: size)
    }
  }
}
