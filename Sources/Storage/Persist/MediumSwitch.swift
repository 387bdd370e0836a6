internal import Identity
internal import Platform

/// Puts a copy of the medium in the place of the medium that the machine runs from, so that that one can be taken out.
public struct MediumSwitch: Sendable {
  /// Where the medium is mounted.
  public let medium: String

  /// A switch of what is mounted at `medium`.
  public init(medium: String = "/run/roost/medium") {
    self.medium = medium
  }

  /// A copy of the medium on a disk.
  public struct Copy: Hashable, Sendable {
    /// The partition with the medium.
    public let medium: String
    /// The partition for the guests.
    public let storage: String
  }

  /// The partitions of a disk that hold a copy of this medium and the guests' storage; nil where one is not there.
  public func copy(on disk: String) throws(StorageError) -> Copy? {
    let tree = BlockTree()
    guard let device = tree.node(at: disk), let wanted = try Self.uuid(at: medium) else { return nil }
    let parts = tree.parts(of: device.name).filter(\.isPartition)
    guard let medium = parts.first(where: { Self.volume($0.path) == wanted }),
      let storage = parts.first(where: { $0.partitionName == StickPartition.storage.rawValue })
    else { return nil }
    return Copy(medium: medium.path, storage: storage.path)
  }

  /// Mounts the copy on `device` and has everything that the machine reads from the medium come from it.
  ///
  /// The kernel exchanges what is behind loop devices while they are in use (LOOP_CHANGE_FD): the control domain's root
  /// and the guests' images are not touched. Returns why the old medium cannot be taken out yet, if so.
  public func use(_ device: String) throws(StorageError) -> String? {
    let next = "\(medium).next"
    let current = try storage("look at the mounts") { [medium] () throws(SystemError) in try Mount.find(at: medium) }
    if current?.source == device { return nil }
    guard let old = try Self.uuid(at: medium), Self.volume(device) == old else {
      throw StorageError(.medium, "\(device) holds no copy of this medium; write one there first (roost provision)")
    }
    // What an attempt that broke off left there is of use only if it is this copy; another is covered until the end.
    let left = try storage("look at the mounts") { () throws(SystemError) in try Mount.find(at: next) }
    let isThere = left?.source == device
    if !isThere {
      try storage("mount the copy on \(device)") { () throws(SystemError) in
        try Files.makeDirectories(next)
        try Mount.mount(device, at: next, type: "iso9660", [.readOnly, .noDevices, .noSetUserID, .noExecution])
      }
    }
    let target = medium
    let prefixes = ["\(medium)/"] + (isThere ? [] : ["\(next)/"])
    try storage("read the medium from \(device)") { () throws(SystemError) in
      for (loop, file) in try LoopDevice.attached() {
        guard let prefix = prefixes.first(where: { file.hasPrefix($0) }) else { continue }
        try loop.change(to: "\(next)/\(file.dropFirst(prefix.count))")
      }
    }
    var reason: String?
    try storage("change over to \(device)") { () throws(SystemError) in
      do throws(SystemError) {
        try Mount.unmount(target)
      } catch {
        guard error.errno == .busy else { throw error }
        reason = "a guest has a file of it open (a CD or floppy image), which it lets go of when it ends"
        try Mount.unmount(target, lazily: true)
      }
      try Mount.mount(next, at: target, .move)
      while try Mount.find(at: next) != nil { try Mount.unmount(next, lazily: true) }
    }
    return reason
  }

  private static func uuid(at target: String) throws(StorageError) -> String? {
    let mount = try storage("look at the mounts") { () throws(SystemError) in try Mount.find(at: target) }
    guard let mount else { throw StorageError(.medium, "no medium is mounted at \(target)") }
    return volume(mount.source)
  }

  /// The identifier of the ISO 9660 volume on a device, which may have a partition table as well.
  private static func volume(_ device: String) -> String? {
    guard let file = try? FileDescriptor(opening: device),
      let descriptor = try? file.read(upTo: 2048, at: 16 * 2048), descriptor.count == 2048,
      Array(descriptor[1..<6]) == Array("CD001".utf8)
    else { return nil }
    // ECMA-119, 8.4.26 and 8.4.27: creation and modification, 17 bytes each.
    return String(decoding: descriptor[813..<847], as: UTF8.self)
  }
}
