internal import CISOFS
internal import Platform

/// What libisofs is told about the image beside its tree.
enum ISOOptions {
  /// Sets everything, and starts the thread that makes the image.
  static func apply(
    _ tree: ISOImage, to image: OpaquePointer
  ) throws(BuildError) -> UnsafeMutablePointer<burn_source>? {
    var made: OpaquePointer?
    // SAFETY: the options are freed below; libisofs copies them when the image is started.
    try unsafe ISOLibrary.check("prepare the image", iso_write_opts_new(&made, 0))
    guard let options = unsafe made else { throw BuildError(.content, "libisofs made no options") }
    defer { unsafe iso_write_opts_free(options) }
    try unsafe setFileSystem(options, tree)
    if let boot = tree.boot { try unsafe setBoot(options, image, boot) }
    var source: UnsafeMutablePointer<burn_source>?
    try unsafe ISOLibrary.check("lay out the image", iso_image_create_burn_source(image, options, &source))
    return unsafe source
  }

  private static func setFileSystem(_ options: OpaquePointer, _ tree: ISOImage) throws(BuildError) {
    // SAFETY: every call takes numbers or strings that it copies.
    let results = unsafe [
      iso_write_opts_set_iso_level(options, 3),  // files of 4 GiB and more
      iso_write_opts_set_rockridge(options, 1),
      // Version 1.12 adds inode numbers, which libisofs counts in the order of this machine's own.
      iso_write_opts_set_rrip_version_1_10(options, 1),
      iso_write_opts_set_joliet(options, 1),
      iso_write_opts_set_joliet_longer_paths(options, 1),
      iso_write_opts_set_joliet_long_names(options, 1),
      iso_write_opts_set_allow_deep_paths(options, 1),
      iso_write_opts_set_relaxed_vol_atts(options, 1),
      iso_write_opts_set_output_charset(options, "UTF-8"),
      // Read-only for all, owned by 0:0, everything of one time.
      iso_write_opts_set_replace_mode(options, 1, 1, 1, 1),
      iso_write_opts_set_replace_timestamps(options, 2),
      iso_write_opts_set_default_timestamp(options, tree.epoch),
      iso_write_opts_set_always_gmt(options, 1),
      iso_write_opts_set_sort_files(options, 1),
      iso_write_opts_set_record_md5(options, 0, 0),
      withMutableText(tree.volumeUUID.digits) { uuid in
        unsafe iso_write_opts_set_pvd_times(options, tree.epoch, tree.epoch, 0, 0, uuid)
      },
    ]
    for result in results { try ISOLibrary.check("prepare the image", result) }
  }

  // Bits of iso_write_opts_set_system_area, as libisofs.h numbers them.
  private static let protectivePartition: Int32 = 1 << 0
  private static let neverAlignToCylinders: Int32 = 2 << 8
  private static let patchAddressForGRUB: Int32 = 1 << 14
  private static let forceActivePartition: Int32 = 1 << 15
  // Bits of el_torito_set_isolinux_options.
  private static let bootInformationTable: Int32 = 1 << 0
  private static let bootInformationForGRUB: Int32 = 1 << 9

  private static let efiPartitionNumber: Int32 = 2
  private static let efiPartitionType: UInt8 = 0xEF
  /// Partition 1 starts behind the partition table, so that a stick's partition is mountable, too. 2048-byte blocks.
  private static let partitionOffset: UInt32 = 16

  private static func setBoot(
    _ options: OpaquePointer, _ image: OpaquePointer, _ boot: HybridBoot
  ) throws(BuildError) {
    guard boot.masterBootRecord.count == 512 else {
      throw BuildError(
        .content, "GRUB's boot_hybrid.img has \(boot.masterBootRecord.count) bytes, and a boot record has 512",
        hint: "reinstall the package grub-pc-bin")
    }
    let partition = try Files.resolveForImage(boot.efiPartition)
    try unsafe setElTorito(image, boot)
    var area = boot.masterBootRecord.map { CChar(bitPattern: $0) }
    area += [CChar](repeating: 0, count: 32768 - area.count)
    let system =
      protectivePartition | neverAlignToCylinders | patchAddressForGRUB | forceActivePartition
    // SAFETY: the area is 32 KiB, as the call demands; strings and area are copied.
    let results = unsafe [
      iso_write_opts_set_system_area(options, &area, system, 0),
      iso_write_opts_set_part_offset(options, partitionOffset, 0, 0),
      withMutableText(partition) { path in
        unsafe iso_write_opts_set_partition_img(options, efiPartitionNumber, efiPartitionType, path, 0)
      },
      iso_write_opts_set_appended_as_gpt(options, 1),
      iso_write_opts_set_gpt_guid(options, nil, 2),  // derived from the volume's UUID
    ]
    for result in results { try ISOLibrary.check("make the image bootable", result) }
  }

  private static func setElTorito(_ image: OpaquePointer, _ boot: HybridBoot) throws(BuildError) {
    var bios: OpaquePointer?
    var efi: OpaquePointer?
    // SAFETY: strings are copied; boot images belong to the image.
    try unsafe ISOLibrary.check(
      "make \(boot.biosImage) the image that a BIOS boots",
      iso_image_set_boot_image(image, boot.biosImage, ELTORITO_NO_EMUL, boot.catalog, &bios))
    try unsafe ISOLibrary.check(
      "make the EFI system partition the image that UEFI boots",
      iso_image_add_boot_image(
        image, "--interval:appended_partition_\(efiPartitionNumber):all::", ELTORITO_NO_EMUL, 0, &efi))
    unsafe el_torito_set_load_size(bios, 4)
    try unsafe ISOLibrary.check(
      "mark the BIOS image",
      el_torito_set_isolinux_options(bios, bootInformationTable | bootInformationForGRUB, 0))
    try unsafe ISOLibrary.check("mark the UEFI image", el_torito_set_boot_platform_id(efi, 0xEF))
    unsafe el_torito_set_full_load(efi, 1)
  }
}

extension Files {
  /// The absolute path of a regular file.
  fileprivate static func resolveForImage(_ path: String) throws(BuildError) -> String {
    do throws(SystemError) {
      return try Files.resolve(path)
    } catch {
      throw BuildError(.badFile, "the EFI system partition \(path) cannot be used: \(error.errno)")
    }
  }
}
