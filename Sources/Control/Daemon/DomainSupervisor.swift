internal import FoundationEssentials
internal import Manifest
internal import Platform

/// What a domain finds outside of itself when it starts.
protocol DomainSurroundings: AnyObject {
  /// The loop that all domains share.
  var loop: EventLoop { get }
  /// Tries a start: the command line, or why not (yet).
  func prepare(_ domain: ApplianceManifest.Domain, paths: DomainPaths) -> DomainPreparation
  /// Where a monitor that is to be started joins its domain's control group, whose limits are set; nil for none.
  func controlGroup(of supervisor: DomainSupervisor) -> String?
  /// A running domain has other disks than before.
  func disksChanged(_ supervisor: DomainSupervisor)
  /// A domain's monitor ended.
  func ended(_ supervisor: DomainSupervisor)
  /// A domain is not what it was.
  func changed(_ supervisor: DomainSupervisor)
  /// For the appliance's log.
  func log(_ line: String)
}

/// Outcome of a domain's preparation.
enum DomainPreparation {
  /// The monitor's command line, and the names of the disks on it beside the domain's own.
  case command([String], disks: Set<String>)
  case wait(String)
  case refuse(String)
}

/// Drives one domain: its state machine, its monitor process, and the look at its console until it is ready.
///
/// Lives on the loop's thread.
final class DomainSupervisor {
  /// Pause between tries to reach a console, in seconds.
  private static let consolePause = 0.1

  let domain: ApplianceManifest.Domain
  let paths: DomainPaths
  /// Whether it was made on the fly.
  let isCreated: Bool
  private(set) var machine: DomainMachine
  /// What it may have of memory, is to have, and has.
  let memory: DomainMemory
  private unowned let surroundings: any DomainSurroundings
  private var monitor: Monitor?
  private var console: ConsoleWatch?
  private var consoleTimer: EventLoop.Token?
  private var deadlineTimer: EventLoop.Token?
  private var lastStatus: DomainStatus?
  /// Disks that the running monitor has beside the domain's own.
  private var disks: Set<String> = []
  /// The monitor whose processors are kept still, or are to be.
  private(set) var pausedMonitor: Int32?
  /// True while its user wants it to stand still.
  private(set) var isHeld = false
  /// How many of its processors the running monitor was told to use; nil: those that it starts with.
  private(set) var processors: Int?
  /// The appliance starts, and has not come to this domain yet.
  var isDue = false

  /// A monitor process and the watch for its end.
  private final class Monitor {
    let process: ChildProcess
    let descriptor: ProcessDescriptor
    var token: EventLoop.Token?

    init(process: ChildProcess, descriptor: consuming ProcessDescriptor) {
      self.process = process
      self.descriptor = descriptor
    }
  }

  /// A connection to the console that is read for the ready text.
  private final class ConsoleWatch {
    let file: FileDescriptor
    var matcher: ConsoleMatcher
    var token: EventLoop.Token?

    init(file: consuming FileDescriptor, matcher: ConsoleMatcher) {
      self.file = file
      self.matcher = matcher
    }
  }

  init(
    _ domain: ApplianceManifest.Domain, paths: DomainPaths, surroundings: any DomainSurroundings,
    isCreated: Bool = false
  ) {
    self.isCreated = isCreated
    self.domain = domain
    self.paths = paths
    self.surroundings = surroundings
    memory = DomainMemory(domain.memory, directory: paths.directory)
    machine = DomainMachine(
      readyText: domain.ready.consoleText, readyTimeout: Double(domain.ready.timeoutSeconds),
      onReboot: domain.onReboot, onCrash: domain.onCrash)
    lastStatus = status
  }

  private var loop: EventLoop { surroundings.loop }

  /// The domain as clients see it.
  var status: DomainStatus {
    DomainStatus(
      name: domain.name, os: domain.os, state: machine.state,
      reason: isPaused && !isHeld ? "paused until the stick is back" : machine.reason, cpus: domain.mostCPUs,
      memoryBytes: domain.memoryBytes, memory: memory.status(of: machine.pid), autostart: domain.autostart,
      pid: machine.pid, startedAt: machine.startedAt, readySeconds: machine.readySeconds, restarts: machine.restarts,
      address: domain.network?.address, console: paths.console, log: paths.log,
      screen: domain.display == .vga ? paths.screen : nil, isPaused: isPaused ? true : nil,
      isCreated: isCreated ? true : nil, usableCPUs: usableCPUs)
  }

