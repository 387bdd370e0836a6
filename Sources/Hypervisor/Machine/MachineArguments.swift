internal import Binary

/// Arguments that make no sense; what and what to write instead.
public struct ArgumentError: Error, Hashable, Sendable, CustomStringConvertible {
  /// One line for people.
  public let description: String

  init(_ description: String) {
    self.description = description
  }
}

extension MachineConfiguration {
  /// What `roost-vmm --help` prints.
  public static let help = """
    roost-vmm: runs one virtual machine on KVM.

      roost-vmm --name NAME --kernel PATH [options]
      roost-vmm --name NAME --boot bios|uefi [options]

      --name NAME              the domain's name
      --cpus N[,max=M]         number of CPUs (1); up to M come and go while it runs, by ACPI's hot plug, in a system
                               whose kernel is booted by its own protocol
      --cpu host|baseline      the host's processor, or what all processors of its kind have (host)
      --memory SIZE            RAM: 256MiB, 2GiB (128MiB)
      --memory-max SIZE        RAM that it may grow to while it runs, by virtio-mem (what it starts with)
      --boot METHOD            linux, pvh, xen-pvh (the same, with Xen's hypercalls in KVM's place), multiboot,
                               freebsd, plan9: a kernel by its own protocol; bios, uefi: firmware
                               that boots the disks (auto: what the kernel's file looks like; bios without a kernel)
      --kernel PATH            the kernel
      --initrd PATH            the initial RAM disk, PVH's and Multiboot's first module, FreeBSD's memory disk
      --module PATH[,cmdline=TEXT]
                               another module for PVH or Multiboot; may be repeated
      --cmdline TEXT           the kernel's command line; FreeBSD's environment, Plan 9's plan9.ini
      --firmware PATH          another BIOS or UEFI than Debian's
      --uefi-vars PATH         where UEFI keeps its variables; made when it is not there
      --disk PATH[,ro][,id=TEXT][,bus=virtio|ide|scsi]
                               a disk in a file or on a block device (virtio); may be repeated
      --cdrom PATH             a CD-ROM's image on the IDE controller; may be repeated
      --floppy PATH            a floppy disk's image, for the BIOS
      --net TAP[,mac=AA:BB:CC:DD:EE:FF][,model=virtio|e1000][,vhost=on|off]
                               a network interface on the tap device TAP (virtio); may be repeated. The kernel moves the
                               frames of a virtio one itself if it has /dev/vhost-net, unless vhost=off
      --serial stdio|none|unix:PATH[,log=FILE]
                               where the serial port is shown (stdio); Ctrl-] leaves a terminal
      --serial2 unix:PATH[,log=FILE]
                               adds a second serial port and shows it there
      --console unix:PATH[,log=FILE]
                               adds a virtio console and shows it there
      --debug unix:PATH[,log=FILE]
                               adds the debug ports that firmware reports to, and shows them there
      --display vga|none       a VGA adapter (vga with firmware, none without)
      --vnc unix:PATH[,password-file=FILE]
                               shows the screen to VNC viewers; may be repeated
      --balloon                adds a virtio balloon: memory that the guest has no use for goes back to the host, and
                               it can be asked to do with less than it started with
      --no-entropy             no virtio entropy source
      --hotplug                adds the SCSI controller even where no disk is on it, for disks that come and go
      --control unix:PATH      takes requests there, a line each, and answers each by 'ok' or 'error' and why:
                               status, pause, resume, resize ID, attach PATH,id=ID[,ro], detach ID; with 'fd' for
                               PATH the disk's open descriptor comes with the request (and a second one for O_DIRECT);
                               memory (what it is to have, has, and says of it), memory BYTES
      --jail uid=N             takes all rights away from this process before the guest runs: it becomes user N, alone in
                               namespaces of its own; needs root and to be the first process of its namespace
      --help                   this text

    SIGTERM presses the power button; a second one ends the domain at once.

    Exit status: 0 powered off, 2 bad usage, 3 no KVM, 10 the guest asked for a reset, 11 the guest crashed,
    12 a device or KVM failed, 13 the guest's kernel panicked, 14 the guest halted for good, 15 it did what its jail
    forbids, 16 the jail cannot be made, 130 stopped by a signal.

    Examples:
      roost-vmm --name tiny --kernel hatchling.elf --memory 16MiB
      roost-vmm --name debian --cpus 2 --memory 512MiB --kernel vmlinuz --initrd initrd.img \\
        --cmdline "console=ttyS0 root=/dev/vda" --disk debian.img --net tap0,mac=52:54:00:00:00:01
      roost-vmm --name old --boot bios --disk old.img,bus=ide --cdrom install.iso --vnc unix:/tmp/old.vnc

    """

