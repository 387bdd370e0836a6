import Binary
import Platform
import Testing

@testable import ImageBuilder
@testable import Recipe

/// Disks that are compressed apart and put together; unsquashfs(1) has the last word on what is in them.
@Suite("Disks in compressed blocks")
struct SquashfsTests {
  private static let block = 128 << 10

  /// A step's surroundings in a directory: results of earlier steps are below it by their names.
  static func context(_ directory: TemporaryDirectory, _ name: String) throws -> StepContext {
    let base = "\(directory.path)/\(name)"
    try Files.makeDirectories("\(base)/scratch")
    var results: [String: String] = [:]
    for step in try Files.list(directory.path) { results[step] = "\(directory.path)/\(step)" }
    return StepContext(
      output: base, scratch: "\(base)/scratch", log: "\(directory.path)/log", epoch: 1_000_000,
      cache: directory.path, cancellation: Cancellation(), results: results, report: { _ in })
  }

  /// A disk with blocks of its own, of text that compresses, of noise that does not, and a hole.
  private static func disk(_ path: String, changed: Int? = nil) throws {
    let file = try FileDescriptor(opening: path, [.readWrite, .create])
    try file.truncate(to: 40 * block + 4096)
    for index in [0, 1, 7, 30, 40] {
      let word = index == changed ? "changed" : "block"
      let text = Array(String(repeating: "\(word) \(index) ", count: 300).utf8.prefix(4096))
      try file.writeAll(text, at: index * block)
    }
    var state: UInt64 = 1
    let noise = (0..<block).map { _ in
      state = state &* 6_364_136_223_846_793_005 &+ 1
      return UInt8(truncatingIfNeeded: state >> 56)
    }
    try file.writeAll(noise, at: 20 * block)
  }

  private static func compress(
    _ directory: TemporaryDirectory, _ disk: String, as name: String, base: String? = nil,
    _ compression: Recipe.ImageSettings.Compression = .zstd, digest: String? = nil
  ) throws -> BlockTable {
    let settings = Recipe.ImageSettings(compression: compression, level: nil, secureBoot: .debian)
    let path = "\(directory.path)/\(disk)"
    let digest = try digest ?? FileDigest.chunked(path).description
    let step = CompressedDisk(
      title: "one: disk", source: .file(path, digest: digest), compression: .disks(settings), base: base
    ).step(versions: [:])
    try step.run(try context(directory, name))
    return try CompressedDisk.table("\(directory.path)/\(name)/\(CompressedDisk.table)")
  }

