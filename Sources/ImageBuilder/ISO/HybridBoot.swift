/// What makes one image boot everywhere: from optical drives by El Torito (version 1.0) with an entry each for BIOS
/// and UEFI, and from sticks and disks by a master boot record and a GUID partition table over the same bytes.
///
/// ```
/// block 0      master boot record: GRUB's code, protective partition, an inactive dummy that is marked active
/// block 1…     GPT: 1 = the ISO 9660 file system (from 32 KiB on), 2 = the EFI system partition
/// 32 KiB       volume descriptors, directories, files
/// …            the EFI system partition; the same bytes are El Torito's UEFI image
/// last blocks  backup GPT
/// ```
public struct HybridBoot: Sendable {
  /// Path in the tree of El Torito's BIOS image: GRUB's `cdboot.img` and core image.
  public let biosImage: String
  /// 512 bytes of GRUB's `boot_hybrid.img`, which reads the core image by its block address.
  public let masterBootRecord: [UInt8]
  /// File of this machine with the FAT file system of the EFI system partition.
  public let efiPartition: String
  /// Path in the tree where the boot catalogue shows.
  public let catalog: String

  /// All parts of a hybrid boot.
  public init(
    biosImage: String, masterBootRecord: [UInt8], efiPartition: String, catalog: String = "/boot/boot.cat"
  ) {
    self.biosImage = biosImage
    self.masterBootRecord = masterBootRecord
    self.efiPartition = efiPartition
    self.catalog = catalog
  }
}
