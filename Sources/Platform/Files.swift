internal import CLinux
internal import Glibc

/// What a path names.
public enum FileKind: Sendable, Hashable {
  case regular, directory, symbolicLink, blockDevice, characterDevice, fifo, socket
}

/// What stat(2) says.
public struct FileStatus: Sendable, Hashable {
  /// What is there.
  public let kind: FileKind
  /// Permission bits with set-id and sticky bits, 12 bits.
  public let permissions: UInt32
  /// User id.
  public let owner: UInt32
  /// Group id.
  public let group: UInt32
  /// Bytes.
  public let size: Int
  /// Whole seconds since 1970.
  public let modified: Int
  /// Device number of a device node.
  public let device: UInt64
  /// Inode number, unique within its file system.
  public let inode: UInt64
  /// Device number of the file system that it is in.
  public let fileSystem: UInt64

  fileprivate init(_ raw: stat) {
    kind =
      switch raw.st_mode & S_IFMT {
      case S_IFDIR: .directory
      case S_IFLNK: .symbolicLink
      case S_IFBLK: .blockDevice
      case S_IFCHR: .characterDevice
      case S_IFIFO: .fifo
      case S_IFSOCK: .socket
      default: .regular
      }
    permissions = raw.st_mode & 0o7777
    owner = raw.st_uid
    group = raw.st_gid
    size = raw.st_size
    modified = raw.st_mtim.tv_sec
    device = UInt64(raw.st_rdev)
    inode = UInt64(raw.st_ino)
    fileSystem = UInt64(raw.st_dev)
  }
}

extension FileDescriptor {
  /// What is open.
  public func status() throws(SystemError) -> FileStatus {
    var raw = stat()
    // SAFETY: the structure lives for the call.
    try systemCall("stat") { unsafe fstat(rawValue, &raw) }
    return FileStatus(raw)
  }
}

/// Whole-path operations on files. Every function throws what the kernel said, with the path.
public enum Files {
  /// The whole file, which may be one of /proc or /sys.
  public static func read(_ path: String) throws(SystemError) -> [UInt8] {
    do throws(SystemError) {
      return try FileDescriptor(opening: path).readToEnd()
    } catch {
      throw SystemError(error.operation, path: path, errno: error.errno)
    }
  }

  /// The whole file as text; bytes that are not UTF-8 are replaced.
  public static func readText(_ path: String) throws(SystemError) -> String {
    String(decoding: try read(path), as: UTF8.self)
  }

  /// Writes in place: for files of /proc and /sys, and where nobody else reads.
  public static func write(_ bytes: [UInt8], to path: String, permissions: UInt32 = 0o644) throws(SystemError) {
    do throws(SystemError) {
      try FileDescriptor(opening: path, [.writeOnly, .create, .truncate], permissions: permissions).writeAll(bytes)
    } catch {
      throw SystemError(error.operation, path: path, errno: error.errno)
    }
  }

  /// Writes text in place.
  public static func write(_ text: String, to path: String, permissions: UInt32 = 0o644) throws(SystemError) {
    try write(Array(text.utf8), to: path, permissions: permissions)
  }

  /// Replaces `path` so that a reader, a crash or a full disk sees the old file or the new one, never half:
  /// writes beside it, syncs, renames. `part` is what it is called until then; nil for a name of this process's.
  public static func replace(
    _ path: String, with bytes: [UInt8], permissions: UInt32 = 0o644, through part: String? = nil
  ) throws(SystemError) {
    let temporary = part ?? "\(path).\(getpid()).new"
    do throws(SystemError) {
      let file = try FileDescriptor(
        opening: temporary, [.writeOnly, .create, .truncate], permissions: permissions)
      try file.writeAll(bytes)
      try file.synchronize()
      try rename(temporary, to: path)
    } catch {
      try? remove(temporary)
      throw error.path == nil ? SystemError(error.operation, path: path, errno: error.errno) : error
    }
  }

  /// What `path` is, not following a last symbolic link; nil where there is nothing.
  public static func status(_ path: String, followingLinks: Bool = false) throws(SystemError) -> FileStatus? {
    var raw = stat()
    do throws(SystemError) {
      // SAFETY: the string and the structure live for the call.
      try systemCall("stat", path: path) { unsafe followingLinks ? stat(path, &raw) : lstat(path, &raw) }
    } catch {
      if error.errno == .noSuchFile || error.errno == .notDirectory { return nil }
      throw error
    }
    return FileStatus(raw)
  }

  /// Bytes that a file takes on its file system, without its holes; of a folder those of all that is in it. Links are not
  /// followed, and what cannot be looked at is nothing.
  public static func allocated(_ path: String) -> Int {
    var raw = stat()
    // SAFETY: the string and the structure live for the call.
    guard unsafe lstat(path, &raw) == 0 else { return 0 }
    // In units of 512 bytes, whatever the file system's blocks are (stat(3type)).
    guard raw.st_mode & S_IFMT == S_IFDIR else { return Int(raw.st_blocks) * 512 }
    return ((try? list(path)) ?? []).reduce(0) { $0 + allocated("\(path)/\($1)") }
  }

  /// True when there is something at `path`, links followed.
  public static func exists(_ path: String) -> Bool {
    // SAFETY: the C string lives for the call.
    unsafe access(path, F_OK) == 0
  }

