internal import Platform

/// The orderly end: consoles, then the guests through roostd, then all other programs, then storage, then mounts.
/// Each part has its deadline, after which the next begins.
enum Shutdown {
  /// The signals that PID 1 takes.
  static let signals = [Signal.child, Signal.terminate, Signal.interrupt, Signal.user1, Signal.user2]

  /// Stops everything, then the machine.
  static func run(_ action: PowerAction, _ supervisor: inout Supervisor) -> Never {
    let doing = action == .restart ? "restarting" : action == .halt ? "halting" : "turning off"
    var waiting = Waiting()
    // From now on the keeper sees to it that a stick that is not there does not keep the machine from its end.
    let keeper = supervisor.model.pid(of: StickKeeper.serviceName)
    if let keeper { try? ChildProcess(pid: keeper).signal(PowerCommand.signal(for: action)) }
    stopConsoles(&supervisor, &waiting)
    Consoles.write("\u{1B}[?1049l\u{1B}[?25h\u{1B}[0m\n")  // out of whatever the screen had done to the terminal
    Consoles.say("\(doing); Ctrl-Alt-Del twice more does so at once")
    stopDaemon(&supervisor, &waiting)
    stopOthers(except: keeper, &supervisor, &waiting)
    deactivateStorage(&supervisor, &waiting)
    unmountAll()
    Consoles.say("\(doing) now")
    RunningSystem.synchronize()
    while true {
      do throws(SystemError) {
        try RunningSystem.stop(action)
      } catch {
        Consoles.say("\(error); turn the machine off by its button")
      }
      MonotonicClock.sleep(milliseconds: 10_000)
    }
  }

  private static func stopConsoles(_ supervisor: inout Supervisor, _ waiting: inout Waiting) {
    let names = supervisor.model.entries.filter { $0.service.terminal != nil }.map(\.service.name)
    stop(names, with: Signal.hangUp, seconds: 2, &supervisor, &waiting)
  }

  private static func stopDaemon(_ supervisor: inout Supervisor, _ waiting: inout Waiting) {
    guard supervisor.model.pid(of: "roostd") != nil else { return }
    Consoles.say("stopping the guests (40 s at most)")
    stop(["roostd"], with: Signal.terminate, seconds: 40, &supervisor, &waiting)
  }

  private static func stop(
    _ names: [String], with signal: Int32, seconds: UInt64, _ supervisor: inout Supervisor,
    _ waiting: inout Waiting
  ) {
    let children = names.compactMap { supervisor.model.pid(of: $0) }.map { ChildProcess(pid: $0) }
    // One that ended meanwhile is what is wanted.
    for child in children {
      try? child.signal(signal)
      if signal == Signal.hangUp { try? child.signalGroup(signal) }
    }
    waiting.wait(seconds: seconds, &supervisor) { supervisor in
      names.allSatisfy { supervisor.model.pid(of: $0) == nil }
    }
    for child in children where Files.exists("/proc/\(child.pid)") {
      Log.write("process \(child.pid) did not end in time")
      try? child.signalGroup(Signal.kill)
    }
  }

  private static func stopOthers(
    except keeper: Int32?, _ supervisor: inout Supervisor, _ waiting: inout Waiting
  ) {
    for (signal, seconds) in [(Signal.terminate, UInt64(5)), (Signal.kill, UInt64(2))] {
      let others = otherProcesses(than: keeper)
      if others.isEmpty { return }
      if keeper == nil {
        CurrentProcess.signalAllOthers(signal)
      } else {
        // All at once there is no exception from.
        for process in others { try? process.signal(signal) }
      }
      waiting.wait(seconds: seconds, &supervisor) { _ in otherProcesses(than: keeper).isEmpty }
    }
    let left = otherProcesses(than: keeper).map(\.pid)
    if !left.isEmpty { Log.write("processes that do not end: \(left)") }
  }

  /// Processes of programs, other than this one and the stick's keeper; kernel threads have no command line.
  private static func otherProcesses(than keeper: Int32?) -> [ChildProcess] {
    ((try? Files.list("/proc")) ?? []).compactMap { name in
      guard name.allSatisfy(\.isNumber), let pid = Int32(name), pid != 1, pid != keeper else { return nil }
      let isProgram = (try? Files.read("/proc/\(name)/cmdline")).map { !$0.isEmpty } ?? false
      return isProgram ? ChildProcess(pid: pid) : nil
    }
  }

  private static func deactivateStorage(_ supervisor: inout Supervisor, _ waiting: inout Waiting) {
    do throws(SystemError) {
      let null = try FileDescriptor(opening: "/dev/null", .readWrite)
      let log = try FileDescriptor(opening: "\(Supervisor.logs)/storage.log", [.writeOnly, .create, .append])
      var request = ChildRequest(["/usr/sbin/roost-storage", "deactivate", "--end"])
      request.descriptors = [null.rawValue, log.rawValue, log.rawValue]
      request.environment = Supervisor.environment(terminal: nil)
      request.newSession = true
      let child = try ChildProcess.start(request)
      waiting.wait(seconds: 15, &supervisor) { _ in !Files.exists("/proc/\(child.pid)") }
      try? child.signalGroup(Signal.kill)
    } catch {
      Log.write("deactivate storage: \(error)")
    }
  }

  /// Unmounts what can be, the newest first; what is in use and on a device becomes read-only.
  private static func unmountAll() {
    RunningSystem.synchronize()
    let virtual: Set<String> = ["proc", "sysfs", "devtmpfs", "devpts", "cgroup2", "tmpfs", "overlay", "rootfs"]
    for mount in ((try? Mount.all()) ?? []).reversed() where !virtual.contains(mount.type) && mount.target != "/" {
      do throws(SystemError) {
        try Mount.unmount(mount.target)
      } catch {
        if mount.isReadOnly { continue }
        Log.write("\(error)")
        do throws(SystemError) {
          try Mount.mount(mount.source, at: mount.target, [.remount, .readOnly])
        } catch {
          Log.write("\(error)")
        }
      }
    }
  }
}

/// Waits of the shutdown: they reap, and end early when the user insists.
private struct Waiting {
  private var insistence = 0

  /// Waits until `done` or for so many seconds.
  mutating func wait(
    seconds: UInt64, _ supervisor: inout Supervisor, until done: (Supervisor) -> Bool
  ) {
    let deadline = MonotonicClock.now() + seconds * 1_000_000_000
    while true {
      while let reaped = try? ChildProcess.reapAny() { supervisor.ended(reaped.0, reaped.1) }
      countInterrupts()
      if done(supervisor) || insistence >= 2 || MonotonicClock.now() >= deadline { return }
      MonotonicClock.sleep(milliseconds: 50)
    }
  }

  private mutating func countInterrupts() {
    guard let signals = try? SignalDescriptor(Shutdown.signals) else { return }
    while let number = try? signals.take() { if number == Signal.interrupt { insistence += 1 } }
  }
}
