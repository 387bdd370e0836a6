import Binary
import Platform
import Testing

@testable import ImageBuilder

@Suite("Disks with a program for UEFI firmware")
struct EFIDiskTests {
  @Test("A disk has whole extents for the program, its file system and the table at both ends")
  func sizes() {
    #expect(EFIDisk.mebibytes(program: 150_000) == 1)
    #expect(EFIDisk.mebibytes(program: 950_000) == 2)
    #expect(EFIDisk.mebibytes(program: 64 << 20) == 66)
    #expect([1, 2, 3, 66].map { EFIDisk.diskBytes(mebibytes: $0) >> 20 } == [4, 4, 8, 68])
    for mebibytes in [1, 2, 66] {
      let partition = EFIDisk.table(mebibytes: mebibytes).partitions
      #expect(partition.map(\.kind) == [.efi])
      #expect(partition[0].start >= 34 && partition[0].bytes == mebibytes << 20)
      #expect(partition[0].offset + partition[0].bytes + 33 * 512 <= EFIDisk.diskBytes(mebibytes: mebibytes))
    }
  }

  private func disk(_ program: [UInt8], bytes: Int? = nil, in directory: TemporaryDirectory) throws -> String {
    let path = "\(directory.path)/program.efi"
    try Files.write(program, to: path)
    let disk = EFIDisk(
      domain: "d", diskBytes: bytes, seed: SHA256.hash("seed"), program: .host(path, digest: "\(SHA256.hash(program))"))
    let cache = try ResultCache("\(directory.path)/cache")
    defer { try? cache.removeScratch() }
    let executor = Executor(cache: cache, epoch: 1_000_000_000, jobs: 1, cancellation: Cancellation())
    let results = try executor.run([disk.step(epoch: 1_000_000_000, versions: [:])]) { _ in }
    return "\(try #require(results[disk.name]).directory)/\(EFIDisk.file)"
  }

  @Test("Firmware finds the program where it looks on a disk that it does not know; twice the same bytes")
  func whole() throws {
    for tool in ["sfdisk", "mformat"] where Command.find(tool) == nil {
      print("skipped: \(tool) is not on this machine (apt-get install \(Tool.packages[tool] ?? tool))")
      return
    }
    let program = Array("MZ".utf8) + (0..<900_000).map { UInt8(truncatingIfNeeded: $0 &* 31 >> 3) }
    let directory = try TemporaryDirectory()
    let image = try disk(program, in: directory)
    #expect(try Files.status(image)?.size == 4 << 20)
    let out = "\(directory.path)/out"
    for arguments in [
      ["sfdisk", "--verify", image], ["mcopy", "-i", "\(image)@@20480", "::/EFI/BOOT/BOOTX64.EFI", out],
    ] {
      let outcome = try Command(arguments).run(cancellation: Cancellation())
      try #require(outcome.status.isSuccess, "\(outcome.text)")
    }
    #expect(try Files.read(out) == program)
    let again = try TemporaryDirectory()
    #expect(try Files.read(try disk(program, in: again)) == Files.read(image))
    #expect(try Files.status(try disk(program, bytes: 16 << 20, in: again))?.size == 16 << 20)
  }

  @Test("What is no EFI program, and a disk that it does not fit on, are refused")
  func refused() throws {
    let directory = try TemporaryDirectory()
    let text = #expect(throws: BuildError.self) { try disk(Array("a text".utf8), in: directory) }
    #expect(text?.code == .notAKernel)
    let program = Array("MZ".utf8) + [UInt8](repeating: 0, count: 9 << 20)
    let large = #expect(throws: BuildError.self) { try disk(program, bytes: 8 << 20, in: directory) }
    #expect(large?.code == .diskTooSmall)
    #expect(large?.message == "d: its program takes a disk of 12 MiB, and its disk has 8 MiB")
  }
}
