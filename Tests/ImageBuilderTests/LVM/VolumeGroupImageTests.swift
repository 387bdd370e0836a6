import Binary
import Platform
import Testing

@testable import ImageBuilder

@Suite struct VolumeGroupImageTests {
  static let seed = SHA256.hash("a recipe")

  /// Runs `body` in a fresh directory.
  static func inDirectory(_ body: (String) throws -> Void) throws {
    let directory = try Files.makeTemporaryDirectory(prefix: "/tmp/roost-lvm-")
    defer { try? Files.removeTree(directory) }
    try body(directory)
  }

  /// Two images, the first with a hole and not a whole number of extents.
  static func makeImages(in directory: String) throws -> [(name: String, path: String)] {
    let first = try FileDescriptor(opening: "\(directory)/first.ext4", [.readWrite, .create])
    try first.writeAll([UInt8](repeating: 0x11, count: 4096), at: 0)
    try first.writeAll([UInt8](repeating: 0x22, count: 5000), at: 9 << 20)
    try Files.write([UInt8](repeating: 0x33, count: 8 << 20), to: "\(directory)/second.ext4")
    return [("first", "\(directory)/first.ext4"), ("second", "\(directory)/second.ext4")]
  }

  /// What Debian 12's `pvcreate --metadatacopies 0 --uuid AAAAAA-BBBB-CCCC-DDDD-EEEE-FFFF-GGGGGG` wrote on 64 MiB,
  /// with the flag of a volume that is in use.
  @Test func labelIsWhatPvcreateWrites() throws {
    let label = PhysicalVolumeLabel(
      identifier: LVMIdentifier(characters: "AAAAAABBBBCCCCDDDDEEEEFFFFGGGGGG"), deviceSize: 64 << 20,
      dataOffset: 1 << 20, inUse: false)
    let expected =
      "4c4142454c4f4e450100000000000000c27f25be200000004c564d3220303031"
      + "4141414141414242424243434343444444444545454546464646474747474747"
      + "00000004000000000000100000000000" + String(repeating: "00", count: 16 * 2)
      + String(repeating: "00", count: 8) + "0200000000000000"
    #expect(Hex.encode(label.sector.prefix(expected.utf8.count / 2)) == expected)
    #expect(label.sector.count == 512)
    #expect(label.sector.dropFirst(expected.utf8.count / 2).allSatisfy { $0 == 0 })
  }

  @Test func identifiersAreLVMs() {
    let identifier = LVMIdentifier(digest: Self.seed, name: "pv:medium")
    #expect(identifier == LVMIdentifier(digest: Self.seed, name: "pv:medium"))
    #expect(identifier != LVMIdentifier(digest: Self.seed, name: "pv:ram"))
    #expect(identifier != LVMIdentifier(digest: SHA256.hash("another recipe"), name: "pv:medium"))
    #expect(identifier.characters.utf8.count == 32)
    #expect(identifier.description.split(separator: "-").map(\.count) == [6, 4, 4, 4, 4, 4, 6])
  }

  @Test func imagesLieInTheirExtents() throws {
    try Self.inDirectory { directory in
      let result = try VolumeGroupImage.write(
        images: Self.makeImages(in: directory), volumeGroup: "roost", ramBytes: 64 << 20, seed: Self.seed,
        to: "\(directory)/images.pv")
      let extent = 4 << 20
      let file = try FileDescriptor(opening: "\(directory)/images.pv")
      #expect(result.extentBytes == extent)
      #expect(try file.length() == result.imageBytes)
      #expect(result.imageBytes == (1 << 20) + 5 * extent)
      #expect(try file.read(upTo: 4096, at: 1 << 20) == [UInt8](repeating: 0x11, count: 4096))
      #expect(try file.read(upTo: 5001, at: 10 << 20) == [UInt8](repeating: 0x22, count: 5000) + [0])
      let second = (1 << 20) + 3 * extent
      #expect(try file.read(upTo: 4, at: second - 2) == [0, 0, 0x33, 0x33])
      #expect(try file.read(upTo: 2, at: second + 2 * extent - 1) == [0x33])
      #expect(try !Files.list(directory).contains("images.pv.new"))
    }
  }

