internal import Binary
internal import Manifest
internal import Platform

/// A FreeBSD guest's kernel and whole disk, out of a release's base.txz and kernel.txz.
///
/// The disk boots by its kernel alone, by a BIOS and by UEFI firmware:
/// ```
/// sector 0   pmbr: loads the partition of type freebsd-boot
/// boot       gptboot: finds /boot/loader in the root
/// esp        EFI/BOOT/BOOTX64.EFI, which is loader.efi
/// rootfs     UFS, version 1: the only one that Debian's makefs writes and FreeBSD takes
/// ```
struct FreeBSDDisk: Sendable {
  /// The domain's name.
  let domain: String
  let system: FreeBSDSystem
  let diskBytes: Int
  let base: Step.Input
  let kernel: Step.Input
  /// What identifiers are derived from.
  let seed: SHA256.Digest

  static let kernelFile = "kernel"
  static let file = "disk.img"

  var name: String { "\(domain): FreeBSD disk" }

  /// What the BIOS's boot record loads; below 640 KiB there is room for 545.
  private static let bootBytes = 512 << 10
  private static let firmwareMebibytes = 4

  func step(epoch: Int, versions: [String: String]) -> Step {
    Step(
      name: name, kind: "freebsd-disk", version: 1,
      settings: ["\(epoch)", "\(diskBytes)", "\(seed)", system.description]
        + ["makefs", "fdisk", "mtools"].map { versions[$0] ?? "" },
      inputs: [base, kernel], outputs: [Self.kernelFile, Self.file]
    ) { context throws(BuildError) in try make(context) }
  }

  private func make(_ context: borrowing StepContext) throws(BuildError) {
    var tree = try SpooledTree(spool: "\(context.scratch)/files")
    for (input, what) in [(base, "base"), (kernel, "kernel")] {
      context.progress("unpacking \(what)")
      try tree.add(
        archive: try context.input(input.step, input.file), omitting: FreeBSDSystem.omits,
        cancellation: context.cancellation)
    }
    if let missing = FreeBSDSystem.required.first(where: { tree.content($0) == nil }) {
      throw BuildError(
        .badFile, "\(domain): the release's archives have no \(missing)",
        hint: "the sources must be base.txz and kernel.txz of one release for amd64")
    }
    try configure(&tree)
    var table = PartitionTable()
    table.add(.freebsdBoot, "boot", bytes: Self.bootBytes)
    table.add(.efi, "esp", bytes: Self.firmwareMebibytes << 20)
    let hasRoot = table.addRest(.freebsdUFS, "rootfs", ofDisk: diskBytes)
    let extent = try tree.extent(block: 1024)
    try checkSize(extent, room: hasRoot ? table.partitions.last?.bytes ?? 0 : 0)
    try makeRoot(tree, bytes: table.partitions[2].bytes, freeFiles: max(extent.entries, 16_384), context)
    try assemble(tree, table, context)
  }

  private func configure(_ tree: inout SpooledTree) throws(BuildError) {
    for entry in system.entries { tree.add(entry) }
    guard let terminals = tree.content("etc/ttys") else { return }
    let text = try attempt("cannot read etc/ttys") { () throws(SystemError) in try Files.readText(terminals) }
    tree.add(.text("etc/ttys", FreeBSDSystem.terminals(text)))
  }

  private func checkSize(_ extent: (bytes: Int, entries: Int), room: Int) throws(BuildError) {
    // Inodes twice, a tenth for the file system's own, and some room to live in.
    let needed = extent.bytes + extent.entries * 256 + extent.bytes / 10 + (32 << 20)
    guard needed <= room else {
      let enough = ((needed >> 20) + 8 + 255) / 256 * 256
      throw BuildError(
        .diskTooSmall,
        "\(domain): its system takes \(needed >> 20) MiB with some room, and its disk has \(diskBytes >> 20) MiB",
        hint: "give it a larger disk in the recipe, as in 'disk: \(enough) MiB'")
    }
  }

