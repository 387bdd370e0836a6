internal import Platform

/// The cache that a disk keeps written data in until it is told to store them. What a guest was told to be written would
/// be gone with it when the disk is pulled out, without anybody noticing: so the disk is told to do without.
enum WriteCache {
  /// Has a disk store what is written at once. False where it has a cache and keeps it. `sys` is where sysfs is mounted.
  @discardableResult
  static func switchOff(disk: String, sys: String = "/sys") -> Bool {
    let directory = "\(sys)/class/block/\(disk)/device/scsi_disk"
    var isOff = true
    for name in (try? Files.list(directory)) ?? [] {
      let path = "\(directory)/\(name)/cache_type"
      guard let type = try? Files.readText(path), type.hasPrefix("write back") else { continue }
      // The disk may refuse; what it does then is read.
      try? Files.write("write through", to: path)
      if (try? Files.readText(path))?.hasPrefix("write back") != false { isOff = false }
    }
    return isOff
  }
}
