internal import Platform

/// What the kernel says of a thin pool (Documentation/admin-guide/device-mapper/thin-provisioning.rst, "Status").
public struct PoolStatus: Hashable, Sendable {
  /// What the pool does with writes.
  public enum Mode: String, Sendable {
    /// It takes them.
    case readWrite = "rw"
    /// It takes none: its bookkeeping is damaged or full.
    case readOnly = "ro"
    /// It has no room for new data: who writes waits.
    case outOfSpace = "out_of_data_space"
    /// It serves nothing any more.
    case failed = "Fail"
  }

  /// So many of so many blocks.
  public struct Share: Hashable, Sendable {
    /// Blocks in use.
    public let used: Int
    /// Blocks in all.
    public let total: Int

    /// In percent, with two decimals; 0 of nothing.
    public var percent: Double {
      total == 0 ? 0 : (Double(used) / Double(total) * 10000).rounded() / 100
    }
  }

  /// Counts what LVM had the pool do; LVM's own count is ahead while the pool has not been told.
  let transaction: Int
  /// What the pool does with writes.
  public let mode: Mode
  /// Blocks of the bookkeeping.
  public let metadata: Share
  /// Blocks of data.
  public let data: Share
  /// True when the bookkeeping must be checked before the pool takes writes again.
  public let needsCheck: Bool

  /// Reads the kernel's line; nil for one that is not understood.
  init?(parameters: String) {
    // <transaction> <used>/<total metadata> <used>/<total data> <held root> ro|rw|out_of_data_space <discards>
    // <queue_if_no_space|error_if_no_space> <needs_check|-> <low water mark>
    let words = parameters.split(separator: " ")
    if words.first == "Fail" {
      self.mode = .failed
      transaction = 0
      metadata = Share(used: 0, total: 0)
      data = Share(used: 0, total: 0)
      needsCheck = true
      return
    }
    func pair(_ word: Substring) -> Share? {
      let parts = word.split(separator: "/")
      guard parts.count == 2, let used = Int(parts[0]), let total = Int(parts[1]), used >= 0, total > 0 else {
        return nil
      }
      return Share(used: used, total: total)
    }
    guard words.count >= 8, let transaction = Int(words[0]), let metadata = pair(words[1]), let data = pair(words[2]),
      let mode = Mode(rawValue: String(words[4]))
    else { return nil }
    self.transaction = transaction
    self.mode = mode
    self.metadata = metadata
    self.data = data
    needsCheck = words.contains("needs_check")
  }

  /// What the kernel says of the pool of a group; nil where there is none.
  static func of(pool: String, group: String) -> PoolStatus? {
    for name in deviceNames(group: group, pool: pool) {
      let line = DeviceStatus.lines(of: name).first { $0.type == "thin-pool" }
      if let line { return PoolStatus(parameters: line.parameters) }
    }
    return nil
  }

  /// The names that device-mapper can know the pool of a group by: the pool proper is a layer of its volume, as soon as
  /// there are volumes in it.
  static func deviceNames(group: String, pool: String) -> [String] {
    let volume = deviceName(group: group, volume: pool)
    return ["\(volume)-tpool", volume]
  }

  /// The name that device-mapper knows a volume of a group by: LVM doubles hyphens (lib/misc/lvm-string.c,
  /// `build_dm_name`).
  static func deviceName(group: String, volume: String) -> String {
    func doubled(_ name: String) -> String {
      name.split(separator: "-", omittingEmptySubsequences: false).joined(separator: "--")
    }
    return "\(doubled(group))-\(doubled(volume))"
  }
}

/// What `roost-storage watch` keeps current in `/run/roost/pool.json`.
public struct PoolReport: Codable, Hashable, Sendable {
  /// Where it is kept.
  public static let path = "/run/roost/pool.json"

  /// Where what guests write lives.
  public enum Place: String, Codable, Sendable {
    /// In memory: it is gone with the power.
    case memory
    /// On a disk.
    case disk
  }

  /// Size of the pool in bytes.
  public var poolBytes: Int
  /// Data in the pool, in percent.
  public var dataPercent: Double
  /// The pool's bookkeeping, in percent of the room for it.
  public var metadataPercent: Double
  /// True when guests wait for room.
  public var isFull: Bool
  /// Where what guests write lives.
  public var home: Place
  /// What is wrong with the pool, in words.
  public var degraded: String?

  /// The report of a status.
  init(_ status: PoolStatus?, chunkBytes: Int, home: Place) {
    poolBytes = (status?.data.total ?? 0) * chunkBytes
    dataPercent = status?.data.percent ?? 0
    metadataPercent = status?.metadata.percent ?? 0
    isFull = status?.mode == .outOfSpace
    self.home = home
    switch status?.mode {
    case .readWrite where status?.needsCheck == false, .outOfSpace where status?.needsCheck == false: degraded = nil
    case .readWrite, .outOfSpace, .readOnly:
      degraded =
        "the guests' storage takes no writes any more: its bookkeeping is damaged or full, or its disk does not take "
        + "what is written to it (see dmesg). Stop the guests and restart the appliance, which checks and repairs it"
    case .failed:
      degraded =
        "the guests' storage failed: the disk does not answer as it should (see dmesg). Stop the guests and restart "
        + "the appliance, which checks and repairs it"
    case nil: degraded = "the guests' storage is not there; `roost-storage activate` brings it up"
    }
  }

  /// Replaces the file at `path` at once.
  public func write(to path: String = Self.path) throws(StorageError) {
    let bytes = try encodeJSON(self)
    try storage("tell the state of the pool") { () throws(SystemError) in try Files.replace(path, with: bytes) }
  }
}
