import Binary
import Testing

@testable import ImageBuilder
@testable import Platform

/// What stands where in a bootable image, read by the specifications' offsets.
@Suite(.enabled(if: TestImage.missing == nil, "\(TestImage.missing ?? "")"))
struct ISOLayoutTests {
  let test: TestImage
  let reader: ByteReader

  init() throws {
    test = try TestImage()
    try test.bootable().write(to: test.path)
    reader = ByteReader(try Files.read(test.path))
  }

  /// ECMA-119, section 8.4.
  @Test func primaryVolumeDescriptor() throws {
    let at = 16 * 2048
    #expect(try reader.slice(at: at, length: 7).elementsEqual([1] + Array("CD001".utf8) + [1]))
    #expect(try text(at: at + 40, length: 32) == "ROOST")
    let blocks: UInt32 = try reader.little(at: at + 80)
    #expect(try reader.big(UInt32.self, at: at + 84) == blocks)
    #expect(Int(blocks) * 2048 <= reader.count)
    #expect(try reader.little(UInt16.self, at: at + 128) == 2048)
    // Creation and modification: the volume's UUID, at an offset of zero from GMT.
    for offset in [813, 830] {
      #expect(try text(at: at + offset, length: 16) == TestImage.uuid.digits)
      #expect(reader.bytes[at + offset + 16] == 0)
    }
  }

