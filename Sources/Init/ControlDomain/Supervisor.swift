internal import Platform

/// Starts what the model says and tells it what ended. One thread only: PID 1's.
struct Supervisor {
  private(set) var model: SupervisorModel
  /// Where services that have no terminal write, one file each.
  static let logs = "/var/log/roost/services"
  /// What runs, for people and for `roost`.
  static let status = "/run/roost/services.json"
  /// Bytes after which a log file starts anew; the content so far stays beside it as `.old`.
  private static let logLimit = 4 << 20

  init(_ model: SupervisorModel) {
    self.model = model
  }

  /// Starts what is due.
  mutating func startDue() {
    let due = model.due(at: MonotonicClock.now())
    for start in due {
      do throws(SystemError) {
        let child = try Self.start(start)
        model.started(start, pid: child.pid, at: MonotonicClock.now())
        Log.write("\(start.name): started\(start.isFallback ? " (fallback)" : ""), process \(child.pid)")
      } catch {
        model.failed(start, "\(error)", at: MonotonicClock.now())
        Log.write("\(start.name): \(error)")
      }
    }
    if !due.isEmpty { writeStatus() }
  }

  /// Milliseconds until something is due; -1 for never.
  var timeout: Int32 {
    guard let next = model.nextDue else { return -1 }
    let now = MonotonicClock.now()
    return next <= now ? 0 : Int32(clamping: (next - now) / 1_000_000 + 1)
  }

  /// A process of this machine's ended, which may be a service.
  mutating func ended(_ child: ChildProcess, _ status: ExitStatus) {
    guard let name = model.ended(pid: child.pid, status, at: MonotonicClock.now()) else { return }
    Log.write("\(name): \(status)")
    writeStatus()
  }

  /// Takes over a process that an earlier life of this PID 1 started.
  mutating func adopt(_ name: String, pid: Int32) {
    guard let entry = model.entries.first(where: { $0.service.name == name }) else { return }
    let start = SupervisorModel.Start(
      name: name, command: entry.service.command, terminal: entry.service.terminal, isFallback: false)
    model.started(start, pid: pid, at: MonotonicClock.now())
  }

  func writeStatus() {
    try? Files.replace(Self.status, with: Array(model.json.utf8))
  }

  /// Keeps log files below their limit. Services append, so that cutting a file loses nothing but what is copied.
  static func trimLogs() {
    for name in (try? Files.list(logs)) ?? [] where !name.hasSuffix(".old") { trim("\(logs)/\(name)") }
    trim(Log.file)
  }

  private static func trim(_ path: String) {
    guard let size = (try? Files.status(path))??.size, size > logLimit else { return }
    do throws(SystemError) {
      let file = try FileDescriptor(opening: path, .readWrite)
      try Files.write(try file.read(upTo: logLimit, at: max(0, size - logLimit)), to: "\(path).old")
      try file.truncate(to: 0)
    } catch {
      Log.write("cut the log file \(path): \(error)")
    }
  }

  private static func start(_ start: SupervisorModel.Start) throws(SystemError) -> ChildProcess {
    var request = ChildRequest(start.command)
    request.newSession = true
    request.environment = environment(terminal: start.terminal)
    if let terminal = start.terminal {
      let file = try FileDescriptor(opening: terminal, [.readWrite, .noControllingTerminal])
      request.descriptors = [file.rawValue, file.rawValue, file.rawValue]
      request.controllingTerminal = true
      return try ChildProcess.start(request)
    }
    let null = try FileDescriptor(opening: "/dev/null", .readWrite)
    do throws(SystemError) {
      let log = try FileDescriptor(opening: "\(logs)/\(start.name).log", [.writeOnly, .create, .append])
      request.descriptors = [null.rawValue, log.rawValue, log.rawValue]
      return try ChildProcess.start(request)
    } catch {
      // A full or missing log directory must not stop the service; a missing program is told by the second try.
      request.descriptors = [null.rawValue, null.rawValue, null.rawValue]
      return try ChildProcess.start(request)
    }
  }

  static func environment(terminal: String?) -> [String] {
    var list = [
      "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8",
      "USER=root", "LOGNAME=root",
    ]
    if let terminal { list.append("TERM=\(terminal.hasPrefix("/dev/ttyS") ? "vt220" : "linux")") }
    return list
  }
}

extension Supervisor {
  /// A supervisor of `services` that goes on where the earlier life that wrote the file `handover` stopped.
  init(services: [Service], handover: String?) throws(SystemError) {
    do throws(ServicePlanError) {
      self.init(try SupervisorModel(services))
    } catch {
      throw SystemError("order the services (\(error))", errno: .invalidArgument)
    }
    guard let handover, let text = try? Files.readText(handover) else { return }
    for line in text.split(separator: "\n") {
      let words = line.split(separator: " ")
      guard words.count == 2 else { continue }
      let name = String(words[0])
      // Process 0 says that it ran once and ended; a process that ended meanwhile is reaped like any other.
      guard let pid = Int32(words[1]), pid == 0 || Files.exists("/proc/\(pid)") else { continue }
      adopt(name, pid: pid)
      if pid == 0 { model.ended(pid: 0, .exited(0), at: MonotonicClock.now()) }
    }
    writeStatus()
  }

  /// What a next life needs to know: a line `name pid` for each service that runs, `name 0` for one that ended.
  var handover: String {
    model.entries.map { entry in
      switch entry.state {
      case .running(let pid, _): "\(entry.service.name) \(pid)\n"
      case .ended: "\(entry.service.name) 0\n"
      case .waiting, .delayed: ""
      }
    }.joined()
  }
}
