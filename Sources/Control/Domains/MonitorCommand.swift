internal import Manifest

/// Where files of a domain are while the appliance runs.
struct DomainPaths: Hashable, Sendable {
  /// The domain's own directory, for sockets.
  let directory: String
  /// The monitor's console socket.
  let console: String
  /// The socket at which the monitor takes requests while it runs.
  let control: String
  /// The socket at which this appliance's own programs see the screen.
  let screen: String
  /// The monitor's VNC socket, where the recipe asks for one.
  let display: String
  /// What UEFI firmware keeps between two starts.
  let firmwareVariables: String
  /// What the console showed; the monitor writes it.
  let log: String
  /// What the log is called after it was rotated.
  let oldLog: String
  /// What the monitor itself says.
  let monitorLog: String

  init(name: String, runtimeDirectory: String, logDirectory: String) {
    directory = "\(runtimeDirectory)/domains/\(name)"
    console = "\(directory)/console.sock"
    control = "\(directory)/control.sock"
    screen = "\(directory)/screen.sock"
    display = "\(directory)/vnc.sock"
    firmwareVariables = "\(directory)/uefi-vars.fd"
    log = "\(logDirectory)/\(name).log"
    oldLog = "\(log).1"
    monitorLog = "\(logDirectory)/\(name).monitor.log"
  }
}

/// The command line of a domain's monitor.
enum MonitorCommand {
  /// `roost-vmm` with its arguments. `medium` is where the medium is mounted; `disk` the device of the domain's disk
  /// and `tap` its network interface, where it has them; `attached` are the disks that it has beside that one.
  static func arguments(
    monitor: String, domain: ApplianceManifest.Domain, medium: String, disk: String?,
    attached: [DiskStatus] = [], tap: String?, paths: DomainPaths
  ) -> [String] {
    var words = [
      monitor, "--name", domain.name, "--cpus", "\(domain.cpus)", "--memory", memory(domain.memoryBytes),
      "--boot", domain.boot.method.rawValue,
    ]
    if let model = domain.cpuModel, model != .host { words += ["--cpu", model.rawValue] }
    if let kernel = domain.boot.kernel { words += ["--kernel", medium + kernel] }
    if let initrd = domain.boot.initrd { words += ["--initrd", medium + initrd] }
    for module in domain.boot.modules ?? [] {
      // The text is last: it may have commas of its own.
      words += [
        "--module", medium + module.file + (module.commandLine.isEmpty ? "" : ",cmdline=\(module.commandLine)"),
      ]
    }
    if !domain.boot.commandLine.isEmpty { words += ["--cmdline", domain.boot.commandLine] }
    if domain.boot.method == .uefi { words += ["--uefi-vars", paths.firmwareVariables] }
    if let disk, let description = domain.disk {
      let bus = description.bus.flatMap { $0 == .virtio ? nil : ",bus=\($0.rawValue)" } ?? ""
      words += ["--disk", "\(disk)\(bus),id=\(ownDiskIdentifier(of: domain.name))"]
    }
    for disk in attached {
      let bus = attachedBus(of: domain)
      words += ["--disk", disk.monitorWords + (bus == .virtio ? "" : ",bus=\(bus.rawValue)")]
    }
    if domain.hotplug == true { words.append("--hotplug") }
    if let cdrom = domain.cdrom { words += ["--cdrom", medium + cdrom] }
    if let floppy = domain.floppy { words += ["--floppy", medium + floppy] }
    if let tap, let network = domain.network {
      let model = network.model.flatMap { $0 == .virtio ? nil : ",model=\($0.rawValue)" } ?? ""
      words += ["--net", "\(tap),mac=\(network.mac)\(model)"]
    }
    // The monitor's own choice is a display where there is firmware, and none elsewhere.
    let hasDisplay = domain.display == .vga
    if hasDisplay != domain.boot.method.isFirmware { words += ["--display", hasDisplay ? "vga" : "none"] }
    if hasDisplay { words += ["--vnc", "unix:\(paths.screen)"] }
    if let vnc = domain.vnc {
      words += ["--vnc", "unix:\(paths.display)" + (vnc.passwordFile.map { ",password-file=\(medium + $0)" } ?? "")]
    }
    words += ["--serial", "unix:\(paths.console),log=\(paths.log)", "--control", "unix:\(paths.control)"]
    return words
  }

  /// What the monitor calls the domain's own disk. A virtio disk's id has room for 20 bytes (virtio 1.2, 5.2.6), and so
  /// has an ATA disk's serial number.
  static func ownDiskIdentifier(of domain: String) -> String { String(domain.prefix(20)) }

  /// What disks beside the domain's own are attached to: where they may come and go, the controller for that, and
  /// elsewhere what its own disk is attached to, as its system has the driver.
  static func attachedBus(of domain: ApplianceManifest.Domain) -> DiskBus {
    domain.hotplug == true ? .scsi : domain.disk?.bus ?? .virtio
  }

  /// How many disks may be attached beside the domain's own; nil for any number. An IDE controller has four places for
  /// disks and CD-ROMs.
  static func attachedRoom(of domain: ApplianceManifest.Domain) -> Int? {
    guard attachedBus(of: domain) == .ide else { return nil }
    return 3 - (domain.cdrom == nil ? 0 : 1)
  }

  /// Whole MiB, rounded up.
  private static func memory(_ bytes: Int) -> String {
    "\((bytes + (1 << 20) - 1) >> 20)MiB"
  }
}