  /// Reads command-line arguments, the program's name left out.
  public init(arguments: [String]) throws(ArgumentError) {
    var name: String?
    var display: Bool?
    var rest = arguments[...]
    self.init(name: "")
    serial = .terminal
    while let option = rest.popFirst() {
      func value() throws(ArgumentError) -> String {
        guard let value = rest.popFirst() else { throw ArgumentError("\(option) needs a value; see roost-vmm --help") }
        return value
      }
      switch option {
      case "--name":
        name = try value()
      case "--cpus":
        (cpus, maximumCPUs) = try Self.processors(try value())
      case "--memory":
        memory = try Self.size(try value(), option)
      case "--memory-max":
        memoryMaximum = try Self.size(try value(), option)
      case "--cpu": cpuModel = try Self.choice(try value(), option)
      case "--boot": bootMethod = try Self.choice(try value(), option)
      case "--kernel": kernel = try value()
      case "--initrd": initrd = try value()
      case "--module": modules.append(try Self.module(try value()))
      case "--cmdline": commandLine = try value()
      case "--firmware": firmware = try value()
      case "--uefi-vars": firmwareVariables = try value()
      case "--disk": disks.append(try Self.disk(try value()))
      case "--cdrom": cdroms.append(try value())
      case "--floppy": floppy = try value()
      case "--display": display = try Self.choice(try value(), option) == DisplayKind.vga
      case "--vnc": viewers.append(try Self.viewer(try value()))
      case "--net": networks.append(try Self.network(try value(), index: networks.count))
      case "--serial": serial = try Self.console(try value(), option)
      case "--debug": debug = try Self.console(try value(), option)
      case "--serial2": secondSerial = try Self.console(try value(), option)
      case "--console": console = try Self.console(try value(), option)
      case "--balloon": hasBalloon = true
      case "--no-entropy": hasEntropy = false
      case "--hotplug": hasHotplug = true
      case "--jail": jailUser = try Self.jailUser(try value())
      case "--control": control = try Self.socket(try value(), option)
      default: throw ArgumentError("\(option) is no option of roost-vmm; see roost-vmm --help")
      }
    }
    guard let name, !name.isEmpty else { throw ArgumentError("give the domain a name: --name NAME") }
    guard [serial, secondSerial, console, debug].count(where: { $0 == .terminal }) < 2 else {
      throw ArgumentError("only one console can be on stdio; give the others unix:PATH")
    }
    self.name = name
    if bootMethod == .auto, kernel == nil { bootMethod = .bios }
    hasDisplay = display ?? (bootMethod.isFirmware || !viewers.isEmpty)
    if let problem = contradiction { throw ArgumentError(problem) }
  }

