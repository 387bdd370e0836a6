internal import Binary
internal import Recipe

/// A Debian guest's root file system, made the domain's own, as ext4: all of its disk where the monitor enters the
/// kernel, and a partition of it where firmware starts GRUB.
struct GuestDisk: Sendable {
  /// The domain's name.
  let domain: String
  /// What is in it.
  let system: GuestSystem
  /// What the recipe adds to it.
  let changes: SystemChanges
  /// Size of the disk that the image will be in.
  let diskBytes: Int
  /// The step that made the root.
  let root: String
  /// What the file system's identifiers are derived from.
  let seed: SHA256.Digest

  static let file = "disk.ext4"

  var name: String { system.loader == nil ? "\(domain): disk" : "\(domain): root file system" }

  /// The file system's identifier.
  static func identifier(_ domain: String, seed: SHA256.Digest) -> UUID { UUID(digest: seed, name: "ext4:\(domain)") }

  func step(epoch: Int, versions: [String: String]) -> Step {
    Step(
      name: name, kind: "guest-disk", version: 3,
      settings: ["\(epoch)", versions["e2fsprogs"] ?? "", "\(diskBytes)", "\(seed)", system.description]
        + changes.settings + [system.serviceScript] + GuestFileSystem.features,
      inputs: [.init(step: root, file: DebianRoot.archive)] + (system.loader.map { [$0.initramfs] } ?? []),
      outputs: [Self.file]
    ) { context throws(BuildError) in try make(context) }
  }

  private func make(_ context: borrowing StepContext) throws(BuildError) {
    context.progress("configuring")
    let tar = "\(context.scratch)/tree.tar"
    let base = try context.input(root, DebianRoot.archive)
    let index = try TreeIndex(base, cancellation: context.cancellation, keeping: SystemChanges.keeps)
    let own = try changes.entries(index, epoch: context.epoch)
    let replaced = Set(own.map(\.path))
    var entries = (system.entries + GuestSystem.hostKeys(index)).filter { !replaced.contains($0.path) } + own
    if let loader = system.loader {
      entries += try loader.entries(
        root: base, initramfs: try context.input(loader.initramfs.step, loader.initramfs.file), context.cancellation)
    }
    let extent = try Tree.merge(
      base, omitting: system.omits, adding: entries,
      epoch: context.epoch, to: tar, cancellation: context.cancellation)
    // What a whole disk has beside its root.
    let others = system.loader == nil ? 0 : diskBytes - GRUBDisk.rootBytes(ofDisk: diskBytes)
    try GuestFileSystem(
      domain: domain, diskBytes: diskBytes, otherBytes: others, identifier: Self.identifier(domain, seed: seed),
      seed: seed
    ).make(tar, extent, preparing: system.serviceScript, base: base, to: "\(context.output)/\(Self.file)", context)
  }
}
