internal import Manifest
internal import Platform
internal import Storage

/// The program `roost-storage`.
public enum StorageCommands {
  /// The words that name it in a process of its own: this one's file may have other programs in it as well.
  static let itself = ["/proc/self/exe", "roost-storage"]

  /// Does what `words` say.
  ///
  /// - Returns: the exit status: 0 done, 1 failed with the reason on standard error, 2 for wrong usage.
  public static func run(_ words: ArraySlice<String>) -> Int32 {
    var rest = words
    guard let verb = rest.popFirst() else { return usage("what to do is missing") }
    if ["-h", "--help", "help"].contains(verb) || rest.contains("--help") || rest.contains("-h") {
      print(help, terminator: "")
      return 0
    }
    do {
      switch verb {
      case "activate":
        let arguments = try Arguments(
          rest, of: verb, valued: ["--manifest", "--medium"], known: ["--live"], count: 0...0)
        return activate(arguments)
      case "deactivate":
        try deactivate(isEnd: Arguments(rest, of: verb, known: ["--end"], count: 0...0).has("--end"))
      case "status":
        return try status(json: Arguments(rest, of: verb, known: ["--json"], count: 0...0).has("--json"))
      case "watch":
        _ = try Arguments(rest, of: verb, count: 0...0)
        try watch()
      case "persist": try persist(rest)
      case "copy":
        let arguments = try Arguments(rest, of: verb, count: 1...2)
        try GuestStorage().copy(
          from: arguments.plain.count > 1 ? arguments.plain[1] : nil, to: arguments.plain[0],
          percent: { StandardStream.output.write("\($0)\n") },
          abandon: { reason in
            complain(reason)
            exitProcess(CopyProcess.abandoned)
          })
      case "grow": try grow(rest)
      case "disk": try disk(rest)
      case "domain": try domain(rest)
      case "connect", "disconnect", "promote", "demote": try remote(verb, rest)
      case "remotes": return try remotes(rest)
      case "inspect":
        let arguments = try Arguments(rest, of: verb, count: 1...1)
        let directory = try Files.makeTemporaryDirectory(prefix: "/run/roost/inspect-")
        defer { try? Files.removeTree(directory) }
        let bytes = try GuestStorage().inspect(arguments.plain[0], configuration: directory)
        print(String(decoding: bytes, as: UTF8.self), terminator: "")
      default: return usage("there is no \(verb)")
      }
      return 0
    } catch let problem as Arguments.Problem {
      return usage(problem.text)
    } catch {
      complain("\(error)")
      return 1
    }
  }
}

/// Brings the volumes up and tells the appliance how it went, also if it did not.
func activate(_ arguments: Arguments, isSilent: Bool = false) -> Int32 {
  let medium = arguments.value("--medium") ?? "/run/roost/medium"
  let path = arguments.value("--manifest") ?? "\(medium)/roost/manifest.json"
  let line = ((try? Files.readText("/proc/cmdline")) ?? "").split { $0.isWhitespace }
  var state = StorageState(.failed, volumeGroup: "roost")
  var code: Int32 = 1
  do {
    let plan = try LivePlan(manifest: path, medium: medium)
    state.volumeGroup = plan.volumeGroup
    state = try GuestStorage(medium: medium).activate(
      plan, wanted: wantedHome(arguments, line), inspect: inspectApart)
    code = 0
  } catch {
    complain("\(error)")
    // What works goes on working, whatever looking at it again has met with.
    if let earlier = try? StorageState.load(), earlier.state == .ready { return 1 }
    state.error = "\(error)"
    if let plan = try? LivePlan(manifest: path, medium: medium) {
      state.wait(for: error, recipe: plan.remotes, directory: GuestStorage().directory)
      // What was waited for is waited for still, whatever came in between.
      if state.waitingFor.isEmpty, let earlier = try? StorageState.load() {
        (state.remotes, state.waitingFor) = (earlier.remotes, earlier.waitingFor)
      }
    }
  }
  do {
    try state.write()
  } catch {
    complain("\(error)")
    code = 1
  }
  for warning in state.warnings { complain("warning: \(warning)") }
  for (name, volume) in state.domains.sorted(by: { $0.key < $1.key }) where !isSilent {
    print("\(name): \(volume.device), \(volume.bytes >> 20) MiB")
  }
  return code
}

private func wantedHome(_ arguments: Arguments, _ line: [Substring]) -> WantedHome {
  if arguments.has("--live") || line.contains("roost.live") { return .memory }
  return line.contains("roost.persistent") ? .disks : .any
}

