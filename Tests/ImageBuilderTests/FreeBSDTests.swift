import Binary
import Platform
import Testing

@testable import ImageBuilder

@Suite("FreeBSD disks")
struct FreeBSDTests {
  @Test("Terminals: a login on the first serial line, the others as they were")
  func terminals() {
    let table = """
      console\tnone\tunknown\toff insecure
      ttyv0\t"/usr/libexec/getty Pc"\txterm\tonifexists secure
      ttyu0\t"/usr/libexec/getty 3wire"\tvt100\tonifconsole secure
      ttyu1\t"/usr/libexec/getty 3wire"\tvt100\tonifconsole secure

      """
    let changed = FreeBSDSystem.terminals(table).split(separator: "\n", omittingEmptySubsequences: false)
    let before = table.split(separator: "\n", omittingEmptySubsequences: false)
    #expect(changed.count == before.count)
    #expect(zip(before, changed).filter { $0 != $1 }.map(\.0) == [before[2]])
    #expect(changed[2] == "ttyu0\t\"/usr/libexec/getty 3wire\"\tvt100\ton secure")
  }

  @Test("Compilers and documentation are left out, what boots and runs is not")
  func omitted() {
    for path in FreeBSDSystem.required + ["usr/bin/less", "usr/lib/libc.so.7", "usr/share/misc/termcap", "bin/sh"] {
      #expect(!FreeBSDSystem.omits(path), "\(path)")
    }
    for path in ["usr/share/man/man1/ls.1.gz", "usr/bin/cc", "usr/bin/clang-19", "usr/lib/libc.a", "usr/tests"] {
      #expect(FreeBSDSystem.omits(path), "\(path)")
    }
  }

  @Test("Partitions lie apart at whole MiB, and leave room for the table's copy")
  func layout() {
    var table = PartitionTable()
    table.add(.freebsdBoot, "boot", bytes: 512 << 10)
    table.add(.efi, "esp", bytes: (4 << 20) - 1)
    let hasRoot = table.addRest(.freebsdUFS, "rootfs", ofDisk: 64 << 20)
    #expect(hasRoot)
    #expect(table.partitions.map(\.start) == [40, 2048, 10_240])
    #expect(table.partitions.map(\.count) == [1024, 8192, 131_072 - 2048 - 10_240])
    var full = table
    let hasMore = full.addRest(.linux, "more", ofDisk: 64 << 20)
    #expect(!hasMore)
    let script = table.script(seed: SHA256.hash("seed"))
    #expect(script.contains("start=2048, size=8192, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B, uuid="))
    #expect(script != table.script(seed: SHA256.hash("another")))
  }

  private func run(_ arguments: [String], in directory: String) throws -> String {
    let outcome = try Command(arguments, directory: directory).run(cancellation: Cancellation())
    try #require(outcome.status.isSuccess, "\(outcome.text)")
    return outcome.text
  }

  /// The beginning of an ELF file of FreeBSD's for amd64.
  private var kernel: [UInt8] {
    var bytes = [UInt8](repeating: 0, count: 70_000)
    bytes.replaceSubrange(0..<8, with: [0x7F, 0x45, 0x4C, 0x46, 2, 1, 1, 9])
    bytes[18] = 62
    return bytes
  }

  /// Archives of a release with next to nothing in them. `reversed` is the order in which files lie in them.
  private func release(_ directory: String, reversed: Bool) throws {
    let base = [
      TreeEntry.bytes("boot/pmbr", [UInt8](repeating: 0xAA, count: 512)),
      .bytes("boot/gptboot", [UInt8](repeating: 0xBB, count: 20_000)), .bytes("boot/loader", [1]),
      .bytes("boot/loader.efi", [UInt8](repeating: 0xCC, count: 9000)), .bytes("sbin/init", [2], permissions: 0o555),
      .text("etc/ttys", "ttyu0 off\n"), .text("usr/bin/cc", "a compiler"),
      TreeEntry(path: "usr/bin/su", content: .bytes([3]), permissions: 0o4555, owner: 0, group: 77),
      .link("tmp/link", to: "nowhere"),
    ]
    let writer = try ArchiveWriter("\(directory)/base.tar", .tar, epoch: 5)
    for entry in reversed ? base.reversed() : base { try writer.add(entry) }
    try writer.add(TreeEntry(path: "sbin/oinit", content: .hardLink(to: "sbin/init"), permissions: 0o555))
    try writer.finish()
    let other = try ArchiveWriter("\(directory)/kernel.tar", .tar, epoch: 5)
    try other.add(.bytes("boot/kernel/kernel", kernel))
    try other.finish()
  }

  private func disk(bytes: Int, in directory: TemporaryDirectory, reversed: Bool = false) throws -> Executor.Result {
    try release(directory.path, reversed: reversed)
    let path = directory.path
    let sources = ["base", "kernel"].map { name in
      Step(name: name, kind: name, version: 1, settings: [], inputs: [], outputs: ["content"]) {
        context throws(BuildError) in
        try context.run(["cp", "\(path)/\(name).tar", "\(context.output)/content"], doing: "copy")
      }
    }
    let disk = FreeBSDDisk(
      domain: "d", system: FreeBSDSystem(hostname: "host"), diskBytes: bytes,
      base: .init(step: "base", file: "content"), kernel: .init(step: "kernel", file: "content"),
      seed: SHA256.hash("seed"))
    let cache = try ResultCache("\(directory.path)/cache")
    defer { try? cache.removeScratch() }
    let executor = Executor(cache: cache, epoch: 1_000_000_000, jobs: 1, cancellation: Cancellation())
    let results = try executor.run(sources + [disk.step(epoch: 1_000_000_000, versions: [:])]) { _ in }
    return try #require(results[disk.name])
  }

