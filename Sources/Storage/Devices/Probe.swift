internal import CBlkid
internal import Platform

/// What a device or file holds, as libblkid sees it. The content is hostile; the library only tells its name.
public struct Probe: Hashable, Sendable {
  /// Type of the content, such as `squashfs` or `LVM2_member`; nil when there is none that the library knows.
  public let type: String?
  /// Identifier in the content's own notation.
  public let uuid: String?
  /// Label.
  public let label: String?

  /// Looks at the super blocks of `path`, a device or a regular file. Content of two types at once is refused.
  public init(_ path: String) throws(StorageError) {
    let file = try storage("look into \(path)") { () throws(SystemError) in try FileDescriptor(opening: path) }
    // SAFETY: the probe is made and freed here; `file` outlives it.
    guard let probe = unsafe blkid_new_probe() else {
      throw StorageError(.memory, "there is no memory to look into \(path)")
    }
    defer { unsafe blkid_free_probe(probe) }
    let set = unsafe blkid_probe_set_device(probe, file.rawValue, 0, 0)
    unsafe blkid_probe_enable_superblocks(probe, 1)
    unsafe blkid_probe_set_superblocks_flags(
      probe, BLKID_SUBLKS_LABEL | BLKID_SUBLKS_UUID | BLKID_SUBLKS_TYPE)
    // 0: found, 1: nothing, -2: more than one, -1: error.
    let found = set == 0 ? unsafe blkid_do_safeprobe(probe) : -1
    switch found {
    case 0, 1: break
    case -2: throw StorageError(.medium, "\(path) has the marks of more than one kind of content; it is not used")
    default: throw StorageError(.system, "\(path) cannot be read to see what it holds")
    }
    func value(_ name: String) -> String? {
      var text: UnsafePointer<CChar>?
      // SAFETY: the library owns the text, which is copied while the probe lives.
      guard unsafe blkid_probe_lookup_value(probe, name, &text, nil) == 0, let text = unsafe text else { return nil }
      return unsafe String(cString: text)
    }
    type = found == 0 ? value("TYPE") : nil
    uuid = found == 0 ? value("UUID") : nil
    label = found == 0 ? value("LABEL") : nil
  }

  /// What a device or file is marked with: file systems, physical volumes, partition tables and the like, in libblkid's
  /// words; empty where it holds nothing that libblkid knows.
  public static func marks(_ path: String) throws(StorageError) -> [String] {
    // SAFETY: the probe is not touched.
    try unsafe eachMark(path, .readOnly) { _ in }
  }

  /// Takes all marks off a device or file, so that nobody takes it for what it was. Returns what they were.
  @discardableResult
  public static func wipe(_ path: String) throws(StorageError) -> [String] {
    try unsafe eachMark(path, .readWrite) { probe throws(StorageError) in
      // SAFETY: the probe lives for the call and has just found the mark that is wiped.
      guard unsafe blkid_do_wipe(probe, 0) == 0 else {
        throw StorageError(.system, "the marks of what \(path) held cannot be taken off; is it read-only?")
      }
    }
  }

  private static func eachMark(
    _ path: String, _ mode: OpenMode, _ body: (blkid_probe) throws(StorageError) -> Void
  ) throws(StorageError) -> [String] {
    let file = try storage("look into \(path)") { () throws(SystemError) in try FileDescriptor(opening: path, mode) }
    // SAFETY: the probe is made and freed here; `file` outlives it. Texts are copied while it lives.
    guard let probe = unsafe blkid_new_probe() else {
      throw StorageError(.memory, "there is no memory to look into \(path)")
    }
    defer { unsafe blkid_free_probe(probe) }
    guard unsafe blkid_probe_set_device(probe, file.rawValue, 0, 0) == 0 else {
      throw StorageError(.system, "\(path) cannot be read to see what it holds")
    }
    unsafe blkid_probe_enable_superblocks(probe, 1)
    unsafe blkid_probe_set_superblocks_flags(
      probe, BLKID_SUBLKS_TYPE | BLKID_SUBLKS_LABEL | BLKID_SUBLKS_MAGIC | BLKID_SUBLKS_BADCSUM)
    unsafe blkid_probe_enable_partitions(probe, 1)
    unsafe blkid_probe_set_partitions_flags(probe, BLKID_PARTS_MAGIC | BLKID_PARTS_FORCE_GPT)
    func value(_ name: String) -> String? {
      var text: UnsafePointer<CChar>?
      guard unsafe blkid_probe_lookup_value(probe, name, &text, nil) == 0, let text = unsafe text else { return nil }
      return unsafe String(cString: text)
    }
    var marks: [String] = []
    // A device has fewer marks than this, unless somebody made one to keep us here.
    while marks.count < 64 {
      // 0: found, 1: nothing more, -1: error.
      let found = unsafe blkid_do_probe(probe)
      if found == 1 { break }
      guard found == 0 else {
        throw StorageError(.system, "\(path) cannot be read to see what it holds; it may be damaged")
      }
      let label = value("LABEL").map { " \"\($0)\"" } ?? ""
      marks.append((value("TYPE") ?? value("PTTYPE").map { "partition table (\($0))" } ?? "something") + label)
      try unsafe body(probe)
    }
    return marks
  }
}
