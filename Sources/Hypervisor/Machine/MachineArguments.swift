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

      --name NAME              the domain's name
      --cpus N                 number of CPUs (1)
      --memory SIZE            RAM: 256MiB, 2GiB (128MiB)
      --boot linux|pvh|auto    how the kernel is started (auto: what the file looks like)
      --kernel PATH            a Linux bzImage, or an ELF file with a PVH note
      --initrd PATH            the initial RAM disk, or PVH's first module
      --cmdline TEXT           the kernel's command line
      --disk PATH[,ro][,id=TEXT]
                               a virtio disk in a file or on a block device; may be repeated
      --net TAP[,mac=AA:BB:CC:DD:EE:FF]
                               a virtio network interface on the tap device TAP; may be repeated
      --serial stdio|none|unix:PATH[,log=FILE]
                               where the serial port is shown (stdio); Ctrl-] leaves a terminal
      --console unix:PATH[,log=FILE]
                               adds a virtio console and shows it there
      --no-entropy             no virtio entropy source
      --help                   this text

    SIGTERM presses the power button; a second one ends the domain at once.

    Exit status: 0 powered off, 2 bad usage, 3 no KVM, 10 the guest asked for a reset, 11 the guest crashed,
    12 a device or KVM failed, 130 stopped by a signal.

    Examples:
      roost-vmm --name tiny --kernel hatchling.elf --memory 16MiB
      roost-vmm --name debian --cpus 2 --memory 512MiB --kernel vmlinuz --initrd initrd.img \\
        --cmdline "console=ttyS0 root=/dev/vda" --disk debian.img --net tap0,mac=52:54:00:00:00:01

    """

  /// Reads command-line arguments, the program's name left out.
  public init(arguments: [String]) throws(ArgumentError) {
    var name: String?
    var kernel: String?
    var rest = arguments[...]
    self.init(name: "", kernel: "")
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
        let text = try value()
        guard let count = Int(text), count > 0 else { throw ArgumentError("--cpus \(text): give a number from 1 on") }
        cpus = count
      case "--memory":
        memory = try Self.size(try value())
      case "--boot":
        let text = try value()
        guard let method = BootMethod(rawValue: text) else {
          throw ArgumentError(
            "--boot \(text): give one of \(BootMethod.allCases.map(\.rawValue).joined(separator: ", "))")
        }
        bootMethod = method
      case "--kernel": kernel = try value()
      case "--initrd": initrd = try value()
      case "--cmdline": commandLine = try value()
      case "--disk": disks.append(try Self.disk(try value()))
      case "--net": networks.append(try Self.network(try value(), index: networks.count))
      case "--serial": serial = try Self.console(try value(), option)
      case "--console": console = try Self.console(try value(), option)
      case "--no-entropy": hasEntropy = false
      default: throw ArgumentError("\(option) is no option of roost-vmm; see roost-vmm --help")
      }
    }
    guard let name, !name.isEmpty else { throw ArgumentError("give the domain a name: --name NAME") }
    guard let kernel else { throw ArgumentError("give a kernel to boot: --kernel PATH") }
    guard !(serial == .terminal && console == .terminal) else {
      throw ArgumentError("only one console can be on stdio; give the other one unix:PATH")
    }
    self.name = name
    self.kernel = kernel
  }

  /// `256MiB`, `2GiB`, `512M`, `1 GiB`.
  static func size(_ text: String) throws(ArgumentError) -> UInt64 {
    let digits = text.prefix { $0.isNumber }
    let unit = text.dropFirst(digits.count).drop { $0 == " " }
    let shift: UInt64? =
      switch unit.lowercased() {
      case "mib", "m": 20
      case "gib", "g": 30
      default: nil
      }
    guard let count = UInt64(digits), let shift, count > 0, count <= (1 << 40) >> shift else {
      throw ArgumentError("--memory \(text): give whole MiB or GiB, such as 256MiB or 2GiB, 1 TiB at most")
    }
    return count << shift
  }

  private static func disk(_ text: String) throws(ArgumentError) -> Disk {
    let parts = text.split(separator: ",", omittingEmptySubsequences: false)
    var disk = Disk(path: String(parts.first ?? ""))
    guard !disk.path.isEmpty else { throw ArgumentError("--disk \(text): give a path first") }
    for part in parts.dropFirst() {
      if part == "ro" {
        disk.isReadOnly = true
      } else if part.hasPrefix("id="), part.utf8.count <= 23 {
        disk.identifier = String(part.dropFirst(3))
      } else {
        throw ArgumentError("--disk \(text): \(part) is neither ro nor id=TEXT with at most 20 characters")
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
    for part in parts.dropFirst() {
      guard part.hasPrefix("mac=") else { throw ArgumentError("--net \(text): \(part) is not mac=ADDRESS") }
      let groups = part.dropFirst(4).split(separator: ":", omittingEmptySubsequences: false)
      let bytes = groups.compactMap { $0.utf8.count == 2 ? UInt8($0, radix: 16) : nil }
      guard groups.count == 6, bytes.count == 6, bytes[0] & 1 == 0 else {
        throw ArgumentError("--net \(text): give a unicast address such as 52:54:00:12:34:56")
      }
      mac = bytes
    }
    return Network(tap: tap, mac: mac)
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