  /// Why `operation` makes no sense now; nil when it does.
  func objection(to operation: ControlOperation) -> String? {
    if let objection = machine.objection(to: operation) { return objection }
    switch operation {
    case .stop, .reboot: return isHeld ? "is paused and would not hear of it: unpause it first, or destroy it" : nil
    case .pause: return isHeld ? "is paused already" : nil
    case .unpause where !isHeld: return isPaused ? "is paused until the stick is back" : "is not paused"
    default: return nil
    }
  }

  /// What it has to do with disks now.
  var diskUser: DiskUser {
    DiskUser(
      domain: domain.name, ownDisk: domain.disk?.volume, disks: disks, isRunning: machine.pid != nil,
      isHotpluggable: domain.hotplug == true, room: MonitorCommand.attachedRoom(of: domain))
  }

  /// The running monitor was given a disk.
  func hasAttached(_ disk: String) {
    disks.insert(disk)
    record()
    surroundings.disksChanged(self)
  }

  /// The running monitor let go of a disk.
  func hasDetached(_ disk: String) {
    disks.remove(disk)
    record()
  }

  /// What it may take of the machine: as its recipe says, or as it was changed since.
  private(set) lazy var limits: ResourceLimits = {
    if let bytes = try? Files.read(limitsPath),
      let limits = try? ControlCoding.decode(ResourceLimits.self, from: bytes), limits.problem() == nil
    {
      return limits
    }
    return domain.limits ?? ResourceLimits()
  }()

  private var limitsPath: String { "\(paths.directory)/limits.json" }

  /// Remembers what it may take of the machine, also for a domain manager after this one.
  func setLimits(_ limits: ResourceLimits) throws(ControlError) {
    let bytes = try ControlCoding.encode(limits)
    do throws(SystemError) {
      try Files.makeDirectories(paths.directory, permissions: 0o700)
      try Files.replace(limitsPath, with: bytes, permissions: 0o600)
    } catch {
      throw ControlError(.system, "the limits of \(domain.name) are not kept: \(error)")
    }
    self.limits = limits
  }

  /// True while its processors are kept still.
  var isPaused: Bool { pausedMonitor != nil && pausedMonitor == machine.pid }

  /// Remembers that the processors of the running monitor are kept still, also for a domain manager after this one.
  func setPaused(_ isPaused: Bool) {
    pausedMonitor = isPaused ? machine.pid : nil
    record()
    handle(isPaused ? .paused : .resumed)
  }

  /// Remembers whether its user wants it to stand still, also for a domain manager after this one.
  func setHeld(_ isHeld: Bool) {
    self.isHeld = isHeld
    record()
  }

  /// How many of its processors it uses, or is to come to; nil: all.
  private var usableCPUs: Int? {
    let count = processors ?? domain.cpus
    return count < domain.mostCPUs ? count : nil
  }

  /// How many processors' time its control group has; nil: no limit. Where nobody has said anything, its guest has no
  /// more processors than that anyway.
  var processorTime: Int? { processors.flatMap { $0 < domain.mostCPUs ? $0 : nil } }

  /// Remembers how many of its processors the running monitor is to use, also for a domain manager after this one.
  func setProcessors(_ count: Int?) {
    processors = count
    record()
  }

  /// What those may expect that come after it.
  var standing: Standing { isDue ? .coming : machine.standing }

  /// True while its start waits for the appliance.
  var isWaiting: Bool { machine.state == .starting && machine.pid == nil && machine.deadline == nil }

  /// Bytes that it was promised and did not touch yet.
  var promisedBytes: Int {
    guard let pid = machine.pid, let text = try? Files.readText("/proc/\(pid)/status") else { return 0 }
    return max(0, memory.committed(to: pid) - (MachineMemory.bytes(of: "RssShmem", in: text) ?? 0))
  }

  /// Hands an event to the state machine and does what it says.
  func handle(_ event: DomainMachine.Event) {
    for effect in machine.handle(event, now: loop.now) {
      switch effect {
      case .launch: launch()
      case .pressPowerButton: signal(Signal.terminate)
      case .kill: signal(Signal.kill)
      }
    }
    arm()
    tell()
  }

  /// Leaves nothing behind of a domain that is no more, and is not to be used after this.
  func retire() {
    leaveConsole()
    loop.cancel(deadlineTimer)
    Self.removeFiles(paths)
  }

