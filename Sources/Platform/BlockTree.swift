/// A disk, a partition or another block device, as /sys/class/block tells it (Documentation/ABI/stable/sysfs-block).
public struct BlockNode: Hashable, Sendable {
  /// The kernel's name, such as `sda1`.
  public let name: String
  /// Device number, as `8:1`.
  public let number: String
  /// Name of the whole disk: of a partition the one that it is on, of others their own.
  public let disk: String
  /// Bytes.
  public let size: Int
  /// The device takes no writes.
  public let isReadOnly: Bool
  /// The medium can be taken out, as the device says.
  public let isRemovable: Bool
  /// It is behind a USB port.
  public let isUSB: Bool
  /// Maker and model as the device calls itself; nil where it has none.
  public let model: String?
  /// Serial number; nil where it has none.
  public let serial: String?
  /// The name that a GPT gives the partition; nil for none.
  public let partitionName: String?
  /// Devices that were made out of this one (device mapper, MD).
  public let holders: [String]
  /// Devices that this one was made out of.
  public let slaves: [String]
  /// The file or device behind a loop device.
  public let backingFile: String?
  /// The number of a partition on its disk; nil for what is none.
  public let partition: Int?
  /// What this is instead of the partition that it lies over: in all else it tells what that one would.
  public let mapping: StickMapping?
  /// It comes over the network: NBD, AoE, DRBD or iSCSI.
  public let isRemote: Bool

  /// A part of a disk.
  public var isPartition: Bool { name != disk }
  /// The device file. A `!` in the kernel's name stands for a slash, as RAID controllers have it.
  public var path: String { mapping?.path ?? "/dev/" + String(name.map { $0 == "!" ? "/" : $0 }) }

  /// A node.
  ///
  /// - Parameter disk: name of the whole disk; nil for a device that is whole itself.
  public init(
    _ name: String, number: String, disk: String? = nil, size: Int, isReadOnly: Bool = false, isRemovable: Bool = false,
    isUSB: Bool = false, model: String? = nil, serial: String? = nil, partitionName: String? = nil,
    holders: [String] = [], slaves: [String] = [], backingFile: String? = nil, partition: Int? = nil,
    mapping: StickMapping? = nil, isRemote: Bool = false
  ) {
    self.name = name
    self.number = number
    self.disk = disk ?? name
    self.size = size
    self.isReadOnly = isReadOnly
    self.isRemovable = isRemovable
    self.isUSB = isUSB
    self.model = model
    self.serial = serial
    self.partitionName = partitionName
    self.holders = holders
    self.slaves = slaves
    self.backingFile = backingFile
    self.partition = partition
    self.mapping = mapping
    self.isRemote = isRemote
  }

  /// This device, a mapping, in the place of the partition that it lies over.
  fileprivate func standing(in part: BlockNode, as mapping: StickMapping) -> BlockNode {
    BlockNode(
      name, number: number, disk: part.disk, size: size, isReadOnly: isReadOnly, isRemovable: part.isRemovable,
      isUSB: part.isUSB, model: part.model, serial: part.serial, partitionName: part.partitionName, holders: holders,
      slaves: slaves, partition: part.partition, mapping: mapping)
  }
}

/// All block devices at one moment. The content of /sys is the kernel's, but names in it are those of devices: nothing
/// here trusts them.
public struct BlockTree: Sendable {
  /// The devices by name.
  public let nodes: [String: BlockNode]

  /// A tree of these devices.
  public init(nodes: [BlockNode]) {
    self.nodes = Dictionary(nodes.map { ($0.name, $0) }) { first, _ in first }
  }

  /// Reads /sys/class/block. `sys` is where sysfs is mounted.
  public init(sys: String = "/sys") {
    var nodes: [String: BlockNode] = [:]
    for name in (try? Files.list("\(sys)/class/block")) ?? [] {
      if let node = Self.node(name, sys: sys) { nodes[name] = node }
    }
    for node in nodes.values where node.name.hasPrefix("dm-") {
      guard let name = Self.text("\(sys)/class/block/\(node.name)/dm/name"), let mapping = StickMapping(rawValue: name),
        node.slaves.count == 1, let part = nodes[node.slaves[0]]
      else { continue }
      nodes[node.name] = node.standing(in: part, as: mapping)
    }
    self.nodes = nodes
  }

