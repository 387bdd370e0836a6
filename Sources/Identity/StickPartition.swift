public import Binary

/// The partitions that `roost provision` adds behind an image, known by their names in the GPT.
public enum StickPartition: String, Sendable, Hashable, CaseIterable {
  /// Holds an `ApplianceIdentity`, raw.
  case identity = "roost-identity"
  /// For LVM: empty until the appliance's first start.
  case storage = "roost-storage"

  /// Bytes of the identity's partition.
  public static let identityBytes = 1 << 20

  /// Its type's GUID: one of ours, and Linux LVM's (Discoverable Partitions Specification).
  public var type: UUID? {
    switch self {
    case .identity: UUID("6d3a6c5e-3f0b-4e5c-9b0b-524f4f535431")
    case .storage: UUID("e6d6d379-f507-44c2-a23c-238f2a3df928")
    }
  }
}
