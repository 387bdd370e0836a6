internal import Binary
internal import Platform

/// An image layout (OCI image-layout.md): `index.json`, and blobs that are named by their digests. It is a folder, or a tar
/// of one, as skopeo, buildah, podman and docker write it.
///
/// What is in it may be hostile: nothing is taken by a name but by a digest, and nothing whose digest is another.
struct OCILayout {
  /// What messages call it.
  let name: String
  private let directory: String
  private static let blobs = "blobs/sha256/"
  private static let indexFile = "index.json"

  /// Opens a layout. One in a tar is unpacked to `scratch`, as far as its names are those of a layout.
  init(_ path: String, called name: String, scratch: String, limits: ArchiveLimits, cancellation: Cancellation)
    throws(BuildError)
  {
    self.name = name
    let status = try attempt("cannot read \(name)") { () throws(SystemError) in
      try Files.status(path, followingLinks: true)
    }
    guard let status else {
      throw BuildError(.badFile, "there is no \(name)", hint: "correct 'image' in the recipe")
    }
    if status.kind == .directory {
      directory = path
    } else {
      directory = scratch
      try Self.unpack(path, to: scratch, limits, cancellation)
    }
    guard isFile(Self.indexFile) else {
      throw BuildError(
        .badFile, "\(name) is no OCI image: it has no \(Self.indexFile)",
        hint: "write one with: skopeo copy docker://NAME oci-archive:image.tar, podman save --format oci-archive, "
          + "or docker save of version 25 and later")
    }
  }

  private static func unpack(
    _ path: String, to directory: String, _ limits: ArchiveLimits, _ cancellation: Cancellation
  ) throws(BuildError) {
    try attempt("cannot unpack \(path)") { () throws(SystemError) in
      try Files.makeDirectories("\(directory)/\(blobs)")
    }
    let reader = try ArchiveReader(path, limits: limits)
    while let entry = try reader.next() {
      try cancellation.check()
      guard entry.kind == .file, entry.path == indexFile || isBlob(entry.path) else { continue }
      let file = try attempt("cannot unpack \(path)") { () throws(SystemError) in
        try FileDescriptor(opening: "\(directory)/\(entry.path)", [.readWrite, .create, .truncate])
      }
      try reader.copySparsely(to: file, cancellation: cancellation)
    }
  }

  private static func isBlob(_ path: String) -> Bool {
    let digits = path.dropFirst(blobs.count).utf8
    return path.hasPrefix(blobs) && digits.count == 64
      && digits.allSatisfy { (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }
  }

  /// A link could lead to any file of this machine.
  private func isFile(_ path: String) -> Bool {
    (try? Files.status("\(directory)/\(path)"))?.kind == .regular
  }

  /// The list of the layout's images.
  func index() throws(BuildError) -> OCIIndex {
    let bytes = try read(Self.indexFile, upTo: OCIDocument.limit)
    return try OCIDocument.decode(bytes, as: OCIIndex.self, called: "\(Self.indexFile) of \(name)")
  }

  /// A document among the blobs, checked.
  func document<Value: Decodable>(
    _ descriptor: OCIDescriptor, as type: Value.Type, _ what: String
  ) throws(BuildError) -> Value {
    let path = try place(of: descriptor, what)
    guard descriptor.size <= OCIDocument.limit else {
      throw BuildError(.badFile, "\(what) of \(name) has more than \(OCIDocument.limit >> 20) MiB")
    }
    let bytes = try read(path, upTo: OCIDocument.limit)
    try check(descriptor, bytes: bytes.count, digest: SHA256.hash(bytes), what)
    return try OCIDocument.decode(bytes, as: type, called: "\(what) of \(name)")
  }

  /// The path of a blob, checked.
  func file(_ descriptor: OCIDescriptor, _ what: String) throws(BuildError) -> String {
    let path = "\(directory)/\(try place(of: descriptor, what))"
    let (size, digest) = try attempt("cannot read \(what) of \(name)") { () throws(SystemError) in
      (try Files.status(path)?.size ?? 0, try FileDigest.plain(path))
    }
    try check(descriptor, bytes: size, digest: digest, what)
    return path
  }

  private func place(of descriptor: OCIDescriptor, _ what: String) throws(BuildError) -> String {
    guard let digest = descriptor.sha256 else {
      throw BuildError(
        .badFile, "\(what) of \(name) has the digest '\(EscapedText.make(String(descriptor.digest.prefix(160))))'",
        hint: "images whose digests are SHA-256 can be used")
    }
    let path = "\(Self.blobs)\(digest)"
    guard isFile(path) else {
      throw BuildError(
        .badFile, "\(name) lacks \(what): there is no file \(path) in it",
        hint: "copy the whole image again, with all of its layers")
    }
    return path
  }

  private func check(
    _ descriptor: OCIDescriptor, bytes: Int, digest: SHA256.Digest, _ what: String
  ) throws(BuildError) {
    guard digest == descriptor.sha256, bytes == descriptor.size else {
      throw BuildError(
        .wrongDigest, "\(what) of \(name) is not what the image says it is",
        hint: "copy the image again: it was damaged or changed on its way",
        details: [
          "in the image: \(descriptor.digest), \(descriptor.size) bytes",
          "the file:     sha256:\(digest), \(bytes) bytes",
        ])
    }
  }

  private func read(_ path: String, upTo limit: Int) throws(BuildError) -> [UInt8] {
    let path = "\(directory)/\(path)"
    let bytes = try attempt("cannot read \(name)") { () throws(SystemError) in
      let file = try FileDescriptor(opening: path)
      return try file.length() > limit ? nil : try Files.read(path)
    }
    guard let bytes else { throw BuildError(.badFile, "\(path) has more than \(limit >> 20) MiB") }
    return bytes
  }
}
