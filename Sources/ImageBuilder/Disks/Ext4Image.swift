internal import Binary
internal import Platform

/// What all ext4 file systems of guests have in common, and how one is made the same whenever it is made.
enum Ext4Image {
  /// All that mke2fs would otherwise take from the host's configuration. Checksums have a seed of their own, so that a copy
  /// gets another identifier by one change.
  static let features = [
    "has_journal", "ext_attr", "resize_inode", "dir_index", "filetype", "extent", "64bit", "flex_bg", "sparse_super",
    "large_file", "huge_file", "dir_nlink", "extra_isize", "metadata_csum", "metadata_csum_seed",
  ]

  /// Bytes of a file system that holds so much: its inodes, the journal, and a little to live on before it grows to its
  /// disk.
  static func size(of extent: Tree.Extent) -> Int {
    let inodes = max(extent.inodes * 2, 16_384) * 256
    let used = extent.bytes + extent.bytes / 32 + inodes + (48 << 20)
    return ((used + (4 << 20) - 1) >> 22) << 22
  }

  /// The shell's command that makes a file system of `size` bytes in the file `$3`, out of the folder `$1`. Nothing of it is
  /// left to chance or to the host.
  static func command(size: Int, identifier: UUID, hashSeed: UUID) -> String {
    """
    mke2fs -q -F -t ext4 -b 4096 -I 256 -i 8192 -m 1 -O none,\(features.joined(separator: ",")) -U \(identifier) \
      -E hash_seed=\(hashSeed),root_owner=0:0,lazy_itable_init=0,lazy_journal_init=0,nodiscard \
      -L root -d "$1" "$3" \(size >> 10)k
    """
  }

  /// mke2fs takes access and change times from the files it reads, which differ between two builds.
  static func fixTimes(_ image: String, of owner: String, _ context: borrowing StepContext) throws(BuildError) {
    let listing = try context.run(["dumpe2fs", image], doing: "cannot read the file system of \(owner)")
    let commands = ExtInodes.used(listing).flatMap { inode in
      ["set_inode_field <\(inode)> atime @\(context.epoch)", "set_inode_field <\(inode)> ctime @\(context.epoch)"]
    }
    try edit(image, commands, doing: "cannot set the times of \(owner)'s file system", context)
  }

  /// Runs commands of debugfs(8) on a file system.
  static func edit(
    _ image: String, _ commands: [String], doing: String, _ context: borrowing StepContext
  ) throws(BuildError) {
    let script = "\(context.scratch)/commands"
    try attempt("cannot write a script") { () throws(SystemError) in
      try Files.write(commands.joined(separator: "\n") + "\n", to: script)
    }
    let text = try context.run(["debugfs", "-w", "-f", script, image], doing: doing)
    // debugfs exits with 0 whatever happened: its banner, the commands and nothing else is what it should print.
    let complaints = text.split(separator: "\n").filter { line in
      !line.hasPrefix("debugfs") && !line.hasPrefix("Allocated inode: ")
    }
    guard complaints.isEmpty else {
      let isFull = BuildError.saysFull(text)
      throw BuildError(
        isFull ? .noSpace : .toolFailed, doing, hint: isFull ? BuildError.spaceHint : nil,
        details: complaints.prefix(4).map(String.init), log: context.log)
    }
  }
}
