internal import Manifest

/// Where files of a domain are while the appliance runs.
struct DomainPaths: Hashable, Sendable {
  /// The domain's own directory, for sockets.
  let directory: String
  /// The monitor's console socket.
  let console: String
  /// What the console showed; the monitor writes it.
  let log: String
  /// What the log is called after it was rotated.
  let oldLog: String
  /// What the monitor itself says.
  let monitorLog: String

  init(name: String, runtimeDirectory: String, logDirectory: String) {
    directory = "\(runtimeDirectory)/domains/\(name)"
    console = "\(directory)/console.sock"
    log = "\(logDirectory)/\(name).log"
    oldLog = "\(log).1"
    monitorLog = "\(logDirectory)/\(name).monitor.log"
  }
}

/// The command line of a domain's monitor.
enum MonitorCommand {
  /// `roost-vmm` with its arguments. `medium` is where the medium is mounted; `disk` the device of the domain's disk
  /// and `tap` its network interface, where it has them.
  static func arguments(
    monitor: String, domain: ApplianceManifest.Domain, medium: String, disk: String?, tap: String?, paths: DomainPaths
  ) -> [String] {
    var words = [
      monitor, "--name", domain.name, "--cpus", "\(domain.cpus)", "--memory", memory(domain.memoryBytes),
      "--boot", domain.boot.method.rawValue, "--kernel", medium + domain.boot.kernel,
    ]
    if let initrd = domain.boot.initrd { words += ["--initrd", medium + initrd] }
    if !domain.boot.commandLine.isEmpty { words += ["--cmdline", domain.boot.commandLine] }
    // A virtio disk's id has room for 20 bytes (virtio 1.2, 5.2.6).
    if let disk { words += ["--disk", "\(disk),id=\(domain.name.prefix(20))"] }
    if let tap, let network = domain.network { words += ["--net", "\(tap),mac=\(network.mac)"] }
    words += ["--serial", "unix:\(paths.console),log=\(paths.log)"]
    return words
  }

  /// Whole MiB, rounded up.
  private static func memory(_ bytes: Int) -> String {
    "\((bytes + (1 << 20) - 1) >> 20)MiB"
  }
}
