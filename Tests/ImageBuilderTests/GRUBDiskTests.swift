import Binary
import Platform
import Testing

@testable import ImageBuilder

@Suite("Disks that GRUB starts")
struct GRUBDiskTests {
  private static let identifier = UUID(digest: SHA256.hash("root"), name: "ext4")

  @Test("The root has all that a boot partition, an EFI partition and the table's copy leave; a small disk has none")
  func layout() throws {
    let table = try #require(GRUBDisk.table(ofDisk: 64 << 20))
    #expect(table.partitions.map(\.kind) == [.biosBoot, .efi, .linux])
    #expect(table.partitions.map(\.start) == [40, 2048, 10_240])
    #expect(table.partitions.map(\.count) == [1024, 8192, 131_072 - 2048 - 10_240])
    #expect(GRUBDisk.rootBytes(ofDisk: 64 << 20) == 58 << 20)
    #expect(GRUBDisk.table(ofDisk: 6 << 20) == nil)
    #expect(GRUBDisk.rootBytes(ofDisk: 6 << 20) == 0)
  }

  /// A boot record, and a core image of four sectors and a bit, as grub-mkimage leaves its list.
  private static func images(count: UInt16 = 4, segment: UInt16 = 0x820) -> (record: [UInt8], core: [UInt8]) {
    var record = ByteWriter()
    record.raw([UInt8](repeating: 0xA5, count: 510) + [0x55, 0xAA])
    var core = ByteWriter()
    core.raw([UInt8](repeating: 0x5A, count: 500))
    core.little(2 as UInt64)
    core.little(count)
    core.little(segment)
    core.raw([UInt8](repeating: 0x5A, count: 3 * 512 + 7))
    return (record.bytes, core.bytes)
  }

  @Test(
    "The boot record is told where the core image begins, the core image where it goes on, and nothing else changes")
  func bootCode() throws {
    let (record, core) = Self.images()
    let code = try GRUBBootCode(record: record, core: core, at: 0x1_0203_04FF)
    #expect(Array(code.record[0x5C..<0x64]) == [0xFF, 0x04, 0x03, 0x02, 0x01, 0, 0, 0])
    #expect(code.record.count == 440)
    #expect(code.record[..<0x5C].elementsEqual(record[..<0x5C]))
    #expect(code.record[0x64...].elementsEqual(record[0x64..<440]))
    #expect(Array(code.core[500..<508]) == [0x00, 0x05, 0x03, 0x02, 0x01, 0, 0, 0])
    #expect(code.core[..<500].elementsEqual(core[..<500]))
    #expect(code.core[508...].elementsEqual(core[508...]))
  }

  @Test("What is no boot record or core image of GRUB's is refused")
  func refused() {
    let (record, core) = Self.images()
    for (record, core) in [
      (Array(record.dropLast()), core), ([UInt8](repeating: 0, count: 512), core), (record, []),
      (record, Array(core.prefix(512))), (record, Self.images(count: 3).core),
      (record, Self.images(segment: 0x800).core),
    ] {
      let error = #expect(throws: BuildError.self) { try GRUBBootCode(record: record, core: core, at: 40) }
      #expect(error?.code == .badFile)
    }
  }

  @Test(
    "The menu has the guest's own words and the recipe's, each as one word of GRUB's, and the newest kernel's links")
  func menu() {
    let loader = GuestLoader(
      title: "Debian's 12", commandLine: "mitigations=off x=$y;z", initramfs: .init(step: "i", file: "initrd"))
    let menu = loader.menu("root=UUID=abc console=ttyS0,115200")
    let words = "root=UUID=abc console=ttyS0,115200 mitigations=off 'x=$y;z'\n"
    #expect(menu.contains("menuentry 'Debians 12' {\n  linux /vmlinuz \(words)  initrd /initrd.img\n"))
    #expect(menu.contains("linux /vmlinuz.old \(words)"))
    #expect(menu.contains("set timeout=1\n"))
  }

  @Test("The root of such a disk has its kernel, its initramfs, links to both, and is found by its identifier")
  func root() throws {
    let directory = try TemporaryDirectory()
    let archive = "\(directory.path)/root.tar"
    let writer = try ArchiveWriter(archive, .tar, epoch: 5)
    for name in ["boot/vmlinuz-6.1.0-9-cloud-amd64", "boot/vmlinuz-6.1.0-9-amd64", "boot/config"] {
      try writer.add(.bytes(name, [1]))
    }
    try writer.finish()
    try directory.write("initrd", "an initramfs")
    let loader = GuestLoader(title: "t", commandLine: "", initramfs: .init(step: "i", file: "initrd"))
    let entries = try loader.entries(root: archive, initramfs: "\(directory.path)/initrd", Cancellation())
    #expect(entries.map(\.path) == ["boot/initrd.img-6.1.0-9-amd64", "vmlinuz", "initrd.img"])
    for (entry, target) in zip(
      entries.dropFirst(), ["boot/vmlinuz-6.1.0-9-amd64", "boot/initrd.img-6.1.0-9-amd64"])
    {
      guard case .link(target) = entry.content else {
        Issue.record("\(entry)")
        continue
      }
    }
    var system = GuestSystem(hostname: "h", nameServer: "10.0.0.1")
    #expect(system.commandLine.hasPrefix("root=/dev/vda rw rootfstype=ext4 console=ttyS0,115200 "))
    #expect(system.description.contains("etc/systemd/system/getty@tty1.service -> /dev/null"))
    system.root = "UUID=\(Self.identifier)"
    system.hasScreen = true
    system.loader = loader
    #expect(system.description.contains("UUID=\(Self.identifier) / ext4 "))
    #expect(system.description.contains("linux /vmlinuz root=UUID=\(Self.identifier) rw rootfstype=ext4 console=tty0 "))
    #expect(!system.description.contains("getty@tty1.service -> /dev/null"))
  }

