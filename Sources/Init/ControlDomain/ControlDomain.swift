internal import Platform

/// PID 1 of the control domain: prepares the machine, keeps the services, and stops everything in order. It never ends.
public enum ControlDomain {
  private static let handover = "/run/roost/init.handover"
  /// Serves the HTTP interface, where the recipe asks for one.
  private static let gateway = "/usr/sbin/roost-gateway"
  /// The recipe's commands for each start, where it has any.
  static let recipeCommands = "/etc/roost/at-start"

  /// Runs the control domain. `fault` is the signal of a fault that ended this program's earlier life as PID 1:
  /// services of that life are taken over as they are.
  public static func run(fault: Int32? = nil) -> Never {
    try? CurrentProcess.executeOnFault(["/proc/self/exe", "control-domain"])
    try? ProcessEnvironment.set("PATH", to: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    Preparation.mountFileSystems()
    try? CurrentProcess.redirectStandardStreams(to: "/dev/console")
    ProcessorStart.run()
    if let fault {
      Log.write("PID 1 failed (signal \(fault)) and goes on")
      MonotonicClock.sleep(milliseconds: 1000)  // failing again at once must not take a processor
    } else {
      Preparation.configure()
    }
    // The end of the machine must not wait for a stick that was pulled out.
    if StickKeeper.process != nil { try? CurrentProcess.lockMemory() }
    while true {
      do throws(SystemError) {
        var supervisor = try Supervisor(services: services(), handover: fault == nil ? nil : handover)
        if fault == nil, let keeper = StickKeeper.process { supervisor.adopt(StickKeeper.serviceName, pid: keeper) }
        let action = try serve(&supervisor, isFirst: fault == nil)
        Shutdown.run(action, &supervisor)
      } catch {
        Consoles.say("PID 1 cannot go on (\(error)); trying again")
        MonotonicClock.sleep(milliseconds: 1000)
      }
    }
  }

  /// The services, by name: `stick` where the machine runs from one that may be pulled out, `storage`, `storage-watch`,
  /// `roostd`, `at-start`, `gateway` and `sshd` where they are in the image, and a console for each terminal.
  static func services(sys: String = "/sys", root: String = "") -> [Service] {
    let roost = ["/usr/sbin/roost", "/usr/bin/roost"].first(where: Files.exists) ?? "/usr/sbin/roost"
    let shell = ["/bin/bash", "/bin/sh"].first(where: Files.exists) ?? "/bin/busybox"
    let words = shell == "/bin/busybox" ? "busybox sh" : "\(shell) -l"
    let fallback = [
      shell == "/bin/busybox" ? "/bin/busybox" : "/bin/sh", shell == "/bin/busybox" ? "sh" : "-c",
      "stty sane 2>/dev/null; printf '\\033[0m\\033[?25h\\r\\n%s\\r\\n%s\\r\\n' "
        + "'Roost: the screen keeps failing, so this is a shell; exit tries the screen again.' "
        + "'Logs: \(Supervisor.logs), \(Log.file)'; exec \(words)",
    ]
    var list = StickKeeper.service().map { [$0] } ?? []
    list += [
      Service(name: "storage", command: ["/usr/sbin/roost-storage", "activate"], kind: .once),
      Service(
        name: "storage-watch", command: ["/usr/sbin/roost-storage", "watch"], kind: .always, after: ["storage"]),
      Service(name: "roostd", command: ["/usr/sbin/roostd"], kind: .always, after: ["storage"]),
    ]
    if Files.exists("\(root)\(recipeCommands)") {
      list.append(Service(name: "at-start", command: [recipeCommands], kind: .once))
    }
    if Files.exists("\(root)\(gateway)") {
      list.append(Service(name: "gateway", command: [gateway], kind: .always, after: ["roostd"]))
    }
    if Files.exists("\(root)\(SecureShell.server)") { list += SecureShell.services }
    for terminal in terminals(sys: sys) {
      // A serial line has no room for tiles, and its log is to be read.
      let screen = terminal.hasPrefix("ttyS") ? "screen" : "mosaic"
      list.append(
        Service(
          name: "console-\(terminal)", command: [roost, screen], kind: .always, terminal: "/dev/\(terminal)",
          fallback: shell == "/bin/busybox" ? ["/bin/busybox", "sh"] : fallback))
    }
    return list
  }

  /// The terminals that are really there: the first virtual one and the first serial line.
  static func terminals(sys: String) -> [String] {
    var found: [String] = []
    if Files.exists("\(sys)/class/tty/tty1") { found.append("tty1") }
    // Without a UART the device exists all the same, with type 0 (PORT_UNKNOWN).
    let type = (try? Files.readText("\(sys)/class/tty/ttyS0/type")) ?? "0"
    if type.prefix(while: \.isNumber) != "0" { found.append("ttyS0") }
    return found
  }

  /// Runs until somebody asks for the end.
  private static func serve(_ supervisor: inout Supervisor, isFirst: Bool) throws(SystemError) -> PowerAction {
    let signals = try SignalDescriptor(Shutdown.signals)
    // Before looking at what is there: what comes afterwards is heard of.
    let uevents = try UeventSocket()
    let poller = try Poller()
    try poller.add(signals.file.rawValue, .readable, token: 0)
    try poller.add(uevents.file.rawValue, .readable, token: 1)
    try? RunningSystem.setControlAltDelete(restartsAtOnce: false)
    var hotPlug = HotPlug()
    if isFirst { hotPlug.loadAtStart() }
    while true {
      supervisor.startDue()
      hotPlug.startLoading()
      try? Files.write(supervisor.handover, to: handover)
      let limit: Int32 = 10_000
      let timeout = supervisor.timeout
      _ = try poller.wait(timeout: timeout < 0 ? limit : min(timeout, limit))
      var asked: PowerAction?
      while let number = try signals.take() {
        if let action = PowerCommand.action(signal: number) { asked = action }
      }
      try hotPlug.listen(uevents)
      while let (child, status) = try ChildProcess.reapAny() {
        hotPlug.ended(child)
        supervisor.ended(child, status)
      }
      if let asked { return asked }
      Supervisor.trimLogs()
    }
  }
}

/// Loads the modules of devices that come while the machine runs.
private struct HotPlug {
  private var modules = ModuleLoader(modprobe: ["modprobe"])
  private var wanted: [String] = []
  private var loading: ChildProcess?

