internal import Platform
internal import Recipe

/// A device or file that an image is to be written to, after everything that speaks against it was looked for.
public struct ProvisionTarget: Sendable {
  /// The path as it was given.
  public let path: String
  /// What people know it by: a device's size, maker, model and serial number, a file's size.
  public let description: String
  /// Bytes.
  public let size: Int
  /// What libblkid finds on it, a line each; empty for nothing.
  public let contents: [String]
  /// The host name of its identity, if it gets one.
  public internal(set) var hostname: String?

  /// What it is.
  enum Kind: Sendable, Hashable {
    /// A device, by its real path and the kernel's name.
    case device(path: String, name: String)
    case file
  }

  let kind: Kind
  /// The same for two paths of one thing.
  let key: String
}

/// Finds out what a path is and whether it may be overwritten.
struct TargetExamination {
  let view: SystemView
  let image: HybridImage
  /// Size that files are to have.
  let fileSize: Int?

  /// - Throws: `refused` with the reason.
  func examine(_ path: String) throws(BuildError) -> ProvisionTarget {
    let status = try attempt("cannot look at \(path)") { () throws(SystemError) in
      try Files.status(path, followingLinks: true)
    }
    guard let status else { return try newFile(path) }
    switch status.kind {
    case .blockDevice: return try device(path, status)
    case .regular: return try file(path, status)
    default: throw refused(path, "is neither a block device nor a file")
    }
  }

  private func refused(_ path: String, _ reason: String, hint: String? = nil) -> BuildError {
    BuildError(.refused, "\(path) \(reason)", hint: hint)
  }

  // MARK: Devices

  private func device(_ path: String, _ status: FileStatus) throws(BuildError) -> ProvisionTarget {
    guard let node = view.tree.node(device: status.device) else {
      throw refused(path, "is a device that the kernel does not show in /sys/class/block")
    }
    if let objection = objection(to: node) { throw refused(path, objection) }
    let imageStatus = (try? Files.status(image.path, followingLinks: true)) ?? nil
    if let imageStatus, imageStatus.kind == .blockDevice, view.tree.node(device: imageStatus.device)?.disk == node.disk
    {
      throw refused(path, "is where the image itself is")
    }
    if let file = node.backingFile, file == (try? Files.resolve(image.path)) {
      throw refused(path, "is the image itself, \(image.path)")
    }
    try checkSize(path, node.size)
    let real = try attempt("cannot look at \(path)") { () throws(SystemError) in try Files.resolve(path) }
    return ProvisionTarget(
      path: path, description: Self.describe(node), size: node.size, contents: try DeviceContents.describe(real),
      kind: .device(path: real, name: node.name), key: "device \(status.device)")
  }

  /// What keeps a device from being overwritten, in words that follow its path; nil when nothing does.
  func objection(to node: BlockNode) -> String? {
    if node.isPartition { return "is a partition; name the whole disk, /dev/\(node.disk)" }
    if node.name.hasPrefix("sr") { return "is an optical drive" }
    if node.isReadOnly { return "is read-only; is there a switch on the stick?" }
    if node.size <= 0 { return "has no medium in it" }
    return view.objection(toDisk: node.name)
  }

  /// Size, maker, model and serial number.
  static func describe(_ node: BlockNode) -> String {
    ([bytes(node.size), node.model, node.serial.map { "serial \($0)" }] as [String?]).compactMap { $0 }
      .joined(separator: ", ")
  }

  /// Decimal gigabytes, as sticks are sold, or megabytes.
  static func bytes(_ count: Int) -> String {
    let unit = count >= 1_000_000_000 ? (name: "GB", bytes: 100_000_000) : (name: "MB", bytes: 100_000)
    let tenths = (count + unit.bytes / 2) / unit.bytes
    return "\(tenths / 10).\(tenths % 10) \(unit.name)"
  }

  // MARK: Files

  private func newFile(_ path: String) throws(BuildError) -> ProvisionTarget {
    let slash = path.lastIndex(of: "/")
    let directory = slash.map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
    let name = slash.map { String(path[path.index(after: $0)...]) } ?? path
    guard !name.isEmpty, let place = try? Files.resolve(directory) else {
      throw refused(path, "cannot be made: there is no directory \(directory)")
    }
    // Nothing is made in /dev: a device that is not there is a mistake, not a wish.
    if place == "/dev" || place.hasPrefix("/dev/") {
      throw refused(path, "is not there", hint: "'roost provision' without --to shows the devices that there are")
    }
    guard let fileSize else { throw refused(path, "is not there", hint: "--size makes a file, as --size 8GiB") }
    try checkSize(path, fileSize)
    return ProvisionTarget(
      path: path, description: "a new file, \(Self.bytes(fileSize))", size: fileSize, contents: [], kind: .file,
      key: "new \(place)/\(name)")
  }

  private func file(_ path: String, _ status: FileStatus) throws(BuildError) -> ProvisionTarget {
    let real = try attempt("cannot look at \(path)") { () throws(SystemError) in try Files.resolve(path) }
    if let other = (try? Files.status(image.path, followingLinks: true)) ?? nil, other.inode == status.inode,
      other.fileSystem == status.fileSystem
    {
      throw refused(path, "is the image itself")
    }
    if let objection = view.objection(toFile: real) { throw refused(path, objection) }
    let size = fileSize ?? status.size
    guard size % 4096 == 0 else {
      throw refused(path, "has \(size) bytes, and a stick has whole sectors", hint: "--size sets another size")
    }
    try checkSize(path, size)
    let contents = status.size > 0 ? try DeviceContents.describe(real) : []
    return ProvisionTarget(
      path: path, description: "a file, \(Self.bytes(size))", size: size, contents: contents, kind: .file,
      key: "file \(status.fileSystem):\(status.inode)")
  }

  private func checkSize(_ path: String, _ size: Int) throws(BuildError) {
    let needed = StickPlan.leastSize(image: image.length)
    guard size >= needed else {
      throw refused(
        path,
        "is too small: it has \(size >> 20) MiB, and the image with room for its guests' disks needs "
          + "\((needed + (1 << 20) - 1) >> 20) MiB")
    }
  }
}