  @Test("An image that is not any more what it was as the build began is refused")
  func changedImage() throws {
    let directory = try TemporaryDirectory()
    try Self.disk("\(directory.path)/a.img")
    let digest = try FileDigest.chunked("\(directory.path)/a.img").description
    try Self.disk("\(directory.path)/a.img", changed: 7)
    #expect {
      try Self.compress(directory, "a.img", as: "a", digest: digest)
    } throws: { "\($0)".contains("a.img changed while it was read") }
  }

  @Test("What is put together is the volume, byte for byte", arguments: [Recipe.ImageSettings.Compression.zstd, .xz])
  func volume(compression: Recipe.ImageSettings.Compression) throws {
    let directory = try TemporaryDirectory()
    try Self.disk("\(directory.path)/a.img")
    try Self.disk("\(directory.path)/b.img", changed: 7)
    _ = try Self.compress(directory, "a.img", as: "a", compression)
    _ = try Self.compress(directory, "b.img", as: "b", compression)
    let settings = Recipe.ImageSettings(compression: compression, level: nil, secureBoot: .debian)
    let seed = SHA256.hash("a recipe")
    let volume = ImagesVolume(
      images: [.init(domain: "a", compressed: "a"), .init(domain: "b", compressed: "b")], ramBytes: 64 << 20,
      compression: .disks(settings), seed: seed)
    try volume.step(epoch: 1_000_000, versions: [:]).run(try Self.context(directory, "volume"))
    let expected = "\(directory.path)/expected.pv"
    _ = try VolumeGroupImage.write(
      images: ["a", "b"].map { ($0, "\(directory.path)/\($0).img") }, volumeGroup: ImagesVolume.volumeGroup,
      ramBytes: 64 << 20, seed: seed, to: expected)
    let squashfs = "\(directory.path)/volume/\(ImagesVolume.squashfs)"
    let unpacked = try Command(["unsquashfs", "-d", "\(directory.path)/tree", squashfs]).run(
      cancellation: Cancellation())
    #expect(unpacked.status.isSuccess, "\(unpacked.text)")
    let pv = "\(directory.path)/tree/\(ImagesVolume.volumeFile)"
    #expect(try Files.status(pv)?.size == Files.status(expected)?.size)
    #expect(try FileDigest.plain(pv) == FileDigest.plain(expected))
    #expect(try Files.status(pv)?.permissions == 0o444)
    #expect(try Files.list("\(directory.path)/tree") == [ImagesVolume.volumeFile])
    let facts = try Command(["unsquashfs", "-lln", "-UTC", squashfs]).run(cancellation: Cancellation()).text
    #expect(facts.contains("1970-01-12 13:46"), "\(facts)")
    // Sparse blocks are no bytes of the medium.
    #expect(try Files.status(squashfs)?.size ?? .max < 4 * Self.block)
  }

  @Test("Without a disk there is a volume of one empty extent")
  func empty() throws {
    let directory = try TemporaryDirectory()
    let volume = ImagesVolume(
      images: [], ramBytes: 64 << 20, compression: .disks(.standard), seed: SHA256.hash("none"))
    try volume.step(epoch: 1, versions: [:]).run(try Self.context(directory, "volume"))
    let unpacked = try Command([
      "unsquashfs", "-d", "\(directory.path)/tree", "\(directory.path)/volume/\(ImagesVolume.squashfs)",
    ]).run(cancellation: Cancellation())
    #expect(unpacked.status.isSuccess, "\(unpacked.text)")
    #expect(try Files.status("\(directory.path)/tree/\(ImagesVolume.volumeFile)")?.size == 5 << 20)
  }

  @Test("Blocks that the base has are taken from it, and the result is what it is without")
  func layered() throws {
    let directory = try TemporaryDirectory()
    try Self.disk("\(directory.path)/base.img")
    try Self.disk("\(directory.path)/own.img", changed: 30)
    let base = try Self.compress(directory, "base.img", as: "base")
    let alone = try Self.compress(directory, "own.img", as: "alone")
    let layered = try Self.compress(directory, "own.img", as: "layered", base: "base")
    #expect(alone == layered)
    for file in [CompressedDisk.blocks, CompressedDisk.table] {
      #expect(try directory.text("alone/\(file)") == directory.text("layered/\(file)"))
    }
    #expect(zip(base.blocks, alone.blocks).filter { $0 != $1 }.count == 1)
    #expect(base.count == 41 && base.blocks.count == 6)
    // One block of 128 KiB is all that was compressed.
    #expect(try Files.status("\(directory.path)/layered/scratch/fresh")?.size == Self.block)
    let same = try Self.compress(directory, "base.img", as: "same", base: "base")
    #expect(same == base)
  }

  /// Compresses a result of an earlier step, whose digest is known, and makes a volume of it.
  private static func volume(_ directory: TemporaryDirectory, of image: String) throws -> String {
    let input = Step.Input(step: "image", file: image)
    try CompressedDisk(title: "one: disk", source: .step(input), compression: .disks(.standard)).step(versions: [:])
      .run(try context(directory, "one"))
    try ImagesVolume(
      images: [.init(domain: "one", compressed: "one")], ramBytes: 64 << 20, compression: .disks(.standard),
      seed: SHA256.hash("one")
    ).step(epoch: 1_000_000, versions: [:]).run(try context(directory, "volume"))
    return "\(directory.path)/volume/\(ImagesVolume.squashfs)"
  }

  @Test("A disk of one TiB that is holes is what is in it")
  func huge() throws {
    let directory = try TemporaryDirectory()
    try Files.makeDirectories("\(directory.path)/image")
    let file = try FileDescriptor(opening: "\(directory.path)/image/huge", [.readWrite, .create])
    try file.truncate(to: 1 << 40)
    for offset in [0, 5 << 30, (1 << 40) - 4096] { try file.writeAll([1, 2, 3], at: offset) }
    let squashfs = try Self.volume(directory, of: "huge")
    // Three blocks, and two runs of holes between them.
    #expect(try directory.text("one/\(CompressedDisk.table)").split(separator: "\n").count == 5)
    let text = try Command(["unsquashfs", "-lln", "-UTC", squashfs]).run(cancellation: Cancellation()).text
    #expect(text.contains(" \((1 << 40) + (1 << 20)) 1970-01-12 13:46 squashfs-root/images.pv"), "\(text)")
    // What squashfs has of each block, a hole or not.
    let size = try #require(try Files.status(squashfs)).size
    #expect((32 << 20)...(33 << 20) ~= size, "\(size)")
  }

  @Test("Blocks are where they were, however much of a list lies before them")
  func scattered() throws {
    let directory = try TemporaryDirectory()
    try Files.makeDirectories("\(directory.path)/image")
    let file = try FileDescriptor(opening: "\(directory.path)/image/disk", [.readWrite, .create])
    try file.truncate(to: 2 << 30)
    // A metadata block has the sizes of 2048 blocks; one has the inode before them, and the volume has a MiB before its disk.
    let places = [0, 1, 2024, 2025, 2026, 2027, 4072, 4073, 4074, 4075, 9000, 16_000, 16_383].map { $0 * Self.block }
    for place in places { try file.writeAll(Array("block at \(place)".utf8), at: place) }
    let squashfs = try Self.volume(directory, of: "disk")
    let unpacked = try Command(["unsquashfs", "-d", "\(directory.path)/tree", squashfs]).run(
      cancellation: Cancellation())
    #expect(unpacked.status.isSuccess, "\(unpacked.text)")
    let pv = try FileDescriptor(opening: "\(directory.path)/tree/\(ImagesVolume.volumeFile)")
    #expect(try pv.length() == (2 << 30) + VolumeGroupImage.dataOffset)
    for place in places {
      let text = "block at \(place)"
      let found = try pv.read(upTo: text.utf8.count + 1, at: VolumeGroupImage.dataOffset + place)
      #expect(String(decoding: found, as: UTF8.self) == "\(text)\0")
    }
    var (ranges, next) = (0, 0)
    while let data = try pv.data(from: next) { (ranges, next) = (ranges + 1, data.upperBound) }
    #expect(ranges <= places.count + 1)
  }

  @Test("An empty image is refused")
  func nothing() throws {
    let directory = try TemporaryDirectory()
    try directory.write("empty.img", "")
    let error = #expect(throws: BuildError.self) { try Self.compress(directory, "empty.img", as: "empty") }
    #expect(error?.code == .badFile)
  }

  @Test("What is no list of blocks, or no squashfs of one file, is not taken for one")
  func damaged() throws {
    #expect(BlockTable(text: "- 2\n- 1\n")?.text == "- 3\n")
    #expect(BlockTable(text: "\(SHA256.hash("a")) 1\n- 2\n")?.text == "\(SHA256.hash("a")) 1\n- 2\n")
    for text in [
      "x\n", "-\n", "- -\n", "- 0\n", "- -1\n", "- \(Int.max)\n- 1\n", "- \(1 << 40)\n- 1\n", "\(SHA256.hash("a")) x\n",
      "\(SHA256.hash("a"))\n",
    ] {
      #expect(BlockTable(text: text) == nil, "\(text)")
    }
    let directory = try TemporaryDirectory()
    try directory.write("no", "hsqs and nothing else")
    #expect(throws: BuildError.self) { try SquashfsFile.read("\(directory.path)/no") }
  }
}
