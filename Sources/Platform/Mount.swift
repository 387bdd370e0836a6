internal import Glibc

/// How a file system is mounted (linux/mount.h).
public struct MountFlags: OptionSet, Sendable {
  /// The kernel's bits.
  public let rawValue: UInt

  /// Flags of the kernel's bits.
  public init(rawValue: UInt) {
    self.rawValue = rawValue
  }

  /// Takes no writes.
  public static let readOnly = MountFlags(rawValue: 1)
  /// Set-user-id bits do not count.
  public static let noSetUserID = MountFlags(rawValue: 2)
  /// Device nodes do not count.
  public static let noDevices = MountFlags(rawValue: 4)
  /// Nothing on it can be executed.
  public static let noExecution = MountFlags(rawValue: 8)
  /// Changes the flags of a mount.
  public static let remount = MountFlags(rawValue: 32)
  /// Reading leaves no access times.
  public static let noAccessTime = MountFlags(rawValue: 1024)
  /// Shows a directory or file at a second place.
  public static let bind = MountFlags(rawValue: 4096)
  /// Moves a mount.
  public static let move = MountFlags(rawValue: 8192)
  /// With `bind` or `makePrivate`: what is mounted below too.
  public static let recursive = MountFlags(rawValue: 16384)
  /// Mounts and unmounts do not propagate.
  public static let makePrivate = MountFlags(rawValue: 1 << 18)
}

/// A mounted file system, as /proc/self/mountinfo tells it (proc_pid_mountinfo(5)).
public struct Mount: Hashable, Sendable {
  /// What is mounted, in the file system's own words: a device's path or a name such as `tmpfs`.
  public let source: String
  /// Where it is mounted.
  public let target: String
  /// The file system's type, such as `ext4`.
  public let type: String
  /// True when this mount or its file system takes no writes.
  public let isReadOnly: Bool
  /// Number of the device with the file system, as `8:1`; of those that have none, one of the kernel's own.
  public let device: String

  /// Mounts `source` at `target`, which must exist; `options` are the file system's own, comma-separated.
  /// A nil `type` is for binds, moves and remounts.
  public static func mount(
    _ source: String, at target: String, type: String? = nil, _ flags: MountFlags = [], options: String = ""
  ) throws(SystemError) {
    try systemCall("mount \(source)\(type.map { " (\($0))" } ?? "") at", path: target) {
      // SAFETY: the C strings live for the call; the kernel copies what it keeps.
      unsafe options.withCString { data in
        guard let type else { return unsafe Glibc.mount(source, target, nil, flags.rawValue, data) }
        return unsafe Glibc.mount(source, target, type, flags.rawValue, data)
      }
    }
  }

  /// Unmounts what is at `target`. `lazily`: out of the tree at once, for good after its last use.
  public static func unmount(_ target: String, lazily: Bool = false) throws(SystemError) {
    // SAFETY: the C string lives for the call.
    try systemCall("unmount", path: target) { unsafe umount2(target, lazily ? 2 : 0) }  // MNT_DETACH
  }

  /// All mounts of this process's name space, in the order they were made.
  public static func all() throws(SystemError) -> [Mount] {
    parse(try Files.readText("/proc/self/mountinfo"))
  }

  /// The topmost mount exactly at `target`; nil when it is no mount point.
  public static func find(at target: String) throws(SystemError) -> Mount? {
    try all().last { $0.target == target }
  }

  /// Lines of mountinfo; one that is not understood is left out.
  public static func parse(_ text: String) -> [Mount] {
    text.split(separator: "\n").compactMap { line in
      // 36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue
      let fields = line.split(separator: " ")
      guard let separator = fields.firstIndex(of: "-"), separator >= 6, fields.count >= separator + 4 else {
        return nil
      }
      let readOnly = [fields[5], fields[separator + 3]].contains { $0.split(separator: ",").contains("ro") }
      return Mount(
        source: unescape(fields[separator + 2]), target: unescape(fields[4]), type: String(fields[separator + 1]),
        isReadOnly: readOnly, device: String(fields[2]))
    }
  }

  /// Undoes the kernel's three-digit octal escapes of space, tab, newline and backslash.
  private static func unescape(_ field: Substring) -> String {
    let bytes = Array(field.utf8)
    var out: [UInt8] = []
    var index = 0
    while index < bytes.count {
      if bytes[index] == 0x5C, index + 3 < bytes.count,
        let value = UInt8(String(decoding: bytes[(index + 1)...(index + 3)], as: UTF8.self), radix: 8)
      {
        out.append(value)
        index += 4
      } else {
        out.append(bytes[index])
        index += 1
      }
    }
    return String(decoding: out, as: UTF8.self)
  }
}
