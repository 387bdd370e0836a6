internal import Binary
internal import Platform

/// A Linux guest's root file system: a tree as ext4.
struct GuestFileSystem {
  /// The domain's name.
  let domain: String
  /// Size of the disk that it will be on.
  let diskBytes: Int
  /// The file system's identifier.
  let identifier: UUID
  /// What everything else that must be unlike others' is derived from.
  let seed: SHA256.Digest

  /// Makes the image of the tree in `tar`.
  func make(
    _ tar: String, _ extent: Tree.Extent, to image: String, _ context: borrowing StepContext
  ) throws(BuildError) {
    let size = try imageSize(extent)
    context.progress("ext4, \(size >> 20) MiB")
    // Owners and attributes need the superuser or a user namespace, in which one command does it all.
    let script = """
      set -eu
      mkdir "$1"
      tar -x --numeric-owner --xattrs --xattrs-include='*' -p -f "$2" -C "$1"
      find "$1" -newermt "@$SOURCE_DATE_EPOCH" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
      \(Ext4Image.command(size: size, identifier: identifier, hashSeed: UUID(digest: seed, name: "ext4-hash:\(domain)")))
      rm -rf "$1"
      """
    try context.run(
      Tool.withOwners(["sh", "-c", script, "sh", "\(context.scratch)/tree", tar, image]),
      doing: "cannot make the disk of \(domain)")
    try Ext4Image.fixTimes(image, of: domain, context)
  }

  /// Room for the tree, its inodes, the journal, and a little to live on before the file system grows to its disk.
  private func imageSize(_ extent: Tree.Extent) throws(BuildError) -> Int {
    let size = Ext4Image.size(of: extent)
    guard size <= diskBytes else {
      let needed = size >> 20
      throw BuildError(
        .diskTooSmall, "\(domain): its system takes \(needed) MiB, and its disk has \(diskBytes >> 20) MiB",
        hint: "give it a larger disk in the recipe, as in 'disk: \((needed + 511) / 512 * 512) MiB'")
    }
    return size
  }
}
