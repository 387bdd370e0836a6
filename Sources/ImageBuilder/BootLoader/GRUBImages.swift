internal import Platform

/// GRUB as a boot medium needs it, with all modules built in: nothing is loaded from the medium but the menu.
struct GRUBImages: Sendable {
  /// Files that `make` leaves in its directory.
  static let outputs = [biosImage, bootRecord, efiPartition]
  private static let biosImage = "eltorito.img"
  private static let bootRecord = "boot.img"
  static let efiPartition = "efi.img"

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

  /// Where a GRUB that Debian signed looks for its menu: in the partition, and on a disc.
  static let signedMenuPath = "EFI/debian/grub.cfg"

  /// What leads it to the menu: the medium is found by the volume's identifier, whatever else is in the machine.
  static func signedMenu(_ volume: VolumeUUID) -> String {
    search(volume) + "source $prefix/grub.cfg\n"
  }

  private static func search(_ volume: VolumeUUID) -> String {
    "search --no-floppy --fs-uuid --set=root \(volume)\nset prefix=($root)/boot/grub\n"
  }

  /// Makes what BIOS starts. It finds the medium by the volume's identifier.
  ///
  /// - Throws: `missingTool` where GRUB is not installed; `toolFailed`.
  static func make(volume: VolumeUUID, _ context: borrowing StepContext) throws(BuildError) {
    try requireModules("i386-pc", package: "grub-pc-bin")
    try makeImage(
      ["-O", "i386-pc-eltorito", "-d", "\(library)/i386-pc"], ["biosdisk"], to: "\(context.output)/\(biosImage)",
      volume: volume, context)
    let record = "\(context.output)/\(bootRecord)"
    try attempt("cannot copy GRUB's boot record") { () throws(SystemError) in
      try Files.write(try Files.read("\(library)/i386-pc/boot_hybrid.img"), to: record)
    }
  }

  /// Makes what UEFI starts where nobody's signature is wanted, and returns its path.
  static func makeEFI(volume: VolumeUUID, _ context: borrowing StepContext) throws(BuildError) -> String {
    try requireModules("x86_64-efi", package: "grub-efi-amd64-bin")
    let program = "\(context.scratch)/BOOTX64.EFI"
    try makeImage(
      ["-O", "x86_64-efi", "-d", "\(library)/x86_64-efi"], ["efi_gop", "efi_uga"], to: program, volume: volume, context)
    return program
  }

  private static func makeImage(
    _ platform: [String], _ modules: [String], to path: String, volume: VolumeUUID, _ context: borrowing StepContext
  ) throws(BuildError) {
    let early = "\(context.scratch)/early.cfg"
    try attempt("cannot write GRUB's first commands") { () throws(SystemError) in
      try Files.write(search(volume), to: early)
    }
    try context.run(
      ["grub-mkimage"] + platform + ["-c", early, "-p", "/boot/grub", "-o", path] + modules + mediumModules,
      doing: "cannot make the boot loader")
  }

  static func requireModules(_ platform: String, package: String) throws(BuildError) {
    if Files.exists("\(library)/\(platform)/normal.mod") { return }
    throw BuildError(
      .missingTool, "GRUB's modules for \(platform) are not on this machine",
      hint: "install them: apt-get install \(package)")
  }
}

extension ISOImage {
  /// Makes the image bootable with what the step `BootLoader` left in `directory`, the menu's text, and what leads a
  /// GRUB that Debian signed to the menu.
  mutating func addBootLoader(from directory: String, menu: String, signedMenu: String?) throws(BuildError) {
    let files = GRUBImages.outputs.map { "\(directory)/\($0)" }
    let record = try attempt("cannot read GRUB's boot record") { () throws(SystemError) in try Files.read(files[1]) }
    add(GRUBImages.biosPath, .file(files[0]))
    add(GRUBImages.menuPath, .bytes(Array(menu.utf8)))
    if let signedMenu { add("/\(GRUBImages.signedMenuPath)", .bytes(Array(signedMenu.utf8))) }
    add(GRUBImages.loopbackPath, .bytes(Array(GRUBImages.loopbackMenu.utf8)))
    boot = HybridBoot(biosImage: GRUBImages.biosPath, masterBootRecord: record, efiPartition: files[2])
  }
}
