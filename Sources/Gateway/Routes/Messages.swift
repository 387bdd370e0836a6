internal import Control
internal import Manifest

// What the interface says beside what the domain manager's protocol has already. Each is described in `Schemas`.

/// The answer to `GET /v1/domains`.
struct DomainList: Codable, Hashable, Sendable {
  var domains: [DomainStatus]
}

/// A domain that is to be made.
struct NewDomain: Codable, Hashable, Sendable {
  var spec: DomainSpec
  /// Whether it is started at once; nil stands for yes.
  var start: Bool?
}

/// The data of the event `removed`.
struct RemovedDomain: Codable, Hashable, Sendable {
  var name: String
}

/// The data of the event `making`.
struct DomainBeingMade: Codable, Hashable, Sendable {
  var name: String
  /// How much of its disk is written.
  var percent: Int
}

/// The answer to `GET /v1/remotes`.
struct RemoteList: Codable, Hashable, Sendable {
  var remotes: [RemoteStatus]
}

/// How many of its virtual CPUs a domain is to have the time of.
struct NewProcessors: Codable, Hashable, Sendable {
  var cpus: Int
}

/// A disk that is to be made.
struct NewDisk: Codable, Hashable, Sendable {
  var name: String
  var bytes: Int
}

/// A disk's new size.
struct NewSize: Codable, Hashable, Sendable {
  var bytes: Int
}

/// Names a snapshot.
struct SnapshotName: Codable, Hashable, Sendable {
  var snapshot: String
}

/// Names a copy.
struct CloneName: Codable, Hashable, Sendable {
  var clone: String
}

/// Names a domain.
struct DomainName: Codable, Hashable, Sendable {
  var domain: String
}

/// A device over the network that is to be connected.
struct NewRemote: Codable, Hashable, Sendable {
  var name: String
  var address: String
  var use: String?
  var wipe: Bool?
}

/// How this machine is to become the one that writes.
struct Promotion: Codable, Hashable, Sendable {
  var force: Bool
}
