/// Result of `usage`: what the monitors of running domains took of the machine so far.
public struct UsageReport: Codable, Hashable, Sendable {
  /// One domain's share.
  public struct Domain: Codable, Hashable, Sendable {
    /// The domain's name.
    public var name: String
    /// Process id of its monitor: another one counts from zero.
    public var pid: Int32
    /// Time of processors that its monitor had, its guest's included, in seconds.
    public var cpuSeconds: Double
    /// Memory that it has now, as far as its guest touched it, in bytes.
    public var memoryBytes: Int
    /// Memory that its guest says it could do without, in bytes; nil where it does not say.
    public var guestAvailableBytes: Int?
    /// Time that its virtual CPUs waited for a processor while they had something to do, in seconds.
    public var stealSeconds: Double?
    /// What its virtual CPUs came out of the guest for; nil where its monitor did not say.
    public var exits: Exits?
    /// What its disks did, those on IDE left out; nil where its monitor did not say.
    public var disks: [DiskUsage]?
    /// What went over its network card; nil where it has none.
    public var network: NetworkUsage?

    /// All fields.
    public init(
      name: String, pid: Int32, cpuSeconds: Double, memoryBytes: Int, guestAvailableBytes: Int? = nil,
      stealSeconds: Double? = nil, exits: Exits? = nil, disks: [DiskUsage]? = nil, network: NetworkUsage? = nil
    ) {
      self.name = name
      self.pid = pid
      self.cpuSeconds = cpuSeconds
      self.memoryBytes = memoryBytes
      self.guestAvailableBytes = guestAvailableBytes
      self.stealSeconds = stealSeconds
      self.exits = exits
      self.disks = disks
      self.network = network
    }
  }

  /// How often virtual CPUs came out of their guest, by cause.
  public struct Exits: Codable, Hashable, Sendable {
    /// Accesses to ports that the monitor answered.
    public var io: Int
    /// Accesses to memory that is no RAM, which the monitor answered.
    public var mmio: Int
    /// MSRs that KVM leaves to the monitor.
    public var msr: Int
    /// The monitor called them out.
    public var signal: Int
    /// All else that the monitor saw.
    public var other: Int
    /// All exits, those that the kernel dealt with included; nil where the kernel does not count, as of the next three.
    public var all: Int?
    /// The guest had nothing to do.
    public var halt: Int?
    /// The guest called the hypervisor.
    public var hypercall: Int?
    /// The machine's own interrupts.
    public var interrupt: Int?

    /// All fields.
    public init(
      io: Int = 0, mmio: Int = 0, msr: Int = 0, signal: Int = 0, other: Int = 0, all: Int? = nil, halt: Int? = nil,
      hypercall: Int? = nil, interrupt: Int? = nil
    ) {
      self.io = io
      self.mmio = mmio
      self.msr = msr
      self.signal = signal
      self.other = other
      self.all = all
      self.halt = halt
      self.hypercall = hypercall
      self.interrupt = interrupt
    }
  }

  /// What a disk did for its guest.
  public struct DiskUsage: Codable, Hashable, Sendable {
    /// Upper bounds of the classes of durations, in seconds.
    public static let limits = [0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1]

    /// The disk's name.
    public var name: String
    /// Requests to read.
    public var reads: Int
    /// Bytes that they were about.
    public var readBytes: Int
    /// Requests to write.
    public var writes: Int
    /// Bytes that they were about.
    public var writtenBytes: Int
    /// Requests to have all on the medium.
    public var flushes: Int
    /// Requests to give space back, or to write zeros.
    public var discards: Int
    /// Requests that failed, which are among the others.
    public var failures: Int
    /// From each request to its end, all taken together, in seconds.
    public var seconds: Double
    /// The longest of these, in seconds.
    public var longestSeconds: Double
    /// How many requests took at most as long as each of `limits` and longer than the one before, and at the end how many
    /// took longer than all.
    public var classes: [Int]

    /// All fields.
    public init(
      name: String, reads: Int, readBytes: Int, writes: Int, writtenBytes: Int, flushes: Int, discards: Int,
      failures: Int, seconds: Double, longestSeconds: Double, classes: [Int]
    ) {
      self.name = name
      self.reads = reads
      self.readBytes = readBytes
      self.writes = writes
      self.writtenBytes = writtenBytes
      self.flushes = flushes
      self.discards = discards
      self.failures = failures
      self.seconds = seconds
      self.longestSeconds = longestSeconds
      self.classes = classes
    }
  }

  /// What went over a network card, as its guest sees it.
  public struct NetworkUsage: Codable, Hashable, Sendable {
    /// Frames that the guest got.
    public var receivedFrames: Int
    /// Bytes in them.
    public var receivedBytes: Int
    /// Frames that were for it and were dropped: it did not take them fast enough.
    public var receivedDrops: Int
    /// Frames that the guest sent.
    public var sentFrames: Int
    /// Bytes in them.
    public var sentBytes: Int
    /// Frames that it sent and that were dropped.
    public var sentDrops: Int

    /// All fields.
    public init(
      receivedFrames: Int, receivedBytes: Int, receivedDrops: Int, sentFrames: Int, sentBytes: Int, sentDrops: Int
    ) {
      self.receivedFrames = receivedFrames
      self.receivedBytes = receivedBytes
      self.receivedDrops = receivedDrops
      self.sentFrames = sentFrames
      self.sentBytes = sentBytes
      self.sentDrops = sentDrops
    }
  }

  /// Seconds since power-on when this was counted.
  public var uptimeSeconds: Double
  /// The domains that run, in the recipe's order.
  public var domains: [Domain]

  /// All fields.
  public init(uptimeSeconds: Double, domains: [Domain]) {
    self.uptimeSeconds = uptimeSeconds
    self.domains = domains
  }
}