/// Asks LVM about a device in a process of its own: what it has seen once, it does not see differently. A device that
/// does not answer is given up.
func inspectApart(_ device: String) throws(StorageError) -> [UInt8] {
  let patience = 20_000  // milliseconds
  let result: (status: ExitStatus, bytes: [UInt8], said: String)
  do throws(SystemError) {
    // The answer fits into a pipe, so that nobody waits for its reader.
    let output = try Pipe()
    let complaints = try Pipe()
    var request = ChildRequest(StorageCommands.itself + ["inspect", device])
    request.descriptors = [-1, output.writer.rawValue, complaints.writer.rawValue]
    let child = try ChildProcess.start(request)
    var status = try child.poll()
    for _ in 0..<(patience / 20) where status == nil {
      MonotonicClock.sleep(milliseconds: 20)
      status = try child.poll()
    }
    guard let status else {
      try child.signal(Signal.kill)
      throw SystemError("look into it by LVM", path: device, errno: .timedOut)
    }
    result = (status, try readToEnd(output), String(decoding: try readToEnd(complaints), as: UTF8.self))
  } catch {
    throw StorageError(.system, "\(device) cannot be looked into", cause: error)
  }
  guard result.status.isSuccess else {
    throw StorageError(.lvm, "\(device) cannot be looked into: \(result.said)")
  }
  return result.bytes
}

/// Reads what a child that has ended wrote.
func readToEnd(_ pipe: consuming Pipe) throws(SystemError) -> [UInt8] {
  let reader = try pipe.reader.duplicate()
  _ = consume pipe
  return try reader.readToEnd()
}

/// Takes the volumes down. At the appliance's end writes that wait for room, or for a server that is away, fail, so that
/// who waits can end.
func deactivate(isEnd: Bool) throws {
  let storage = GuestStorage()
  if isEnd { storage.abandonLostRemotes() }
  var waited = false
  for attempt in 1... {
    do throws(StorageError) {
      try storage.deactivate()
      break
    } catch {
      guard isEnd, error.code == .busy, attempt < 20 else { throw error }
      if !waited { waited = try storage.failWaitingWrites() }
      guard waited else { throw error }
      MonotonicClock.sleep(milliseconds: 250)
    }
  }
  try Files.remove(StorageState.path)
  try Files.remove(PoolReport.path)
  try Files.remove(RemoteReport.path)
}

func status(json: Bool) throws -> Int32 {
  let state = try loadState()
  let usage = state.state == .ready ? try GuestStorage().usage() : nil
  let report = StorageReport(storage: state, usage: usage)
  print(json ? String(decoding: try report.json(), as: UTF8.self) : report.table, terminator: "")
  return state.state == .ready ? 0 : 1
}

/// Keeps the reports of the pool and of remotes current, and remotes connected. It waits for no lock, and only for
/// servers that are to be connected again, which have a bounded time.
func watch() throws {
  var last: PoolReport?
  var lost: RemoteReport?
  while true {
    let remotes = GuestStorage().mendRemotes()
    if remotes != lost {
      try remotes.write()
      lost = remotes
    }
    if let state = try? StorageState.load(), state.state == .ready {
      let report = GuestStorage().poolReport(state)
      if report != last || !Files.exists(PoolReport.path) {
        try report.write()
        last = report
      }
    }
    MonotonicClock.sleep(milliseconds: 5000)
  }
}

func persist(_ words: ArraySlice<String>) throws {
  let arguments = try Arguments(
    words, of: "persist", known: ["--standalone", "--wipe", "--json", "--abort"], count: 0...1)
  if arguments.has("--abort") {
    try GuestStorage().abortPersist(copying: CopyProcess.run)
    print("The move was taken back: this session lives in memory, and the disk is free.")
    return
  }
  guard let target = arguments.plain.first else { throw Arguments.Problem(text: "persist needs a DEVICE") }
  let state = try loadState()
  let screen = MoveScreen(json: arguments.has("--json"))
  guard arguments.has("--standalone") else {
    try GuestStorage().persist(
      to: target, wipe: arguments.has("--wipe"), inspect: inspectApart, copying: CopyProcess.run
    ) { screen.show($0) }
    return screen.end(target: target, standalone: false, left: nil)
  }
  // A disk that starts by itself is a stick: the medium, and a partition for the guests.
  var parts = try MediumSwitch().copy(on: target)
  if !state.devices.contains(where: { $0 == parts?.storage }) {
    var words = ["/usr/sbin/roost", "provision", "--running", "--to", target]
    if arguments.has("--wipe") { words += ["--wipe", "--yes"] }
    if arguments.has("--json") { words.append("--json") }
    guard try ChildProcess.start(ChildRequest(words)).wait().isSuccess else {
      throw StorageError(.plan, "the medium was not copied to \(target), so nothing is moved there")
    }
    parts = try MediumSwitch().copy(on: target)
  }
  guard let parts else {
    throw StorageError(.medium, "\(target) has no copy of the medium with a partition for the guests behind it")
  }
  try GuestStorage().persist(
    to: parts.storage, wipe: false, inspect: inspectApart, copying: CopyProcess.run
  ) { screen.show($0) }
  screen.end(target: target, standalone: true, left: try MediumSwitch().use(parts.medium))
}