  private func run(_ arguments: [String], in directory: String) throws -> String {
    let outcome = try Command(arguments, directory: directory).run(cancellation: Cancellation())
    try #require(outcome.status.isSuccess, "\(outcome.text)")
    return outcome.text
  }

  private func disk(_ root: [UInt8], bytes: Int, in directory: TemporaryDirectory) throws -> Executor.Result {
    let path = directory.path
    try Files.write(root, to: "\(path)/root")
    let source = Step(name: "root", kind: "root", version: 1, settings: [], inputs: [], outputs: ["root"]) {
      context throws(BuildError) in
      try context.run(["cp", "\(path)/root", "\(context.output)/root"], doing: "copy")
    }
    let disk = GRUBDisk(
      domain: "d", diskBytes: bytes, seed: SHA256.hash("seed"), root: .init(step: "root", file: "root"),
      rootIdentifier: Self.identifier)
    let cache = try ResultCache("\(path)/cache")
    defer { try? cache.removeScratch() }
    let executor = Executor(cache: cache, epoch: 1_000_000_000, jobs: 1, cancellation: Cancellation())
    let results = try executor.run([source, disk.step(epoch: 1_000_000_000, versions: [:])]) { _ in }
    return try #require(results[disk.name])
  }

  private var isPossible: Bool {
    for tool in ["grub-mkimage", "sfdisk", "mformat"] where Command.find(tool) == nil {
      print("skipped: \(tool) is not on this machine (apt-get install \(Tool.packages[tool] ?? tool))")
      return false
    }
    return true
  }

  @Test("A disk has a sound table, GRUB in both its places, and the root in its partition; twice the same bytes")
  func whole() throws {
    guard isPossible else { return }
    let directory = try TemporaryDirectory()
    let root = (0..<(1 << 20)).map { UInt8(truncatingIfNeeded: $0 &* 31 >> 3) }
    let result = try disk(root, bytes: 32 << 20, in: directory)
    let image = "\(result.directory)/\(GRUBDisk.file)"
    #expect(try Files.status(image)?.size == 32 << 20)
    let check = try run(["sfdisk", "--verify", image], in: directory.path)
    #expect(check.contains("No errors detected"), "\(check)")
    let file = try FileDescriptor(opening: image)
    let record = try file.read(upTo: 512, at: 0)
    let original = try Files.read("\(GRUBImages.library)/i386-pc/boot.img")
    #expect(record[..<0x5C].elementsEqual(original[..<0x5C]))
    #expect(Array(record[0x5C..<0x64]) == [40, 0, 0, 0, 0, 0, 0, 0])
    #expect(record[0x64..<440].elementsEqual(original[0x64..<440]))
    #expect(record[450] == 0xEE && record.suffix(2).elementsEqual([0x55, 0xAA]))
    let core = ByteReader(try file.read(upTo: 512 << 10, at: 40 * 512))
    #expect(try core.little(UInt64.self, at: 500) == 41)
    let sectors = 1 + Int(try core.little(UInt16.self, at: 508))
    #expect(core.bytes[((sectors - 1) * 512)..<(sectors * 512)].contains { $0 != 0 })
    #expect(core.bytes[(sectors * 512)...].allSatisfy { $0 == 0 })
    #expect(try file.read(upTo: (1 << 20) + 1, at: 10_240 * 512) == root + [0])
    let program = "\(directory.path)/BOOTX64.EFI"
    _ = try run(["mcopy", "-i", "\(image)@@1M", "::/EFI/BOOT/BOOTX64.EFI", program], in: directory.path)
    let firmware = try Files.read(program)
    #expect(firmware.starts(with: Array("MZ".utf8)))
    // Its first commands look for the root.
    #expect(String(decoding: firmware, as: UTF8.self).contains("--fs-uuid --set=root \(Self.identifier)\n"))

    let again = try TemporaryDirectory()
    #expect(try disk(root, bytes: 32 << 20, in: again).digests == result.digests)
  }

  @Test("A root that is larger than its partition is refused with both sizes")
  func large() throws {
    guard isPossible else { return }
    let directory = try TemporaryDirectory()
    let error = #expect(throws: BuildError.self) {
      try disk([UInt8](repeating: 1, count: 11 << 20), bytes: 16 << 20, in: directory)
    }
    #expect(error?.code == .diskTooSmall)
    #expect(error?.message == "d: its system takes 11 MiB, and its disk has 16 MiB")
  }
}
