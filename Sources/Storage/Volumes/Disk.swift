/// A thin volume that a guest has as its disk, or may get.
public struct Disk: Codable, Hashable, Sendable {
  /// What a volume was made as.
  public enum Kind: String, Codable, Sendable, CaseIterable {
    /// A domain's own disk, made of its image on the medium.
    case domain
    /// The own disk of a domain that was made on the fly.
    case own
    /// No disk: what a domain without one is recorded in.
    case none
    /// An empty disk.
    case disk
    /// What another disk was at a moment; nobody writes to it.
    case snapshot
    /// A disk that began as what another was.
    case clone
    /// A device that comes over the network.
    case remote

    /// The tag of LVM's that says so.
    var tag: String { "roost.\(rawValue)" }
  }

  /// Its name: its logical volume's.
  public var name: String
  /// Its block device.
  public var device: String
  /// Its size in bytes.
  public var bytes: Int
  /// The share of it that the pool keeps, in percent.
  public var usedPercent: Double
  /// What it was made as.
  public var kind: Kind
  /// What it was made from, where that is another disk and still there.
  public var origin: String?
  /// The domain that has it beside its own disk.
  public var attachedTo: String?
  /// Whether somebody has it open.
  public var isOpen: Bool
  /// True for a remote that is not connected; nil for all others.
  public var isAbsent: Bool?
  /// True for a replicated volume that the other machine writes to, if any; nil for all others.
  public var isSecondary: Bool?

  /// Whether it is a domain's own, whose name it has.
  var isOwn: Bool { kind == .domain || kind == .own }
}

/// What LVM reports, as disks.
enum Disks {
  /// The beginning of the tag that tells the domain a disk is attached to.
  static let attachment = "roost.attached="

  /// The thin volumes of the pool in the order of their names.
  static func report(_ lvm: LVM, group: String) throws(StorageError) -> [Disk] {
    let rows = try lvm.report(
      "lvs", columns: ["lv_name", "lv_size", "data_percent", "origin", "lv_tags", "lv_device_open", "pool_lv"], [group])
    return disks(rows, group: group)
  }

  /// Disks of report rows: texts by column.
  static func disks(_ rows: [[String: String]], group: String) -> [Disk] {
    // A replicated volume's own part is not what guests see.
    let volumes = rows.filter { row in
      row["pool_lv"] == GuestStorage.pool && row["lv_name"]?.hasSuffix(Replica.suffix) == false
        && row["lv_name"]?.hasSuffix(Definition.unfinished("")) == false
        && row["lv_tags"]?.split(separator: ",").contains(Substring(Disk.Kind.none.tag)) != true
    }
    let names = Set(volumes.compactMap { $0["lv_name"] })
    return volumes.map { row in
      let name = row["lv_name"] ?? ""
      let tags = (row["lv_tags"] ?? "").split(separator: ",").map(String.init)
      let attachment = tags.first { $0.hasPrefix(Self.attachment) }?.dropFirst(Self.attachment.count)
      return Disk(
        name: name, device: "/dev/\(group)/\(name)", bytes: Int(row["lv_size"] ?? "") ?? 0,
        usedPercent: Double(row["data_percent"] ?? "") ?? 0,
        kind: Disk.Kind.allCases.first { tags.contains($0.tag) } ?? .domain,
        origin: row["origin"].flatMap { names.contains($0) ? $0 : nil }, attachedTo: attachment.map(String.init),
        isOpen: row["lv_device_open"] == "open")
    }.sorted { $0.name < $1.name }
  }
}

/// What `roost-storage disk` shows.
public struct DiskReport: Codable, Hashable, Sendable {
  /// The disks in the order of their names.
  public var disks: [Disk]

  /// A report.
  public init(disks: [Disk]) {
    self.disks = disks
  }

  /// The report as JSON with sorted keys and a line break at the end.
  public func json() throws(StorageError) -> [UInt8] {
    try encodeJSON(self)
  }

  /// The first disk alone as JSON.
  public func firstJSON() throws(StorageError) -> [UInt8] {
    try encodeJSON(disks.first)
  }

  /// The report for people.
  public var table: String {
    let rows =
      [["NAME", "SIZE", "WRITTEN", "KIND", "MADE FROM", "DOMAIN", "IN USE"]]
      + disks.map { disk in
        [
          disk.name, disk.isAbsent == true ? "absent" : "\(disk.bytes >> 20) MiB",
          "\((disk.usedPercent * 10).rounded() / 10) %", disk.kind.rawValue,
          disk.origin ?? "-", disk.attachedTo ?? (disk.isOwn ? disk.name : "-"), disk.isOpen ? "yes" : "no",
        ]
      }
    let widths = rows[0].indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
    return rows.map { row in
      zip(row, widths).map { $0 + String(repeating: " ", count: $1 - $0.count) }.joined(separator: "  ")
        .trimmingTrailingBlanks() + "\n"
    }.joined()
  }
}

extension String {
  fileprivate func trimmingTrailingBlanks() -> String {
    var text = self[...]
    while text.last == " " { text.removeLast() }
    return String(text)
  }
}
