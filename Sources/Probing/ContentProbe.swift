internal import CBlkid
public import Platform

/// Looks at what a device or file holds, through libblkid. The content is hostile; the library only tells its name.
@safe
public struct ContentProbe: ~Copyable {
  /// Something that is there.
  public struct Content: Hashable, Sendable {
    /// Type in libblkid's words, such as `ext4` or `LVM2_member`; nil for a partition table.
    public let type: String?
    /// Identifier in the content's own notation.
    public let uuid: String?
    /// Label.
    public let label: String?
    /// Kind of the partition table, such as `gpt`; nil for anything else.
    public let partitionTable: String?
  }

  /// A partition in the table that was found.
  public struct Partition: Hashable, Sendable {
    /// Its number, from 1 on.
    public let number: Int
    /// Where it is, in bytes.
    public let range: Range<Int>
  }

  /// What there is where one thing is expected.
  public enum Sole: Hashable, Sendable {
    case nothing
    case content(Content)
    /// More than one kind of content claims the place.
    case ambiguous
  }

  /// Which marks are looked for.
  public enum Scope: Sendable {
    /// Those of file systems, physical volumes and the like.
    case superblocks
    /// Those of partition tables as well.
    case everything
    /// All that `wipe` can take off, damaged ones included.
    case wipeable
  }

  private static let sectorBytes = 512
  private static let partitionLimit: Int32 = 64

  private let path: String
  private let file: FileDescriptor
  // SAFETY: made by `init`, given back by `deinit`, used by this owner's methods only; `file` outlives it.
  @unsafe private let probe: blkid_probe

  /// Opens `path`.
  ///
  /// - Parameters:
  ///   - part: the bytes to look at; nil for all.
  ///   - type: the only type to look for among file systems and the like; nil for every one.
  /// - Throws: what the kernel said; out of memory where libblkid has none.
  public init(
    _ path: String, _ scope: Scope = .superblocks, part: Range<Int>? = nil, only type: String? = nil
  ) throws(SystemError) {
    let file = try FileDescriptor(opening: path, scope == .wipeable ? .readWrite : .readOnly)
    // SAFETY: the library makes the probe or returns NULL.
    guard let probe = unsafe blkid_new_probe() else {
      throw SystemError("look into", path: path, errno: .outOfMemory)
    }
    // SAFETY: the probe is live, and given back here where there will be no owner.
    guard unsafe Self.prepare(probe, file.rawValue, scope, part: part, only: type) else {
      unsafe blkid_free_probe(probe)
      throw SystemError("look into", path: path, errno: .inputOutput)
    }
    self.path = path
    self.file = file
    unsafe self.probe = probe
  }

  deinit {
    // SAFETY: nobody uses it any more.
    unsafe blkid_free_probe(probe)
  }

  /// The next thing that is there; nil after the last.
  ///
  /// - Throws: an input or output error where the device does not let itself be read: then nothing is known.
  public func next() throws(SystemError) -> Content? {
    // 0: found, 1: nothing more, -1: error.
    switch unsafe blkid_do_probe(probe) {
    case 0: return content
    case 1: return nil
    default: throw SystemError("look into", path: path, errno: .inputOutput)
    }
  }

  /// What there is where there should be one thing.
  public func sole() throws(SystemError) -> Sole {
    // 0: found, 1: nothing, -2: more than one, -1: error.
    switch unsafe blkid_do_safeprobe(probe) {
    case 0: return .content(content)
    case 1: return .nothing
    case -2: return .ambiguous
    default: throw SystemError("look into", path: path, errno: .inputOutput)
    }
  }

  /// Takes the mark of what `next` found last off the device. For the scope `wipeable`.
  public func wipe() throws(SystemError) {
    guard unsafe blkid_do_wipe(probe, 0) == 0 else {
      throw SystemError("take a mark off", path: path, errno: .inputOutput)
    }
  }

  /// The partitions of the table that is there; the first 64 of them.
  public var partitions: [Partition] {
    // SAFETY: the list and its entries belong to the probe, which lives as long as this owner.
    guard let list = unsafe blkid_probe_get_partitions(probe) else { return [] }
    let count = min(unsafe blkid_partlist_numof_partitions(list), Self.partitionLimit)
    guard count > 0 else { return [] }
    return (0..<count).compactMap { index in
      guard let partition = unsafe blkid_partlist_get_partition(list, index) else { return nil }
      let (start, startOverflows) = unsafe Int(clamping: blkid_partition_get_start(partition))
        .multipliedReportingOverflow(by: Self.sectorBytes)
      let (size, sizeOverflows) = unsafe Int(clamping: blkid_partition_get_size(partition))
        .multipliedReportingOverflow(by: Self.sectorBytes)
      let (end, endOverflows) = start.addingReportingOverflow(size)
      guard !startOverflows, !sizeOverflows, !endOverflows, size >= 0 else { return nil }
      return unsafe Partition(number: Int(blkid_partition_get_partno(partition)), range: start..<end)
    }
  }

  private var content: Content {
    Content(type: value("TYPE"), uuid: value("UUID"), label: value("LABEL"), partitionTable: value("PTTYPE"))
  }

  private func value(_ name: String) -> String? {
    var text: UnsafePointer<CChar>?
    // SAFETY: the library owns the text, which is copied while the probe lives.
    guard unsafe blkid_probe_lookup_value(probe, name, &text, nil) == 0, let text = unsafe text else { return nil }
    return unsafe String(cString: text)
  }

  /// Tells a live probe what to look for, and where.
  @unsafe
  private static func prepare(
    _ probe: blkid_probe, _ descriptor: Int32, _ scope: Scope, part: Range<Int>?, only type: String?
  ) -> Bool {
    guard unsafe blkid_probe_set_device(probe, descriptor, Int64(part?.lowerBound ?? 0), Int64(part?.count ?? 0)) == 0
    else { return false }
    unsafe blkid_probe_enable_superblocks(probe, 1)
    var flags = BLKID_SUBLKS_TYPE | BLKID_SUBLKS_UUID | BLKID_SUBLKS_LABEL
    if scope == .wipeable { flags |= BLKID_SUBLKS_MAGIC | BLKID_SUBLKS_BADCSUM }
    unsafe blkid_probe_set_superblocks_flags(probe, flags)
    if scope != .superblocks {
      unsafe blkid_probe_enable_partitions(probe, 1)
      if scope == .wipeable {
        unsafe blkid_probe_set_partitions_flags(probe, BLKID_PARTS_MAGIC | BLKID_PARTS_FORCE_GPT)
      }
    }
    guard let type else { return true }
    // SAFETY: libblkid reads the NULL-terminated list of one name and keeps none of it.
    let filtered = unsafe type.withCString { name in
      var names: [UnsafeMutablePointer<CChar>?] = unsafe [UnsafeMutablePointer(mutating: name), nil]
      return unsafe names.withUnsafeMutableBufferPointer { list in
        guard let first = list.baseAddress else { return Int32(-1) }
        return unsafe blkid_probe_filter_superblocks_type(probe, BLKID_FLTR_ONLYIN, first)
      }
    }
    return filtered == 0
  }
}
