import Platform
import Testing

@testable import Storage

/// What is read of disks that fail.
@Suite struct FaultModelTests {
  @Test(
    "Copies of a move are as the kernel says",
    arguments: [
      ("2 7:2 254:16 448/448 1 AA 1 core", MirrorHealth.well), ("2 7:2 254:16 12/448 1 AA 1 core", .well),
      ("2 7:2 254:16 12/448 1 AS 1 core", .targetFails), ("2 7:2 254:16 12/448 1 AD 1 core", .targetFails),
      ("2 7:2 254:16 12/448 1 SA 1 core", .sourceFails), ("2 7:2 254:16 12/448 1 RS 1 core", .sourceFails),
      ("", nil), ("2 7:2", nil), ("2 7:2 254:16 12/448 1 A 1 core", nil), ("x 7:2 254:16 12/448 1 AA 1 core", nil),
      ("999999999999999999 1 2 3 4", nil), ("-1 7:2 254:16 12/448 1 AA", nil),
    ] as [(String, MirrorHealth?)])
  func mirrorHealth(line: String, health: MirrorHealth?) {
    #expect(MirrorHealth(parameters: line) == health)
  }

  @Test(
    "Copies that differ anywhere are told apart, by the page",
    arguments: [nil, 0, 4095, 4096, (1 << 20) - 1, 1 << 20, (3 << 20) + 4095] as [Int?])
  func difference(place: Int?) throws {
    let directory = try Files.makeTemporaryDirectory(prefix: "/tmp/roost-copies-")
    defer { try? Files.removeTree(directory) }
    var bytes = (0..<(3 << 20) + 4096).map { UInt8(truncatingIfNeeded: $0 &* 2_654_435_761 >> 13) }
    try Files.write(bytes, to: "\(directory)/one")
    if let place { bytes[place] ^= 1 }
    try Files.write(bytes, to: "\(directory)/other")
    let found = try CopyComparison.difference("\(directory)/one", "\(directory)/other")
    #expect(found == place.map { $0 & ~4095 })
  }

  @Test func theBookkeepingIsFoundOnItsDisks() {
    let rows = [
      ["lv_name": "roost-pool.thin", "seg_pe_ranges": "roost-pool.thin_tdata:0-9"],
      ["lv_name": "[roost-pool.thin_tmeta]", "seg_pe_ranges": "/dev/sda:4-7"],
      ["lv_name": "[roost-pool.thin_tmeta]", "seg_pe_ranges": "/dev/sdb:0-0"],
      ["lv_name": "[lvol0_pmspare]", "seg_pe_ranges": "/dev/sda:8-11"],
    ]
    let metadata = PoolMetadata(
      rows, volume: "roost-pool.thin_tmeta", starts: ["/dev/sda": 1 << 20, "/dev/sdb": 2 << 20], extentBytes: 1 << 22)
    #expect(
      metadata.pieces == [
        .init(device: "/dev/sda", range: (17 << 20)..<(33 << 20)),
        .init(device: "/dev/sdb", range: (2 << 20)..<(6 << 20)),
      ])
    let odd = ["/dev/sda", "/dev/sda:", "/dev/sda:4", "/dev/sda:7-4", "/dev/sdc:1-2", "unknown device:0-1"]
    for text in odd {
      let row = ["lv_name": "[roost-pool.thin_tmeta]", "seg_pe_ranges": text]
      #expect(
        PoolMetadata([row], volume: "roost-pool.thin_tmeta", starts: ["/dev/sda": 0], extentBytes: 1).pieces.isEmpty)
    }
  }

  @Test func theMarkOfAnErrorIsRead() {
    var superblock = [UInt8](repeating: 0, count: 4096)
    superblock[4] = 1
    #expect(!PoolMetadata.isMarked(superblock))
    superblock.replaceSubrange(32..<36, with: [0xBA, 0x52, 0x9C, 0x01])
    #expect(PoolMetadata.isMarked(superblock))
    superblock[4] = 0
    #expect(!PoolMetadata.isMarked(superblock))
    #expect(!PoolMetadata.isMarked([]))
  }
}
