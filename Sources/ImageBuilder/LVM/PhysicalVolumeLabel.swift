internal import Binary

/// The first mebibyte of an LVM2 physical volume that holds no metadata area, as `pvcreate --metadatacopies 0`
/// makes it.
///
/// LVM2, lib/label/label.h (struct label_header) and lib/format_text/layout.h (struct pv_header, struct
/// pv_header_extension). All integers are little-endian:
/// ```
/// sector 1:  0  "LABELONE"
///            8  u64  number of this sector
///           16  u32  CRC of bytes 20..<512
///           20  u32  offset of the header below: 32
///           24  "LVM2 001"
///           32  the volume's identifier, 32 characters
///           64  u64  size of the device in bytes
///           72  list of data areas: (u64 offset, u64 size; 0 is "the rest"), ended by two zeros
///               list of metadata areas: empty, so two zeros
///               u32 extension version 2, u32 flags (1: belongs to a volume group), list of boot loader areas: empty
/// ```
struct PhysicalVolumeLabel {
  static let sectorSize = 512  // bytes
  /// Where the label lies in the device, in bytes.
  static let offset = sectorSize

  let identifier: LVMIdentifier
  let deviceSize: Int  // bytes
  let dataOffset: Int  // bytes
  var inUse = true  // belongs to a volume group

  /// The label's sector.
  var sector: [UInt8] {
    var writer = ByteWriter(capacity: Self.sectorSize)
    writer.fixed("LABELONE", width: 8)
    writer.little(UInt64(Self.offset / Self.sectorSize))
    writer.little(UInt32(0))
    writer.little(UInt32(32))
    writer.fixed("LVM2 001", width: 8)
    writer.fixed(identifier.characters, width: 32)
    writer.little(UInt64(deviceSize))
    writer.little(UInt64(dataOffset))
    writer.zeros(8 + 16 + 16)
    writer.little(UInt32(2))
    writer.little(UInt32(inUse ? 1 : 0))
    writer.zeros(16)
    writer.zeros(Self.sectorSize - writer.count)
    // lib/misc/crc.c: INITIAL_CRC, and no complement at the end.
    writer.patchLittle(CRC32.update(0xF597_A6CF, with: writer.bytes[20...]), at: 16)
    return writer.bytes
  }
}
