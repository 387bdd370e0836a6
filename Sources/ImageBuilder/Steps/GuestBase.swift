internal import Binary
internal import Platform

/// A Debian guest's root file system as ext4, as all guests of that root begin: each makes it its own by what it adds.
///
/// Unpacking and compressing a root takes most of the time that a disk takes; so it is done once for all of them, and not
/// again when one of them changes.
struct GuestBase: Sendable {
  /// The step that made the root.
  let root: String

  static let file = "base.ext4"

  var name: String { "\(root), ext4" }

  /// What the file system's identifiers are derived from; guests give their copies others.
  private var seed: SHA256.Digest { SHA256.hash("guest base\n\(root)") }

  /// What is left out: kernels are on the medium or are added again where GRUB starts them, and keys that the package made
  /// while it was installed would be everybody's.
  static func omits(_ path: String) -> Bool {
    path.hasPrefix("boot/") || path.hasPrefix("etc/ssh/ssh_host_")
  }

  /// Room for what guests add as a rule.
  private static let room = 2 << 20  // bytes

  /// What the file system holds.
  static func extent(_ index: TreeIndex) -> Tree.Extent {
    var extent = Tree.Extent()
    for entry in index.entries.values where !omits(entry.path) { extent.add(entry.size) }
    extent.add(room)
    return extent
  }

  func step(epoch: Int, versions: [String: String]) -> Step {
    Step(
      name: name, kind: "guest-base", version: 2,
      settings: ["\(epoch)", versions["e2fsprogs"] ?? "", "\(seed)"] + Ext4Image.features,
      inputs: [.init(step: root, file: DebianRoot.archive)], outputs: [Self.file]
    ) { context throws(BuildError) in try make(context) }
  }

  private func make(_ context: borrowing StepContext) throws(BuildError) {
    let base = try context.input(root, DebianRoot.archive)
    let index = try TreeIndex(base, cancellation: context.cancellation) { _ in false }
    let size = Ext4Image.size(of: Self.extent(index))
    let image = "\(context.output)/\(Self.file)"
    context.progress("ext4, \(size >> 20) MiB")
    // Owners and attributes need the superuser or a user namespace, in which one command does it all.
    let script = """
      set -eu
      mkdir "$1"
      tar -x --numeric-owner --xattrs --xattrs-include='*' -p --anchored --wildcards --exclude='./boot/*' \
        --exclude='boot/*' --exclude='./etc/ssh/ssh_host_*' --exclude='etc/ssh/ssh_host_*' -f "$2" -C "$1"
      chmod 755 "$1"
      find "$1" -newermt "@$SOURCE_DATE_EPOCH" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
      touch -d "@$SOURCE_DATE_EPOCH" "$1"
      \(Ext4Image.command(
        size: size, identifier: UUID(digest: seed, name: "ext4"), hashSeed: UUID(digest: seed, name: "ext4-hash")))
      rm -rf "$1"
      """
    try context.run(
      Tool.withOwners(["sh", "-c", script, "sh", "\(context.scratch)/tree", base, image]),
      doing: "cannot make the file system of \(root)")
    try Ext4Image.fixTimes(image, of: root, context)
  }
}
