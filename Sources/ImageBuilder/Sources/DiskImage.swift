internal import DiskImages
internal import Platform

/// Images of disks and other media in the forms in which they are handed around: packed, or in a container.
enum DiskImage {
  /// The first bytes of a file.
  static func head(_ path: String, count: Int = ImageForm.headBytes) throws(BuildError) -> [UInt8] {
    try attempt("cannot read \(path)") { () throws(SystemError) in
      try FileDescriptor(opening: path).read(upTo: count)
    }
  }

  /// Makes a plain file of an image: unpacked, and for a disk taken out of its container and filled up to whole
  /// sectors. What is plain already is linked where `input` is a result, else copied.
  static func prepare(
    _ input: String, isDisk: Bool, called name: String, to output: String, _ context: borrowing StepContext
  ) throws(BuildError) {
    var path = input
    var depth = 0
    while ImageForm(of: try head(path)) == .packed {
      depth += 1
      guard depth <= 3 else { throw BuildError(.badFile, "\(name) is packed more than three times") }
      let unpacked = "\(context.scratch)/unpacked-\(depth)"
      try unpack(path, called: name, to: unpacked, context)
      path = unpacked
    }
    if isDisk, case .container(let format) = ImageForm(of: try head(path)) {
      if let objection = ImageForm.objection(try head(path, count: ImageForm.objectionBytes)) {
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
    let reader = try ArchiveReader(input, .packed, limits: .disk)
    guard try reader.next() != nil else { throw BuildError(.badFile, "\(name) has nothing in it") }
    let file = try attempt("cannot write \(output)") { () throws(SystemError) in
      try FileDescriptor(opening: output, [.readWrite, .create, .truncate])
    }
    try reader.copySparsely(to: file, cancellation: context.cancellation) { bytes in
      context.progress("unpacking: \(bytes >> 20) MiB")
    }
  }
}
