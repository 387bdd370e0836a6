internal import Platform
internal import Recipe

/// How a file system of the medium is compressed, as options of mksquashfs(1).
struct Squashfs: Sendable {
  let settings: Recipe.ImageSettings
  /// Level of zstd where the recipe names none.
  let level: Int
  /// Bytes of a block where zstd compresses: what is read and unpacked at once.
  let block: Int
  /// What is in it is x86's code, for the most part.
  let isCode: Bool

  /// The control domain's root: read once or twice. Level 12 takes four times as long and makes it no smaller; 15 takes a
  /// twelfth off, in eight times as long.
  static func root(_ settings: Recipe.ImageSettings) -> Squashfs {
    Squashfs(settings: settings, level: 9, block: 256 << 10, isCode: true)
  }

  /// The guests' disks: read here and there.
  static func disks(_ settings: Recipe.ImageSettings) -> Squashfs {
    Squashfs(settings: settings, level: 9, block: 128 << 10, isCode: false)
  }

  /// What decides the bytes.
  var options: [String] {
    switch settings.compression {
    case .zstd: ["-comp", "zstd", "-Xcompression-level", "\(settings.level ?? level)", "-b", "\(blockBytes)"]
    // Its dictionary is as large as a block.
    case .xz: ["-comp", "xz", "-b", "\(blockBytes)"] + (isCode ? ["-Xbcj", "x86"] : [])
    }
  }

  /// MiB that mksquashfs may have for its caches; it would take a quarter of the machine's memory otherwise.
  static let cacheMebibytes = 192

  /// All of them. How many processors compress, and in how much memory, does not show in the bytes.
  var arguments: [String] {
    options + [
      "-noappend", "-no-progress", "-quiet", "-processors", "\(Processors.online)", "-mem", "\(Self.cacheMebibytes)M",
    ]
  }

  /// Bytes of a block.
  var blockBytes: Int { settings.compression == .xz ? 1 << 20 : block }

  /// Compresses the blocks of the file at `path`, none of which is all zeros.
  func compress(
    _ path: String, to output: String, _ context: borrowing StepContext, doing: String
  ) throws(BuildError) -> SquashfsFile.Contents {
    try context.run(["mksquashfs", path, output] + SquashfsFile.arguments + arguments, doing: doing)
    return try SquashfsFile.read(output)
  }
}