  private var isPossible: Bool {
    for tool in ["makefs", "sfdisk", "mformat"] where Command.find(tool) == nil {
      print("skipped: \(tool) is not on this machine (apt-get install \(Tool.packages[tool] ?? tool))")
      return false
    }
    let mounts = Command(Tool.withMounts(["sh", "-c", "mount -t tmpfs none /mnt"]))
    guard (try? mounts.run(cancellation: Cancellation()))?.status.isSuccess == true else {
      print("skipped: nothing can be mounted here, even in a namespace of one's own")
      return false
    }
    return true
  }

  @Test("A disk has a sound table, the boot programs in their places, and a UFS of version 1; twice the same bytes")
  func whole() throws {
    guard isPossible else { return }
    let directory = try TemporaryDirectory()
    let result = try disk(bytes: 64 << 20, in: directory)
    let image = "\(result.directory)/\(FreeBSDDisk.file)"
    #expect(try Files.status(image)?.size == 64 << 20)
    #expect(try Files.read("\(result.directory)/\(FreeBSDDisk.kernelFile)") == kernel)
    let check = try run(["sfdisk", "--verify", image], in: directory.path)
    #expect(check.contains("No errors detected"), "\(check)")
    let dump = try run(["sfdisk", "--dump", image], in: directory.path)
    for part in ["name=\"rootfs\"", "516E7CB6-6ECF-11D6-8FF8-00022D09712B", "83BD6B9D-7F41-11DC-BE0B-001560B84F0F"] {
      #expect(dump.contains(part), "\(dump)")
    }
    let file = try FileDescriptor(opening: image)
    let record = try file.read(upTo: 512, at: 0)
    #expect(record.prefix(440).allSatisfy { $0 == 0xAA })
    #expect(record[450] == 0xEE && record.suffix(2).elementsEqual([0x55, 0xAA]))
    #expect(try file.read(upTo: 20_001, at: 40 * 512).elementsEqual([UInt8](repeating: 0xBB, count: 20_000) + [0]))
    // The super block is 8 KiB into the root: FS_UFS1_MAGIC at 1372 (sys/ufs/ffs/fs.h).
    let magic = try file.read(upTo: 4, at: 10_240 * 512 + 8192 + 1372)
    #expect(magic == [0x54, 0x19, 0x01, 0x00])
    let firmware = try file.read(upTo: 512, at: 2048 * 512)
    #expect(firmware.suffix(2).elementsEqual([0x55, 0xAA]))

    let again = try TemporaryDirectory()
    let second = try disk(bytes: 64 << 20, in: again, reversed: true)
    #expect(second.digests == result.digests)
  }

  @Test("A disk that is too small, and archives of something else, are refused by name")
  func refused() throws {
    guard isPossible else { return }
    let directory = try TemporaryDirectory()
    let small = #expect(throws: BuildError.self) { try disk(bytes: 16 << 20, in: directory) }
    #expect(small?.code == .diskTooSmall)
    #expect(small?.message.hasPrefix("d: its system takes ") == true)
    var tree = try SpooledTree(spool: "\(directory.path)/spool")
    try tree.add(archive: "\(directory.path)/kernel.tar", omitting: { _ in false }, cancellation: Cancellation())
    #expect(tree.content("boot/kernel/kernel") != nil)
    #expect(FreeBSDSystem.required.first { tree.content($0) == nil } == "boot/pmbr")
  }

  @Test("A spooled tree comes out in order, hard links after the file that they name")
  func spooled() throws {
    let directory = try TemporaryDirectory()
    try release(directory.path, reversed: false)
    for descending in [false, true] {
      var tree = try SpooledTree(spool: "\(directory.path)/spool-\(descending)")
      try tree.add(
        archive: "\(directory.path)/base.tar", omitting: FreeBSDSystem.omits, cancellation: Cancellation())
      let tar = "\(directory.path)/out.tar"
      try tree.write(tar, descending: descending, epoch: 7, cancellation: Cancellation())
      let reader = try ArchiveReader(tar)
      var paths: [String] = []
      while let entry = try reader.next() {
        if case .hardLink(let target) = entry.kind { #expect(paths.contains(target), "\(entry.path)") }
        if entry.path == "usr/bin/su" {
          #expect(entry.permissions == 0o4555)
          #expect(entry.group == 77)
        }
        paths.append(entry.path)
      }
      #expect(!paths.contains("usr/bin/cc"))
      let top = paths.filter { !$0.contains("/") }
      #expect(top == (descending ? top.sorted(by: >) : top.sorted()))
      #expect(paths.firstIndex(of: "sbin") ?? 99 < paths.firstIndex(of: "sbin/init") ?? 0)
    }
  }
}
