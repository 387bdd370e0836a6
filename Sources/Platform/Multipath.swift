/// Device-mapper's `multipath` target over one device that may go away: input and output then wait, and go on when the
/// device is there again, under whatever name (Documentation/admin-guide/device-mapper, drivers/md/dm-mpath.c).
///
/// It passes bios on (`queue_mode bio`): only so may the device be a partition.
public enum Multipath {
  /// The whole of a device.
  ///
  /// - Parameters:
  ///   - sectors: its length in sectors of 512 bytes.
  ///   - number: its number, as `8:1`.
  ///   - isWaiting: whether input and output wait while it does not answer, instead of failing.
  public static func target(sectors: Int, over number: String, isWaiting: Bool) -> DeviceMapper.Target {
    let features = isWaiting ? "3 queue_if_no_path queue_mode bio" : "2 queue_mode bio"
    // No hardware handler; one group of paths, which is used first; in it one path, taken for each request.
    return DeviceMapper.Target(
      length: sectors, type: "multipath", parameters: "\(features) 0 1 1 round-robin 0 1 1 \(number) 1")
  }

  /// Whether the path over the device of this number is used, out of a target's status; nil where there is none.
  public static func isUsable(_ status: String, over number: String) -> Bool? {
    let words = status.split(separator: " ")
    guard let place = words.firstIndex(where: { $0 == number }), place + 1 < words.count else { return nil }
    return words[place + 1] == "A"
  }

  /// The message that has input and output wait from now on, or fail.
  public static func message(isWaiting: Bool) -> String {
    isWaiting ? "queue_if_no_path" : "fail_if_no_path"
  }
}

/// What lies over the partitions of a USB stick that the machine runs from, so that the stick may be pulled out.
public enum StickMapping: String, Hashable, Sendable, CaseIterable {
  /// Over the medium.
  case medium = "roost-medium"
  /// Over the partition for LVM.
  case storage = "roost-storage"

  /// The device file.
  public var path: String { "/dev/mapper/\(rawValue)" }

  /// Device-mapper's identifier, which must not look like LVM's.
  private var identifier: String { "ROOST-\(rawValue)" }

  /// Nobody writes to the medium.
  private var isReadOnly: Bool { self == .medium }

  /// Puts `part` beneath the mapping, which is made if it is not there. Whatever waits goes on.
  public func use(_ part: BlockNode, isWaiting: Bool, _ mapper: borrowing DeviceMapper) throws(SystemError) {
    let sectors = part.size / 512
    if try mapper.info(of: rawValue) == nil { try mapper.create(rawValue, identifier: identifier) }
    try mapper.load(
      [Multipath.target(sectors: sectors, over: part.number, isWaiting: isWaiting)], into: rawValue,
      isReadOnly: isReadOnly)
    if try mapper.info(of: rawValue)?.hasTable == true { try mapper.suspend(rawValue) }
    try mapper.resume(rawValue)
    try link(mapper)
  }

  /// Has input and output wait while the partition does not answer, or fail.
  public func setWaiting(_ isWaiting: Bool, _ mapper: borrowing DeviceMapper) throws(SystemError) {
    try mapper.send(Multipath.message(isWaiting: isWaiting), to: rawValue)
  }

  /// Makes the device file.
  private func link(_ mapper: borrowing DeviceMapper) throws(SystemError) {
    guard let minor = try mapper.info(of: rawValue)?.number.split(separator: ":").last else { return }
    let target = "../dm-\(minor)"
    if Files.exists(path), (try? Files.readLink(path)) == target { return }
    try Files.remove(path)
    try Files.link(path, to: target)
  }
}
