internal import Binary
internal import Platform

/// An image's layers as tar files of their own, and the root file system that they are together.
struct LayerFiles {
  /// What messages call the image.
  let name: String
  private(set) var tree: LayerTree
  private var files: [String] = []
  private var limits: ArchiveLimits
  /// Members that are no files, folders or links, as devices: a guest has its kernel's.
  private(set) var omitted = 0

  /// Nothing yet; `limits` are those of all layers together.
  init(called name: String, limits: ArchiveLimits) {
    self.name = name
    self.limits = limits
    tree = LayerTree(called: name, limit: limits.entries)
  }

  /// Unpacks a layer to `file`, checks that it is what the configuration says (`digest`), and lays it over the others.
  mutating func add(
    _ packed: String, digest: String, to file: String, cancellation: Cancellation
  ) throws(BuildError) {
    let (found, size) = try unpack(packed, to: file, cancellation)
    guard "sha256:\(found)" == digest else {
      throw BuildError(
        .wrongDigest, "\(layerName) does not unpack to what the configuration says",
        details: [
          "in the configuration: \(EscapedText.make(String(digest.prefix(160))))",
          "unpacked:             sha256:\(found)",
        ])
    }
    let reader = try ArchiveReader(file, .tar, called: layerName, limits: limits)
    var entries: [ArchiveEntry] = []
    while let entry = try reader.next() {
      try cancellation.check()
      if entry.kind == .other { omitted += 1 }
      entries.append(entry)
    }
    limits.bytes -= size
    limits.entries -= entries.count
    try tree.apply(files.count, entries, cancellation: cancellation)
    files.append(file)
  }

  /// What messages call the layer that is added.
  private var layerName: String { "layer \(files.count + 1) of \(name)" }

  private func unpack(
    _ packed: String, to path: String, _ cancellation: Cancellation
  ) throws(BuildError) -> (SHA256.Digest, Int) {
    let reader = try ArchiveReader(packed, .layer, called: layerName, limits: limits)
    let file = try attempt("cannot write \(path)") { () throws(SystemError) in
      try FileDescriptor(opening: path, [.readWrite, .create, .truncate])
    }
    var hash = SHA256()
    var size = 0
    guard try reader.next() != nil else { return (hash.finalize(), 0) }
    while true {
      try cancellation.check()
      let bytes = try reader.read(upTo: 1 << 20)
      if bytes.isEmpty { return (hash.finalize(), size) }
      hash.update(bytes)
      let offset = size
      try attempt("cannot write \(path)") { () throws(SystemError) in try file.writeAll(bytes, at: offset) }
      size += bytes.count
    }
  }

  /// Writes the root: folders first, then what is in them in the order of the layers.
  func write(_ path: String, epoch: Int, cancellation: Cancellation) throws(BuildError) {
    let writer = try ArchiveWriter(path, .tar, epoch: epoch)
    var names: [LayerTree.Member: [String]] = [:]
    try list(tree.root, "", writer, &names)
    for (layer, file) in files.enumerated() {
      let reader = try ArchiveReader(file, .tar)
      var index = -1
      while var entry = try reader.next() {
        try cancellation.check()
        index += 1
        guard let paths = names[.init(layer: layer, index: index)], let first = paths.first else { continue }
        entry.path = first
        try writer.copy(reader, entry, isForeign: true)
        for path in paths.dropFirst() {
          guard case .symbolicLink(let target) = entry.kind else {
            try writer.add(TreeEntry(path: path, content: .hardLink(to: first), permissions: entry.permissions))
            continue
          }
          try writer.add(
            TreeEntry(
              path: path, content: .link(to: target), permissions: 0o777, owner: entry.owner, group: entry.group))
        }
      }
    }
    try writer.finish()
  }

  /// Writes the folders below `folder`, each before what it holds, and notes what the other things are called.
  private func list(
    _ folder: LayerTree.Node, _ above: String, _ writer: ArchiveWriter, _ names: inout [LayerTree.Member: [String]]
  ) throws(BuildError) {
    let children = folder.children.sorted { $0.key.lexicographicallyPrecedes($1.key) }
    for (bytes, node) in children {
      let name = String(decoding: bytes, as: UTF8.self)
      let path = above.isEmpty ? name : "\(above)/\(name)"
      guard path.utf8.count <= ArchiveLimits.path else {
        throw BuildError(.badFile, "\(self.name) has paths of more than \(ArchiveLimits.path) bytes")
      }
      if node.isFolder {
        try writer.add(
          TreeEntry(
            path: path, content: .directory, permissions: node.permissions, owner: node.owner, group: node.group))
        try list(node, path, writer, &names)
      } else if let member = node.member {
        names[member, default: []].append(path)
      }
    }
  }
}