  /// Removes a domain's files. Its directory is the last, so that what is left of an attempt that was cut off is found.
  static func removeFiles(_ paths: DomainPaths) {
    for file in [paths.log, paths.oldLog, paths.monitorLog] { try? Files.remove(file) }
    try? Files.removeTree(paths.directory)
  }

  /// Tries again what waited.
  func retry() {
    if isWaiting { launch() }
  }

  /// Reads at most `count` bytes off the console log's end.
  func tail(_ count: Int) -> [UInt8] {
    let count = min(max(count, 0), ControlProtocol.maximumTail)
    let newer = Self.end(of: paths.log, count)
    return newer.count < count ? Self.end(of: paths.oldLog, count - newer.count) + newer : newer
  }

  private static func end(of path: String, _ count: Int) -> [UInt8] {
    guard let file = try? FileDescriptor(opening: path), let length = try? file.length() else { return [] }
    return (try? file.read(upTo: count, at: max(0, length - count))) ?? []
  }

  /// Tells what is not as it was told last.
  func tell() {
    let status = self.status
    guard status != lastStatus else { return }
    if status.state != lastStatus?.state || status.reason != lastStatus?.reason {
      let seconds = status.state == .ready ? status.readySeconds.map { " after \(Text.seconds($0))" } ?? "" : ""
      surroundings.log("\(domain.name): \(status.state.words)\(seconds)\(status.reason.map { ": \($0)" } ?? "")")
    }
    lastStatus = status
    surroundings.changed(self)
  }

  private func arm() {
    loop.cancel(deadlineTimer)
    deadlineTimer = machine.deadline.map { due in
      loop.after(max(0, due - loop.now)) { [unowned self] in handle(.clock) }
    }
  }

  // MARK: The monitor

  private func launch() {
    leaveConsole()
    switch surroundings.prepare(domain, paths: paths) {
    case .wait(let reason): handle(.wait(reason: reason))
    case .refuse(let reason): handle(.refused(reason: reason))
    case .command(let arguments, let disks):
      let startedAt = loop.now
      do throws(SystemError) {
        try Files.makeDirectories(paths.directory, permissions: 0o700)
        try Files.remove(paths.console)
        try Files.remove(paths.control)
        let silence = try FileDescriptor(opening: "/dev/null", .readOnly)
        let output = try FileDescriptor(
          opening: paths.monitorLog, [.writeOnly, .create, .truncate, .append], permissions: 0o600)
        var request = ChildRequest(arguments)
        request.descriptors = [silence.rawValue, output.rawValue, output.rawValue]
        request.newSession = true
        // Its limits are for the disks that it gets.
        self.disks = disks
        request.controlGroup = surroundings.controlGroup(of: self)
        request.newProcessNamespace = MonitorCommand.isJailed(arguments)
        let process = try ChildProcess.start(request)
        do throws(SystemError) {
          // A child that nobody has waited for keeps its id, so this finds it even if it has ended.
          try adopt(process)
        } catch {
          try? process.signal(Signal.kill)
          _ = try? process.wait()
          throw error
        }
        handle(.launched(pid: process.pid, at: startedAt))
        record()
        seekConsole()
      } catch {
        self.disks = []
        handle(.refused(reason: "its monitor does not start: \(error)"))
      }
    }
  }

  private func adopt(_ process: ChildProcess) throws(SystemError) {
    let monitor = Monitor(process: process, descriptor: try ProcessDescriptor(process))
    monitor.token = try loop.watch(monitor.descriptor.file.rawValue, .readable) { [unowned self] _ in ended() }
    self.monitor = monitor
  }

  private func signal(_ number: Int32) {
    guard let monitor else { return }
    do throws(SystemError) {
      try monitor.process.signal(number)
    } catch {
      surroundings.log("\(domain.name): \(error)")
    }
  }

  private func ended() {
    guard let monitor else { return }
    let status: ExitStatus?
    do throws(SystemError) {
      guard let polled = try monitor.process.poll() else { return }
      status = polled
    } catch {
      // Not a child of this process: it was adopted, and its parent has its exit code.
      status = nil
    }
    loop.unwatch(monitor.token)
    self.monitor = nil
    disks = []
    pausedMonitor = nil
    isHeld = false
    processors = nil
    surroundings.ended(self)
    leaveConsole()
    for path in [recordPath] + paths.sockets { try? Files.remove(path) }
    if let status {
      handle(.exited(status, words: status.isSuccess ? nil : lastWords()))
    } else {
      handle(.vanished)
    }
  }

