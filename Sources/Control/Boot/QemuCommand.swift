/// What to boot and how: the options of `roost boot`.
public struct BootOptions: Hashable, Sendable {
  /// Who starts the medium's boot loader.
  public enum FirmwareKind: String, Hashable, Sendable {
    case bios = "BIOS"
    case uefi = "UEFI"
  }

  /// The image.
  public var iso: String
  /// Who starts its boot loader.
  public var firmware: FirmwareKind = .bios
  /// UEFI starts nothing that is not signed.
  public var secureBoot = false
  /// File with UEFI's variables to start with, such as whose signatures it takes; nil for what the firmware comes with.
  public var variables: String?
  /// The image is a USB stick, not a CD.
  public var usb = false
  /// The machine's memory, in bytes.
  public var memory = 4 << 30
  /// The machine's processors; nil: as many as suit the host (`Accelerator.cpus(on:)`).
  public var cpus: Int?
  /// The serial line does not go to this terminal.
  public var headless = false
  /// Where what the serial line says is kept.
  public var log: String?
  /// The machine has a network card behind QEMU's own NAT.
  public var network = true
  /// Return when all domains are ready; nil: only when the machine ends.
  public var readyWithin: Int?  // seconds

  /// The defaults of `roost boot` for an image.
  public init(iso: String) {
    self.iso = iso
  }
}

/// QEMU's command line, as data.
struct QemuCommand: Hashable, Sendable {
  let options: BootOptions
  let accelerator: Accelerator
  /// The machine's processors.
  let cpus: Int
  /// QEMU's program.
  let program: String
  /// UEFI's code, and this run's own copy of its variables; nil for BIOS.
  let firmware: BootHost.Firmware?
  /// Socket behind the port that the domain manager listens on.
  let controlSocket: String
  /// File that keeps what the serial line says.
  let serialLog: String

  /// The program and its arguments.
  var arguments: [String] {
    var words = [program, "-name", "roost", "-nodefaults", "-no-user-config", "-display", "none", "-vga", "std"]
    words += machine
    words += ["-smp", "\(cpus)", "-m", "\(options.memory >> 20)"]
    words += medium
    words += serial
    words += [
      "-device", "virtio-serial-pci",
      "-chardev", "socket,id=control,path=\(Self.quote(controlSocket)),server=on,wait=off",
      "-device", "virtserialport,chardev=control,name=\(ControlProtocol.portName)",
      "-device", "virtio-rng-pci",
    ]
    // An appliance that starts over before it is ready has failed; to start again would hide it.
    if options.readyWithin != nil { words.append("-no-reboot") }
    if options.network { words += ["-netdev", "user,id=network", "-device", "virtio-net-pci,netdev=network"] }
    return words
  }

  private var machine: [String] {
    var machine = "q35"
    var words: [String] = []
    if let firmware {
      // The code is mapped read-only; the variables are this run's copy.
      machine += ",pflash0=firmware,pflash1=variables"
      words += blockDevice("firmware", file: firmware.code, readOnly: true)
      words += blockDevice("variables", file: firmware.variables, readOnly: false)
    }
    if options.secureBoot {
      // Only the firmware itself, in system management mode, may write its variables.
      machine += ",smm=on"
      words += ["-global", "driver=cfi.pflash01,property=secure,value=on"]
    }
    words += ["-machine", machine]
    switch accelerator {
    case .nestedKVM:
      words += ["-accel", "kvm", "-cpu", "host"]
    case .emulation:
      // The plainest model with AMD-V: richer ones make nested guests stumble (docs/architecture.md).
      words += ["-accel", "tcg,thread=multi", "-cpu", "qemu64,+svm,+npt"]
    }
    return words
  }

  /// A CD takes no writes. A stick does: guests may have their home on it. QEMU keeps them in a file of its own that has no
  /// name any more, and the image is opened read-only.
  private var medium: [String] {
    guard options.usb else {
      return blockDevice("medium", file: options.iso, readOnly: true) + ["-device", "ide-cd,drive=medium,bootindex=0"]
    }
    let file = "file.driver=file,file.filename=\(Self.quote(options.iso))"
    return [
      "-drive", "if=none,id=medium,snapshot=on,driver=raw,\(file)",
      "-device", "qemu-xhci", "-device", "usb-storage,drive=medium,bootindex=0",
    ]
  }

  private var serial: [String] {
    let log = Self.quote(serialLog)
    guard !options.headless else {
      return ["-chardev", "file,id=serial,path=\(log)", "-serial", "chardev:serial", "-monitor", "none"]
    }
    // signal=off: Ctrl-C goes to the guest. Ctrl-a leads QEMU's own keys.
    return [
      "-chardev", "stdio,id=serial,mux=on,signal=off,logfile=\(log),logappend=off", "-serial", "chardev:serial",
      "-mon", "chardev=serial",
    ]
  }

  /// A raw image. The nodes are spelt out so that no part of a file's name is taken for a protocol.
  private func blockDevice(_ name: String, file: String, readOnly: Bool) -> [String] {
    let access = "read-only=\(readOnly ? "on" : "off")"
    return [
      "-blockdev", "driver=file,node-name=\(name)-file,filename=\(Self.quote(file)),\(access)",
      "-blockdev", "driver=raw,node-name=\(name),file=\(name)-file,\(access)",
    ]
  }

  /// QEMU's option parser takes a doubled comma for one that is meant.
  static func quote(_ text: String) -> String {
    text.split(separator: ",", omittingEmptySubsequences: false).joined(separator: ",,")
  }
}
