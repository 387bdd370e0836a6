internal import CArchive
internal import Platform

/// Reads an archive, member by member, through libarchive.
///
/// Confined to the thread that made it.
@safe
final class ArchiveReader {
  private let archive: OpaquePointer
  private let path: String
  /// The current member in libarchive's own form; it lives until the next member is read.
  @unsafe private(set) var rawEntry: OpaquePointer?

  /// Opens an archive file, whatever its format and compression.
  init(_ path: String) throws(BuildError) {
    self.path = path
    // SAFETY: the handle is freed in deinit, once; the path's C string lives for the call that takes it.
    guard let archive = unsafe archive_read_new() else {
      throw BuildError(.system, "no memory to read \(path)")
    }
    unsafe self.archive = archive
    unsafe archive_read_support_format_all(archive)
    unsafe archive_read_support_filter_all(archive)
    guard unsafe archive_read_open_filename(archive, path, 1 << 20) == ARCHIVE_OK else {
      throw failure("open")
    }
  }

  /// Opens an ISO 9660 image, whatever else its file may look like.
  init(iso path: String) throws(BuildError) {
    self.path = path
    // SAFETY: as above.
    guard let archive = unsafe archive_read_new() else { throw BuildError(.system, "no memory to read \(path)") }
    unsafe self.archive = archive
    unsafe archive_read_support_format_iso9660(archive)
    guard unsafe archive_read_open_filename(archive, path, 1 << 16) == ARCHIVE_OK else {
      throw failure("open")
    }
  }

  /// Opens one compressed file of this machine as an archive with one member.
  init(packed path: String) throws(BuildError) {
    self.path = path
    // SAFETY: as above.
    guard let archive = unsafe archive_read_new() else { throw BuildError(.system, "no memory to read \(path)") }
    unsafe self.archive = archive
    unsafe archive_read_support_format_raw(archive)
    unsafe archive_read_support_filter_all(archive)
    guard unsafe archive_read_open_filename(archive, path, 1 << 20) == ARCHIVE_OK else {
      throw failure("open")
    }
  }

  /// Opens one compressed file as an archive with one member.
  init(compressed bytes: [UInt8], name: String) throws(BuildError) {
    path = name
    // SAFETY: libarchive reads from `retained` until the handle is freed; deinit frees both, the handle first.
    guard let archive = unsafe archive_read_new() else { throw BuildError(.system, "no memory to read \(name)") }
    unsafe self.archive = archive
    unsafe archive_read_support_format_raw(archive)
    unsafe archive_read_support_filter_all(archive)
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
      kind = .hardLink(Self.normalise(target))
    } else {
      kind =
        switch unsafe Int32(bitPattern: UInt32(archive_entry_filetype(entry))) {
        case 0o100000: .file
        case 0o040000: .directory
        case 0o120000: .symbolicLink(unsafe string(archive_entry_symlink(entry)) ?? "")
        default: .other
        }
    }
    return ArchiveEntry(
      path: Self.normalise(name), kind: kind, permissions: unsafe UInt32(archive_entry_perm(entry)),
      size: unsafe Int(archive_entry_size(entry)),
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
    return bytes
  }

  /// The current member's whole content.
  func readAll() throws(BuildError) -> [UInt8] {
    var all: [UInt8] = []
    while true {
      let bytes = try read(upTo: 1 << 20)
      if bytes.isEmpty { return all }
      all += bytes
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

  private static func normalise(_ path: String) -> String {
    path.split(separator: "/").filter { $0 != "." }.joined(separator: "/")
  }

  private func string(_ text: UnsafePointer<CChar>?) -> String? {
    // SAFETY: libarchive's strings are NUL-terminated and live as long as their entry.
    unsafe text.map { unsafe String(cString: $0) }
  }

  private func failure(_ operation: String) -> BuildError {
    // SAFETY: the error string lives until the next call on the handle, and is copied here.
    let text = unsafe string(archive_error_string(archive)) ?? "unknown error"
    return BuildError(.content, "cannot \(operation) the archive \(path): \(text)")
  }
}