  /// Loads what the machine has now, and waits.
  mutating func loadAtStart() {
    let start = MonotonicClock.now()
    let aliases = Modalias.collect()
    modules.load(Preparation.modules + aliases)
    // What was loaded may have found more: a controller its disks, a hub its sticks.
    modules.load(Modalias.collect())
    Log.write("modules for \(aliases.count) aliases loaded in \((MonotonicClock.now() - start) / 1_000_000) ms")
  }

  mutating func listen(_ socket: borrowing UeventSocket) throws(SystemError) {
    do throws(SystemError) {
      while let event = try socket.take() {
        if event.action == "add", let alias = event.properties["MODALIAS"] { wanted.append(alias) }
      }
    } catch {
      if error.errno != .noBufferSpace { throw error }
      wanted += Modalias.collect()
    }
  }

  /// Starts a modprobe for what was heard of; one at a time.
  mutating func startLoading() {
    guard loading == nil, !wanted.isEmpty else { return }
    let names = wanted
    wanted = []
    guard let command = modules.command(for: names) else { return }
    do throws(SystemError) {
      let null = try FileDescriptor(opening: "/dev/null", .readWrite)
      var request = ChildRequest(command)
      request.descriptors = [null.rawValue, null.rawValue, null.rawValue]
      loading = try ChildProcess.start(request)
    } catch {
      Log.write("load modules: \(error)")
    }
  }

  mutating func ended(_ child: ChildProcess) {
    if loading == child { loading = nil }
  }
}
