internal import Platform
internal import Probing

extension Volume {
  /// Reads what is on the device (or file) at `path`.
  ///
  /// ISO 9660 is asked for first and alone: a hybrid image also carries what belongs to other systems, and libblkid
  /// calls that ambivalent.
  public static func probe(_ path: String) -> Volume {
    do throws(SystemError) {
      for type in ["iso9660", nil] {
        let probe = try ContentProbe(path, only: type)
        if let content = try probe.next(), let type = content.type {
          return .known(type: type, uuid: content.uuid, label: content.label)
        }
      }
      return .unknown
    } catch {
      // ENOMEDIUM: an empty drive.
      return .unreadable(error.errno.rawValue == 123 ? "no disc in the drive" : "cannot be read: \(error.errno)")
    }
  }
}