  /// Joliet: a supplementary descriptor with the escape sequence of UCS-2 level 3.
  @Test func jolietVolumeDescriptor() throws {
    var block = 16
    var kinds: [UInt8] = []
    while block < 32, kinds.last != 255 {
      kinds.append(reader.bytes[block * 2048])
      if kinds.last == 2 { #expect(try text(at: block * 2048 + 88, length: 3) == "%/E") }
      block += 1
    }
    #expect(kinds == [1, 0, 2, 255])
  }

  /// El Torito 1.0, section 2: validation entry, BIOS entry, section header, UEFI entry.
  @Test func bootCatalog() throws {
    #expect(try text(at: 17 * 2048 + 7, length: 23) == "EL TORITO SPECIFICATION")
    let catalog = Int(try reader.little(UInt32.self, at: 17 * 2048 + 71)) * 2048
    var sum: UInt16 = 0
    for offset in stride(from: 0, to: 32, by: 2) { sum &+= try reader.little(UInt16.self, at: catalog + offset) }
    #expect(sum == 0)
    #expect(reader.bytes[catalog] == 1 && reader.bytes[catalog + 1] == 0)
    #expect(reader.bytes[catalog + 32] == 0x88 && reader.bytes[catalog + 33] == 0)
    #expect(try reader.little(UInt16.self, at: catalog + 38) == 4)
    #expect(reader.bytes[catalog + 64] == 0x91 && reader.bytes[catalog + 65] == 0xEF)
    #expect(reader.bytes[catalog + 96] == 0x88)

    let core = try Files.read("\(test.directory)/grub/eltorito.img")
    let biosBlock = Int(try reader.little(UInt32.self, at: catalog + 40))
    // All but the boot information, which is patched in: bytes 8 to 63, and 2548 to 2555 for GRUB.
    #expect(reader.bytes[biosBlock * 2048 + 2556..<biosBlock * 2048 + core.count].elementsEqual(core[2556...]))
    #expect(try reader.little(UInt32.self, at: biosBlock * 2048 + 8) == 16)
    #expect(try reader.little(UInt32.self, at: biosBlock * 2048 + 12) == UInt32(biosBlock))
    #expect(try reader.little(UInt32.self, at: biosBlock * 2048 + 16) == UInt32(core.count))
    #expect(try reader.little(UInt64.self, at: biosBlock * 2048 + 2548) == UInt64(biosBlock * 4 + 5))
    // GRUB's boot record finds the core image behind cdboot.img, four sectors in.
    #expect(try reader.little(UInt64.self, at: 0x1B0) == UInt64(biosBlock * 4 + 4))

    let partition = try Files.read("\(test.directory)/grub/efi.img")
    let efiBlock = Int(try reader.little(UInt32.self, at: catalog + 104))
    #expect(reader.bytes[efiBlock * 2048..<efiBlock * 2048 + partition.count].elementsEqual(partition))
  }

  /// UEFI 2.10, section 5.2.3, with a second, active entry for BIOSes that want one.
  @Test func masterBootRecord() throws {
    let boot = try Files.read("/usr/lib/grub/i386-pc/boot_hybrid.img")
    #expect(reader.bytes[..<0x1B0].elementsEqual(boot[..<0x1B0]))
    #expect(try reader.little(UInt16.self, at: 510) == 0xAA55)
    #expect(reader.bytes[446] == 0 && reader.bytes[450] == 0xEE)
    #expect(try reader.little(UInt32.self, at: 454) == 1)
    #expect(try reader.little(UInt32.self, at: 458) == UInt32(reader.count / 512 - 1))
    #expect(reader.bytes[462] == 0x80 && reader.bytes[466] == 0)
  }

  /// UEFI 2.10, section 5.3: both headers, their checksums, and the two partitions.
  @Test func partitionTables() throws {
    let last = reader.count / 512 - 1
    for (here, other) in [(1, last), (last, 1)] {
      let at = here * 512
      #expect(try text(at: at, length: 8) == "EFI PART")
      var header = Array(try reader.slice(at: at, length: 92))
      for index in 16..<20 { header[index] = 0 }
      #expect(try reader.little(UInt32.self, at: at + 16) == CRC32.checksum(header))
      #expect(try reader.little(UInt64.self, at: at + 24) == UInt64(here))
      #expect(try reader.little(UInt64.self, at: at + 32) == UInt64(other))
      let entries = Int(try reader.little(UInt64.self, at: at + 72)) * 512
      let count = Int(try reader.little(UInt32.self, at: at + 80))
      let table = try reader.slice(at: entries, length: count * 128)
      #expect(try reader.little(UInt32.self, at: at + 88) == CRC32.checksum(table))
      // Partition 1 is the ISO file system: its own volume descriptor lies 16 blocks in. 2 is the EFI system partition.
      let first = Int(try reader.little(UInt64.self, at: entries + 32))
      #expect(try text(at: first * 512 + 16 * 2048 + 1, length: 5) == "CD001")
      let system = entries + 128
      #expect(
        Hex.encode(try reader.slice(at: system, length: 16)) == "28732ac11ff8d211ba4b00a0c93ec93b")
      let start = Int(try reader.little(UInt64.self, at: system + 32))
      #expect(try text(at: start * 512 + 3, length: 4) == "MTOO")
      #expect(try reader.little(UInt16.self, at: start * 512 + 510) == 0xAA55)
    }
  }

  /// Everything again, later, in another place and from files made in another order.
  @Test func twoBuildsAreEqual() throws {
    let other = try TestImage()
    try Files.write("x", to: "\(other.directory)/another")
    MonotonicClock.sleep(milliseconds: 2100)  // FAT counts in steps of two seconds
    try other.bootable().write(to: other.path)
    #expect(try Files.read(other.path) == reader.bytes)
  }

  /// libblkid is what the init asks.
  @Test(.enabled(if: Command.find("blkid") != nil, "this machine has no blkid"))
  func libblkidSeesTheUUID() throws {
    let outcome = try Command(["blkid", "-p", "-o", "export", test.path]).run(cancellation: Cancellation())
    #expect(outcome.text.contains("UUID=\(TestImage.uuid)\n"))
    #expect(outcome.text.contains("TYPE=iso9660\n"))
    #expect(outcome.text.contains("PTTYPE=gpt\n"))
  }

  private func text(at offset: Int, length: Int) throws -> String {
    var bytes = Array(try reader.slice(at: offset, length: length))
    while bytes.last == 0x20 || bytes.last == 0 { bytes.removeLast() }
    return String(decoding: bytes, as: UTF8.self)
  }
}
