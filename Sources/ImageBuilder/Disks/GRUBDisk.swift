internal import Binary
internal import Platform

/// A guest's whole disk, which a BIOS and UEFI firmware start alike:
/// ```
/// sector 0     GRUB's boot record: loads the core image
/// bios-boot    GRUB's core image: finds the menu in the root
/// esp          EFI/BOOT/BOOTX64.EFI, which is GRUB too
/// root         ext4, with the menu, the kernel and the initramfs in /boot
/// ```
struct GRUBDisk: Sendable {
  /// The domain's name.
  let domain: String
  let diskBytes: Int
  /// What identifiers are derived from.
  let seed: SHA256.Digest
  /// The image of the root's file system.
  let root: Step.Input
  /// The file system's own identifier, by which GRUB finds it on whatever it is attached to.
  let rootIdentifier: UUID

  static let file = "disk.img"

  var name: String { "\(domain): disk" }

  /// A core image is a third of it.
  private static let bootBytes = 512 << 10
  private static let firmwareMebibytes = 4

  /// The partitions of a disk; nil for one that has no room for a root.
  static func table(ofDisk bytes: Int) -> PartitionTable? {
    var table = PartitionTable()
    table.add(.biosBoot, "bios-boot", bytes: bootBytes)
    table.add(.efi, "esp", bytes: firmwareMebibytes << 20)
    return table.addRest(.linux, "root", ofDisk: bytes) ? table : nil
  }

  /// Room for the root's file system on a disk.
  static func rootBytes(ofDisk bytes: Int) -> Int { table(ofDisk: bytes)?.partitions.last?.bytes ?? 0 }

  func step(epoch: Int, versions: [String: String]) -> Step {
    Step(
      name: name, kind: "grub-disk", version: 1,
      settings: ["\(epoch)", "\(diskBytes)", "\(seed)", "\(rootIdentifier)"] + GRUBImages.diskModules
        + ["grub-common", "grub-pc-bin", "grub-efi-amd64-bin", "fdisk", "mtools"].map { versions[$0] ?? "" },
      inputs: [root], outputs: [Self.file]
    ) { context throws(BuildError) in try make(context) }
  }

  private func make(_ context: borrowing StepContext) throws(BuildError) {
    let doing = "cannot make the disk of \(domain)"
    let image = try context.input(root.step, root.file)
    let size = try attempt(doing) { () throws(SystemError) in try Files.status(image)?.size ?? 0 }
    guard let table = Self.table(ofDisk: diskBytes), let last = table.partitions.last, size <= last.bytes else {
      throw BuildError(
        .diskTooSmall, "\(domain): its system takes \(size >> 20) MiB, and its disk has \(diskBytes >> 20) MiB",
        hint: "give it a larger disk in the recipe")
    }
    context.progress("GRUB")
    let programs = try GRUBImages.makeForDisk(root: rootIdentifier, context)
    let boot = table.partitions[0]
    let code = try attempt(doing) { () throws(SystemError) in
      (record: try Files.read(programs.record), core: try Files.read(programs.core))
    }
    let bootCode = try GRUBBootCode(record: code.record, core: code.core, at: boot.start)
    guard bootCode.core.count <= boot.bytes else {
      throw BuildError(
        .content, "\(domain): GRUB's core image has \(bootCode.core.count) bytes, too many for its place")
    }
    let partition = "\(context.scratch)/esp"
    try context.makeEFIPartition(
      partition, mebibytes: Self.firmwareMebibytes, program: programs.firmware, seed: seed, doing: doing)
    context.progress("disk")
    let disk = "\(context.output)/\(Self.file)"
    try context.makeDisk(disk, bytes: diskBytes, table, seed: seed, doing: doing)
    try attempt(doing) { () throws(SystemError) in
      let file = try FileDescriptor(opening: disk, .readWrite)
      try file.writeAll(bootCode.record, at: 0)
      try file.writeAll(bootCode.core, at: boot.offset)
    }
    try context.copy(partition, into: disk, at: table.partitions[1].offset, doing: doing)
    try context.copy(image, into: disk, at: last.offset, doing: doing)
  }
}

extension GRUBImages {
  /// What GRUB needs to start a Linux out of an ext4, and a person to look around in it.
  static let diskModules = ["ext2", "ls", "cat"] + commonModules

  /// Paths of what starts a disk: the boot record and the core image for a BIOS, the program for UEFI firmware.
  struct DiskPrograms: Sendable {
    let record: String
    let core: String
    let firmware: String
  }

  /// Makes GRUB for a disk whose root has the identifier `root`; the menu is in its `/boot/grub`.
  static func makeForDisk(root: UUID, _ context: borrowing StepContext) throws(BuildError) -> DiskPrograms {
    let early = "\(context.scratch)/early.cfg"
    try attempt("cannot write GRUB's first commands") { () throws(SystemError) in
      try Files.write("search --no-floppy --fs-uuid --set=root \(root)\nset prefix=($root)/boot/grub\n", to: early)
    }
    let programs = DiskPrograms(
      record: "\(library)/i386-pc/boot.img", core: "\(context.scratch)/core.img",
      firmware: "\(context.scratch)/BOOTX64.EFI")
    for (platform, package, output, own) in [
      ("i386-pc", "grub-pc-bin", programs.core, ["biosdisk"]),
      ("x86_64-efi", "grub-efi-amd64-bin", programs.firmware, ["efi_gop", "efi_uga"]),
    ] {
      try requireModules(platform, package: package)
      try context.run(
        ["grub-mkimage", "-O", platform, "-d", "\(library)/\(platform)", "-c", early, "-p", "/boot/grub", "-o", output]
          + own + diskModules, doing: "cannot make the boot loader")
    }
    return programs
  }
}
