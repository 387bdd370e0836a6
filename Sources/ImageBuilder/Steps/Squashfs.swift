internal import Platform
internal import Recipe

/// How a file system of the medium is compressed, as options of mksquashfs(1).
struct Squashfs: Sendable {
  let settings: Recipe.ImageSettings
  /// Level of zstd where the recipe names none.
  let level: Int
  /// Bytes of a block: what is read and unpacked at once.
  let block: String
  /// What is in it is x86's code, for the most part.
  let isCode: Bool

  /// The control domain's root: read once or twice.
  static func root(_ settings: Recipe.ImageSettings) -> Squashfs {
    Squashfs(settings: settings, level: 12, block: "256K", isCode: true)
  }

  /// The guests' disks: read here and there.
  static func disks(_ settings: Recipe.ImageSettings) -> Squashfs {
    Squashfs(settings: settings, level: 9, block: "128K", isCode: false)
  }

  /// What decides the bytes.
  var options: [String] {
    switch settings.compression {
    case .zstd: ["-comp", "zstd", "-Xcompression-level", "\(settings.level ?? level)", "-b", block]
    // Its dictionary is as large as a block.
    case .xz: ["-comp", "xz", "-b", "1M"] + (isCode ? ["-Xbcj", "x86"] : [])
    }
  }

  /// All of them. How many processors compress does not show in the bytes.
  var arguments: [String] {
    options + ["-noappend", "-no-progress", "-quiet", "-processors", "\(Processors.online)"]
  }
}
