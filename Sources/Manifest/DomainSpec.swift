/// What a user wants of a domain that is made on the fly; what is left out comes from the domain that it is to be like,
/// or is what a recipe would have.
///
/// Paths are those of the control domain.
public struct DomainSpec: Codable, Sendable, Hashable {
  /// Its name, which no other domain or disk has.
  public var name: String
  /// A domain whose machine and kernel it takes; its disk begins as that one's image did.
  public var like: String?
  /// Its operating system as people call it.
  public var os: String?
  /// Virtual CPUs that it starts with.
  public var cpus: Int?
  /// Virtual CPUs that it may have while it runs.
  public var cpusMaximum: Int?
  /// What processor it sees.
  public var cpuModel: CPUModel?
  /// Memory in bytes.
  public var memoryBytes: Int?
  /// What it may be asked to come down to while it runs, in bytes.
  public var memoryMinimumBytes: Int?
  /// What it may grow to while it runs, in bytes.
  public var memoryMaximumBytes: Int?
  /// Size of its disk in bytes; nil for one as large as what it begins as, or for no disk.
  public var diskBytes: Int?
  /// A file that its disk begins as.
  public var image: String?
  /// A disk of this appliance's that its disk begins as.
  public var clone: String?
  /// What its disk is attached to.
  public var diskBus: DiskBus?
  /// How it boots.
  public var boot: BootMethod?
  /// A kernel to be entered.
  public var kernel: String?
  /// That kernel's initial RAM disk.
  public var initrd: String?
  /// What the kernel is told.
  public var commandLine: String?
  /// The image in its CD drive.
  public var cdrom: String?
  /// The image in its floppy drive.
  public var floppy: String?
  /// Its network cards; empty for none.
  public var cards: [CardSpec]?
  /// What cards these are.
  public var nic: NetworkModel?
  /// What it shows beside its serial line.
  public var display: Display?
  /// Whether disks may come and go while it runs.
  public var hotplug: Bool?
  /// Whether it starts with the appliance.
  public var autostart: Bool?
  /// The domains that it starts after, and goes down before.
  public var after: [String]?
  /// Text that its console shows when it is up.
  public var readyText: String?
  /// How long that may take, in seconds.
  public var readySeconds: Int?
  /// What happens when the guest resets itself.
  public var onReboot: LifecycleAction?
  /// What happens when the guest crashes.
  public var onCrash: LifecycleAction?

  /// A domain of which nothing but the name is said.
  public init(name: String) {
    self.name = name
  }
}
