internal import CArchive
internal import Platform

/// Writes an archive through libarchive, all members with one time.
///
/// Confined to the thread that made it.
@safe
final class ArchiveWriter {
  /// What is written.
  enum Format {
    /// Tar with pax headers where a member needs them.
    case tar
    /// The cpio that Linux unpacks as its initramfs ("newc").
    case newc
  }

  private let archive: OpaquePointer
  private let path: String
  private let epoch: Int
  private var inode: Int64 = 0
  private var isOpen = true

  /// Creates the file.
  init(_ path: String, _ format: Format, epoch: Int) throws(BuildError) {
    ArchiveNames.areUTF8()
    self.path = path
    self.epoch = epoch
    // SAFETY: the handle is freed in deinit, once; the path's C string lives for the call that takes it.
    guard let archive = unsafe archive_write_new() else { throw BuildError(.system, "no memory to write \(path)") }
    unsafe self.archive = archive
    switch format {
    case .tar: unsafe archive_write_set_format_pax_restricted(archive)
    case .newc: unsafe archive_write_set_format_cpio_newc(archive)
    }
    unsafe archive_write_add_filter_none(archive)
    unsafe archive_write_set_bytes_per_block(archive, 1 << 20)
    unsafe archive_write_set_bytes_in_last_block(archive, 512)
    guard unsafe archive_write_open_filename(archive, path) == ARCHIVE_OK else { throw failure() }
  }

  deinit {
    unsafe archive_write_free(archive)
  }

  /// Writes the end of the archive; what was not finished is not whole.
  func finish() throws(BuildError) {
    // SAFETY: the handle is valid until deinit.
    guard unsafe archive_write_close(archive) == ARCHIVE_OK else { throw failure() }
    isOpen = false
  }

  /// Copies the member that `reader` is at, with its owner, mode and attributes. Of what is `isForeign` those attributes
  /// stay that mean the same in every system.
  func copy(_ reader: ArchiveReader, _ entry: ArchiveEntry, isForeign: Bool = false) throws(BuildError) {
    // SAFETY: the reader's entry lives until its next member is read, which is after this function.
    guard let raw = unsafe reader.rawEntry else { return }
    unsafe setTimes(raw, earliest: true)
    if isForeign { unsafe keepCommonAttributes(raw) }
    // Without the `./` that tools put before names, and mksquashfs refuses.
    unsafe archive_entry_set_pathname(raw, entry.path)
    if case .hardLink(let target) = entry.kind { unsafe archive_entry_set_hardlink(raw, target) }
    guard unsafe archive_write_header(archive, raw) == ARCHIVE_OK else { throw failure() }
    guard entry.kind == .file, entry.size > 0 else { return }
    while true {
      let bytes = try reader.read(upTo: 1 << 20)
      if bytes.isEmpty { return }
      try write(bytes)
    }
  }

  /// Leaves an entry its capabilities and what users said of it: no labels, access lists, flags.
  @unsafe
  private func keepCommonAttributes(_ raw: OpaquePointer) {
    var kept: [(name: String, value: [UInt8])] = []
    // SAFETY: the caller's entry is valid; names and values live until the attributes are cleared, and are copied before.
    unsafe archive_entry_xattr_reset(raw)
    var name: UnsafePointer<CChar>?
    var value: UnsafeRawPointer?
    var size = 0
    while unsafe archive_entry_xattr_next(raw, &name, &value, &size) == ARCHIVE_OK {
      guard let text = unsafe name.map({ unsafe String(cString: $0) }), let value = unsafe value else { continue }
      if text == "security.capability" || text.hasPrefix("user.") {
        kept.append((text, unsafe [UInt8](UnsafeRawBufferPointer(start: value, count: size))))
      }
    }
    unsafe archive_entry_xattr_clear(raw)
    unsafe archive_entry_acl_clear(raw)
    unsafe archive_entry_set_fflags(raw, 0, 0)
    unsafe archive_entry_sparse_clear(raw)
    for (name, value) in kept {
      unsafe value.withUnsafeBytes { unsafe archive_entry_xattr_add_entry(raw, name, $0.baseAddress, $0.count) }
    }
  }

