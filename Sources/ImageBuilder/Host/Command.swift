internal import Platform

/// A program of the host, run to its end.
///
/// It gets a fixed environment, so that the user's locale, time zone or settings do not change what it makes.
struct Command: Sendable {
  /// Program and arguments; the program is found in PATH and in the system's own directories.
  var arguments: [String]
  /// Variables beside the fixed ones.
  var environment: [String: String] = [:]
  /// Working directory.
  var directory: String?
  /// Seconds from the epoch that tools write instead of now.
  var epoch: Int?

  init(_ arguments: [String], environment: [String: String] = [:], directory: String? = nil, epoch: Int? = nil) {
    self.arguments = arguments
    self.environment = environment
    self.directory = directory
    self.epoch = epoch
  }

  /// What a program printed and how it ended.
  struct Outcome: Sendable {
    let status: ExitStatus
    /// Everything on both outputs, in the order it came.
    let text: String
  }

  /// Variables that reach the programs from the user: where the network is.
  private static let passed = [
    "http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "USER", "LOGNAME",
  ]

  /// Directories that have tools, beside those of PATH.
  static let systemDirectories = ["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin", "/bin"]

  static var searchPath: [String] {
    var directories = (ProcessEnvironment.value("PATH") ?? "").split(separator: ":").map(String.init)
    for directory in systemDirectories where !directories.contains(directory) { directories.append(directory) }
    return directories
  }

  /// Where `tool` is; nil when the host has none.
  static func find(_ tool: String) -> String? {
    searchPath.map { "\($0)/\(tool)" }.first { Files.exists($0) }
  }

  private var fullEnvironment: [String] {
    var variables = [
      "PATH": Self.searchPath.joined(separator: ":"), "LC_ALL": "C.UTF-8", "TZ": "UTC", "TERM": "dumb",
      "HOME": ProcessEnvironment.value("HOME") ?? "/", "DEBIAN_FRONTEND": "noninteractive",
    ]
    for name in Self.passed {
      if let value = ProcessEnvironment.value(name) { variables[name] = value }
    }
    if let epoch {
      variables["SOURCE_DATE_EPOCH"] = "\(epoch)"
      // e2fsprogs before 1.47.1 knows this one only.
      variables["E2FSPROGS_FAKE_TIME"] = "\(epoch)"
    }
    variables.merge(environment) { $1 }
    return variables.map { "\($0.key)=\($0.value)" }.sorted()
  }

  /// Runs it to its end. Everything it prints goes to the file `log` too, and line by line to `onLine`.
  func run(
    cancellation: Cancellation, log: String? = nil, onLine: (String) -> Void = { _ in }
  ) throws(BuildError) -> Outcome {
    var request = ChildRequest(arguments)
    if let first = arguments.first, !first.contains("/") {
      guard let program = Self.find(first) else { throw Tool.missing(first) }
      request.arguments[0] = program
    }
    request.environment = fullEnvironment
    request.directory = directory
    let tool = arguments.first ?? ""
    return try attemptRun(request, tool, cancellation, log, onLine)
  }

  private func attemptRun(
    _ request: ChildRequest, _ tool: String, _ cancellation: Cancellation, _ log: String?, _ onLine: (String) -> Void
  ) throws(BuildError) -> Outcome {
    var request = request
    let output = try attempt("cannot run \(tool)") { () throws(SystemError) in try Pipe() }
    let nothing = try attempt("cannot run \(tool)") { () throws(SystemError) in
      try FileDescriptor(opening: "/dev/null", .readWrite)
    }
    request.descriptors = [nothing.rawValue, output.writer.rawValue, output.writer.rawValue]
    let child = try cancellation.start(request)
    var collector = OutputCollector(log: log, title: arguments)
    let status = try follow(child, output, cancellation) { bytes in collector.take(bytes, onLine) }
    collector.finish(onLine)
    try cancellation.check()
    return Outcome(status: status, text: collector.text)
  }

  /// Reads until the child ended; one that ignores a cancellation for ten seconds is killed with its group.
  private func follow(
    _ child: ChildProcess, _ output: borrowing Pipe, _ cancellation: Cancellation, _ take: ([UInt8]) -> Void
  ) throws(BuildError) -> ExitStatus {
    var deadline: UInt64?
    do throws(SystemError) {
      try output.reader.setNonBlocking(true)
      let poller = try Poller()
      try poller.add(output.reader.rawValue, .readable, token: 1)
      let started = MonotonicClock.now()
      while true {
        let isYoung = MonotonicClock.now() - started < 300_000_000
        if !(try poller.wait(timeout: isYoung ? 5 : 50)).isEmpty {
          take(try output.reader.read(upTo: 1 << 16))
        } else if let status = try? cancellation.poll(child) {
          while !(try poller.wait(timeout: 0)).isEmpty { take(try output.reader.read(upTo: 1 << 16)) }
          return status
        }
        if cancellation.isCancelled {
          let now = MonotonicClock.now()
          if let limit = deadline, now > limit { try? child.signalGroup(Signal.kill) }
          if deadline == nil { deadline = now + 10_000_000_000 }
        }
      }
    } catch {
      try? child.signalGroup(Signal.kill)
      while (try? cancellation.poll(child)) == .some(nil) { MonotonicClock.sleep(milliseconds: 5) }
      throw BuildError(error, "cannot read what \(arguments.first ?? "a program") prints")
    }
  }
}

/// Cuts output into lines, keeps all of it, and writes it to a file.
private struct OutputCollector: ~Copyable {
  private(set) var text = ""
  private var partial: [UInt8] = []
  private let file: FileDescriptor?

  init(log: String?, title: [String]) {
    file = log.flatMap { try? FileDescriptor(opening: $0, [.writeOnly, .create, .append]) }
    try? file?.writeAll(Array("+ \(title.joined(separator: " "))\n".utf8))
  }

  mutating func take(_ bytes: [UInt8], _ onLine: (String) -> Void) {
    try? file?.writeAll(bytes)
    for byte in bytes {
      if byte == 10 || byte == 13 {
        finish(onLine)
      } else {
        partial.append(byte)
      }
    }
  }

  mutating func finish(_ onLine: (String) -> Void) {
    guard !partial.isEmpty else { return }
    let line = String(decoding: partial, as: UTF8.self)
    partial.removeAll(keepingCapacity: true)
    text += line + "\n"
    onLine(line)
  }
}
