internal import Binary
internal import Platform

/// GRUB as a boot medium needs it, with all modules built in: nothing is loaded from the medium but the menu.
struct GRUBImages: Sendable {
  /// Files that `make` leaves in its directory.
  static let outputs = [biosImage, bootRecord, efiPartition]
  private static let biosImage = "eltorito.img"
  private static let bootRecord = "boot.img"
  private static let efiPartition = "efi.img"

  /// Where the BIOS image lies on the medium.
  static let biosPath = "/boot/grub/i386-pc/eltorito.img"
  /// Where GRUB looks for its menu.
  static let menuPath = "/boot/grub/grub.cfg"
  /// Where another GRUB looks for a menu that starts the image out of a file: the convention of sticks with many images.
  static let loopbackPath = "/boot/grub/loopback.cfg"
  static let loopbackMenu = "source \(menuPath)\n"

  /// Where Debian's packages have GRUB's modules.
  static let library = "/usr/lib/grub"

  static let commonModules = [
    "part_gpt", "part_msdos", "search", "search_fs_uuid", "normal", "configfile", "linux", "serial", "terminal", "echo",
    "test", "sleep", "halt", "reboot", "all_video",
  ]
  private static let mediumModules = ["iso9660"] + commonModules

  /// Makes the images in `directory`. They find the medium by the volume's identifier.
  ///
  /// - Throws: `missingTool` where GRUB or mtools are not installed; `toolFailed`.
  static func make(
    in directory: String, scratch: String, volume: VolumeUUID, epoch: Int, log: String? = nil,
    cancellation: Cancellation = Cancellation()
  ) throws(BuildError) {
    let maker = Maker(
      directory: directory, scratch: scratch, epoch: epoch, log: log, cancellation: cancellation)
    try requireModules("i386-pc", package: "grub-pc-bin")
    try requireModules("x86_64-efi", package: "grub-efi-amd64-bin")
    let early = "\(scratch)/early.cfg"
    try attempt("cannot write GRUB's first commands") { () throws(SystemError) in
      try Files.write("search --no-floppy --fs-uuid --set=root \(volume)\nset prefix=($root)/boot/grub\n", to: early)
    }
    try maker.run(
      ["grub-mkimage", "-O", "i386-pc-eltorito", "-d", "\(library)/i386-pc", "-c", early, "-p", "/boot/grub"]
        + ["-o", "\(directory)/\(biosImage)", "biosdisk"] + mediumModules)
    try maker.run(
      ["grub-mkimage", "-O", "x86_64-efi", "-d", "\(library)/x86_64-efi", "-c", early, "-p", "/boot/grub"]
        + ["-o", "\(scratch)/BOOTX64.EFI", "efi_gop", "efi_uga"] + mediumModules)
    try attempt("cannot copy GRUB's boot record") { () throws(SystemError) in
      let record = try Files.read("\(library)/i386-pc/boot_hybrid.img")
      try Files.write(record, to: "\(directory)/\(bootRecord)")
    }
    try maker.makeEFIPartition("\(directory)/\(efiPartition)", program: "\(scratch)/BOOTX64.EFI", volume)
  }

  static func requireModules(_ platform: String, package: String) throws(BuildError) {
    if Files.exists("\(library)/\(platform)/normal.mod") { return }
    throw BuildError(
      .missingTool, "GRUB's modules for \(platform) are not on this machine",
      hint: "install them: apt-get install \(package)")
  }

  private struct Maker {
    let directory: String
    let scratch: String
    let epoch: Int
    let log: String?
    let cancellation: Cancellation

    func run(_ arguments: [String]) throws(BuildError) {
      let command = Command(arguments, environment: ["MTOOLSRC": "/dev/null"], epoch: epoch)
      let outcome = try command.run(cancellation: cancellation, log: log)
      guard outcome.status.isSuccess else {
        throw BuildError(
          .toolFailed, "\(arguments.first ?? "") failed (\(outcome.status)) while making the boot loader",
          details: outcome.text.split(separator: "\n").suffix(5).map(String.init), log: log)
      }
    }

    /// A FAT file system with `EFI/BOOT/BOOTX64.EFI`, as removable media have it (UEFI 2.10, section 3.5.1.1).
    func makeEFIPartition(_ path: String, program: String, _ volume: VolumeUUID) throws(BuildError) {
      let size = try attempt("cannot make the EFI system partition") { () throws(SystemError) in
        try Files.remove(path)
        return try Files.status(program)?.size ?? 0
      }
      // Whole megabytes, with some room for the directories and the file allocation tables.
      let megabytes = (size + (256 << 10)) >> 20 + 1
      let serial = Hex.encode(SHA256.hash("EFI system partition of \(volume)").bytes.prefix(4))
      try run(
        ["mformat", "-C", "-i", path, "-T", "\(megabytes << 11)", "-h", "64", "-s", "32", "-N", serial]
          + ["-v", "ROOST", "::"])
      try run(["mmd", "-i", path, "::/EFI", "::/EFI/BOOT"])
      try run(["mcopy", "-i", path, program, "::/EFI/BOOT/BOOTX64.EFI"])
    }
  }
}

extension ISOImage {
  /// Makes the image bootable with what `GRUBImages.make` left in `directory`, and the menu's text.
  mutating func addBootLoader(from directory: String, menu: String) throws(BuildError) {
    let files = GRUBImages.outputs.map { "\(directory)/\($0)" }
    let record = try attempt("cannot read GRUB's boot record") { () throws(SystemError) in try Files.read(files[1]) }
    add(GRUBImages.biosPath, .file(files[0]))
    add(GRUBImages.menuPath, .bytes(Array(menu.utf8)))
    add(GRUBImages.loopbackPath, .bytes(Array(GRUBImages.loopbackMenu.utf8)))
    boot = HybridBoot(biosImage: GRUBImages.biosPath, masterBootRecord: record, efiPartition: files[2])
  }
}