func grow(_ words: ArraySlice<String>) throws {
  let arguments = try Arguments(words, of: "grow", valued: ["--ram"], known: ["--wipe"], count: 0...1)
  let storage = GuestStorage()
  if let target = arguments.plain.first {
    try storage.grow(by: target, wipe: arguments.has("--wipe"), inspect: inspectApart)
  } else {
    try storage.grow(memory: arguments.size("--ram"))
  }
  let report = storage.poolReport(try loadState())
  print("The guests' storage has \(report.poolBytes >> 20) MiB now, \(report.dataPercent) % of it used.")
}

func disk(_ words: ArraySlice<String>) throws {
  var rest = words
  guard let verb = rest.popFirst() else { throw Arguments.Problem(text: "what to do with the disk is missing") }
  let sized = ["create", "resize"].contains(verb)
  let counts = [
    "list": 0, "create": 1, "resize": 1, "snapshot": 2, "rollback": 2, "clone": 2, "attach": 2, "detach": 1,
    "destroy": 1,
  ]
  guard let count = counts[verb] else { throw Arguments.Problem(text: "there is no disk \(verb)") }
  let arguments = try Arguments(
    rest, of: "disk \(verb)", valued: sized ? ["--size"] : [], known: ["--json"], count: count...count)
  let names = arguments.plain
  let storage = GuestStorage()
  let json = arguments.has("--json")
  let changed: Disk
  switch verb {
  case "list":
    let report = DiskReport(disks: try storage.disks())
    print(json ? String(decoding: try report.json(), as: UTF8.self) : report.table, terminator: "")
    return
  case "create": changed = try storage.create(names[0], bytes: arguments.size("--size"))
  case "resize": changed = try storage.resize(names[0], bytes: arguments.size("--size"))
  case "snapshot": changed = try storage.snapshot(names[0], as: names[1])
  case "rollback": changed = try storage.rollBack(names[0], to: names[1])
  case "clone": changed = try storage.clone(names[0], as: names[1])
  case "attach": changed = try storage.attach(names[0], to: names[1])
  case "detach": changed = try storage.detach(names[0])
  default:
    try storage.destroy(names[0])
    if json { print("{}") }
    return
  }
  let report = DiskReport(disks: [changed])
  print(json ? String(decoding: try report.firstJSON(), as: UTF8.self) : report.table, terminator: "")
}

/// What is recorded of domains that are made on the fly, and their disks.
func domain(_ words: ArraySlice<String>) throws {
  var rest = words
  guard let verb = rest.popFirst() else { throw Arguments.Problem(text: "what to do with the domain is missing") }
  switch verb {
  case "define":
    let arguments = try Arguments(
      rest, of: "domain define", valued: ["--definition", "--image", "--clone", "--file", "--size"], known: ["--json"],
      count: 1...1)
    guard let definition = arguments.value("--definition") else {
      throw Arguments.Problem(text: "--definition is missing")
    }
    let bytes = arguments.value("--size") == nil ? nil : try arguments.size("--size")
    let disk: DomainDisk? =
      if let volume = arguments.value("--image") {
        .image(volume: volume, bytes: bytes)
      } else if let origin = arguments.value("--clone") {
        .clone(of: origin, bytes: bytes)
      } else if let path = arguments.value("--file") {
        .file(path, bytes: bytes)
      } else {
        bytes.map { .empty(bytes: $0) }
      }
    let isSilent = arguments.has("--json")
    let made = try GuestStorage().define(arguments.plain[0], definition: Array(definition.utf8), disk: disk) {
      percent in
      if isSilent {
        StandardStream.output.write("{\"percent\":\(percent)}\n")
      } else {
        StandardStream.error.write("\r\(percent) %\(percent == 100 ? "\n" : "")")
      }
    }
    guard let made else { return print("{}") }
    let report = DiskReport(disks: [made])
    print(isSilent ? String(decoding: try report.firstJSON(), as: UTF8.self) : report.table, terminator: "")
  case "undefine":
    let arguments = try Arguments(rest, of: "domain undefine", known: ["--json"], count: 1...1)
    try GuestStorage().undefine(arguments.plain[0])
    if arguments.has("--json") { print("{}") }
  default: throw Arguments.Problem(text: "there is no domain \(verb)")
  }
}

func loadState() throws -> StorageState {
  guard let state = try StorageState.load() else {
    throw StorageError(
      .plan, "storage was not activated (there is no \(StorageState.path)); run: roost-storage activate")
  }
  return state
}

func usage(_ problem: String) -> Int32 {
  complain("\(problem)\n\n\(help)")
  return 2
}

func complain(_ text: String) {
  StandardStream.error.write("roost-storage: \(text)\n")
}
