public import Manifest

/// A volume of the guests' storage, as `roost-storage` describes it.
public struct DiskStatus: Codable, Hashable, Sendable {
  /// What a volume is there for.
  public struct Kind: RawRepresentable, Codable, Hashable, Sendable {
    /// As it is written in messages.
    public let rawValue: String

    /// A kind as it is written in messages.
    public init(rawValue: String) {
      self.rawValue = rawValue
    }

    /// A domain's own disk, which came with the medium.
    public static let domain = Kind(rawValue: "domain")
    /// The own disk of a domain that was made on the fly.
    public static let own = Kind(rawValue: "own")
    /// One that was created empty.
    public static let disk = Kind(rawValue: "disk")
    /// What another disk was at one moment.
    public static let snapshot = Kind(rawValue: "snapshot")
    /// A copy of another disk that goes its own way.
    public static let clone = Kind(rawValue: "clone")
    /// A device that comes over the network.
    public static let remote = Kind(rawValue: "remote")
  }

  /// Its name, unique among all volumes.
  public var name: String
  /// Its block device.
  public var device: String
  /// Its size in bytes.
  public var bytes: Int
  /// The share of it that takes room of its own, in percent; nil where that is not known.
  public var usedPercent: Double?
  /// What it is there for.
  public var kind: Kind
  /// The disk that a snapshot or a clone was made of.
  public var origin: String?
  /// The domain that has it beside its own disk.
  public var attachedTo: String?
  /// True when something had it open when this was said.
  public var isOpen: Bool
  /// True for a remote that is not connected.
  public var isAbsent: Bool?
  /// True for a replicated volume that this machine does not write to.
  public var isSecondary: Bool?

  /// All fields.
  public init(
    name: String, device: String, bytes: Int, usedPercent: Double? = nil, kind: Kind, origin: String? = nil,
    attachedTo: String? = nil, isOpen: Bool = false, isAbsent: Bool? = nil, isSecondary: Bool? = nil
  ) {
    self.name = name
    self.device = device
    self.bytes = bytes
    self.usedPercent = usedPercent
    self.kind = kind
    self.origin = origin
    self.attachedTo = attachedTo
    self.isOpen = isOpen
    self.isAbsent = isAbsent
    self.isSecondary = isSecondary
  }
}

/// A device that comes over the network, as `roost-storage` describes it.
public struct RemoteStatus: RemoteDescription, Codable, Hashable, Sendable {
  /// What it is called.
  public var name: String
  /// Where it is, as `nbd://server:10809/export`.
  public var address: String
  /// What it is there for: `disk` or `room`.
  public var use: String
  /// True when the recipe asks for it.
  public var isInRecipe: Bool
  /// The domain that has it.
  public var attachedTo: String?
  /// Its block device; nil while it is not connected.
  public var device: String?
  /// Its size in bytes, as long as it is connected.
  public var bytes: Int?
  /// Of a replicated volume: whether this machine may write to it.
  public var isPrimary: Bool?
  /// Why it is not connected, or what else is wrong with it.
  public var problem: String?

  /// All fields.
  public init(
    name: String, address: String, use: String = "disk", isInRecipe: Bool = false, attachedTo: String? = nil,
    device: String? = nil, bytes: Int? = nil, isPrimary: Bool? = nil, problem: String? = nil
  ) {
    self.name = name
    self.address = address
    self.use = use
    self.isInRecipe = isInRecipe
    self.attachedTo = attachedTo
    self.device = device
    self.bytes = bytes
    self.isPrimary = isPrimary
    self.problem = problem
  }

  /// The same as `use`.
  public var purpose: String { use }
}

/// Result of `disk-list`.
public struct DiskList: Codable, Hashable, Sendable {
  /// All volumes of the guests' storage.
  public var disks: [DiskStatus]

  /// All fields.
  public init(disks: [DiskStatus]) {
    self.disks = disks
  }
}

/// Result of the operations that change a disk.
public struct DiskResult: Codable, Hashable, Sendable {
  /// What the disk is now; nil after it was destroyed.
  public var disk: DiskStatus?
  /// What the user should know beside that, such as from when on a domain sees the change.
  public var note: String?

  /// All fields.
  public init(disk: DiskStatus?, note: String? = nil) {
    self.disk = disk
    self.note = note
  }
}

/// How full the guests' storage is: what `roost-storage watch` keeps in `/run/roost/pool.json`.
public struct PoolStatus: Codable, Hashable, Sendable {
  /// Its size in bytes.
  public var poolBytes: Int
  /// What is written of it, in percent.
  public var dataPercent: Double
  /// Its own bookkeeping, in percent of the room for it.
  public var metadataPercent: Double
  /// True while guests wait with their writes.
  public var isFull: Bool
  /// Where it is: `memory` or `disk`.
  public var home: String
  /// What keeps it from being whole, such as a disk that is gone.
  public var degraded: String?

  /// All fields.
  public init(
    poolBytes: Int, dataPercent: Double, metadataPercent: Double = 0, isFull: Bool = false, home: String = "memory",
    degraded: String? = nil
  ) {
    self.poolBytes = poolBytes
    self.dataPercent = dataPercent
    self.metadataPercent = metadataPercent
    self.isFull = isFull
    self.home = home
    self.degraded = degraded
  }
}

/// Result of `storage` and `reload`.
public struct StorageStatus: Codable, Hashable, Sendable {
  /// Whether the guests' volumes are there.
  public enum State: String, Codable, Hashable, Sendable {
    /// They are being brought up.
    case waiting
    /// All of them are.
    case ready
    /// Not all of them; `error` says why.
    case failed
  }

  /// Whether the guests' volumes are there.
  public var state: State
  /// What failed, and what to do about it.
  public var error: String?
  /// What a user should know though it went well.
  public var warnings: [String]
  /// How full it is, where that is known.
  public var pool: PoolStatus?
  /// What comes over the network; nil stands for nothing.
  public var remotes: [RemoteStatus]?

  /// All fields.
  public init(
    state: State, error: String? = nil, warnings: [String] = [], pool: PoolStatus? = nil,
    remotes: [RemoteStatus]? = nil
  ) {
    self.state = state
    self.error = error
    self.warnings = warnings
    self.pool = pool
    self.remotes = remotes
  }
}
