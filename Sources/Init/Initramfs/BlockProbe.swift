internal import CBlkid
internal import Platform

extension Volume {
  /// Reads what is on the device (or file) at `path` through libblkid.
  ///
  /// ISO 9660 is asked for first and alone: a hybrid image also carries what belongs to other systems, and libblkid
  /// calls that ambivalent.
  public static func probe(_ path: String) -> Volume {
    do throws(SystemError) {
      let file = try FileDescriptor(opening: path)
      return lookUp(file, only: "iso9660") ?? lookUp(file, only: nil) ?? .unknown
    } catch {
      // ENOMEDIUM: an empty drive.
      return .unreadable(error.errno.rawValue == 123 ? "no disc in the drive" : "cannot be read: \(error.errno)")
    }
  }

  private static func lookUp(_ file: borrowing FileDescriptor, only type: String?) -> Volume? {
    // SAFETY: the probe is made, used and freed here; the descriptor is borrowed for as long.
    guard let probe = unsafe blkid_new_probe() else { return nil }
    defer { unsafe blkid_free_probe(probe) }
    guard unsafe blkid_probe_set_device(probe, file.rawValue, 0, 0) == 0 else { return nil }
    unsafe blkid_probe_enable_superblocks(probe, 1)
    unsafe blkid_probe_set_superblocks_flags(
      probe, BLKID_SUBLKS_TYPE | BLKID_SUBLKS_UUID | BLKID_SUBLKS_LABEL)
    if let type {
      // SAFETY: libblkid reads the NULL-terminated list of one name and keeps none of it.
      let filtered = unsafe type.withCString { name in
        var names: [UnsafeMutablePointer<CChar>?] = unsafe [UnsafeMutablePointer(mutating: name), nil]
        return unsafe names.withUnsafeMutableBufferPointer { list in
          guard let first = list.baseAddress else { return Int32(-1) }
          return unsafe blkid_probe_filter_superblocks_type(probe, BLKID_FLTR_ONLYIN, first)
        }
      }
      guard filtered == 0 else { return nil }
    }
    guard unsafe blkid_do_probe(probe) == 0, let found = unsafe value(of: "TYPE", probe) else { return nil }
    return unsafe .known(type: found, uuid: value(of: "UUID", probe), label: value(of: "LABEL", probe))
  }

  private static func value(of name: String, _ probe: blkid_probe) -> String? {
    var data: UnsafePointer<CChar>?
    // SAFETY: on success libblkid points `data` at a string that lives as long as the probe; it is copied here.
    guard unsafe blkid_probe_lookup_value(probe, name, &data, nil) == 0, let data = unsafe data else { return nil }
    return unsafe String(cString: data)
  }
}
