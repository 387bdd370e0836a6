import Binary
import Platform
import Testing

@testable import DiskImages

/// A file in memory.
struct ByteArray: ImageBytes {
  let bytes: [UInt8]

  var length: Int { bytes.count }

  func bytes(at offset: Int, count: Int) throws(ImageError) -> [UInt8] {
    guard offset >= 0, count <= bytes.count - offset else { throw ImageError("was read behind its end") }
    return Array(bytes[offset..<(offset + count)])
  }
}

@Suite("qcow2 files")
struct QCOW2Tests {
  /// A file of clusters of 512 bytes: the header, the first table, one of the second kind, and then `clusters`.
  private func file(
    version: UInt32 = 3, size: UInt64 = 64 * 512, first: [UInt64] = [1024], features: UInt64 = 0, packing: UInt8 = 0,
    table: [UInt64], clusters: [[UInt8]] = []
  ) -> [UInt8] {
    var writer = ByteWriter()
    writer.raw([0x51, 0x46, 0x49, 0xFB])
    writer.big(version)
    writer.zeros(12)
    writer.big(9 as UInt32)
    writer.big(size)
    writer.zeros(4)
    writer.big(UInt32(first.count))
    writer.big(512 as UInt64)
    writer.zeros(72 - writer.count)
    writer.big(features)
    writer.zeros(104 - writer.count)
    writer.raw([packing])
    writer.zeros(512 - writer.count)
    for word in first { writer.big(word) }
    writer.zeros(1024 - writer.count)
    for word in table { writer.big(word) }
    writer.zeros(1536 - writer.count)
    for cluster in clusters { writer.raw(cluster) }
    return writer.bytes
  }

  /// The whole disk.
  private func disk(_ bytes: [UInt8], largest: Int = 1 << 30) throws(ImageError) -> [UInt8] {
    var image = try QCOW2Image(ByteArray(bytes: bytes), largest: largest)
    var disk = [UInt8](repeating: 0, count: image.size)
    while let cluster = try image.nextCluster() {
      let bytes = try image.bytes(of: cluster)
      #expect(bytes.count == cluster.count)
      disk.replaceSubrange(cluster.place..<(cluster.place + cluster.count), with: bytes)
    }
    return disk
  }

  private func problem(_ bytes: [UInt8], largest: Int = 1 << 30) -> String {
    do throws(ImageError) {
      _ = try disk(bytes, largest: largest)
      return "none"
    } catch {
      return error.description
    }
  }

  private func cluster(_ byte: UInt8) -> [UInt8] { [UInt8](repeating: byte, count: 512) }

  @Test("Clusters lie where the tables say, and what is in none is zero")
  func clusters() throws {
    let copied: UInt64 = 1 << 63
    let bytes = file(
      size: 4 * 512 + 100, table: [2048 | copied, 0, 1 | 1536, 1536, 2560 | copied],
      clusters: [cluster(1), cluster(2), cluster(3)])
    let expected = cluster(2) + cluster(0) + cluster(0) + cluster(1) + cluster(3).prefix(100)
    #expect(try disk(bytes) == expected)
    // What says "zero" in version 3 says nothing in version 2.
    let old = file(version: 2, size: 1024, table: [1 | 1536, 0], clusters: [cluster(1)])
    #expect(try disk(old) == cluster(1) + cluster(0))
    let far = file(size: 3 * 32768 + 512, first: [0, 0, 1024, 0], table: [1536], clusters: [cluster(7)])
    #expect(try disk(far).firstIndex(of: 7) == 65536)
  }

  @Test("The file's last cluster may be shorter; one that begins behind its end is missing")
  func ends() throws {
    let short = file(size: 1024, table: [1536, 2048], clusters: [cluster(1), [2, 2]])
    #expect(try disk(short) == cluster(1) + [2, 2] + [UInt8](repeating: 0, count: 510))
    #expect(problem(file(table: [1536])).contains("cut off"))
    #expect(problem(file(table: [1 << 62 | 1536])).contains("cut off"))
    #expect(problem(file(table: [0x00FF_FFFF_FFFF_FE00])).contains("cut off"))
    #expect(problem(file(first: [0x00FF_FFFF_FFFF_FE00], table: [])).contains("cut off"))
    #expect(problem(Array(file(table: []).prefix(1030))).contains("cut off"))
  }

