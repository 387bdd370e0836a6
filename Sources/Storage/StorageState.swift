internal import FoundationEssentials
internal import Manifest
internal import Platform

/// What `/run/roost/storage.json` tells the rest of the appliance.
public struct StorageState: Codable, Hashable, Sendable {
  /// Where it is told.
  public static let path = "/run/roost/storage.json"

  /// Whether the guests' volumes are there.
  public enum State: String, Codable, Sendable {
    /// All of them are.
    case ready
    /// Not all of them; `error` says why.
    case failed
  }

  /// A guest's volume.
  public struct Volume: Codable, Hashable, Sendable {
    /// Its block device.
    public var device: String
    /// Its size in bytes.
    public var bytes: Int

    /// A volume.
    public init(device: String, bytes: Int) {
      self.device = device
      self.bytes = bytes
    }
  }

  /// Whether the guests' volumes are there.
  public var state: State
  /// What failed, and what to do about it.
  public var error: String?
  /// What a user should know though it went well.
  public var warnings: [String]
  /// Name of the volume group.
  public var volumeGroup: String
  /// Size of the memory that takes the guests' changes, in bytes.
  public var ramBytes: Int
  /// The volumes by the domains' names.
  public var domains: [String: Volume]
  /// LVM's identifier of the group.
  public var group: String?
  /// The disk that a move is under way to.
  public var movingTo: String?
  /// Where what guests write lives.
  public var home = PoolReport.Place.memory
  /// The disks in the group beside the medium and memory.
  public var devices: [String] = []
  /// All disks of guests, the domains' own among them.
  public var disks: [Disk] = []
  /// What defines the domains that were made on the fly, by their names, as text.
  public var created: [String: String] = [:]
  /// Devices that come over the network, connected or not.
  public var remotes: [RemoteRecord] = []
  /// Of a failed state: the remotes that the guests' home waits for.
  public var waitingFor: [String] = []

  /// A state.
  public init(
    _ state: State, error: String? = nil, warnings: [String] = [], volumeGroup: String, ramBytes: Int = 0,
    domains: [String: Volume] = [:]
  ) {
    self.state = state
    self.error = error
    self.warnings = warnings
    self.volumeGroup = volumeGroup
    self.ramBytes = ramBytes
    self.domains = domains
  }

  /// Takes what guests' volumes there are; remotes that are disks are shown beside them.
  mutating func show(_ volumes: [Disk]) {
    disks = (volumes + remotes.filter { $0.use == .disk }.map(Disk.init)).sorted { $0.name < $1.name }
  }

  /// Takes what domains were made on the fly, with those of the volumes that are theirs.
  mutating func show(_ definitions: [String: String], _ volumes: [Disk]) {
    for name in created.keys where definitions[name] == nil { domains[name] = nil }
    created = definitions
    for disk in volumes where disk.kind == .own && created[disk.name] != nil {
      domains[disk.name] = Volume(device: disk.device, bytes: disk.bytes)
    }
  }

  /// Shows remotes as they are now beside the volumes that were there.
  mutating func showRemotes() { show(disks.filter { $0.kind != .remote }) }

  /// The state as JSON with sorted keys and a line break at the end.
  public func json() throws(StorageError) -> [UInt8] {
    try encodeJSON(self)
  }

  /// What the file at `path` tells; nil where there is none.
  public static func load(_ path: String = Self.path) throws(StorageError) -> StorageState? {
    guard Files.exists(path) else { return nil }
    let bytes = try storage("read the state of storage") { () throws(SystemError) in try Files.read(path) }
    do {
      return try JSONDecoder().decode(StorageState.self, from: Data(bytes))
    } catch {
      throw StorageError(.system, "\(path) is not understood (\(error)); run roost-storage activate again")
    }
  }

  /// Replaces the file at `path` at once.
  public func write(to path: String = Self.path) throws(StorageError) {
    let bytes = try json()
    try storage("tell the state of storage") { () throws(SystemError) in try Files.replace(path, with: bytes) }
  }
}

/// How full a thin pool and its volumes are.
public struct StorageUsage: Codable, Hashable, Sendable {
  /// One thin volume.
  public struct Volume: Codable, Hashable, Sendable {
    /// Its name: the domain's.
    public var name: String
    /// Its size in bytes.
    public var bytes: Int
    /// The share of it that differs from the image, in percent.
    public var usedPercent: Double
    /// Whether somebody has it open.
    public var isOpen: Bool
  }

  /// Size of the pool in bytes.
  public var poolBytes: Int
  /// Data in the pool, in percent.
  public var dataPercent: Double
  /// The pool's own bookkeeping, in percent of the room for it.
  public var metadataPercent: Double
  /// The volumes in the order of their names.
  public var volumes: [Volume]
}

/// What `roost-storage status` shows.
public struct StorageReport: Codable, Hashable, Sendable {
  /// What the last activation told.
  public var storage: StorageState
  /// How full the pool is, where there is one.
  public var usage: StorageUsage?

  /// A report.
  public init(storage: StorageState, usage: StorageUsage?) {
    self.storage = storage
    self.usage = usage
  }

  /// The report as JSON with sorted keys and a line break at the end.
  public func json() throws(StorageError) -> [UInt8] {
    try encodeJSON(self)
  }

  /// The report for people.
  public var table: String {
    var lines = ["\(storage.volumeGroup): \(storage.state.rawValue)"]
    if let error = storage.error { lines.append(error) }
    lines += storage.warnings.map { "warning: \($0)" }
    if let usage {
      let place = storage.home == .memory ? "in memory" : "on \(storage.devices.joined(separator: ", "))"
      lines.append("pool: \(usage.poolBytes >> 20) MiB \(place), \(percent(usage.dataPercent)) used")
      for volume in usage.volumes {
        lines.append(
          "  \(volume.name): \(volume.bytes >> 20) MiB, \(percent(volume.usedPercent)) written"
            + (volume.isOpen ? ", in use" : ""))
      }
    }
    for remote in storage.remotes {
      lines.append("remote \(remote.line)")
      if let problem = remote.problem { lines.append("  \(problem)") }
    }
    return lines.joined(separator: "\n") + "\n"
  }

  private func percent(_ value: Double) -> String { "\((value * 10).rounded() / 10) %" }
}

func encodeJSON(_ value: some Encodable) throws(StorageError) -> [UInt8] {
  let encoder = JSONEncoder()
  encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
  do {
    return Array(try encoder.encode(value)) + [0x0A]
  } catch {
    throw StorageError(.system, "the state of storage cannot be written as JSON: \(error)")
  }
}
