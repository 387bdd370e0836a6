internal import Binary

/// The tree of an ISO 9660 image, read by libarchive. The image may be hostile: what is read, kept and counted is bounded.
struct ISOFiles {
  /// The files, in the order in which they lie.
  private(set) var files: [ImageReport.File] = []
  /// The first bytes of files that were asked for, by their paths.
  private(set) var contents: [String: [UInt8]] = [:]

  private static let entryLimit = 1 << 16

  /// - Parameters:
  ///   - length: bytes of the volume.
  ///   - digests: whether all files are read, for their digests.
  ///   - wanted: how much of a file to keep, by its path.
  init(
    _ path: String, length: Int, digests: Bool, wanted: [String: Int], cancellation: Cancellation
  ) throws(BuildError) {
    do throws(BuildError) {
      try read(try ArchiveReader(path, .iso), path, length, digests, wanted, cancellation)
    } catch {
      guard error.code == .content else { throw error }
      throw BuildError(
        .badFile, EscapedText.make(error.message), hint: "the image is damaged: fetch or build it again")
    }
  }

  private mutating func read(
    _ reader: ArchiveReader, _ path: String, _ length: Int, _ digests: Bool, _ wanted: [String: Int],
    _ cancellation: Cancellation
  ) throws(BuildError) {
    var known: [String: ImageReport.File] = [:]
    var claimed = 0
    var count = 0
    while let entry = try reader.next() {
      try cancellation.check()
      count += 1
      guard count <= Self.entryLimit else {
        throw BuildError(.content, "\(path) has more than \(Self.entryLimit) files and folders")
      }
      let name = "/\(entry.path)"
      var file = ImageReport.File(path: EscapedText.make(name), bytes: entry.size)
      switch entry.kind {
      case .file:
        let (sum, overflow) = claimed.addingReportingOverflow(max(entry.size, 0))
        // Files may share bytes, as with hard links, but not more than that.
        guard !overflow, entry.size >= 0, entry.size <= length, sum <= 2 * length else {
          throw BuildError(.content, "\(path) says of its files that they have more bytes than there are")
        }
        claimed = sum
        let (start, digest) = try Self.content(reader, entry.size, keeping: wanted[name], digests, path, cancellation)
        contents[name] = start
        file.sha256 = digest
      case .hardLink(let target):
        guard let original = known["/\(target)"] else { continue }
        (file.bytes, file.sha256) = (original.bytes, original.sha256)
        contents[name] = wanted[name] == nil ? nil : contents["/\(target)"]
      default: continue
      }
      known[name] = file
      files.append(file)
    }
  }

  private static func content(
    _ reader: ArchiveReader, _ size: Int, keeping limit: Int?, _ digests: Bool, _ path: String,
    _ cancellation: Cancellation
  ) throws(BuildError) -> (start: [UInt8]?, digest: String?) {
    guard digests || limit != nil else { return (nil, nil) }
    var kept: [UInt8] = []
    var hash = SHA256()
    var done = 0
    while true {
      try cancellation.check()
      let bytes = try reader.read(upTo: 1 << 20)
      if bytes.isEmpty { break }
      done += bytes.count
      guard done <= size else { throw BuildError(.content, "\(path) has a file that is longer than it says") }
      if let limit, kept.count < limit { kept += bytes.prefix(limit - kept.count) }
      if digests { hash.update(bytes) } else if let limit, kept.count >= limit { break }
    }
    return (limit == nil ? nil : kept, digests ? hash.finalize().description : nil)
  }
}