  @Test("Packed clusters are unpacked, whatever lies behind them")
  func packed() throws {
    // A stored block of deflate (RFC 1951, 3.2.4), and what comes after it in the same sector.
    let deflated: [UInt8] = [1, 0, 2, 0xFF, 0xFD] + cluster(9) + [1, 2, 3]
    let two: UInt64 = 1 << 61  // sectors beside the first: the field is one bit wide here
    #expect(try disk(file(size: 512, table: [1 << 62 | two | 1536], clusters: [deflated])) == cluster(9))
    // A frame of zstd's with one block that repeats a byte (RFC 8878, 3.1.1.2.3).
    let frame: [UInt8] = [0x28, 0xB5, 0x2F, 0xFD, 0x60, 0x00, 0x01, 0x03, 0x10, 0x00, 5]
    let packed = file(size: 512, features: 8, packing: 1, table: [1 << 62 | 1536], clusters: [frame + frame])
    #expect(try disk(packed) == cluster(5))
    #expect(problem(file(table: [1 << 62 | 1536], clusters: [frame])).contains("cannot be unpacked"))
    #expect(problem(file(features: 8, packing: 1, table: [1 << 62 | 1536], clusters: [deflated])).contains("unpacked"))
    // Less than a cluster in it.
    #expect(problem(file(table: [1 << 62 | 1536], clusters: [[1, 1, 0, 0xFE, 0xFF, 7]])).contains("unpacked"))
  }

  @Test("A file that cannot be, or is read in a way of its own, is refused with the reason")
  func refusals() {
    #expect(problem(file(size: 1 << 31, table: [])).contains("2048 MiB, and 1024 MiB are the most"))
    #expect(problem(file(size: 64 * 512 + 1, table: [])).contains("tables are for less"))
    #expect(problem(file(size: .max, table: [])).contains("a size of"))
    #expect(problem(file(features: 2, table: [])).contains("marked as damaged"))
    #expect(problem(file(features: 16, table: [])).contains("extended_l2"))
    #expect(problem(file(features: 1 << 40, table: [])).contains("not known"))
    #expect(problem(file(features: 8, packing: 2, table: [])).contains("packed in a way"))
    #expect(problem(file(features: 4, table: [])).contains("another file"))
    #expect(problem(Array(file(table: []).prefix(60))).contains("ends within its header"))
    #expect(problem([]).contains("ends within"))
    var wide = file(table: [])
    wide[23] = 22
    #expect(problem(wide).contains("clusters of 2^22 bytes"))
    // A count that was not closed properly does not matter to who reads.
    #expect(problem(file(features: 1, table: [])) == "none")
  }

  @Test("What qemu-img makes is read as it was, of any cluster size, version and packing")
  func tool() throws {
    guard Files.exists("/usr/bin/qemu-img") else {
      print("skipped: qemu-img is not on this machine (apt-get install qemu-utils)")
      return
    }
    let directory = try Files.makeTemporaryDirectory(prefix: "/tmp/roost-qcow2-")
    defer { try? Files.removeTree(directory) }
    var bytes = [UInt8](repeating: 0, count: (5 << 20) + 4096)
    for index in 0..<200_000 { bytes[300_000 + index] = UInt8(truncatingIfNeeded: index &* index >> 7) }
    for index in 0..<1000 { bytes[(4 << 20) + index * 7] = 0xA5 }
    bytes[bytes.count - 1] = 1
    try Files.write(bytes, to: "\(directory)/disk")
    let forms: [[String]] = [
      [], ["-c"], ["-o", "compat=0.10"], ["-c", "-o", "compat=0.10"], ["-o", "cluster_size=512"],
      ["-c", "-o", "cluster_size=2M"], ["-c", "-o", "compression_type=zstd"],
      ["-c", "-o", "compression_type=zstd,cluster_size=4k"], ["-o", "preallocation=metadata"],
    ]
    for form in forms {
      let files = ["\(directory)/disk", "\(directory)/image"]
      let words = ["/usr/bin/qemu-img", "convert", "-f", "raw", "-O", "qcow2"] + form + files
      try #require(try ChildProcess.start(ChildRequest(words)).wait().isSuccess)
      #expect(try disk(try Files.read("\(directory)/image")) == bytes, "\(form)")
    }
    let image = "\(directory)/image"
    let snapshot = ["/usr/bin/qemu-img", "snapshot", "-c", "before", image]
    try #require(try ChildProcess.start(ChildRequest(snapshot)).wait().isSuccess)
    #expect(try disk(try Files.read(image)) == bytes)
  }
}
