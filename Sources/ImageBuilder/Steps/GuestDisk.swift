internal import Binary
internal import Platform
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
  /// What the file system's identifier is derived from.
  let seed: SHA256.Digest

  static let file = "disk.ext4"

  var name: String { system.loader == nil ? "\(domain): disk" : "\(domain): root file system" }

  private var base: GuestBase { GuestBase(root: root) }

  /// The step that finds out what its services become; nil where the recipe switches none.
  var services: ServiceLinks? { ServiceLinks(domain: domain, root: root, system: system, changes: changes) }

  /// The file system's identifier.
  static func identifier(_ domain: String, seed: SHA256.Digest) -> UUID { UUID(digest: seed, name: "ext4:\(domain)") }

  func step(epoch: Int, versions: [String: String]) -> Step {
    Step(
      name: name, kind: "guest-disk", version: 4,
      settings: [
        "\(epoch)", versions["e2fsprogs"] ?? "", "\(diskBytes)", "\(Self.identifier(domain, seed: seed))",
        system.description,
      ] + changes.settings,
      inputs: [.init(step: root, file: DebianRoot.archive), .init(step: base.name, file: GuestBase.file)]
        + (system.loader.map { [$0.initramfs] } ?? []) + (services.map { [$0.input] } ?? []),
      outputs: [Self.file]
    ) { context throws(BuildError) in try make(context) }
  }

  private func make(_ context: borrowing StepContext) throws(BuildError) {
    context.progress("configuring")
    let archive = try context.input(root, DebianRoot.archive)
    var index = try TreeIndex(archive, cancellation: context.cancellation, keeping: SystemChanges.keeps)
    let own = try changes.entries(index, spool: "\(context.scratch)/files", epoch: context.epoch)
    let replaced = Set(own.map(\.path))
    var entries = (system.entries + GuestSystem.hostKeys(index)).filter { !replaced.contains($0.path) } + own
    if let loader = system.loader {
      entries =
        try kernels(archive, context)
        + entries
        + loader.entries(
          root: archive, initramfs: try context.input(loader.initramfs.step, loader.initramfs.file),
          context.cancellation)
    }
    var extent = GuestBase.extent(index)
    let small = Ext4Image.size(of: extent)
    for entry in entries { extent.add(try entry.size) }
    // What guests add as a rule has its room.
    let size = extent.bytes - GuestBase.extent(index).bytes <= 1 << 20 ? small : Ext4Image.size(of: extent)
    try checkSize(size)
    let image = "\(context.output)/\(Self.file)"
    let base = try context.input(base.name, GuestBase.file)
    try attempt("cannot make the disk of \(domain)") { () throws(SystemError) in try Files.copy(base, to: image) }
    let doing = "cannot make the disk of \(domain)"
    if size > small { try context.run(["resize2fs", "-f", image, "\(size >> 10)k"], doing: doing) }
    index.forget(where: GuestBase.omits)
    let spool = "\(context.scratch)/contents"
    var edit = Ext4Edit(index, epoch: context.epoch, spool: spool)
    edit.setIdentifier("\(Self.identifier(domain, seed: seed))")
    for entry in entries { try edit.add(entry) }
    if let services { try services.apply(try context.input(services.name, ServiceLinks.file), to: &edit) }
    let contents = edit.contents
    try attempt(doing) { () throws(SystemError) in
      try Files.makeDirectories(spool)
      for (path, bytes) in contents { try Files.write(bytes, to: path) }
    }
    context.progress("ext4, \(size >> 20) MiB")
    try Ext4Image.edit(image, edit.commands, doing: doing, context)
  }

  /// What is in the root's `/boot`, which the base is without.
  private func kernels(_ archive: String, _ context: borrowing StepContext) throws(BuildError) -> [TreeEntry] {
    var tree = try SpooledTree(spool: "\(context.scratch)/boot")
    try tree.add(archive: archive, omitting: { !$0.hasPrefix("boot/") }, cancellation: context.cancellation)
    return tree.all
  }

  private func checkSize(_ size: Int) throws(BuildError) {
    // What a whole disk has beside its root.
    let others = system.loader == nil ? 0 : diskBytes - GRUBDisk.rootBytes(ofDisk: diskBytes)
    guard size <= diskBytes - others else {
      let needed = (size + min(others, 8 << 20)) >> 20
      throw BuildError(
        .diskTooSmall, "\(domain): its system takes \(needed) MiB, and its disk has \(diskBytes >> 20) MiB",
        hint: "give it a larger disk in the recipe, as in 'disk: \((needed + 511) / 512 * 512) MiB'")
    }
  }
}
