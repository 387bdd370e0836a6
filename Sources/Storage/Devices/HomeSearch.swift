internal import FoundationEssentials
internal import Identity
internal import Platform

/// What LVM reads on one device of the group that it belongs to.
struct GroupReport: Codable, Hashable, Sendable {
  /// The group's identifier.
  var group: String
  /// Its name.
  var name: String
  /// Its tags.
  var tags: [String]
  /// Identifiers of all physical volumes that it has, missing ones included.
  var volumes: [String]

  /// The report in `bytes`, or nil where they say `null`.
  static func decode(_ bytes: [UInt8], device: String) throws(StorageError) -> GroupReport? {
    do {
      return try JSONDecoder().decode(GroupReport?.self, from: Data(bytes))
    } catch {
      throw StorageError(.lvm, "what LVM says of \(device) is not understood: \(error)")
    }
  }
}

/// Where the guests' changes live.
enum Home: Hashable, Sendable {
  /// In memory: they are gone with the power.
  case memory
  /// In a partition that waits for its first use: what it holds, if anything, is of an attempt that did not get far.
  case fresh(BlockNode)
  /// On these devices, which are all that the group has beside the medium.
  case disks([BlockNode])

  /// Whether it waits for its first use.
  var isFresh: Bool {
    if case .fresh = self { return true }
    return false
  }
}

/// Where the user wants the guests' changes to live.
public enum WantedHome: Hashable, Sendable {
  /// On the disks that are their home, or else in memory.
  case any
  /// In memory, whatever disks there are.
  case memory
  /// On disks, or nowhere.
  case disks

  /// Refuses memory where disks are wanted.
  func check(_ home: Home) throws(StorageError) {
    guard self == .disks, home == .memory else { return }
    throw StorageError(
      .home,
      "no disk of this machine is the home of this medium's guests, and roost.persistent on the kernel's command line "
        + "asks for one. Plug it in and restart; or choose the first entry of the boot menu, and make a disk their home "
        + "with 'roost storage persist'")
  }
}

/// Decides where the guests' changes live, out of what the machine's disks hold.
///
/// A group is a home of this medium when it has the tag `roost.home` and the medium's physical volume among its own.
struct HomeSearch: Sendable {
  /// The tag of a group that is complete without the memory of the session that made it.
  static let tag = "roost.home"
  /// The beginning of the tag that each session gives a home that it opens.
  static let sessionTag = "roost.session="

  /// A device that holds something.
  struct Candidate: Sendable {
    var device: BlockNode
    /// Type of the content as libblkid names it; nil where there is none.
    var type: String?
    /// Its identifier: of a physical volume, LVM's.
    var uuid: String?
    /// Why it cannot be read, in words; nil where it can.
    var failure: String?
  }

  /// The decision.
  let home: Home
  /// What the user should know of disks that are not used.
  let warnings: [String]

  /// Where a physical volume without a group has nothing any more but zeros, in bytes: behind its label and the head of
  /// its metadata area (lib/format_text/layout.h).
  static let emptyMetadata = 8192

  /// An error for where no decision is right: something of the home is not there, or there is more than one.
  private static func undecided(_ reason: String) -> StorageError {
    StorageError(.home, "\(reason), or choose the live session in the boot menu")
  }