  /// What does not go together; nil when all does.
  private var contradiction: String? {
    let method = bootMethod.rawValue
    if bootMethod.isFirmware {
      if kernel != nil { return "--boot \(method) boots from disks: leave --kernel out" }
      if initrd != nil || !modules.isEmpty { return "--boot \(method) takes no --initrd and no --module" }
      if disks.isEmpty, cdroms.isEmpty, floppy == nil, networks.isEmpty {
        return "give a kernel to boot (--kernel PATH), or a disk, a CD-ROM or a network interface to boot from"
      }
    } else {
      if kernel == nil { return "give a kernel to boot: --kernel PATH" }
      if firmware != nil { return "--firmware goes with --boot bios or --boot uefi" }
    }
    if maximumCPUs != nil, bootMethod.isFirmware {
      return "--cpus N,max=M: firmware starts all CPUs that there can be; boot the kernel itself, or start with M"
    }
    if memoryMaximum > 0, memoryMaximum < memory { return "--memory-max is what --memory may grow to: give it more" }
    if firmwareVariables != nil, bootMethod != .uefi { return "--uefi-vars goes with --boot uefi" }
    if !viewers.isEmpty, !hasDisplay { return "--vnc needs a screen: leave --display none out" }
    if disks.count(where: { $0.bus == .ide }) + cdroms.count > 4 {
      return "the IDE controller has four places for disks and CD-ROMs"
    }
    if jailUser != nil, [serial, secondSerial, console, debug].contains(.terminal) {
      return "in a jail there is no terminal; give the consoles unix:PATH (--serial is stdio if left out)"
    }
    return nil
  }

  private static func processors(_ text: String) throws(ArgumentError) -> (Int, Int?) {
    let parts = text.split(separator: ",", omittingEmptySubsequences: false)
    guard let count = parts.first.flatMap({ Int($0) }), count > 0, parts.count < 3 else {
      throw ArgumentError("--cpus \(text): give a number from 1 on")
    }
    guard parts.count == 2 else { return (count, nil) }
    guard parts[1].hasPrefix("max="), let maximum = Int(parts[1].dropFirst(4)), maximum >= count else {
      throw ArgumentError("--cpus \(text): give the most as max=M, and not less than it starts with")
    }
    return (count, maximum == count ? nil : maximum)
  }

  private static func jailUser(_ text: String) throws(ArgumentError) -> UInt32 {
    guard text.hasPrefix("uid="), let user = UInt32(text.dropFirst(4)), user > 0, user < UInt32.max else {
      throw ArgumentError("--jail \(text): give uid=N, a user that nobody else is")
    }
    return user
  }

  private enum DisplayKind: String, CaseIterable {
    case vga, none
  }

  /// One of an enumeration's words.
  private static func choice<Choice: RawRepresentable & CaseIterable>(
    _ text: String, _ option: String
  ) throws(ArgumentError) -> Choice where Choice.RawValue == String {
    guard let choice = Choice(rawValue: text) else {
      throw ArgumentError("\(option) \(text): give one of \(Choice.allCases.map(\.rawValue).joined(separator: ", "))")
    }
    return choice
  }

  private static func module(_ text: String) throws(ArgumentError) -> Module {
    let mark = ",cmdline="
    var path = text[...]
    var line = ""
    if let cut = text.firstRange(of: mark) {
      path = text[..<cut.lowerBound]
      line = String(text[cut.upperBound...])
    }
    guard !path.isEmpty else { throw ArgumentError("--module \(text): give a path first") }
    return Module(path: String(path), commandLine: line)
  }

  private static func viewer(_ text: String) throws(ArgumentError) -> Viewer {
    let parts = text.split(separator: ",", omittingEmptySubsequences: false)
    guard let first = parts.first, first.hasPrefix("unix:"), first.utf8.count > 5 else {
      throw ArgumentError("--vnc \(text): give unix:PATH[,password-file=FILE]")
    }
    var viewer = Viewer(path: String(first.dropFirst(5)))
    for part in parts.dropFirst() {
      guard part.hasPrefix("password-file="), part.utf8.count > 14 else {
        throw ArgumentError("--vnc \(text): \(part) is not password-file=FILE")
      }
      viewer.passwordFile = String(part.dropFirst(14))
    }
    return viewer
  }

  /// `256MiB`, `2GiB`, `512M`, `1 GiB`.
  static func size(_ text: String, _ option: String = "--memory") throws(ArgumentError) -> UInt64 {
    let digits = text.prefix { $0.isNumber }
    let unit = text.dropFirst(digits.count).drop { $0 == " " }
    let shift: UInt64? =
      switch unit.lowercased() {
      case "mib", "m": 20
      case "gib", "g": 30
      default: nil
      }
    guard let count = UInt64(digits), let shift, count > 0, count <= (1 << 40) >> shift else {
      throw ArgumentError("\(option) \(text): give whole MiB or GiB, such as 256MiB or 2GiB, 1 TiB at most")
    }
    return count << shift
  }

