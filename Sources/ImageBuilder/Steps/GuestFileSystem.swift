internal import Binary
internal import Platform

/// A Linux guest's root file system: a tree as ext4.
struct GuestFileSystem {
  /// The domain's name.
  let domain: String
  /// Size of the disk that it will be on.
  let diskBytes: Int
  /// What else is on the disk.
  var otherBytes = 0
  /// The file system's identifier.
  let identifier: UUID
  /// What everything else that must be unlike others' is derived from.
  let seed: SHA256.Digest

  /// All that mke2fs would otherwise take from the host's configuration.
  static let features = [
    "has_journal", "ext_attr", "resize_inode", "dir_index", "filetype", "extent", "64bit", "flex_bg", "sparse_super",
    "large_file", "huge_file", "dir_nlink", "extra_isize", "metadata_csum",
  ]

  /// Makes the image of the tree in `tar`. `preparing` are lines of a shell script that change the tree at `$1`, by what is in
  /// the tar file `$4`, `base`.
  func make(
    _ tar: String, _ extent: Tree.Extent, preparing: String = "", base: String = "", to image: String,
    _ context: borrowing StepContext
  ) throws(BuildError) {
    let size = try imageSize(extent)
    context.progress("ext4, \(size >> 20) MiB")
    // Owners and attributes need the superuser or a user namespace, in which one command does it all.
    let script = """
      set -eu
      mkdir "$1"
      tar -x --numeric-owner --xattrs --xattrs-include='*' -p -f "$2" -C "$1"
      \(preparing)find "$1" -newermt "@$SOURCE_DATE_EPOCH" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
      mke2fs -q -F -t ext4 -b 4096 -I 256 -i 8192 -m 1 -O none,\(Self.features.joined(separator: ",")) \
        -U \(identifier) \
        -E hash_seed=\(UUID(digest: seed, name: "ext4-hash:\(domain)")),root_owner=0:0,lazy_itable_init=0,\
      lazy_journal_init=0,nodiscard -L root -d "$1" "$3" \(size >> 10)k
      rm -rf "$1"
      """
    try context.run(
      Tool.withOwners(["sh", "-c", script, "sh", "\(context.scratch)/tree", tar, image, base]),
      doing: "cannot make the disk of \(domain)")
    try fixTimes(image, context)
  }

  /// Room for the tree, its inodes, the journal, and a little to live on before the file system grows to its disk.
  private func imageSize(_ extent: Tree.Extent) throws(BuildError) -> Int {
    let inodes = max(extent.inodes * 2, 16_384) * 256
    let used = extent.bytes + extent.bytes / 32 + inodes + (48 << 20)
    let size = ((used + (4 << 20) - 1) >> 22) << 22
    guard size <= diskBytes - otherBytes else {
      let needed = (size + min(otherBytes, 8 << 20)) >> 20
      throw BuildError(
        .diskTooSmall, "\(domain): its system takes \(needed) MiB, and its disk has \(diskBytes >> 20) MiB",
        hint: "give it a larger disk in the recipe, as in 'disk: \((needed + 511) / 512 * 512) MiB'")
    }
    return size
  }

  /// mke2fs takes access and change times from the files it reads, which differ between two builds.
  private func fixTimes(_ image: String, _ context: borrowing StepContext) throws(BuildError) {
    let listing = try context.run(["dumpe2fs", image], doing: "cannot read the disk of \(domain)")
    let commands = ExtInodes.used(listing).flatMap { inode in
      ["set_inode_field <\(inode)> atime @\(context.epoch)", "set_inode_field <\(inode)> ctime @\(context.epoch)"]
    }
    let script = "\(context.scratch)/times"
    try attempt("cannot write a script") { () throws(SystemError) in
      try Files.write(commands.joined(separator: "\n") + "\n", to: script)
    }
    let text = try context.run(
      ["debugfs", "-w", "-f", script, image], doing: "cannot set the times of \(domain)'s disk")
    // debugfs exits with 0 whatever happened: its banner, the commands and nothing else is what it should print.
    let complaints = text.split(separator: "\n").filter { !$0.hasPrefix("debugfs") }
    guard complaints.isEmpty else {
      throw BuildError(
        .toolFailed, "cannot set the times of \(domain)'s disk", details: complaints.prefix(4).map(String.init),
        log: context.log)
    }
  }
}

/// Which inodes of an ext file system are in use, from what dumpe2fs prints.
enum ExtInodes {
  /// The root's and all from the first that is not reserved (11) which no `Free inodes:` line lists.
  static func used(_ listing: String) -> [Int] {
    var count = 0
    var free: [ClosedRange<Int>] = []
    for line in listing.split(separator: "\n") {
      if line.hasPrefix("Inode count:") {
        count = line.split(separator: " ").last.flatMap { Int($0) } ?? 0
      } else if line.hasPrefix("  Free inodes:") {
        for range in line.dropFirst(14).split(whereSeparator: { $0 == " " || $0 == "," }) {
          let ends = range.split(separator: "-").compactMap { Int($0) }
          if let low = ends.first, let high = ends.last, low <= high { free.append(low...high) }
        }
      }
    }
    guard count >= 11 else { return [] }
    free.sort { $0.lowerBound < $1.lowerBound }
    var used = [2]
    var next = 11
    for range in free {
      if next < range.lowerBound { used += next..<range.lowerBound }
      next = max(next, range.upperBound + 1)
    }
    if next <= count { used += next...count }
    return used
  }
}
