/// What a machine is made of.
public struct MachineConfiguration: Sendable {
  /// A disk.
  public struct Disk: Sendable, Hashable {
    /// A file or a block device.
    public var path: String
    /// Whether the guest may only read.
    public var isReadOnly: Bool
    /// What the guest reads as its serial number, at most 20 characters.
    public var identifier: String
    /// What it is attached to.
    public var bus: DiskBus

    /// A disk in `path`.
    public init(path: String, isReadOnly: Bool = false, identifier: String = "", bus: DiskBus = .virtio) {
      self.path = path
      self.isReadOnly = isReadOnly
      self.identifier = identifier
      self.bus = bus
    }
  }

  /// What a disk is attached to.
  public enum DiskBus: String, Sendable, Hashable, CaseIterable {
    /// A virtio block device of its own.
    case virtio
    /// The IDE controller, which has four places; CD-ROMs take the last ones.
    case ide
    /// A virtio SCSI controller.
    case scsi
  }

  /// A network interface.
  public struct Network: Sendable, Hashable {
    /// Name of the tap device on the host.
    public var tap: String
    /// Six bytes.
    public var mac: [UInt8]
    /// What the guest sees.
    public var model: Model
    /// Whether the kernel serves a virtio interface's queues, where it can (vhost).
    public var usesKernel: Bool

    /// Kinds of network adapter.
    public enum Model: String, Sendable, Hashable, CaseIterable {
      /// Virtio.
      case virtio
      /// Intel's 82540EM, which old systems drive.
      case e1000
    }

    /// An interface with address `mac` on `tap`.
    public init(tap: String, mac: [UInt8], model: Model = .virtio, usesKernel: Bool = true) {
      self.usesKernel = usesKernel
      self.tap = tap
      self.mac = mac
      self.model = model
    }
  }

  /// A file that a boot protocol hands to the kernel beside it.
  public struct Module: Sendable, Hashable {
    /// The file.
    public var path: String
    /// Its own command line.
    public var commandLine: String

    /// The module in `path`.
    public init(path: String, commandLine: String = "") {
      self.path = path
      self.commandLine = commandLine
    }
  }

  /// Where a screen is shown to VNC viewers (RFC 6143).
  public struct Viewer: Sendable, Hashable {
    /// Path of the socket.
    public var path: String
    /// A file whose first line is the password that viewers need, of which VNC takes eight characters; nil for none.
    public var passwordFile: String?

    /// Viewers at the socket `path`.
    public init(path: String, passwordFile: String? = nil) {
      self.path = path
      self.passwordFile = passwordFile
    }
  }

  /// Where a console is shown.
  public enum Console: Sendable, Hashable {
    /// This process's standard input and output; Ctrl-] leaves when it is a terminal.
    case terminal
    /// A socket for any number of clients, and a log file.
    case socket(path: String, log: String?)
    /// Nowhere.
    case none
  }

  /// The domain's name.
  public var name: String
  /// Number of CPUs.
  public var cpus: Int
  /// CPUs that it may have while it runs, by ACPI's hot plug; nil: as many as it starts with, which stay.
  public var maximumCPUs: Int?
  /// RAM in bytes, as the machine starts.
  public var memory: UInt64
  /// Bytes that it may have at most while it runs; not more than it starts with for RAM that does not grow.
  public var memoryMaximum: UInt64 = 0
  /// How the kernel is started.
  public var bootMethod: BootMethod
  /// Path of the kernel; nil where firmware finds one.
  public var kernel: String?
  /// Path of the initial RAM disk, where there is one.
  public var initrd: String?
  /// Files that are handed over beside it.
  public var modules: [Module] = []
  /// The kernel's command line.
  public var commandLine: String
  /// The firmware, where it is not Debian's.
  public var firmware: String?
  /// Where UEFI keeps its variables; nil forgets them.
  public var firmwareVariables: String?
  /// Which processor the guest sees.
  public var cpuModel: CPUModelName = .host
  /// Disks, in the order the guest sees them.
  public var disks: [Disk] = []
  /// CD-ROM images, on the IDE controller.
  public var cdroms: [String] = []
  /// A floppy disk's image.
  public var floppy: String?
  /// Network interfaces, in the order the guest sees them.
  public var networks: [Network] = []
  /// Where the serial port is shown.
  public var serial: Console = .none
  /// Where the virtio console is shown; without it there is none.
  public var console: Console?
  /// Where the second serial port is shown; without it there is none.
  public var secondSerial: Console?
  /// Where the debug ports 0x402 and 0xE9 are shown, to which firmware reports; without it there are none.
  public var debug: Console?
  /// Whether there is a VGA adapter.
  public var hasDisplay = false
  /// Where its screen is shown.
  public var viewers: [Viewer] = []
  /// Whether there is a virtio balloon, through which memory that the guest does not use goes back to the host.
  public var hasBalloon = false
  /// Whether there is a virtio entropy source.
  public var hasEntropy = true
  /// Whether disks may come and go while the machine runs: then there is a SCSI controller, with or without disks.
  public var hasHotplug = false
  /// Path of the socket where the machine takes requests; nil for none.
  public var control: String?
  /// The user that this process becomes in a jail before the guest runs; nil: it stays as it is. In the jail the sockets'
  /// paths stay when the machine ends.
  public var jailUser: UInt32?
  /// Whether SIGTERM, SIGINT and SIGHUP are the machine's: the first presses the power button.
  public var handlesSignals = false
  /// Takes lines for the operator.
  public var log: @Sendable (String) -> Void = { _ in }

  /// A machine that boots `kernel`.
  public init(
    name: String, cpus: Int = 1, memory: UInt64 = 128 << 20, bootMethod: BootMethod = .auto, kernel: String? = nil,
    initrd: String? = nil, commandLine: String = ""
  ) {
    self.name = name
    self.cpus = cpus
    self.memory = memory
    self.bootMethod = bootMethod
    self.kernel = kernel
    self.initrd = initrd
    self.commandLine = commandLine
  }
}

/// How a machine came to its end.
public enum MachineOutcome: Hashable, Sendable {
  /// The guest powered off.
  case poweredOff
  /// The guest asked for a reset.
  case reset
  /// The guest or its CPU cannot go on; why.
  case crashed(String)
  /// The guest's kernel said that it has panicked.
  case panicked
  /// All its CPUs are halted with interrupts off: nothing can wake them.
  case halted
  /// The operator stopped it.
  case stopped
}