  private static func socket(_ text: String, _ option: String) throws(ArgumentError) -> String {
    guard text.hasPrefix("unix:"), text.utf8.count > 5 else { throw ArgumentError("\(option) \(text): give unix:PATH") }
    return String(text.dropFirst(5))
  }

  /// `PATH[,ro][,id=TEXT][,bus=BUS]`; `option` is what it was given to, which may have no bus to choose.
  static func disk(_ text: String, _ option: String = "--disk", takesBus: Bool = true) throws(ArgumentError) -> Disk {
    let parts = text.split(separator: ",", omittingEmptySubsequences: false)
    var disk = Disk(path: String(parts.first ?? ""))
    guard !disk.path.isEmpty else { throw ArgumentError("\(option) \(text): give a path first") }
    for part in parts.dropFirst() {
      if part == "ro" {
        disk.isReadOnly = true
      } else if part.hasPrefix("id="), part.utf8.count <= 23 {
        disk.identifier = String(part.dropFirst(3))
      } else if takesBus, part.hasPrefix("bus=") {
        disk.bus = try choice(String(part.dropFirst(4)), "--disk bus")
      } else {
        let words = takesBus ? "ro, bus=… or" : "ro or"
        throw ArgumentError("\(option) \(text): \(part) is not \(words) id=TEXT with at most 20 characters")
      }
    }
    return disk
  }

  private static func network(_ text: String, index: Int) throws(ArgumentError) -> Network {
    let parts = text.split(separator: ",", omittingEmptySubsequences: false)
    let tap = String(parts.first ?? "")
    guard !tap.isEmpty, tap.utf8.count <= 15 else {
      throw ArgumentError("--net \(text): give the tap's name first, of at most 15 characters")
    }
    // Locally administered, and the same at every start.
    let hash = CRC32.checksum(Array("\(tap)/\(index)".utf8))
    var mac: [UInt8] = [0x52, 0x54, 0]
    for shift in [16, 8, 0] as [UInt32] { mac.append(UInt8(truncatingIfNeeded: hash >> shift)) }
    var model = Network.Model.virtio
    var usesKernel = true
    for part in parts.dropFirst() {
      if part.hasPrefix("model=") {
        model = try choice(String(part.dropFirst(6)), "--net model")
        continue
      }
      if part.hasPrefix("vhost=") {
        guard let uses = ["on": true, "off": false][String(part.dropFirst(6))] else {
          throw ArgumentError("--net \(text): give vhost=on or vhost=off")
        }
        usesKernel = uses
        continue
      }
      guard part.hasPrefix("mac=") else {
        throw ArgumentError("--net \(text): \(part) is not mac=ADDRESS, model=… or vhost=…")
      }
      let groups = part.dropFirst(4).split(separator: ":", omittingEmptySubsequences: false)
      let bytes = groups.compactMap { $0.utf8.count == 2 ? UInt8($0, radix: 16) : nil }
      guard groups.count == 6, bytes.count == 6, bytes[0] & 1 == 0 else {
        throw ArgumentError("--net \(text): give a unicast address such as 52:54:00:12:34:56")
      }
      mac = bytes
    }
    return Network(tap: tap, mac: mac, model: model, usesKernel: usesKernel)
  }

  private static func console(_ text: String, _ option: String) throws(ArgumentError) -> Console {
    if text == "stdio" { return .terminal }
    if text == "none" { return .none }
    let parts = text.split(separator: ",", omittingEmptySubsequences: false)
    guard let first = parts.first, first.hasPrefix("unix:"), first.utf8.count > 5 else {
      throw ArgumentError("\(option) \(text): give stdio, none or unix:PATH[,log=FILE]")
    }
    var log: String?
    for part in parts.dropFirst() {
      guard part.hasPrefix("log="), part.utf8.count > 4 else {
        throw ArgumentError("\(option) \(text): \(part) is not log=FILE")
      }
      log = String(part.dropFirst(4))
    }
    return .socket(path: String(first.dropFirst(5)), log: log)
  }
}
