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
  /// The sockets that a monitor makes, whose paths a jailed one cannot remove.
  var sockets: [String] { [console, control, screen, display] }

  /// Where the directories of all domains are.
  static func parent(in runtimeDirectory: String) -> String { "\(runtimeDirectory)/domains" }

  init(name: String, runtimeDirectory: String, logDirectory: String) {
    directory = "\(Self.parent(in: runtimeDirectory))/\(name)"
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
  /// and `taps` its network interfaces, where it has them; `attached` are the disks that it has beside that one. With
  /// `jailUser` it goes into a jail as that user.
  static func arguments(
    monitor: String, domain: ApplianceManifest.Domain, medium: String, disk: String?,
    attached: [DiskStatus] = [], taps: [String], paths: DomainPaths, jailUser: UInt32? = nil
  ) -> [String] {
    let cpus = "\(domain.cpus)" + (domain.cpusMaximum.map { ",max=\($0)" } ?? "")
    var words = [
      monitor, "--name", domain.name, "--cpus", cpus, "--memory", memory(domain.memoryBytes),
      "--boot", domain.boot.method.rawValue,
    ]
    let bounds = domain.memory
    if bounds.maximum > bounds.start { words += ["--memory-max", memory(bounds.maximum)] }
    if bounds.minimum < bounds.start { words.append("--balloon") }
    func file(_ path: String) -> String {
      path.hasPrefix(DomainDesign.fileScheme) ? String(path.dropFirst(DomainDesign.fileScheme.count)) : medium + path
    }
    if let model = domain.cpuModel, model != .host { words += ["--cpu", model.rawValue] }
    if let kernel = domain.boot.kernel { words += ["--kernel", file(kernel)] }
    if let initrd = domain.boot.initrd { words += ["--initrd", file(initrd)] }
    for module in domain.boot.modules ?? [] {
      // The text is last: it may have commas of its own.
      words += [
        "--module", file(module.file) + (module.commandLine.isEmpty ? "" : ",cmdline=\(module.commandLine)"),
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
    if let cdrom = domain.cdrom { words += ["--cdrom", file(cdrom)] }
    if let floppy = domain.floppy { words += ["--floppy", file(floppy)] }
    for (tap, card) in zip(taps, domain.cards) {
      let model = card.model.flatMap { $0 == .virtio ? nil : ",model=\($0.rawValue)" } ?? ""
      words += ["--net", "\(tap),mac=\(card.mac)\(model)"]
    }
    // The monitor's own choice is a display where there is firmware, and none elsewhere.
    let hasDisplay = domain.display == .vga
    if hasDisplay != domain.boot.method.isFirmware { words += ["--display", hasDisplay ? "vga" : "none"] }
    if hasDisplay { words += ["--vnc", "unix:\(paths.screen)"] }
    if let vnc = domain.vnc {
      words += ["--vnc", "unix:\(paths.display)" + (vnc.passwordFile.map { ",password-file=\(file($0))" } ?? "")]
    }
    words += ["--serial", "unix:\(paths.console),log=\(paths.log)", "--control", "unix:\(paths.control)"]
    if let jailUser { words += [jailOption, "uid=\(jailUser)"] }
    return words
  }

  private static let jailOption = "--jail"

  /// Whether a monitor with this command line goes into a jail: it then is to be the first of a namespace of process ids,
  /// and gets disks that come while it runs as open descriptors.
  static func isJailed(_ arguments: [String]) -> Bool { arguments.contains(jailOption) }

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