  /// Decides.
  ///
  /// - Parameters:
  ///   - candidates: disks and partitions.
  ///   - mediumDisk: the kernel's name of the disk that the medium is on.
  ///   - mediumUUID: LVM's identifier of the medium's physical volume.
  ///   - ramUUID: LVM's identifier of the memory's physical volume, which a home may list and not need.
  ///   - inspect: asks LVM about a device that holds a physical volume; nil where it belongs to no group. It throws
  ///     `device` where the device does not answer.
  ///   - isBlank: whether the edges of a device, from an offset on, hold nothing but zeros.
  /// - Throws: `home` where a choice could be wrong.
  init(
    _ candidates: [Candidate], mediumDisk: String?, mediumUUID: String, ramUUID: String,
    inspect: (BlockNode) throws(StorageError) -> GroupReport?,
    isBlank: (BlockNode, Int) throws(StorageError) -> Bool
  ) throws(StorageError) {
    var warnings: [String] = []
    func isOurs(_ device: BlockNode) -> Bool {
      device.partitionName == StickPartition.storage.rawValue && device.disk == mediumDisk
    }
    var unreadable = candidates.compactMap { candidate in candidate.failure.map { (device: candidate.device, why: $0) }
    }
    func look(_ device: BlockNode) throws(StorageError) -> GroupReport? {
      do throws(StorageError) {
        return try inspect(device)
      } catch {
        guard error.code == .device else { throw error }
        unreadable.append((device, error.reason))
        return nil
      }
    }
    func blank(_ device: BlockNode, _ offset: Int) throws(StorageError) -> Bool {
      do throws(StorageError) {
        return try isBlank(device, offset)
      } catch {
        throw Self.undecided("\(error.message) (\(error.reason)); nothing was written to it. Try another port")
      }
    }

    var physical: [Candidate] = []
    for same in Self.grouped(candidates.filter { $0.type == "LVM2_member" }) {
      // Devices with one identifier were copied bit by bit: the one on the medium's own disk is right, if any is.
      let own = same.count == 1 ? same : same.filter { $0.device.disk == mediumDisk }
      let places = same.map(\.device.path).sorted().joined(separator: " and ")
      if own.count == 1 {
        physical += own
        guard same.count > 1 else { continue }
        warnings.append(
          "\(places) are copies of one another; \(own[0].device.path), on the medium's own disk, is used")
      } else if let first = same.first, try look(first.device)?.volumes.contains(mediumUUID) == true {
        throw Self.undecided(
          "\(places) are copies of one another, and either may be the guests' home. Take one out of the machine "
            + "and restart")
      }
    }
    var reports: [(device: BlockNode, uuid: String, report: GroupReport)] = []
    /// Devices with groups that have nothing to do with this medium.
    var foreign: Set<String> = []
    for candidate in physical {
      guard let report = try look(candidate.device) else { continue }
      if report.volumes.contains(mediumUUID) {
        reports.append((candidate.device, candidate.uuid ?? "", report))
        continue
      }
      foreign.insert(candidate.device.name)
      if report.tags.contains(Self.tag) {
        warnings.append(
          "\(candidate.device.path) is the home of another image's guests and is left alone; start from that image "
            + "to use it")
      }
    }

    if let own = unreadable.first(where: { isOurs($0.device) }) {
      throw Self.undecided(
        "\(own.device.path), which is for the guests, cannot be read (\(own.why)); nothing was written to it. Try another "
          + "port")
    }
    var homes: [String: [(device: BlockNode, uuid: String, report: GroupReport)]] = [:]
    for entry in reports {
      if entry.report.tags.contains(Self.tag) {
        homes[entry.report.group, default: []].append(entry)
      } else if !isOurs(entry.device) {
        warnings.append(
          "\(entry.device.path) holds a session that was not moved there to its end: it ended with the power; "
            + "'roost storage persist \(entry.device.path) --wipe' uses the disk again")
      }
    }
    // A stick's own home goes before one on another disk: it is what its user carries around.
    let own = homes.filter { $0.value.contains { $0.device.disk == mediumDisk } }
    let chosen = own.isEmpty ? homes : own
    guard chosen.count <= 1 else {
      let places = chosen.values.map { $0.map(\.device.path).joined(separator: ", ") }.sorted()
      throw Self.undecided(
        "there are \(places.count) homes of this image's guests: \(places.joined(separator: "; ")). Take all "
          + "but one out of the machine and restart")
    }
    if let entries = chosen.values.first, let report = entries.first?.report {
      let here = Set(entries.map(\.uuid)).union([mediumUUID, ramUUID])
      let missing = report.volumes.filter { !here.contains($0) }
      // Room that comes over the network comes when there is a network.
      let rooms = RemoteTags(report.tags).rooms
      let awaited = missing.compactMap { rooms[$0] }.sorted()
      if !missing.isEmpty, awaited.count == missing.count {
        throw StorageError(
          .waiting,
          "the guests' home on \(entries.map(\.device.path).sorted().joined(separator: ", ")) waits for "
            + "\(awaited.joined(separator: ", ")), which comes over the network and is part of it", tags: report.tags)
      }
      guard missing.isEmpty else {
        throw Self.undecided(
          "of the disks that hold the guests, \(missing.count) is not here (LVM's identifier "
            + "\(missing.joined(separator: ", "))); there is \(entries.map(\.device.path).joined(separator: ", ")). "
            + "Put it back and restart")
      }
      for (group, entries) in homes where group != report.group {
        warnings.append(
          "\(entries.map(\.device.path).joined(separator: ", ")) holds another home of this image's guests, which is "
            + "left alone")
      }
      home = .disks(entries.map(\.device).sorted { $0.name < $1.name })
    } else if let fresh = candidates.first(where: { isOurs($0.device) }) {
      // It is used only where it is proved that no guest ever wrote there: it is blank, as it was left for us, or a
      // group of ours was begun in it and has no tag.
      let isEmpty: Bool
      switch fresh.type {
      case nil: isEmpty = try blank(fresh.device, 0)
      case "LVM2_member" where reports.contains { $0.device == fresh.device }: isEmpty = true
      case "LVM2_member" where !foreign.contains(fresh.device.name):
        isEmpty = try blank(fresh.device, Self.emptyMetadata)
      default: isEmpty = false
      }
      guard isEmpty else {
        throw Self.undecided(
          "\(fresh.device.path), which is for the guests, is not empty and is not their home as it should be "
            + "(\(fresh.type ?? "nothing that libblkid knows")): it may be damaged, and is not touched. If nobody needs "
            + "what it holds, provision the stick again")
      }
      home = .fresh(fresh.device)
    } else if let first = unreadable.first {
      // What was written there would be missed by its guests, and what they write now is gone with the power.
      let disks = Set(unreadable.map(\.device.disk)).sorted().map { "/dev/\($0)" }
      throw Self.undecided(
        "\(disks.joined(separator: " and ")) cannot be read (\(first.why)) and may be the guests' home; nothing was "
          + "written there. Try another port or take it out of the machine, and restart")
    } else {
      home = .memory
    }
    if home != .memory {
      warnings += unreadable.map { "\($0.device.path) cannot be read (\($0.why)); it is not used" }
    }
    self.warnings = warnings
  }

  /// Candidates by their identifiers, in the order of their names.
  private static func grouped(_ candidates: [Candidate]) -> [[Candidate]] {
    Dictionary(grouping: candidates) { $0.uuid ?? $0.device.name }.values
      .map { $0.sorted { $0.device.name < $1.device.name } }
      .sorted { ($0.first?.device.name ?? "") < ($1.first?.device.name ?? "") }
  }
}
