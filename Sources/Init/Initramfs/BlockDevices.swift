internal import Identity
internal import Platform

/// A disk or partition that may hold the boot medium.
public struct BlockDevice: Hashable, Sendable {
  /// The kernel's name, such as `sr0`.
  public let name: String
  /// True for a part of a disk.
  public let isPartition: Bool
  /// Bytes; a drive without a disc may say anything.
  public let size: Int
  /// Of a partition of a provisioned stick: the partition with its identity.
  public let identity: String?

  /// The device file.
  public var path: String { "/dev/\(name)" }

  /// All that may hold the medium, the likelier first: optical drives, partitions, then whole disks, each by name.
  /// A hybrid image can be mounted by its first partition and as a whole disk, which would keep everybody from using
  /// the disk's other partitions: the kernel gives a disk to one owner, or its parts to many.
  /// Memory-backed, mapped and floppy devices are left out. `sys` is where sysfs is mounted.
  public static func list(sys: String = "/sys") -> [BlockDevice] {
    let directory = "\(sys)/class/block"
    let passedOver = ["loop", "ram", "zram", "fd", "dm-", "md", "nbd"]
    let tree = BlockTree(sys: sys)
    let found = ((try? Files.list(directory)) ?? []).compactMap { name -> BlockDevice? in
      if passedOver.contains(where: { name.hasPrefix($0) }) { return nil }
      let sectors = (try? Files.readText("\(directory)/\(name)/size")).flatMap { text in
        Int(text.prefix { $0.isNumber })
      }
      let isPartition = Files.exists("\(directory)/\(name)/partition")
      let parts = isPartition ? tree.nodes[name].map { tree.parts(of: $0.disk) } ?? [] : []
      return BlockDevice(
        name: name, isPartition: isPartition, size: (sectors ?? 0).multipliedReportingOverflow(by: 512).partialValue,
        identity: parts.first { $0.partitionName == StickPartition.identity.rawValue }?.path)
    }
    return found.sorted { ($0.rank, $0.name) < ($1.rank, $1.name) }
  }

  private var rank: Int {
    isPartition ? 1 : name.hasPrefix("sr") ? 0 : 2
  }
}

/// What is on a block device.
public enum Volume: Hashable, Sendable, CustomStringConvertible {
  /// A file system or other content that libblkid knows.
  case known(type: String, uuid: String?, label: String?)
  /// Nothing that libblkid knows.
  case unknown
  /// The device cannot be read; in words.
  case unreadable(String)

  /// In words.
  public var description: String {
    switch self {
    case .known(let type, let uuid, let label):
      "\(type), volume \(uuid ?? "without an identifier")\(label.map { " \"\($0)\"" } ?? "")"
    case .unknown: "nothing that libblkid knows"
    case .unreadable(let reason): reason
    }
  }
}

/// One look at all block devices.
///
/// What the firmware started from cannot be known. A provisioned stick goes before a bare medium of the same image, such
/// as the disc that it was made of: its user's guests and its identity are on it. Between two of them there is no choice.
public struct MediumSearch: Sendable {
  /// What was seen, in the order of looking.
  public let seen: [(device: BlockDevice, volume: Volume)]
  /// The device to start from; nil where there is none, or more than one stick.
  public let medium: BlockDevice?
  /// The sticks that there is no choice between.
  let rivals: [BlockDevice]

  /// Looks for the ISO 9660 volume `uuid` (as libblkid writes it) on `devices`, reading each by `probe`: on all
  /// provisioned sticks, and then on the others until it is found.
  public init(_ uuid: String, among devices: [BlockDevice], probe: (BlockDevice) -> Volume) {
    var seen: [(device: BlockDevice, volume: Volume)] = []
    func isWanted(_ device: BlockDevice) -> Bool {
      let volume = probe(device)
      seen.append((device, volume))
      if case .known("iso9660", uuid, _) = volume { return true }
      return false
    }
    let sticks = devices.filter { $0.identity != nil }.filter(isWanted)
    rivals = sticks.count > 1 ? sticks : []
    medium = sticks.isEmpty ? devices.first { $0.identity == nil && isWanted($0) } : sticks.count == 1 ? sticks[0] : nil
    self.seen = seen
  }

  /// Why the appliance does not start though its medium is there; nil where nothing keeps it from it.
  var refusal: InitError? {
    guard !rivals.isEmpty else { return nil }
    let names = rivals.map {
      "\($0.identity.flatMap(StickIdentity.hostname) ?? "a stick without a name") on \($0.path)"
    }
    return InitError(
      .mediumAmbiguous, "there are \(rivals.count) sticks of this image in the machine.",
      details: ["Sticks seen:"] + names.map { "  \($0)" },
      remedies: [
        "Each has guests of its own, and the wrong ones must not run: take all but one out, then leave the shell to try",
        "  again.",
      ])
  }

  /// A line for each device.
  public var report: [String] {
    if seen.isEmpty { return ["no disk or optical drive appeared"] }
    return seen.map { "\($0.device.path) (\(Self.size($0.device.size))): \($0.volume)" }
  }

  private static func size(_ bytes: Int) -> String {
    bytes >= 10 << 30 ? "\(bytes >> 30) GiB" : bytes >= 10 << 20 ? "\(bytes >> 20) MiB" : "\(bytes >> 10) KiB"
  }
}
