internal import FoundationEssentials
internal import Manifest

/// What `roost-storage` keeps in `/run/roost/storage.json`.
struct StorageReport: Codable, Hashable, Sendable {
  /// How activation ended.
  enum State: String, Codable, Hashable, Sendable {
    case ready, failed
  }

  /// A domain's disk.
  struct Disk: Codable, Hashable, Sendable {
    var device: String
    var bytes: Int?
  }

  var state: State
  var error: String?
  var warnings: [String]?
  var domains: [String: Disk]?
  /// All volumes of the guests', the domains' own disks among them.
  var disks: [DiskStatus]?
  /// Devices that come over the network, connected or not.
  var remotes: [RemoteStatus]?
  /// What defines the domains that were made on the fly, by their names.
  var created: [String: String]?
  /// Of a failed storage: the remotes that the guests' home waits for.
  var waitingFor: [String]?

  /// The report in `bytes`; what cannot be read is a failed storage.
  static func decode(_ bytes: [UInt8], path: String) -> StorageReport {
    do {
      return try JSONDecoder().decode(StorageReport.self, from: Data(bytes))
    } catch {
      return StorageReport(state: .failed, error: "\(path) is damaged; `roost-storage status` says more")
    }
  }

  /// The domains that were made on the fly, in the order of their names. What is not understood is left out.
  var createdDomains: [CreatedDomain] {
    (created ?? [:]).sorted { $0.key < $1.key }.compactMap { name, text in
      let created = try? JSONDecoder().decode(CreatedDomain.self, from: Data(text.utf8))
      return created?.domain.name == name ? created : nil
    }
  }

  /// The device of a domain's disk, or why there is none.
  func disk(of domain: String) -> Result<String, Missing> {
    if state == .failed { return .failure(Missing(reason: "the storage failed: \(error ?? "it did not say why")")) }
    guard let disk = domains?[domain] else {
      return .failure(Missing(reason: "the storage has no disk for it; `roost-storage status` says what there is"))
    }
    return .success(disk.device)
  }

  /// Why a domain must wait for what comes over the network; nil where it need not.
  func wait(of domain: String) -> String? {
    if let names = waitingFor, !names.isEmpty {
      return "waits for the storage, which waits for \(names.joined(separator: ", ")) over the network"
    }
    for disk in disksAttached(to: domain) {
      if disk.isAbsent == true {
        return "waits for its disk \(disk.name), which comes over the network (`roost disk detach \(disk.name)` does "
          + "without)"
      }
      if disk.isSecondary == true {
        return "waits until this machine may write to its disk \(disk.name) (`roost storage promote \(disk.name)`)"
      }
    }
    return nil
  }

  /// The disks that a domain has beside its own, in the order of their names.
  func disksAttached(to domain: String) -> [DiskStatus] {
    guard state == .ready else { return [] }
    return (disks ?? []).filter { $0.attachedTo == domain }.sorted { $0.name < $1.name }
  }

  /// A disk that is not there.
  struct Missing: Error, Hashable {
    let reason: String
  }
}

extension StorageReport {
  /// What `roost-storage watch` wrote of lost connections; nil when it is no such thing.
  static func lostRemotes(_ bytes: [UInt8]) -> [String: String]? {
    struct Report: Decodable {
      var lost: [String: String]
    }
    return try? JSONDecoder().decode(Report.self, from: Data(bytes)).lost
  }
}

extension PoolStatus {
  /// What `roost-storage watch` wrote; nil when it is no such thing.
  static func decode(_ bytes: [UInt8]) -> PoolStatus? {
    guard let pool = try? JSONDecoder().decode(PoolStatus.self, from: Data(bytes)), pool.dataPercent.isFinite else {
      return nil
    }
    return pool
  }
}
