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
}
