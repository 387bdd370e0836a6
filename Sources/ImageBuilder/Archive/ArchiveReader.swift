internal import CArchive
internal import Platform

/// Reads an archive, member by member, through libarchive. The archive may be hostile: what it unpacks to is bounded, and
/// paths that lead out of it are refused.
///
/// Confined to the thread that made it.
@safe
final class ArchiveReader {
  /// What a file may be.
  enum Form {
    /// An archive or a disc, packed or not.
    case any
    /// A tar that is not packed.
    case tar
    /// An ISO 9660 image, whatever else it may look like.
    case iso
    /// One packed file, as an archive with one member.
    case packed
    /// The same, packed in one of the ways that OCI images know.
    case layer
  }

  private let archive: OpaquePointer
  private let path: String
  private let limits: ArchiveLimits
  private var entries = 0
  /// Bytes that members say they have, or had.
  private var bytes = 0
  /// Bytes that were read of members, whatever those say.
  private var delivered = 0
  /// The current member in libarchive's own form; it lives until the next member is read.
  @unsafe private(set) var rawEntry: OpaquePointer?

  /// Opens an archive file. `name` is what messages call it; its path, if left out.
  init(
    _ path: String, _ form: Form = .any, called name: String? = nil, limits: ArchiveLimits = .standard
  ) throws(BuildError) {
    self.path = name ?? "the archive \(path)"
    self.limits = limits
    unsafe archive = try Self.handle(form, path)
    // SAFETY: the path's C string lives for the call that takes it.
    guard unsafe archive_read_open_filename(archive, path, form == .iso ? 1 << 16 : 1 << 20) == ARCHIVE_OK else {
      throw failure("open")
    }
  }

  /// A handle for files of that form, which the caller frees, once.
  private static func handle(_ form: Form, _ name: String) throws(BuildError) -> OpaquePointer {
    ArchiveNames.areUTF8()
    guard let archive = unsafe archive_read_new() else { throw BuildError(.system, "no memory to read \(name)") }
    unsafe prepare(archive, form)
    return unsafe archive
  }

  /// Says what is understood. libarchive knows more: a format whose members are files of this machine (mtree), and ways of
  /// packing for which it runs programs (lrzip, lzop, grzip).
  @unsafe
  private static func prepare(_ archive: OpaquePointer, _ form: Form) {
    // SAFETY: the caller's handle is valid.
    switch form {
    case .any:
      unsafe archive_read_support_format_tar(archive)
      unsafe archive_read_support_format_cpio(archive)
      unsafe archive_read_support_format_zip(archive)
      unsafe archive_read_support_format_7zip(archive)
      unsafe archive_read_support_format_ar(archive)
      unsafe archive_read_support_format_iso9660(archive)
    case .tar: unsafe archive_read_support_format_tar(archive)
    case .iso: unsafe archive_read_support_format_iso9660(archive)
    case .packed, .layer: unsafe archive_read_support_format_raw(archive)
    }
    switch form {
    case .tar, .iso: return
    case .layer: break
    case .any, .packed:
      unsafe archive_read_support_filter_bzip2(archive)
      unsafe archive_read_support_filter_compress(archive)
      unsafe archive_read_support_filter_lz4(archive)
      unsafe archive_read_support_filter_lzip(archive)
      unsafe archive_read_support_filter_lzma(archive)
      unsafe archive_read_support_filter_xz(archive)
    }
    unsafe archive_read_support_filter_gzip(archive)
    unsafe archive_read_support_filter_zstd(archive)
  }