  /// Writes a new member, owned by root.
  func add(_ entry: TreeEntry) throws(BuildError) {
    // SAFETY: the entry is freed on every path; the C strings live for the calls that take them, which copy them.
    guard let raw = unsafe archive_entry_new() else { throw BuildError(.system, "no memory to write \(path)") }
    defer { unsafe archive_entry_free(raw) }
    let size = try entry.size
    unsafe archive_entry_set_pathname(raw, entry.path)
    unsafe archive_entry_set_perm(raw, mode_t(entry.permissions))
    unsafe archive_entry_set_uid(raw, Int64(entry.owner))
    unsafe archive_entry_set_gid(raw, Int64(entry.group))
    inode += 1
    unsafe archive_entry_set_ino64(raw, inode)
    unsafe archive_entry_set_nlink(raw, 1)
    switch entry.content {
    case .bytes, .file:
      unsafe archive_entry_set_filetype(raw, 0o100000)
    case .directory:
      unsafe archive_entry_set_filetype(raw, 0o040000)
      unsafe archive_entry_set_nlink(raw, 2)
    case .link(let target):
      unsafe archive_entry_set_filetype(raw, 0o120000)
      unsafe archive_entry_set_symlink(raw, target)
    case .hardLink(let target):
      unsafe archive_entry_set_filetype(raw, 0o100000)
      unsafe archive_entry_set_hardlink(raw, target)
    case .device(let major, let minor):
      unsafe archive_entry_set_filetype(raw, 0o020000)
      unsafe archive_entry_set_rdevmajor(raw, dev_t(major))
      unsafe archive_entry_set_rdevminor(raw, dev_t(minor))
    }
    unsafe archive_entry_set_size(raw, Int64(size))
    unsafe setTimes(raw, earliest: false)
    guard unsafe archive_write_header(archive, raw) == ARCHIVE_OK else { throw failure() }
    switch entry.content {
    case .bytes(let bytes): try write(bytes)
    case .file(let host): try write(contentOf: host, size: size, entry)
    default: break
    }
  }

  /// Writes the content of a file of the host, piece by piece.
  private func write(contentOf host: String, size: Int, _ entry: TreeEntry) throws(BuildError) {
    let doing = "cannot add \(entry.path)"
    let file = try attempt(doing) { () throws(SystemError) in try FileDescriptor(opening: host) }
    var done = 0
    while done < size {
      let bytes = try attempt(doing) { () throws(SystemError) in
        try file.read(upTo: min(1 << 20, size - done), at: done)
      }
      guard !bytes.isEmpty else {
        throw BuildError(.badFile, "\(doing): \(host) became shorter meanwhile", hint: "build again")
      }
      try write(bytes)
      done += bytes.count
    }
  }

  @unsafe
  private func setTimes(_ raw: OpaquePointer, earliest: Bool) {
    // SAFETY: the caller's entry is valid.
    let time = unsafe earliest ? min(Int(archive_entry_mtime(raw)), epoch) : epoch
    unsafe archive_entry_set_mtime(raw, time, 0)
    unsafe archive_entry_unset_atime(raw)
    unsafe archive_entry_unset_ctime(raw)
    unsafe archive_entry_unset_birthtime(raw)
  }

  private func write(_ bytes: [UInt8]) throws(BuildError) {
    var done = 0
    while done < bytes.count {
      // SAFETY: the buffer is valid for the call, and its count bounds what is read.
      let taken = unsafe bytes[done...].withUnsafeBytes {
        unsafe archive_write_data(archive, $0.baseAddress, $0.count)
      }
      guard taken > 0 else { throw failure() }
      done += Int(taken)
    }
  }

  private func failure() -> BuildError {
    // SAFETY: the error string lives until the next call on the handle, and is copied here.
    let text = unsafe archive_error_string(archive).map { unsafe String(cString: $0) } ?? "unknown error"
    let code = unsafe archive_errno(archive)
    return code == Errno.noSpace.rawValue || code == Errno.fileTooLarge.rawValue
      ? BuildError(SystemError("write", path: path, errno: Errno(rawValue: code)), "cannot write an archive")
      : BuildError(.system, "cannot write the archive \(path): \(text)")
  }
}