  /// The device of a number such as `8:1`.
  public func node(number: String) -> BlockNode? {
    nodes.values.first { $0.number == number }
  }

  /// The device behind a device file's number (stat(2), st_rdev; makedev(3) has the bits).
  public func node(device: UInt64) -> BlockNode? {
    node(number: Self.number(device))
  }

  /// The device behind a path, links followed; nil where there is none.
  public func node(at path: String) -> BlockNode? {
    guard let status = try? Files.status(path, followingLinks: true), status.kind == .blockDevice else { return nil }
    return node(device: status.device)
  }

  /// The mapping of a stick's partition; nil where there is none, or no stick beneath it.
  public func node(of mapping: StickMapping) -> BlockNode? {
    nodes.values.first { $0.mapping == mapping }
  }

  /// The disk itself and its partitions, by name; mappings over them count as such.
  public func parts(of disk: String) -> [BlockNode] {
    nodes.values.filter { $0.disk == disk }.sorted { ($0.name.count, $0.name) < ($1.name.count, $1.name) }
  }

  /// A device number as text, such as `8:1`.
  public static func number(_ device: UInt64) -> String {
    let major = device >> 8 & 0xFFF | device >> 32 & ~0xFFF
    let minor = device & 0xFF | device >> 12 & ~0xFF
    return "\(major):\(minor)"
  }

  private static func node(_ name: String, sys: String) -> BlockNode? {
    let path = "\(sys)/class/block/\(name)"
    // A device may go while one looks.
    guard let number = text("\(path)/dev") else { return nil }
    let place = (try? Files.resolve(path)) ?? path
    let components = place.split(separator: "/").map(String.init)
    let isPartition = Files.exists("\(path)/partition")
    let disk = isPartition && components.count > 1 ? components[components.count - 2] : name
    let sectors = text("\(path)/size").flatMap { Int($0) } ?? 0
    let words = [text("\(path)/device/vendor"), text("\(path)/device/model")].compactMap { $0 }
    return BlockNode(
      name, number: number, disk: disk, size: sectors.multipliedReportingOverflow(by: 512).partialValue,
      isReadOnly: text("\(path)/ro") == "1", isRemovable: text("\(path)/removable") == "1",
      isUSB: components.contains { $0.hasPrefix("usb") && Int($0.dropFirst(3)) != nil },
      model: words.isEmpty ? nil : words.joined(separator: " "), serial: serial(place),
      partitionName: text("\(path)/uevent").flatMap { uevent in
        uevent.split(separator: "\n").first { $0.hasPrefix("PARTNAME=") }.map { String($0.dropFirst(9)) }
      },
      holders: (try? Files.list("\(path)/holders")) ?? [], slaves: (try? Files.list("\(path)/slaves")) ?? [],
      backingFile: text("\(path)/loop/backing_file"),
      partition: isPartition ? text("\(path)/partition").flatMap { Int($0) } : nil, isRemote: isRemote(name, components)
    )
  }

  /// NBD, AoE and DRBD have names of their own; a disk of iSCSI's is below a session.
  private static func isRemote(_ name: String, _ components: [String]) -> Bool {
    ["nbd", "etherd!", "drbd"].contains(where: name.hasPrefix)
      || components.contains { $0.hasPrefix("session") && Int($0.dropFirst(7)) != nil }
  }

  /// The serial number of the device or of the nearest one above it that has one, as USB devices have for their disks.
  private static func serial(_ place: String) -> String? {
    var components = place.split(separator: "/")
    for path in ["\(place)/serial", "\(place)/device/serial"] {
      if let serial = text(path) { return serial }
    }
    while components.count > 1 {
      components.removeLast()
      let path = "/" + components.joined(separator: "/")
      if Files.exists("\(path)/idVendor") { return text("\(path)/serial") }
    }
    return nil
  }

  /// A file's text without blanks around it; nil where it is missing or empty.
  private static func text(_ path: String) -> String? {
    guard let text = try? Files.readText(path) else { return nil }
    var trimmed = text.drop(while: \.isWhitespace)
    while trimmed.last?.isWhitespace == true { trimmed.removeLast() }
    return trimmed.isEmpty ? nil : String(trimmed)
  }
}
