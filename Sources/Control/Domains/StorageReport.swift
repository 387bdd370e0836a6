internal import FoundationEssentials

/// What `roost-storage activate` left in `/run/roost/storage.json`.
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
  var domains: [String: Disk]?

  /// The report in `bytes`; what cannot be read is a failed storage.
  static func decode(_ bytes: [UInt8], path: String) -> StorageReport {
    do {
      return try JSONDecoder().decode(StorageReport.self, from: Data(bytes))
    } catch {
      return StorageReport(state: .failed, error: "\(path) is damaged; `roost-storage status` says more")
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

  /// A disk that is not there.
  struct Missing: Error, Hashable {
    let reason: String
  }
}
