internal import CISOFS
internal import Platform

/// Builds libisofs' tree of nodes.
enum ISOTree {
  /// Adds all files of `tree`, with directories as they are needed.
  static func fill(_ image: OpaquePointer, from tree: ISOImage) throws(BuildError) {
    // SAFETY: the root belongs to the image, which outlives this call.
    guard let root = unsafe iso_image_get_root(image) else {
      throw BuildError(.content, "libisofs made an image without a root")
    }
    for (index, entry) in tree.entries.enumerated() {
      let components = entry.path.split(separator: "/").map(String.init)
      guard entry.path.hasPrefix("/"), let name = components.last, !components.contains(".."),
        !components.contains(".")
      else {
        throw BuildError(.content, "'\(entry.path)' is not the path of a file in an image")
      }
      var directory = unsafe root
      for component in components.dropLast() {
        unsafe directory = try child(component, of: directory, entry.path)
      }
      // Content lies in the order of the entries. Without distinct weights libisofs would order it by the
      // inode numbers of this machine's files.
      unsafe iso_node_set_sort_weight(
        try add(entry, name, to: directory, image), Int32(clamping: 1_000_000 - index))
    }
    if let catalog = tree.boot?.catalog {
      var directory = unsafe root
      for component in catalog.split(separator: "/").dropLast() {
        unsafe directory = try child(String(component), of: directory, catalog)
      }
    }
  }

  private static func add(
    _ entry: ISOImage.Entry, _ name: String, to directory: OpaquePointer, _ image: OpaquePointer
  ) throws(BuildError) -> OpaquePointer {
    var node: OpaquePointer?
    switch entry.content {
    case .bytes(let bytes):
      // SAFETY: the bytes are copied by the call; the node belongs to the directory.
      let result = unsafe bytes.withUnsafeBytes { raw in
        unsafe cisofs_add_bytes(directory, name, raw.baseAddress, raw.count, &node)
      }
      try ISOLibrary.check("add \(entry.path) to the image", result)
    case .file(let source):
      let path = try regularFile(source, entry.path)
      // SAFETY: the strings are copied by the call; the node belongs to the directory.
      try unsafe ISOLibrary.check(
        "add \(entry.path) to the image from \(source)", iso_tree_add_new_node(image, directory, name, path, &node))
    }
    guard let node = unsafe node else { throw BuildError(.content, "cannot add \(entry.path) to the image") }
    return unsafe node
  }

  private static func regularFile(_ source: String, _ target: String) throws(BuildError) -> String {
    let resolved: String
    let status: FileStatus?
    do throws(SystemError) {
      resolved = try Files.resolve(source)
      status = try Files.status(resolved)
    } catch {
      throw BuildError(.badFile, "\(target) of the image comes from \(source), which cannot be used: \(error.errno)")
    }
    guard status?.kind == .regular else {
      throw BuildError(.badFile, "\(target) of the image comes from \(source), which is not a regular file")
    }
    return resolved
  }

  /// The directory of that name, made when it is not there.
  private static func child(
    _ name: String, of parent: OpaquePointer, _ path: String
  ) throws(BuildError) -> OpaquePointer {
    var node: OpaquePointer?
    // SAFETY: nodes belong to their parents; the pointer types of libisofs' node classes are interchangeable
    // once the type was asked.
    if unsafe iso_dir_get_node(parent, name, &node) == 1, let found = unsafe node {
      guard unsafe iso_node_get_type(found) == LIBISO_DIR else {
        throw BuildError(.content, "the image has a file '\(name)' where \(path) needs a directory")
      }
      return unsafe found
    }
    var made: OpaquePointer?
    try unsafe ISOLibrary.check("add the directory of \(path)", iso_tree_add_new_dir(parent, name, &made))
    guard let made = unsafe made else { throw BuildError(.content, "cannot add the directory of \(path)") }
    return unsafe made
  }
}
