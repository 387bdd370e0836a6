/// What an archive may unpack to. Whoever made it may have meant harm: more is refused before it fills a disk or the
/// memory.
struct ArchiveLimits: Sendable, Hashable {
  /// Members.
  var entries = 500_000
  /// Bytes of all members together.
  var bytes = 64 << 30
  /// How many bytes may become of one packed byte, once `ratioStart` bytes were unpacked; nil where any number may, as
  /// with disks, which are zeros for the most part.
  var ratio: Int? = 250
  /// Bytes.
  var ratioStart = 256 << 20
  /// Bytes of one member that are read into memory.
  var memory = 512 << 20

  /// Bytes of a path, which is Linux's own limit.
  static let path = 4095
  /// Bytes of one name in a path.
  static let name = 255

  /// Of archives of files.
  static let standard = ArchiveLimits()

  /// Of an archive that one file is taken out of, which may be a disk.
  static let holder = ArchiveLimits(bytes: 16 << 40, ratio: nil)

  /// Of a packed disk: its size is bounded by what disks may have, and zeros take no room.
  static let disk = ArchiveLimits(entries: 1, bytes: 16 << 40, ratio: nil)
}
