import Binary
import Platform

@testable import ImageBuilder

/// An image layout of a test's own making.
final class OCIFixture {
  let directory: TemporaryDirectory
  var path: String { "\(directory.path)/image" }

  /// Digests and sizes of an image's layers.
  struct Layer {
    let descriptor: String
    let unpacked: String
  }

  init() throws {
    directory = try TemporaryDirectory()
    try Files.makeDirectories("\(path)/blobs/sha256")
    try Files.write(#"{"imageLayoutVersion":"1.0.0"}"#, to: "\(path)/oci-layout")
  }

  /// Adds a blob, and returns its descriptor.
  func blob(_ bytes: [UInt8], _ type: String, more: String = "") throws -> String {
    let digest = SHA256.hash(bytes)
    try Files.write(bytes, to: "\(path)/blobs/sha256/\(digest)")
    return #"{"mediaType":"\#(type)","digest":"sha256:\#(digest)","size":\#(bytes.count)\#(more)}"#
  }

  /// A layer; `tool` packs it.
  func layer(_ entries: [TarFile.Entry], packedBy tool: String? = nil) throws -> Layer {
    let tar = TarFile.bytes(entries)
    var packed = tar
    if let tool {
      let file = "\(directory.path)/layer"
      try Files.write(tar, to: file)
      let outcome = try Command(["sh", "-c", "\(tool) -c <\"$1\" >\"$1.packed\"", "sh", file])
        .run(cancellation: Cancellation())
      guard outcome.status.isSuccess else { throw BuildError(.toolFailed, outcome.text) }
      packed = try Files.read("\(file).packed")
    }
    return Layer(
      descriptor: try blob(packed, "application/vnd.oci.image.layer.v1.tar"),
      unpacked: "sha256:\(SHA256.hash(tar))")
  }

  static let platform = #","platform":{"architecture":"amd64","os":"linux"}"#

  /// A manifest's descriptor.
  func manifest(
    _ layers: [Layer], execution: String = "{}", architecture: String = "amd64", more: String = OCIFixture.platform
  ) throws -> String {
    let digests = layers.map { "\"\($0.unpacked)\"" }.joined(separator: ",")
    let config = try blob(
      Array(
        #"{"architecture":"\#(architecture)","os":"linux","config":\#(execution),"rootfs":{"type":"layers","diff_ids":[\#(digests)]}}"#
          .utf8), "application/vnd.oci.image.config.v1+json")
    let list = layers.map(\.descriptor).joined(separator: ",")
    return try blob(
      Array(#"{"schemaVersion":2,"config":\#(config),"layers":[\#(list)]}"#.utf8),
      "application/vnd.oci.image.manifest.v1+json", more: more)
  }

  func index(_ manifests: [String]) throws {
    try Files.write(
      #"{"schemaVersion":2,"manifests":[\#(manifests.joined(separator: ","))]}"#, to: "\(path)/index.json")
  }

  /// Opens the image as a step does.
  func image(_ path: String? = nil, reference: String? = nil) throws -> OCIImage {
    try OCIImage(
      OCILayout(
        path ?? self.path, called: "the image", scratch: "\(directory.path)/blobs", limits: .standard,
        cancellation: Cancellation()), reference: reference, cancellation: Cancellation())
  }

  /// The root of an image as a tar file.
  func root(of image: OCIImage, limits: ArchiveLimits = .standard) throws -> String {
    let output = "\(directory.path)/root.tar"
    var files = LayerFiles(called: "the image", limits: limits)
    try image.unpack(into: &files, scratch: directory.path, cancellation: Cancellation()) { _ in }
    try files.write(output, epoch: 0, cancellation: Cancellation())
    return output
  }

  /// The root of these layers, with the contents of files: `path` or `path -> target`, and what is there.
  func tree(_ layers: [[TarFile.Entry]], limits: ArchiveLimits = .standard) throws -> [String: String] {
    Dictionary(uniqueKeysWithValues: try list(layers, limits: limits))
  }

  /// The same in the archive's order, where two names may be one to Swift.
  func list(_ layers: [[TarFile.Entry]], limits: ArchiveLimits = .standard) throws -> [(String, String)] {
    try index([manifest(layers.map { try layer($0) })])
    let reader = try ArchiveReader(try root(of: image(), limits: limits), .tar)
    var found: [(String, String)] = []
    while let entry = try reader.next() {
      let content =
        switch entry.kind {
        case .directory: "/"
        case .file: String(decoding: try reader.readAll(), as: UTF8.self)
        case .symbolicLink(let target): "-> \(target)"
        case .hardLink(let target): "= \(target)"
        case .other: "?"
        }
      found.append((entry.path, content))
    }
    return found
  }
}
