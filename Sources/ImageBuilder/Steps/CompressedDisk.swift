internal import Binary
internal import Platform

/// A disk's image in the compressed blocks that the medium's volume of images is put together from.
///
/// Blocks that another one has, of what the disk was made from, are taken from there: compressing costs more than anything
/// else that is done to a disk.
struct CompressedDisk: Sendable {
  /// What the step's name begins with, and errors name.
  let title: String
  let source: ImagesVolume.Source
  let compression: Squashfs
  /// The step of another one that has most of the same blocks.
  var base: String?

  /// The compressed blocks, one after the other; holes are not there.
  static let blocks = "blocks"
  /// What is where, a `BlockTable`.
  static let table = "table"

  var name: String { "\(title), compressed" }

  func step(versions: [String: String]) -> Step {
    var settings = [versions["squashfs-tools"] ?? ""] + compression.options
    var inputs: [Step.Input] = []
    switch source {
    case .step(let input): inputs.append(input)
    case .file(_, let digest): settings.append(digest)
    }
    if let base { inputs += [Self.blocks, Self.table].map { .init(step: base, file: $0) } }
    return Step(
      name: name, kind: "compressed-disk", version: 2, settings: settings, inputs: inputs,
      outputs: [Self.blocks, Self.table], memory: BuildMemory.Estimate.compression
    ) { context throws(BuildError) in try make(context) }
  }

  private func make(_ context: borrowing StepContext) throws(BuildError) {
    let image: String
    switch source {
    case .step(let input): image = try context.input(input.step, input.file)
    case .file(let path, _): image = path
    }
    var known: (path: String, table: BlockTable)?
    if let base {
      known = (try context.input(base, Self.blocks), try Self.table(try context.input(base, Self.table)))
    }
    try compress(image, known, context)
    guard case .file(_, let digest) = source else { return }
    // The result is kept under the digest that the file had as the build began.
    context.progress("checking")
    let now = try attempt("\(title): cannot read \(image)") { () throws(SystemError) in
      try FileDigest.chunked(image)
    }
    guard now.description == digest else { throw changed(image) }
  }

  /// Reads the table that a step made.
  static func table(_ path: String) throws(BuildError) -> BlockTable {
    let text = try attempt("cannot read a result") { () throws(SystemError) in try Files.readText(path) }
    guard let table = BlockTable(text: text) else {
      throw BuildError(.content, "\(path) is no list of blocks", hint: "remove it: roost cache verify")
    }
    return table
  }

  /// A block of an image that is not all zeros.
  private struct Found {
    /// How many come before it, with those of zeros.
    let index: Int
    let digest: SHA256.Digest
    /// Where it is compressed already; nil where it is to be.
    let known: (offset: Int, word: SquashfsFile.SizeWord)?
  }

  private func compress(
    _ image: String, _ known: (path: String, table: BlockTable)?, _ context: borrowing StepContext
  ) throws(BuildError) {
    context.progress("comparing")
    let fresh = "\(context.scratch)/fresh"
    let places = known?.table.places ?? [:]
    var found: [Found] = []
    let count = try split(image, fresh, context.cancellation) { index, digest in
      found.append(Found(index: index, digest: digest, known: places[digest]))
    } isWanted: {
      places[$0] == nil
    }
    let compressed = try compress(fresh, context)
    let output = "\(context.output)/\(Self.blocks)"
    var table = BlockTable()
    var (next, position) = (0, compressed.start)
    var pieces: [(isKnown: Bool, offset: Int, bytes: Int)] = []
    for block in found {
      let (offset, word): (Int, SquashfsFile.SizeWord)
      if let known = block.known {
        (offset, word) = known
      } else {
        guard next < compressed.words.count else {
          throw BuildError(.content, "\(title): mksquashfs made fewer blocks than it was given")
        }
        (offset, word) = (position, compressed.words[next])
        next += 1
        position += word.bytes
      }
      table.appendHoles(block.index - table.count)
      table.append(block.digest, word)
      let isKnown = block.known != nil
      if let last = pieces.last, last.isKnown == isKnown, last.offset + last.bytes == offset {
        pieces[pieces.count - 1].bytes += word.bytes
      } else {
        pieces.append((isKnown, offset, word.bytes))
      }
    }
    table.appendHoles(count - table.count)
    let (text, list) = (table.text, pieces)
    let target = "\(context.output)/\(Self.table)"
    let sources = (known: known?.path ?? "/dev/null", fresh: compressed.path)
    try attempt("\(title): cannot write its compressed blocks") { () throws(SystemError) in
      let file = try FileDescriptor(opening: output, [.readWrite, .create, .truncate])
      let known = try FileDescriptor(opening: sources.known)
      let fresh = try FileDescriptor(opening: sources.fresh)
      for piece in list {
        if piece.isKnown {
          try file.append(piece.bytes, of: known, at: piece.offset)
        } else {
          try file.append(piece.bytes, of: fresh, at: piece.offset)
        }
      }
      try Files.write(text, to: target)
    }
  }