  /// Opens one compressed file as an archive with one member.
  init(
    compressed bytes: [UInt8], name: String, limits: ArchiveLimits = .standard
  ) throws(BuildError) {
    path = "the archive \(name)"
    self.limits = limits
    unsafe archive = try Self.handle(.packed, name)
    // SAFETY: libarchive reads from `retained` until the handle is freed; deinit frees both, the handle first.
    let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: max(bytes.count, 1), alignment: 16)
    unsafe copy.copyBytes(from: bytes)
    unsafe retained = copy
    guard unsafe archive_read_open_memory(archive, copy.baseAddress, bytes.count) == ARCHIVE_OK else {
      throw failure("open")
    }
  }

  @unsafe private var retained: UnsafeMutableRawBufferPointer?

  deinit {
    unsafe archive_read_free(archive)
    unsafe retained?.deallocate()
  }

  /// The next member; nil at the end.
  func next() throws(BuildError) -> ArchiveEntry? {
    // SAFETY: libarchive fills in the entry's pointer and keeps the entry until the next call.
    let code = unsafe archive_read_next_header(archive, &rawEntry)
    if code == ARCHIVE_EOF { return nil }
    guard code == ARCHIVE_OK || code == ARCHIVE_WARN, let entry = unsafe rawEntry else { throw failure("read") }
    let name = unsafe string(archive_entry_pathname_utf8(entry)) ?? string(archive_entry_pathname(entry)) ?? ""
    let kind: ArchiveEntry.Kind
    if let target = unsafe string(archive_entry_hardlink(entry)) {
      kind = .hardLink(TreePath.normalised(target))
    } else {
      kind =
        switch unsafe Int32(bitPattern: UInt32(archive_entry_filetype(entry))) {
        case 0o100000: .file
        case 0o040000: .directory
        case 0o120000: .symbolicLink(unsafe string(archive_entry_symlink(entry)) ?? "")
        default: .other
        }
    }
    let size = unsafe Int(archive_entry_size(entry))
    try count(name, size)
    switch kind {
    case .hardLink(let target): try check(target, "a hard link to")
    // It may lead wherever it likes: who follows it stays in the tree.
    case .symbolicLink(let target) where target.utf8.count > ArchiveLimits.path:
      throw refusal("has a link to '\(Self.shown(target))', which is longer than a path may be")
    default: break
    }
    return ArchiveEntry(
      path: TreePath.normalised(name), kind: kind, permissions: unsafe UInt32(archive_entry_perm(entry)),
      size: size,
      owner: unsafe UInt32(truncatingIfNeeded: archive_entry_uid(entry)),
      group: unsafe UInt32(truncatingIfNeeded: archive_entry_gid(entry)))
  }

  /// The rest of the current member's content, at most `count` bytes; empty at its end.
  func read(upTo count: Int) throws(BuildError) -> [UInt8] {
    var got = 0
    // SAFETY: libarchive writes at most `count` bytes into the buffer.
    let bytes = unsafe [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
      got = unsafe archive_read_data(archive, buffer.baseAddress, count)
      initialized = max(got, 0)
    }
    if got < 0 { throw failure("read") }
    delivered += bytes.count
    try checkBytes()
    return bytes
  }

  /// The current member's whole content.
  func readAll() throws(BuildError) -> [UInt8] {
    var all: [UInt8] = []
    while true {
      let bytes = try read(upTo: 1 << 20)
      if bytes.isEmpty { return all }
      all += bytes
      guard all.count <= limits.memory else {
        throw refusal("has a file of more than \(limits.memory >> 20) MiB where a small one should be")
      }
    }
  }

  /// Writes the rest of the current member's content to `file`; blocks of zeros become holes.
  func copySparsely(
    to file: borrowing FileDescriptor, cancellation: Cancellation, progress: (Int) -> Void = { _ in }
  ) throws(BuildError) {
    let block = 4096
    var position = 0
    while true {
      try cancellation.check()
      let bytes = try read(upTo: 1 << 20)
      if bytes.isEmpty { break }
      var start = 0
      while start < bytes.count {
        let end = min(start + block - (position + start) % block, bytes.count)
        let piece = bytes[start..<end]
        if piece.contains(where: { $0 != 0 }) {
          let offset = position + start
          try attempt("cannot unpack \(path)") { () throws(SystemError) in
            try file.writeAll(Array(piece), at: offset)
          }
        }
        start = end
      }
      position += bytes.count
      progress(position)
    }
    let length = position
    try attempt("cannot unpack \(path)") { () throws(SystemError) in try file.truncate(to: length) }
  }

  /// Decompresses a file's content; what is not compressed stays as it is.
  static func decompress(_ bytes: [UInt8], name: String) throws(BuildError) -> [UInt8] {
    let reader = try ArchiveReader(compressed: bytes, name: name)
    guard try reader.next() != nil else { return [] }
    return try reader.readAll()
  }

  /// Counts a member that says it has `size` bytes, before any of it is unpacked.
  private func count(_ name: String, _ size: Int) throws(BuildError) {
    entries += 1
    guard entries <= limits.entries else {
      throw refusal("has more than \(limits.entries) files and folders")
    }
    let (sum, overflow) = bytes.addingReportingOverflow(max(size, 0))
    guard !overflow else { throw tooLarge }
    bytes = sum
    try checkBytes()
    try check(name, "the path")
  }

  private func checkBytes() throws(BuildError) {
    // SAFETY: the handle is valid until deinit. The last filter is the file itself, the first what is unpacked. Formats
    // that pack each member by itself, as zip does, unpack behind them all.
    let (packed, filtered) = unsafe (Int(archive_filter_bytes(archive, -1)), Int(archive_filter_bytes(archive, 0)))
    let unpacked = max(filtered, delivered)
    let most = max(bytes, unpacked)
    guard most <= limits.bytes else { throw tooLarge }
    guard let ratio = limits.ratio, unpacked > limits.ratioStart, unpacked / max(packed, 1) > ratio else { return }
    throw refusal("unpacks to more than \(ratio) times its size (\(unpacked >> 20) MiB so far)")
  }

  private func check(_ name: String, _ what: String) throws(BuildError) {
    let parts = TreePath.parts(name)
    if parts.contains("..") { throw refusal("has \(what) '\(Self.shown(name))', which leads out of it") }
    guard name.utf8.count <= ArchiveLimits.path, parts.allSatisfy({ $0.utf8.count <= ArchiveLimits.name }) else {
      throw refusal("has \(what) '\(Self.shown(name))', which is longer than a path may be")
    }
  }

  /// A hostile name in a message.
  private static func shown(_ name: String) -> String {
    let text = EscapedText.make(name)
    return text.count <= 80 ? text : "\(text.prefix(80))…"
  }

  private var tooLarge: BuildError { refusal("unpacks to more than \(limits.bytes >> 20) MiB") }

  private func refusal(_ text: String) -> BuildError {
    BuildError(
      .badFile, "\(path) \(text)",
      hint: "nothing of it was kept; if its makers mean no harm, repack what is needed of it")
  }

  private func string(_ text: UnsafePointer<CChar>?) -> String? {
    // SAFETY: libarchive's strings are NUL-terminated and live as long as their entry.
    unsafe text.map { unsafe String(cString: $0) }
  }

  private func failure(_ operation: String) -> BuildError {
    // SAFETY: the error string lives until the next call on the handle, and is copied here.
    let text = unsafe string(archive_error_string(archive)) ?? "unknown error"
    return BuildError(.content, "cannot \(operation) \(path): \(text)")
  }
}