  /// A program in a mount namespace of its own, where a file system in memory can be mounted.
  private func inMemory(_ script: String, _ arguments: [String]) -> [String] {
    let mount = "set -eu; mount -t tmpfs -o size=100% none \"$1\"; cd \"$1\"; "
    return Tool.withMounts(["sh", "-c", mount + script, "sh"] + arguments)
  }

  /// makefs takes files in the order in which their folder lists them, which on disks is any. A file system in memory
  /// lists them as they were made, or the other way round, by the kernel's version.
  private func makeRoot(
    _ tree: SpooledTree, bytes: Int, freeFiles: Int, _ context: borrowing StepContext
  ) throws(BuildError) {
    let mountPoint = "\(context.scratch)/root"
    try attempt("cannot make a folder") { () throws(SystemError) in try Files.makeDirectories(mountPoint) }
    let order = try context.run(
      inMemory("touch a b c; ls -U", [mountPoint]), doing: "cannot use a file system in memory")
    context.progress("sorting")
    let tar = "\(context.scratch)/tree.tar"
    try tree.write(
      tar, descending: order.split(separator: "\n").first == "c", epoch: context.epoch,
      cancellation: context.cancellation)
    context.progress("UFS, \(bytes >> 20) MiB")
    let script = """
      mkdir tree; tar -x --numeric-owner -p -f "$2" -C tree
      find tree -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
      makefs -t ffs -o version=1,optimization=space -B little -s "$4" -f "$5" -T "$SOURCE_DATE_EPOCH" "$3" tree
      """
    try context.run(
      inMemory(script, [mountPoint, tar, "\(context.scratch)/root.ufs", "\(bytes)", "\(freeFiles)"]),
      doing: "cannot make the root of \(domain)")
    try UFSSuperblock.clearPointers("\(context.scratch)/root.ufs")
  }

  private func assemble(
    _ tree: SpooledTree, _ table: PartitionTable, _ context: borrowing StepContext
  ) throws(BuildError) {
    let doing = "cannot make the disk of \(domain)"
    let disk = "\(context.output)/\(Self.file)"
    context.progress("disk")
    try context.makeDisk(disk, bytes: diskBytes, table, seed: seed, doing: doing)
    var files: [String: [UInt8]] = [:]
    for path in ["boot/pmbr", "boot/gptboot", "boot/kernel/kernel"] {
      guard let place = tree.content(path) else { continue }
      files[path] = try attempt(doing) { () throws(SystemError) in try Files.read(place) }
    }
    guard let record = files["boot/pmbr"], let loader = files["boot/gptboot"], loader.count <= Self.bootBytes,
      record.count >= 446, let kernel = files["boot/kernel/kernel"], let firmware = tree.content("boot/loader.efi")
    else { throw BuildError(.badFile, "\(domain): the release's boot programs have sizes that cannot be") }
    try KernelFile.check(kernel, .freebsd, path: "boot/kernel/kernel of \(domain)")
    let partition = "\(context.scratch)/esp"
    try context.makeEFIPartition(
      partition, mebibytes: Self.firmwareMebibytes, program: firmware, seed: seed, doing: doing)
    let boot = table.partitions[0].offset
    let output = context.output
    try attempt(doing) { () throws(SystemError) in
      try Files.write(kernel, to: "\(output)/\(Self.kernelFile)")
      let file = try FileDescriptor(opening: disk, .readWrite)
      // Its code only: the entries after it are the table's protection.
      try file.writeAll(Array(record.prefix(440)), at: 0)
      try file.writeAll(loader, at: boot)
    }
    try context.copy(partition, into: disk, at: table.partitions[1].offset, doing: doing)
    try context.copy("\(context.scratch)/root.ufs", into: disk, at: table.partitions[2].offset, doing: doing)
  }
}