  /// Names in a directory, sorted by bytes, without `.` and `..`.
  public static func list(_ path: String) throws(SystemError) -> [String] {
    // SAFETY: the stream is closed below on every path, and each entry is used before the next read.
    guard let stream = unsafe opendir(path) else {
      throw SystemError("list the directory", path: path, errno: currentErrno())
    }
    defer { _ = unsafe closedir(stream) }
    var names: [String] = []
    while let entry = unsafe readdir(stream) {
      let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) { tuple in
        unsafe tuple.withMemoryRebound(to: CChar.self, capacity: 256) { unsafe String(cString: $0) }
      }
      if name != "." && name != ".." { names.append(name) }
    }
    return names.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
  }

  /// Makes a directory and those above it; one that exists is fine.
  public static func makeDirectories(_ path: String, permissions: UInt32 = 0o755) throws(SystemError) {
    var prefix = path.hasPrefix("/") ? "/" : ""
    for component in path.split(separator: "/") {
      prefix += (prefix.isEmpty || prefix.hasSuffix("/") ? "" : "/") + component
      let here = prefix
      do throws(SystemError) {
        // SAFETY: the C string lives for the call.
        try systemCall("make the directory", path: here) { unsafe mkdir(here, permissions) }
      } catch {
        if error.errno == .exists { continue }
        if error.errno == .readOnlyFileSystem, exists(here) { continue }
        throw error
      }
    }
  }

  /// Removes a file, link, node or empty directory; nothing there is fine.
  public static func remove(_ path: String) throws(SystemError) {
    // SAFETY: the C string lives for the call.
    if unsafe Glibc.remove(path) != 0 {
      let code = currentErrno()
      if code != .noSuchFile { throw SystemError("remove", path: path, errno: code) }
    }
  }

  /// Removes a whole tree, not following links and not crossing into another file system's mount point
  /// (removing that fails with `busy`).
  public static func removeTree(_ path: String) throws(SystemError) {
    guard let status = try status(path) else { return }
    if status.kind == .directory {
      for name in try list(path) { try removeTree("\(path)/\(name)") }
    }
    try remove(path)
  }

  /// Sets a file's times to now.
  public static func touch(_ path: String) throws(SystemError) {
    // SAFETY: the C string lives for the call; no times means now.
    try systemCall("set the times of", path: path) { unsafe utimensat(AT_FDCWD, path, nil, 0) }
  }

  /// Renames, replacing what is at the target.
  public static func rename(_ old: String, to new: String) throws(SystemError) {
    // SAFETY: the C strings live for the call.
    try systemCall("rename to \(new):", path: old) { unsafe Glibc.rename(old, new) }
  }

  /// Gives the file at `path` a second name, `name`, on the same file system (link(2)).
  public static func hardLink(_ path: String, as name: String) throws(SystemError) {
    // SAFETY: the C strings live for the call.
    try systemCall("link to \(name):", path: path) { unsafe Glibc.link(path, name) }
  }

  /// Makes a symbolic link at `path` that points to `target`.
  public static func link(_ path: String, to target: String) throws(SystemError) {
    // SAFETY: the C strings live for the call.
    try systemCall("make the link", path: path) { unsafe symlink(target, path) }
  }

  /// Where a symbolic link points.
  public static func readLink(_ path: String) throws(SystemError) -> String {
    var buffer = [UInt8](repeating: 0, count: 4096)
    // SAFETY: the buffer bounds what is written.
    let count = try systemCall("read the link", path: path) {
      unsafe buffer.withUnsafeMutableBytes { raw in
        guard let start = raw.baseAddress else { return 0 }
        return unsafe readlink(path, start.assumingMemoryBound(to: CChar.self), raw.count)
      }
    }
    return String(decoding: buffer.prefix(count), as: UTF8.self)
  }

  /// The absolute path with all links resolved.
  public static func resolve(_ path: String) throws(SystemError) -> String {
    // SAFETY: realpath returns an allocation that is freed here.
    guard let resolved = unsafe realpath(path, nil) else {
      throw SystemError("resolve", path: path, errno: currentErrno())
    }
    defer { unsafe free(resolved) }
    return unsafe String(cString: resolved)
  }

  /// Sets permission bits.
  public static func setPermissions(_ path: String, _ permissions: UInt32) throws(SystemError) {
    // SAFETY: the C string lives for the call.
    try systemCall("set the permissions of", path: path) { unsafe chmod(path, permissions) }
  }

  /// Sets owner and group; -1 leaves either as it is.
  public static func setOwner(_ path: String, user: Int = -1, group: Int = -1) throws(SystemError) {
    // SAFETY: the C string lives for the call.
    try systemCall("set the owner of", path: path) {
      unsafe chown(path, uid_t(truncatingIfNeeded: user), gid_t(truncatingIfNeeded: group))
    }
  }

  /// Bytes that may still be written to the file system of `path`.
  public static func freeSpace(at path: String) throws(SystemError) -> Int {
    var raw = statvfs()
    // SAFETY: the string and the structure live for the call.
    try systemCall("find the free space of", path: path) { unsafe statvfs(path, &raw) }
    return Int(raw.f_bavail) * Int(raw.f_frsize)
  }

  /// A fresh directory `prefixXXXXXX`, readable by this user only.
  public static func makeTemporaryDirectory(prefix: String) throws(SystemError) -> String {
    var template = Array((prefix + "XXXXXX").utf8CString)
    // SAFETY: mkdtemp writes within the template, which is NUL-terminated.
    let made = unsafe template.withUnsafeMutableBufferPointer { buffer in
      guard let start = buffer.baseAddress else { return false }
      return unsafe mkdtemp(start) != nil
    }
    guard made else { throw SystemError("make a temporary directory", path: prefix, errno: currentErrno()) }
    return String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }
}
