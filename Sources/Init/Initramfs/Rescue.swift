internal import Platform

/// The screen and the shells that a user meets when the appliance does not start.
enum Rescue {
  /// The screen, cleared first. The line with "Roost cannot start:" is what tests and people look for.
  static func screen(_ error: InitError) -> String {
    let head = error.code == .requested ? "Roost was not started: " : "Roost cannot start: "
    var text = "\u{1B}[0m\u{1B}[H\u{1B}[2J\n\(head)\(error.message)\n"
    if !error.details.isEmpty { text += "\n" + error.details.map { "  \($0)\n" }.joined() }
    text += "\nWhat to do:\n" + error.remedies.map { $0.hasPrefix("  ") ? "  \($0)\n" : "  - \($0)\n" }.joined()
    text += """

      This is a rescue shell. Nothing of this machine was changed.
        exit          tries again
        reboot -f     restarts the machine (as Ctrl-Alt-Del does); poweroff -f turns it off


      """
    return text
  }

  /// Shows why, and gives shells on all consoles until one is left by `exit`.
  static func run(_ error: InitError) {
    Log.write(error.description)
    Consoles.write(screen(error))
    do throws(SystemError) {
      try shells()
    } catch {
      Consoles.say("no shell can be started (\(error)); trying again in 30 s")
      MonotonicClock.sleep(milliseconds: 30_000)
    }
    Consoles.say("trying again")
  }

  private struct Shell {
    let terminal: String
    let process: ChildProcess
    let start: UInt64  // nanoseconds
  }

  private static func shells() throws(SystemError) {
    let signals = try SignalDescriptor(
      [Signal.child, Signal.terminate, Signal.interrupt, Signal.user1, Signal.user2])
    let poller = try Poller()
    try poller.add(signals.file.rawValue, .readable, token: 0)
    var running: [Shell] = []
    var failure = SystemError("start a shell", errno: .noSuchFile)
    for terminal in Consoles.terminals {
      do throws(SystemError) {
        running.append(try start(on: terminal))
      } catch {
        failure = error
      }
    }
    guard !running.isEmpty else { throw failure }
    while true {
      _ = try poller.wait()
      while let number = try signals.take() {
        if let action = PowerCommand.action(signal: number) { stop(action) }
      }
      while let (child, _) = try ChildProcess.reapAny() {
        guard let index = running.firstIndex(where: { $0.process == child }) else { continue }
        let shell = running.remove(at: index)
        // A shell that ends at once (100 ms) has a dead terminal: it must not decide for the others.
        if MonotonicClock.now() - shell.start < 100_000_000, !running.isEmpty { continue }
        end(running)
        return
      }
    }
  }

  private static func start(on terminal: String) throws(SystemError) -> Shell {
    let file = try FileDescriptor(opening: terminal, [.readWrite, .noControllingTerminal])
    let number = file.rawValue
    var failure = SystemError("start a shell", errno: .noSuchFile)
    // After the root has been switched there is no busybox, but the control domain's shell.
    for command in [["/bin/busybox", "sh", "-i"], ["/bin/sh", "-i"]] {
      var request = ChildRequest(command)
      request.descriptors = [number, number, number]
      request.newSession = true
      request.controllingTerminal = true
      request.environment = [
        "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/", "PS1=roost rescue# ",
        "TERM=\(terminal.hasPrefix("/dev/ttyS") ? "vt220" : "linux")",
      ]
      do throws(SystemError) {
        return Shell(terminal: terminal, process: try ChildProcess.start(request), start: MonotonicClock.now())
      } catch {
        failure = error
      }
    }
    throw failure
  }

  /// Ends the shells on the other consoles.
  private static func end(_ shells: [Shell]) {
    for shell in shells {
      // A shell that ended meanwhile is fine.
      try? shell.process.signalGroup(Signal.hangUp)
      try? shell.process.signalGroup(Signal.kill)
      _ = try? shell.process.wait()
    }
  }

  private static func stop(_ action: PowerAction) {
    Consoles.say(action == .restart ? "restarting" : "turning off")
    RunningSystem.synchronize()
    do throws(SystemError) {
      try RunningSystem.stop(action)
    } catch {
      Consoles.say("\(error)")
    }
  }
}
