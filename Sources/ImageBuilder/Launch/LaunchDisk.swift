internal import Binary
internal import Platform

/// The disk of a guest whose root is an image or a folder: its tree with a name, the addresses of others, and places for
/// what is mounted; nothing else is changed.
struct LaunchDisk: Sendable {
  /// The domain's name.
  let domain: String
  let hostname: String
  let nameServer: String?
  /// Size of the disk.
  let diskBytes: Int
  /// The step that made the root, and what is run.
  let root: String
  /// What the file system's identifiers are derived from.
  let seed: SHA256.Digest

  /// The root's tar file, of whichever step.
  static let archive = "root.tar"

  var name: String { "\(domain): disk" }

  func step(epoch: Int, versions: [String: String]) -> Step {
    Step(
      name: name, kind: "launch-disk", version: 1,
      settings: [
        "\(epoch)", versions["e2fsprogs"] ?? "", "\(diskBytes)", "\(seed)", domain, hostname,
        nameServer ?? "",
      ] + Ext4Image.features,
      inputs: [.init(step: root, file: Self.archive), .init(step: root, file: LaunchProgram.file)],
      outputs: [GuestDisk.file]
    ) { context throws(BuildError) in try make(context) }
  }

  private func make(_ context: borrowing StepContext) throws(BuildError) {
    context.progress("configuring")
    let base = try context.input(root, Self.archive)
    let program = try LaunchProgram(file: try context.input(root, LaunchProgram.file))
    let index = try TreeIndex(base, cancellation: context.cancellation) { _ in false }
    let added = Self.added(index, hostname: hostname, nameServer: nameServer, directory: program.directory)
    let replaced = Set(added.map(\.path))
    let tar = "\(context.scratch)/tree.tar"
    let extent = try Tree.merge(
      base, omitting: { replaced.contains($0) }, adding: added, epoch: context.epoch, to: tar,
      cancellation: context.cancellation)
    try GuestFileSystem(
      domain: domain, diskBytes: diskBytes, identifier: GuestDisk.identifier(domain, seed: seed), seed: seed
    ).make(tar, extent, to: "\(context.output)/\(GuestDisk.file)", context)
  }

  /// What is added or replaced, in places where it can be.
  static func added(
    _ index: TreeIndex, hostname: String, nameServer: String?, directory: String
  ) -> [TreeEntry] {
    var entries: [TreeEntry] = []
    for folder in ["dev", "proc", "run", "sys"] where index.entries[folder]?.kind != .directory {
      entries.append(.directory(folder))
    }
    if index.entries["tmp"] == nil { entries.append(.directory("tmp", permissions: 0o1777)) }
    if !directory.isEmpty, index.entries[directory] == nil { entries.append(.directory(directory)) }
    for (path, text) in [
      ("etc/hostname", "\(hostname)\n"),
      ("etc/hosts", "127.0.0.1 localhost\n127.0.1.1 \(hostname)\n::1 localhost ip6-localhost ip6-loopback\n"),
      (Self.resolver, nameServer.map { "nameserver \($0)\nsearch roost\n" } ?? ""),
    ] {
      if let place = place(of: path, in: index) { entries.append(.text(place, text)) }
    }
    return entries
  }

  static let resolver = "etc/resolv.conf"

  /// Where a file of /etc is: where that is a link it is followed; where it is a file, the root has none.
  static func place(of path: String, in index: TreeIndex) -> String? {
    guard let place = index.place(of: path), index.entries[place]?.kind != .directory,
      let above = index.place(of: "etc", followingLast: true), !index.isBelowFile(above)
    else { return nil }
    return place
  }
}