  /// The last line that the monitor said, for a reason.
  private func lastWords() -> String? {
    let text = Text.printable(String(decoding: Self.end(of: paths.monitorLog, 4096), as: UTF8.self))
    guard var line = text.split(separator: "\n").last.map(String.init) else { return nil }
    for prefix in ["roost-vmm: ", "\(domain.name): ", "\(domain.name) crashed: "] where line.hasPrefix(prefix) {
      line.removeFirst(prefix.count)
    }
    return line.count > 300 ? "\(line.prefix(300))…" : line
  }

  // MARK: Monitors of a predecessor

  private struct Record: Codable {
    var pid: Int32
    var startTicks: UInt64
    var startedAt: Double
    var readySeconds: Double?
    var disks: [String]?
    var isPaused: Bool?
    var isHeld: Bool?
    var processors: Int?
  }

  private var recordPath: String { Self.recordPath(paths) }

  private static func recordPath(_ paths: DomainPaths) -> String { "\(paths.directory)/monitor.json" }

  /// What was recorded of the monitor of a domain, if it still runs.
  private static func liveRecord(_ paths: DomainPaths) -> Record? {
    guard let bytes = try? Files.read(recordPath(paths)),
      let record = try? ControlCoding.decode(Record.self, from: bytes),
      ChildProcess.startTicks(of: record.pid) == record.startTicks
    else { return nil }
    return record
  }

  /// Whether a monitor runs that a domain manager before this one started for a domain.
  static func hasMonitor(_ paths: DomainPaths) -> Bool { liveRecord(paths) != nil }

  private func record() {
    guard let process = monitor?.process, let startedAt = machine.startedAt,
      let ticks = ChildProcess.startTicks(of: process.pid)
    else { return }
    let record = Record(
      pid: process.pid, startTicks: ticks, startedAt: startedAt, readySeconds: machine.readySeconds,
      disks: disks.isEmpty ? nil : disks.sorted(), isPaused: isPaused ? true : nil,
      isHeld: isHeld ? true : nil, processors: processors)
    guard let bytes = try? ControlCoding.encode(record) else { return }
    try? Files.replace(recordPath, with: bytes, permissions: 0o600)
  }

  /// Takes over a monitor that a domain manager before this one started. False when there is none.
  func adoptPredecessors() -> Bool {
    guard let record = Self.liveRecord(paths), (try? adopt(ChildProcess(pid: record.pid))) != nil
    else { return false }
    disks = Set(record.disks ?? [])
    pausedMonitor = record.isPaused == true ? record.pid : nil
    isHeld = record.isHeld == true
    processors = record.processors
    handle(.adopted(pid: record.pid, at: record.startedAt, readySeconds: record.readySeconds))
    if isPaused { handle(.paused) }
    if machine.state != .ready { seekConsole() }
    return true
  }

  // MARK: The console

  private func seekConsole() {
    guard monitor != nil, machine.state == .starting || machine.state == .running else { return }
    if let file = try? UnixSocket.connect(paths.console) {
      let watch = ConsoleWatch(file: file, matcher: ConsoleMatcher(domain.ready.consoleText))
      do throws(SystemError) {
        try watch.file.setNonBlocking(true)
        watch.token = try loop.watch(watch.file.rawValue, .readable) { [unowned self] _ in readConsole() }
        console = watch
        handle(.consoleConnected)
        return
      } catch {
        surroundings.log("\(domain.name): cannot watch its console: \(error)")
      }
    }
    consoleTimer = loop.after(Self.consolePause) { [unowned self] in seekConsole() }
  }

  private func leaveConsole() {
    loop.cancel(consoleTimer)
    consoleTimer = nil
    loop.unwatch(console?.token)
    console = nil
  }

  private func readConsole() {
    guard let console else { return }
    do throws(SystemError) {
      let bytes = try console.file.read(upTo: 1 << 16)
      if bytes.isEmpty {
        // The monitor ends, or let its clients go: look again until its end is known.
        leaveConsole()
        consoleTimer = loop.after(Self.consolePause) { [unowned self] in seekConsole() }
      } else if console.matcher.find(in: bytes) {
        leaveConsole()
        handle(.readyTextSeen)
        record()
      } else if machine.state == .shuttingDown {
        leaveConsole()
      }
    } catch {
      guard error.errno != .wouldBlock else { return }
      leaveConsole()
      consoleTimer = loop.after(Self.consolePause) { [unowned self] in seekConsole() }
    }
  }
}
