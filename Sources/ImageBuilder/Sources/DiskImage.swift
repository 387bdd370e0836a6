internal import Binary
internal import Platform

/// Images of disks and other media in the forms in which they are handed around: packed, or in a container.
enum DiskImage {
  /// How a file holds a disk's bytes.
  enum Form: Sendable, Hashable {
    case raw
    /// Packed by gzip, xz, zstd or bzip2; what is inside shows when it is unpacked.
    case packed
    /// A container that qemu-img reads under this name.
    case container(String)
  }

  /// The form by the file's first bytes, of which 512 are enough.
  static func form(_ bytes: [UInt8]) -> Form {
    let packed: [[UInt8]] = [
      [0x1F, 0x8B], [0xFD, 0x37, 0x7A, 0x58, 0x5A, 0], [0x28, 0xB5, 0x2F, 0xFD], Array("BZh".utf8),
    ]
    if packed.contains(where: { bytes.starts(with: $0) }) { return .packed }
    let containers: [(String, [UInt8])] = [
      ("qcow2", Array("QFI\u{FB}".unicodeScalars.map { UInt8(truncatingIfNeeded: $0.value) })),
      ("vmdk", Array("KDMV".utf8)), ("vmdk", Array("# Disk DescriptorFile".utf8)), ("vhdx", Array("vhdxfile".utf8)),
    ]
    return containers.first { bytes.starts(with: $0.1) }.map { .container($0.0) } ?? .raw
  }

  /// The first bytes of a file.
  static func head(_ path: String, count: Int = 512) throws(BuildError) -> [UInt8] {
    try attempt("cannot read \(path)") { () throws(SystemError) in
      try FileDescriptor(opening: path).read(upTo: count)
    }
  }

  /// What keeps a container from being read: a part of it that lies in another file, wherever that is, in words that
  /// follow the file's name; nil when it is whole in itself.
  ///
  /// qcow2: QEMU's docs/interop/qcow2.txt, "Header" and "Header extensions". VMDK: VMware's "Virtual Disk Format 1.1",
  /// "Hosted Sparse Extents" and "The Descriptor File". A differencing VHDX is refused by qemu-img.
  static func objection(_ bytes: [UInt8]) -> String? {
    switch form(bytes) {
    case .container("qcow2"): qcow2Objection(bytes)
    case .container("vmdk"): vmdkObjection(bytes)
    default: nil
    }
  }

  private static func qcow2Objection(_ bytes: [UInt8]) -> String? {
    let header = ByteReader(bytes)
    do throws(TruncatedInput) {
      let version = try header.big(UInt32.self, at: 4)
      guard version == 2 || version == 3 else { return "has version \(version) of qcow2, and 2 and 3 are known" }
      if try header.big(UInt64.self, at: 8) != 0 { return "is only a difference to another file (its backing file)" }
      if try header.big(UInt32.self, at: 32) != 0 { return "is encrypted" }
      // The feature bit of an external data file.
      if version == 3, try header.big(UInt64.self, at: 72) & 4 != 0 { return "has its content in another file" }
      return nil
    } catch {
      return "ends within its header"
    }
  }

  /// How much of a VMDK's head is looked at: the header and the descriptor after it.
  static let headSize = 64 << 10

  private static func vmdkObjection(_ bytes: [UInt8]) -> String? {
    if !bytes.starts(with: "KDMV".utf8) { return "only describes a disk whose content is in other files" }
    guard bytes.count >= 512 else { return "ends within its header" }
    // No capacity of its own: QEMU and VMware take the descriptor for that of other files.
    if bytes[12..<20].allSatisfy({ $0 == 0 }) { return "has its content in other files" }
    let text = String(decoding: bytes.dropFirst(512), as: UTF8.self)
    if text.contains("parentFileNameHint") { return "is only a difference to another file (its parent)" }
    for line in text.split(whereSeparator: { $0.isNewline || $0 == "\0" }) where line.hasPrefix("parentCID=") {
      if line.dropFirst(10).lowercased().prefix(8) != "ffffffff" {
        return "is only a difference to another file (its parent)"
      }
    }
    return nil
  }

  /// Makes a plain file of an image: unpacked, and for a disk taken out of its container and filled up to whole
  /// sectors. What is plain already is linked where `input` is a result, else copied.
  static func prepare(
    _ input: String, isDisk: Bool, called name: String, to output: String, _ context: borrowing StepContext
  ) throws(BuildError) {
    var path = input
    var depth = 0
    while form(try head(path)) == .packed {
      depth += 1
      guard depth <= 3 else { throw BuildError(.badFile, "\(name) is packed more than three times") }
      let unpacked = "\(context.scratch)/unpacked-\(depth)"
      try unpack(path, called: name, to: unpacked, context)
      path = unpacked
    }
    if isDisk, case .container(let format) = form(try head(path)) {
      if let objection = objection(try head(path, count: headSize)) {
        throw BuildError(
          .badFile, "\(name) \(objection)",
          hint: "make one file of it where all its parts are: qemu-img convert -O raw IMAGE disk.img")
      }
      context.progress("converting from \(format)")
      try context.run(
        ["qemu-img", "convert", "-f", format, "-O", "raw", "-S", "4k", path, output],
        doing: "cannot convert \(name)")
    } else if path == input {
      try context.run(["cp", "--reflink=auto", "--sparse=always", path, output], doing: "cannot copy \(name)")
    } else {
      let unpacked = path
      try attempt("cannot move \(name)") { () throws(SystemError) in try Files.rename(unpacked, to: output) }
    }
    if isDisk { try fill(output, called: name, context) }
  }

  /// A disk has whole sectors, and its volume whole extents.
  private static func fill(_ path: String, called name: String, _ context: borrowing StepContext) throws(BuildError) {
    let size = try attempt("cannot read \(name)") { () throws(SystemError) in try Files.status(path)?.size ?? 0 }
    guard size > 0 else { throw BuildError(.badFile, "\(name) is empty") }
    let whole = (size + 511) / 512 * 512
    guard whole != size else { return }
    context.progress("\(size) bytes are no whole sectors: \(whole - size) zeros added")
    try attempt("cannot fill up \(name)") { () throws(SystemError) in
      try FileDescriptor(opening: path, .readWrite).truncate(to: whole)
    }
  }

  private static func unpack(
    _ input: String, called name: String, to output: String, _ context: borrowing StepContext
  ) throws(BuildError) {
    context.progress("unpacking")
    let reader = try ArchiveReader(packed: input)
    guard try reader.next() != nil else { throw BuildError(.badFile, "\(name) has nothing in it") }
    let file = try attempt("cannot write \(output)") { () throws(SystemError) in
      try FileDescriptor(opening: output, [.readWrite, .create, .truncate])
    }
    try reader.copySparsely(to: file, cancellation: context.cancellation) { bytes in
      context.progress("unpacking: \(bytes >> 20) MiB")
    }
  }
}
