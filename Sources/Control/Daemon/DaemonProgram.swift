internal import Platform

/// The program `roostd`, the domain manager's process: flags, signals, and a thread for them.
public enum DaemonProgram {
  private static let usage = """
    usage: roostd [options]

    Manages the domains of a Roost appliance: starts them, watches them, and serves requests.
    PID 1 starts it; SIGTERM stops it, domains first, and a second SIGTERM at once.

      --manifest PATH      the manifest (default: roost/manifest.json on the medium)
      --medium DIR         where the medium is mounted (default: /run/roost/medium)
      --storage PATH       what roost-storage reported (default: /run/roost/storage.json)
      --pool PATH          what 'roost-storage watch' keeps current (default: /run/roost/pool.json)
      --storage-program PATH
                           changes disks (default: /usr/sbin/roost-storage)
      --runtime-dir DIR    sockets and generated files (default: /run/roost)
      --log-dir DIR        logs of domains and helpers (default: /var/log/roost)
      --vmm PATH           the monitor (default: /usr/sbin/roost-vmm)
      --no-network         no bridge, no addresses, no way out
      --no-jail            monitors keep this program's rights: for a workstation where it is not root's
      --no-port            not on the virtio-serial port
      --help               this text

    Example, on a workstation:
      roost-appliance roostd --manifest manifest.json --medium iso --runtime-dir /tmp/roost \\
        --log-dir /tmp/roost/log --vmm .build/debug/roost-vmm --no-network --no-port --no-jail

    """

  /// Runs it to its end.
  ///
  /// - Parameter arguments: what follows the program's name.
  /// - Returns: the exit status: 0 done, 1 failed with the reason on standard error, 2 for wrong usage.
  public static func run(_ arguments: ArraySlice<String>) -> Int32 {
    var configuration = DaemonConfiguration()
    do throws(UsageError) {
      guard try parse(arguments, into: &configuration) else {
        StandardStream.output.write(usage)
        return 0
      }
    } catch {
      StandardStream.error.write("roostd: \(error.message); `roostd --help` shows what there is\n")
      return 2
    }
    return serve(configuration)
  }

  private struct UsageError: Error {
    let message: String
  }

  /// False when only help is wanted.
  private static func parse(
    _ arguments: ArraySlice<String>, into configuration: inout DaemonConfiguration
  ) throws(UsageError) -> Bool {
    var rest = arguments
    while let flag = rest.popFirst() {
      switch flag {
      case "--help", "-h": return false
      case "--no-network": configuration.network = false
      case "--no-port": configuration.port = false
      case "--no-jail": configuration.jail = false
      case "--manifest": configuration.manifest = try value(of: flag, &rest)
      case "--medium": configuration.medium = try value(of: flag, &rest)
      case "--storage": configuration.storage = try value(of: flag, &rest)
      case "--pool": configuration.pool = try value(of: flag, &rest)
      case "--storage-program": configuration.storageProgram = try value(of: flag, &rest)
      case "--runtime-dir": configuration.runtimeDirectory = try value(of: flag, &rest)
      case "--log-dir": configuration.logDirectory = try value(of: flag, &rest)
      case "--vmm": configuration.monitor = try value(of: flag, &rest)
      default: throw UsageError(message: "there is no option \(flag)")
      }
    }
    return true
  }

  private static func value(
    of flag: String, _ rest: inout ArraySlice<String>
  ) throws(UsageError) -> String {
    guard let value = rest.popFirst() else { throw UsageError(message: "\(flag) needs a value") }
    return value
  }

  private static func serve(_ configuration: DaemonConfiguration) -> Int32 {
    var configuration = configuration
    if configuration.hasKeeper {
      // The stick may be pulled out: what is needed then must not have to be read from there.
      do throws(SystemError) {
        try CurrentProcess.lockMemory()
      } catch {
        StandardStream.error.write("roostd: \(error)\n")
      }
      configuration.powerOffCommand[0] = configuration.keeper
      configuration.rebootCommand[0] = configuration.keeper
    }
    do throws(ControlError) {
      let daemon = try Daemon(configuration) { StandardStream.error.write("roostd: \($0)\n") }
      try daemon.stopOnSignals()
      try daemon.run()
      return 0
    } catch {
      StandardStream.error.write("roostd: \(error.message)\n")
      return 1
    }
  }
}