  /// Goes through the blocks of an image in their order, and tells of those that are not all zeros; of these, those that are
  /// wanted go to `fresh`, one after the other. The last one is filled up with zeros. What is a hole of the file is not read.
  ///
  /// - Returns: how many blocks there are.
  private func split(
    _ image: String, _ fresh: String, _ cancellation: Cancellation, _ tell: (Int, SHA256.Digest) -> Void,
    isWanted: (SHA256.Digest) -> Bool
  ) throws(BuildError) -> Int {
    let size = compression.blockBytes
    let doing = "\(title): cannot read \(image)"
    let file = try attempt(doing) { () throws(SystemError) in try FileDescriptor(opening: image) }
    let target = try attempt("\(title): cannot write what is to be compressed") { () throws(SystemError) in
      try FileDescriptor(opening: fresh, [.readWrite, .create, .truncate])
    }
    let length = try attempt(doing) { () throws(SystemError) in try file.length() }
    guard length > 0 else {
      throw BuildError(.badFile, "\(title): \(image) is empty", hint: "name another file in the recipe")
    }
    var data = 0..<0
    var isShort = false
    var start = 0
    while start < length, !isShort {
      try cancellation.check()
      do throws(SystemError) {
        if data.upperBound <= start {
          guard let next = try file.data(from: start) else { break }
          data = next
        }
        guard data.lowerBound < start + size else {
          start = data.lowerBound / size * size
          continue
        }
        let wanted = min(size, length - start)
        var bytes: [UInt8] = []
        while bytes.count < wanted {
          let more = try file.read(upTo: wanted - bytes.count, at: start + bytes.count)
          if more.isEmpty { break }
          bytes += more
        }
        isShort = bytes.count < wanted
        if !isShort, !bytes.allSatisfy({ $0 == 0 }) {
          bytes += [UInt8](repeating: 0, count: size - bytes.count)
          let digest = SHA256.hash(bytes)
          if isWanted(digest) { try target.writeAll(bytes) }
          tell(start / size, digest)
        }
        start += size
      } catch {
        throw BuildError(error, doing)
      }
    }
    if isShort { throw changed(image) }
    return (length + size - 1) / size
  }

  private func changed(_ image: String) -> BuildError {
    BuildError(.badFile, "\(title): \(image) changed while it was read", hint: "build again when it is at rest")
  }

  /// Has mksquashfs compress all blocks of a file.
  private func compress(
    _ fresh: String, _ context: borrowing StepContext
  ) throws(BuildError) -> (path: String, start: Int, words: [SquashfsFile.SizeWord]) {
    let size = try attempt("cannot read \(fresh)") { () throws(SystemError) in try Files.status(fresh)?.size ?? 0 }
    guard size > 0 else { return ("/dev/null", 0, []) }
    context.progress("compressing \((size + (1 << 20) - 1) >> 20) MiB")
    let path = "\(context.scratch)/fresh.squashfs"
    let contents = try compression.compress(fresh, to: path, context, doing: "\(title): cannot compress it")
    return (path, contents.start, contents.words)
  }
}
