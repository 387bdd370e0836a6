internal import Binary

/// GRUB's code for a BIOS, told where on the disk it lies. The places are those of GRUB 2's
/// include/grub/i386/pc/boot.h and include/grub/offsets.h.
///
/// The boot record reads one sector: the first of the core image. That one has a list of where the others are, and
/// reads them.
struct GRUBBootCode: Sendable {
  /// The code of the disk's first sector; what follows there is the partition table's.
  let record: [UInt8]
  /// The core image.
  let core: [UInt8]

  private static let sector = PartitionTable.sector
  /// What of the boot record is code; Windows' disk signature and the partitions follow.
  private static let codeBytes = 440
  /// Number of the core image's first sector, 64 bits: `GRUB_BOOT_MACHINE_KERNEL_SECTOR`.
  private static let coreSector = 0x5C
  /// The first entry of the core image's list, which ends with its first sector: a sector's number in 64 bits, how
  /// many, and the segment that they are read to, in 16 bits each.
  private static let list = sector - 12
  private static let listSegment: UInt16 = 0x820

  /// `record` is GRUB's boot.img and `core` what grub-mkimage made for i386-pc, which will lie at sector `start`.
  ///
  /// - Throws: `badFile` for anything else.
  init(record: [UInt8], core: [UInt8], at start: Int) throws(BuildError) {
    let reader = ByteReader(core)
    let count = (core.count + Self.sector - 1) / Self.sector - 1
    guard record.count == Self.sector, record.suffix(2).elementsEqual([0x55, 0xAA]), count >= 1,
      let length = try? reader.little(UInt16.self, at: Self.list + 8), Int(length) == count,
      let segment = try? reader.little(UInt16.self, at: Self.list + 10), segment == Self.listSegment
    else {
      throw BuildError(
        .badFile, "GRUB's boot.img or the core image that grub-mkimage made is not as GRUB 2 has them",
        hint: "install them anew: apt-get install --reinstall grub-common grub-pc-bin")
    }
    self.record = Self.patch(Array(record.prefix(Self.codeBytes)), UInt64(start), at: Self.coreSector)
    self.core = Self.patch(core, UInt64(start + 1), at: Self.list)
  }

  private static func patch(_ bytes: [UInt8], _ value: UInt64, at offset: Int) -> [UInt8] {
    var writer = ByteWriter(capacity: bytes.count)
    writer.raw(bytes)
    writer.patchLittle(value, at: offset)
    return writer.bytes
  }
}
