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

    /// A disk in `path`.
    public init(path: String, isReadOnly: Bool = false, identifier: String = "") {
      self.path = path
      self.isReadOnly = isReadOnly
      self.identifier = identifier
    }
  }

  /// A network interface.
  public struct Network: Sendable, Hashable {
    /// Name of the tap device on the host.
    public var tap: String
    /// Six bytes.
    public var mac: [UInt8]

    /// An interface with address `mac` on `tap`.
    public init(tap: String, mac: [UInt8]) {
      self.tap = tap
      self.mac = mac
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
  /// RAM in bytes.
  public var memory: UInt64
  /// How the kernel is started.
  public var bootMethod: BootMethod
  /// Path of the kernel.
  public var kernel: String
  /// Path of the initial RAM disk, where there is one.
  public var initrd: String?
  /// The kernel's command line.
  public var commandLine: String
  /// Disks, in the order the guest sees them.
  public var disks: [Disk] = []
  /// Network interfaces, in the order the guest sees them.
  public var networks: [Network] = []
  /// Where the serial port is shown.
  public var serial: Console = .none
  /// Where the virtio console is shown; without it there is none.
  public var console: Console?
  /// Whether there is a virtio entropy source.
  public var hasEntropy = true
  /// Whether SIGTERM, SIGINT and SIGHUP are the machine's: the first presses the power button.
  public var handlesSignals = false
  /// Takes lines for the operator.
  public var log: @Sendable (String) -> Void = { _ in }

  /// A machine that boots `kernel`.
  public init(
    name: String, cpus: Int = 1, memory: UInt64 = 128 << 20, bootMethod: BootMethod = .auto, kernel: String,
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
  /// The operator stopped it.
  case stopped
}