  @Test func equalInputsGiveEqualBytes() throws {
    try Self.inDirectory { directory in
      let images = try Self.makeImages(in: directory)
      let one = try VolumeGroupImage.write(
        images: images, volumeGroup: "roost", ramBytes: 64 << 20, seed: Self.seed, to: "\(directory)/one.pv")
      let two = try VolumeGroupImage.write(
        images: images, volumeGroup: "roost", ramBytes: 64 << 20, seed: Self.seed, to: "\(directory)/two.pv")
      #expect(one == two)
      #expect(try Files.read("\(directory)/one.pv") == Files.read("\(directory)/two.pv"))
    }
  }

  @Test func templateDescribesBothVolumes() throws {
    try Self.inDirectory { directory in
      let result = try VolumeGroupImage.write(
        images: Self.makeImages(in: directory), volumeGroup: "lab", ramBytes: 63 << 20, seed: Self.seed,
        to: "\(directory)/images.pv")
      let lines = Set(result.metadataTemplate.split(separator: "\n").map { $0.drop { $0 == "\t" } })
      #expect(lines.contains("lab {"))
      #expect(lines.contains("id = \"\(result.mediumUUID)\""))
      #expect(lines.contains("id = \"\(result.ramUUID)\""))
      #expect(lines.contains("pe_count = 15"), "63 MiB without the first are 15 whole extents")
      #expect(lines.contains("dev_size = \((1 + 15 * 4) * 2048)"))
      #expect(lines.contains("image-first {"))
      #expect(lines.contains("\"pv_medium\", 3"))
    }
  }

  @Test(arguments: [
    (["a", "a"], "two images are named \"a\""), (["a b"], "has ' ' in it"), ([""], "is empty"),
    (["-a"], "starts with '-'"), (["x_tdata"], "LVM keeps for itself"), (["image-a"], "starts with image-"),
    ([String(repeating: "n", count: 49)], "longer than 48"), ([".."], "names a directory"),
  ])
  func refusesNames(names: [String], reason: String) throws {
    try Self.inDirectory { directory in
      try Files.write([1], to: "\(directory)/image")
      #expect {
        _ = try VolumeGroupImage.write(
          images: names.map { ($0, "\(directory)/image") }, volumeGroup: "roost", ramBytes: 64 << 20, seed: Self.seed,
          to: "\(directory)/images.pv")
      } throws: {
        "\($0)".contains(reason)
      }
    }
  }

  @Test func failureLeavesTheOldFile() throws {
    try Self.inDirectory { directory in
      try Files.write("old", to: "\(directory)/images.pv")
      try Files.write("", to: "\(directory)/empty")
      for (path, reason) in [("absent", "No such file"), ("empty", "is empty")] {
        #expect {
          _ = try VolumeGroupImage.write(
            images: [("a", "\(directory)/\(path)")], volumeGroup: "roost", ramBytes: 64 << 20, seed: Self.seed,
            to: "\(directory)/images.pv")
        } throws: {
          "\($0)".contains(reason) && "\($0)".contains("\(directory)/\(path)")
        }
      }
      #expect(try Files.readText("\(directory)/images.pv") == "old")
      #expect(try Files.list(directory) == ["empty", "images.pv"])
    }
  }

  @Test func refusesTooLittleMemory() throws {
    #expect(throws: VolumeGroupImage.Failure.memoryTooSmall(bytes: 4 << 20, minimum: 9 << 20)) {
      _ = try VolumeGroupImage.write(
        images: [], volumeGroup: "roost", ramBytes: 4 << 20, seed: Self.seed, to: "/nonexistent/images.pv")
    }
  }
}
