internal import Platform

/// A device that is to be taken into the guests' storage: proved to be nobody's, or given up by its user by name.
enum Target {
  /// Refuses a device that is mounted, swapped to or part of another: the kernel lends it to nobody exclusively.
  static func claim(_ path: String) throws(StorageError) {
    do throws(SystemError) {
      _ = try FileDescriptor(opening: path, [.readWrite, .exclusive])
    } catch {
      switch error.errno {
      case .busy:
        throw StorageError(
          .busy, "\(path) is in use: it, or a part of it, is mounted or belongs to another device; it is not touched")
      case .readOnlyFileSystem, .permissionDenied, .notPermitted:
        throw StorageError(.system, "\(path) takes no writes", cause: error)
      default: throw StorageError(.system, "\(path) cannot be used", cause: error)
      }
    }
  }

  /// Refuses a device that cannot be read where the label and the metadata of a physical volume are: LVM says of such
  /// a one that it has none.
  static func proveReadable(_ device: BlockNode) throws(StorageError) {
    try reading(device.path) { () throws(SystemError) in
      let file = try FileDescriptor(opening: device.path)
      var offset = 0
      while offset < GuestStorage.dataOffset {
        let bytes = try file.read(upTo: 64 << 10, at: offset)
        if bytes.isEmpty { return }
        offset += bytes.count
      }
    }
  }

  /// Reads from a device; a failure of it names the device.
  static func reading<T>(_ path: String, _ body: () throws(SystemError) -> T) throws(StorageError) -> T {
    do throws(SystemError) {
      return try body()
    } catch {
      throw StorageError(.device, "\(path) cannot be read", cause: error)
    }
  }

  /// Refuses a device that comes over the network where one of this machine's own is meant.
  static func refuseRemote(_ device: BlockNode) throws(StorageError) {
    guard device.isRemote else { return }
    throw StorageError(
      .plan,
      "\(device.path) comes over the network, which is not there yet when the guests' home is looked for; it can be "
        + "room beside a disk of this machine: roost storage connect NAME ADDRESS --use room")
  }

  /// Whether the first and last mebibyte of a device hold nothing but zeros, from byte `offset` on.
  static func isBlank(_ device: BlockNode, from offset: Int) throws(StorageError) -> Bool {
    let edge = 1 << 20
    return try reading(device.path) { () throws(SystemError) in
      let file = try FileDescriptor(opening: device.path)
      for start in [offset, max(edge, device.size - edge)] {
        let bytes = try file.read(upTo: start == offset ? edge - offset : edge, at: start)
        if !bytes.allSatisfy({ $0 == 0 }) { return false }
      }
      return true
    }
  }

  /// Refuses what cannot become a physical volume of the group without a loss.
  ///
  /// - Parameters:
  ///   - path: the device as the user named it.
  ///   - least: bytes that it must have.
  ///   - wipe: whether the user gives up what it holds.
  static func take(_ path: String, least: Int, wipe: Bool) throws(StorageError) {
    guard let device = BlockTree().node(at: path) else {
      throw StorageError(.plan, "\(path) is no disk or partition; `lsblk` shows those that there are")
    }
    try claim(device.path)
    guard device.size >= least else {
      throw StorageError(
        .plan,
        "\(path) has \(device.size >> 20) MiB and at least \((least + 0xFFFFF) >> 20) MiB are needed; use a larger one"
      )
    }
    let queue = "/sys/class/block/\(device.disk)/queue/logical_block_size"
    if let text = try? Files.readText(queue), let size = Int(text.prefix { $0.isNumber }), size != 512 {
      throw StorageError(
        .plan, "\(path) has sectors of \(size) bytes; the guests' disks have 512, and LVM does not mix them")
    }
    let marks = try Probe.marks(device.path)
    guard marks.isEmpty || wipe else {
      throw StorageError(
        .plan,
        "\(path) is not empty: it holds \(marks.joined(separator: ", ")). If nobody needs that, say so with --wipe")
    }
    if !marks.isEmpty { try Probe.wipe(device.path) }
  }
}

/// LVM's identifiers: 32 letters and digits in groups of 6, 4, 4, 4, 4, 4 and 6 (lib/uuid/uuid.c).
enum LVMIdentity {
  /// A new one.
  static func random() throws(StorageError) -> String {
    let text = try storage("make an identifier") { () throws(SystemError) in
      try Files.readText("/proc/sys/kernel/random/uuid")
    }
    let digits = text.filter(\.isHexDigit)
    guard digits.count == 32 else {
      throw StorageError(.system, "/proc/sys/kernel/random/uuid gives no UUID")
    }
    var rest = digits[...]
    return [6, 4, 4, 4, 4, 4, 6].map { count in
      defer { rest = rest.dropFirst(count) }
      return String(rest.prefix(count))
    }.joined(separator: "-")
  }
}
