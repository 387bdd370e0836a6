internal import Platform

/// A disk or a part of one, as the kernel shows it.
struct StorageDevice: Hashable, Sendable {
  /// The kernel's name, such as `sda2`.
  let name: String
  /// The kernel's name of the whole disk: its own for one that is whole.
  let disk: String
  /// The name in a GPT's entry.
  let partitionName: String?
  /// Size in bytes.
  let bytes: Int

  /// The device file. A `!` in the kernel's name stands for a slash (RAID controllers).
  var path: String { "/dev/" + String(name.map { $0 == "!" ? "/" : $0 }) }
  /// Whether it is a part of a disk.
  var isPartition: Bool { name != disk }

  /// Kinds of devices that are made of others, are memory, or are for media that come and go.
  private static let passedOver = ["loop", "ram", "zram", "fd", "sr", "dm-", "md"]

  /// All disks and partitions with something in them, by name. `sys` is where sysfs is mounted.
  static func list(sys: String = "/sys") -> [StorageDevice] {
    let names = (try? Files.list("\(sys)/class/block")) ?? []
    return names.filter { name in !passedOver.contains { name.hasPrefix($0) } }.compactMap { find($0, sys: sys) }
  }

  /// The device of a kernel's name, whatever its kind; nil when there is none or it is empty.
  static func find(_ name: String, sys: String = "/sys") -> StorageDevice? {
    let directory = "\(sys)/class/block/\(name)"
    guard let text = try? Files.readText("\(directory)/size"), let sectors = Int(text.prefix { $0.isNumber }),
      sectors > 0, sectors < 1 << 54
    else { return nil }
    var disk = name
    if Files.exists("\(directory)/partition"), let place = try? Files.resolve(directory) {
      disk = place.split(separator: "/").dropLast().last.map(String.init) ?? name
    }
    let event = (try? Files.readText("\(directory)/uevent")) ?? ""
    let label = event.split(separator: "\n").first { $0.hasPrefix("PARTNAME=") }?.dropFirst("PARTNAME=".count)
    return StorageDevice(name: name, disk: disk, partitionName: label.map(String.init), bytes: sectors * 512)
  }

  /// The device behind a path, links followed; nil when it is no block device.
  static func at(_ path: String, sys: String = "/sys") -> StorageDevice? {
    guard let resolved = try? Files.resolve(path), let status = try? Files.status(resolved),
      status.kind == .blockDevice, resolved.hasPrefix("/dev/")
    else { return nil }
    return find(String(resolved.dropFirst(5).map { $0 == "/" ? "!" : $0 }), sys: sys)
  }
}
