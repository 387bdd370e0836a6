internal import Platform

/// What a port printed: the last 64 KiB in memory, and all of it in a log file that stays below a limit.
struct Recorder: ~Copyable {
  /// Bytes that a new listener gets to see.
  static let historyLimit = 64 << 10
  /// Bytes after which a log becomes `FILE.1` and begins anew.
  static let logLimit = 8 << 20

  private(set) var history: [UInt8] = []
  private let path: String?
  private var file: FileDescriptor?
  private var written = 0  // bytes

  /// Appends to the log at `path`, where one is wanted.
  init(log path: String?) throws(HypervisorError) {
    self.path = path
    guard let path else {
      file = nil
      return
    }
    let opened = try Self.open(path)
    written = (try? opened.length()) ?? 0
    file = consume opened
  }

  private static func open(_ path: String) throws(HypervisorError) -> FileDescriptor {
    do throws(SystemError) {
      return try FileDescriptor(opening: path, [.writeOnly, .create, .append], permissions: 0o640)
    } catch {
      throw HypervisorError(.device, "the log cannot be opened; check the directory", path: path, cause: error)
    }
  }

  /// Takes more output. A log that cannot be written any more is given up, not the guest.
  mutating func append(_ bytes: [UInt8]) {
    history.append(contentsOf: bytes)
    if history.count > Self.historyLimit * 2 { history.removeFirst(history.count - Self.historyLimit) }
    guard let path, file != nil else { return }
    if written + bytes.count > Self.logLimit {
      file = nil
      try? Files.rename(path, to: path + ".1")
      guard let opened = try? Self.open(path) else { return }
      file = consume opened
      written = 0
    }
    do throws(SystemError) {
      try file?.writeAll(bytes)
      written += bytes.count
    } catch {
      file = nil
    }
  }

  /// The last bytes, for a listener that has just come.
  var recent: [UInt8] { Array(history.suffix(Self.historyLimit)) }
}
