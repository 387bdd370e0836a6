internal import Platform

/// What a port printed: the last 64 KiB in memory, and all of it in a log file that stays below a limit.
///
/// Both files are open from the beginning: in a jail there are no paths.
struct Recorder: ~Copyable {
  /// Bytes that a new listener gets to see.
  static let historyLimit = 64 << 10
  /// Bytes after which a log's content becomes that of `FILE.1`, and it begins anew.
  static let logLimit = 8 << 20
  /// Bytes that are copied at a time.
  private static let copyLimit = 256 << 10

  private(set) var history: [UInt8] = []
  private var files: LogFiles?
  private var written = 0  // bytes

  /// The log, and what was in it before.
  private struct LogFiles: ~Copyable {
    let log: FileDescriptor
    let old: FileDescriptor
  }

  /// Appends to the log at `path`, where one is wanted.
  init(log path: String?) throws(HypervisorError) {
    guard let path else {
      files = nil
      return
    }
    let opened = LogFiles(log: try Self.open(path, .append), old: try Self.open(path + ".1"))
    written = (try? opened.log.length()) ?? 0
    files = consume opened
  }

  private static func open(_ path: String, _ mode: OpenMode = []) throws(HypervisorError) -> FileDescriptor {
    do throws(SystemError) {
      return try FileDescriptor(opening: path, mode.union([.readWrite, .create]), permissions: 0o640)
    } catch {
      throw HypervisorError(.device, "the log cannot be opened; check the directory", path: path, cause: error)
    }
  }

  /// Takes more output. A log that cannot be written any more is given up, not the guest.
  mutating func append(_ bytes: [UInt8]) {
    history.append(contentsOf: bytes)
    if history.count > Self.historyLimit * 2 { history.removeFirst(history.count - Self.historyLimit) }
    guard let files = files.take() else { return }
    do throws(SystemError) {
      if written + bytes.count > Self.logLimit {
        try Self.rotate(files.log, into: files.old)
        written = 0
      }
      try files.log.writeAll(bytes)
      written += bytes.count
      self.files = consume files
    } catch {
      // It stays given up.
    }
  }

  /// Moves what is in the log. Who reads it meanwhile finds some of it twice.
  private static func rotate(
    _ log: borrowing FileDescriptor, into old: borrowing FileDescriptor
  ) throws(SystemError) {
    try old.truncate(to: 0)
    var offset = 0
    while true {
      let bytes = try log.read(upTo: copyLimit, at: offset)
      if bytes.isEmpty { break }
      try old.writeAll(bytes, at: offset)
      offset += bytes.count
    }
    try log.truncate(to: 0)
  }

  /// The last bytes, for a listener that has just come.
  var recent: [UInt8] { Array(history.suffix(Self.historyLimit)) }
}
