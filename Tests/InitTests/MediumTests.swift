import Platform
import Testing

@testable import Init

/// A directory that looks like /sys.
private func withTree(_ files: [String: String], _ body: (String) throws -> Void) throws {
  let root = try Files.makeTemporaryDirectory(prefix: "/tmp/roost-sys-")
  defer { try? Files.removeTree(root) }
  for (path, text) in files {
    let full = "\(root)/\(path)"
    try Files.makeDirectories(String(full[..<(full.lastIndex(of: "/") ?? full.endIndex)]))
    try Files.write(text, to: full)
  }
  try body(root)
}

@Suite struct MediumTests {
  private static let tree = [
    "class/block/sda/size": "2048\n", "class/block/sda1/size": "1024\n", "class/block/sda1/partition": "1\n",
    "class/block/sr0/size": "100\n", "class/block/loop0/size": "8\n", "class/block/fd0/size": "8\n",
    "class/block/vda/size": "nonsense\n", "class/block/nvme0n1/size": "40\n",
    "class/block/nvme0n1p1/partition": "1\n", "class/block/nvme0n1p1/size": "20\n",
  ]

  @Test func drivesThenPartitionsThenDisks() throws {
    try withTree(Self.tree) { root in
      let devices = BlockDevice.list(sys: root)
      #expect(devices.map(\.name) == ["sr0", "nvme0n1p1", "sda1", "nvme0n1", "sda", "vda"])
      #expect(devices.map(\.size) == [51_200, 10_240, 524_288, 20_480, 1 << 20, 0])
      #expect(devices.first?.path == "/dev/sr0")
    }
  }

  @Test func theWantedVolumeIsFoundByItsPartition() throws {
    try withTree(Self.tree) { root in
      var probed: [String] = []
      let search = MediumSearch("2026-01", among: BlockDevice.list(sys: root)) { device in
        probed.append(device.name)
        switch device.name {
        case "sr0": return .known(type: "iso9660", uuid: "2025-12", label: "OTHER")
        case "nvme0n1", "nvme0n1p1": return .known(type: "ext4", uuid: "2026-01", label: nil)
        case "sda", "sda1": return .known(type: "iso9660", uuid: "2026-01", label: "ROOST")
        default: return .unknown
        }
      }
      // A whole disk that is mounted would keep its other partitions from being used.
      #expect(search.medium?.name == "sda1")
      #expect(probed == ["sr0", "nvme0n1p1", "sda1"])
    }
  }

  /// A disc in a drive, a stick without an identity, and provisioned ones: each holds the wanted volume.
  private static func withMedia(sticks: [String: String?], _ body: (MediumSearch) throws -> Void) throws {
    try withTree([:]) { root in
      var number = 0
      func add(_ name: String, below disk: String? = nil, _ more: [String: String] = [:]) throws {
        number += 1
        let place = "devices/\(disk.map { "\($0)/" } ?? "")\(name)"
        for (file, text) in ["dev": "8:\(number)\n", "size": "4096\n"].merging(more, uniquingKeysWith: { $1 }) {
          try Files.makeDirectories("\(root)/\(place)")
          try Files.write(text, to: "\(root)/\(place)/\(file)")
        }
        try Files.makeDirectories("\(root)/class/block")
        try Files.link("\(root)/class/block/\(name)", to: "../../\(place)")
      }
      try add("sr0")
      try add("sda")
      try add("sda1", below: "sda", ["partition": "1\n"])
      for (disk, identity) in sticks {
        try add(disk)
        try add("\(disk)1", below: disk, ["partition": "1\n"])
        if identity != nil {
          try add("\(disk)3", below: disk, ["partition": "3\n", "uevent": "PARTNAME=roost-identity\n"])
        }
      }
      let holders = Set(["sr0", "sda1"] + sticks.keys.map { "\($0)1" })
      try body(
        MediumSearch("2026-01", among: BlockDevice.list(sys: root)) { device in
          holders.contains(device.name) ? .known(type: "iso9660", uuid: "2026-01", label: "ROOST") : .unknown
        })
    }
  }

  @Test func aProvisionedStickGoesBeforeABareMedium() throws {
    try Self.withMedia(sticks: [:]) { #expect($0.medium?.name == "sr0") }
    try Self.withMedia(sticks: ["sdb": nil]) { #expect($0.medium?.name == "sr0") }
    try Self.withMedia(sticks: ["sdb": "lab-02"]) { search in
      #expect(search.medium?.name == "sdb1" && search.refusal == nil)
      #expect(search.medium?.identity == "/dev/sdb3")
    }
  }

  @Test func betweenTwoSticksThereIsNoChoice() throws {
    try Self.withMedia(sticks: ["sdb": "lab-02", "sdc": "lab-03"]) { search in
      #expect(search.medium == nil)
      let refusal = try #require(search.refusal)
      #expect(refusal.code == .mediumAmbiguous)
      // Their identities cannot be read here.
      #expect(
        refusal.details.dropFirst() == [
          "  a stick without a name on /dev/sdb1", "  a stick without a name on /dev/sdc1",
        ])
    }
  }

  @Test func theReportSaysWhatWasSeen() throws {
    try withTree(Self.tree) { root in
      let search = MediumSearch("x", among: BlockDevice.list(sys: root)) { device in
        device.name == "sr0"
          ? .unreadable("no disc in the drive")
          : device.name == "sda1" ? .known(type: "iso9660", uuid: "y", label: "L") : .unknown
      }
      #expect(search.medium == nil)
      #expect(search.report.first == "/dev/sr0 (50 KiB): no disc in the drive")
      #expect(search.report[2] == "/dev/sda1 (512 KiB): iso9660, volume y \"L\"")
      #expect(search.report.count == 6)
    }
    #expect(MediumSearch("x", among: []) { _ in .unknown }.report == ["no disk or optical drive appeared"])
  }

  @Test func libblkidReadsAnISOVolume() throws {
    try withTree([:]) { root in
      // ECMA-119 8.4: a primary volume descriptor at sector 16, its dates from byte 813.
      var image = [UInt8](repeating: 0, count: 64 << 10)
      var descriptor = [UInt8](repeating: 0x20, count: 2048)
      descriptor.replaceSubrange(0..<8, with: [1] + Array("CD001".utf8) + [1, 0])
      descriptor.replaceSubrange(40..<45, with: Array("ROOST".utf8))
      descriptor.replaceSubrange(128..<132, with: [0, 8, 8, 0])
      for date in [813, 830] {
        descriptor.replaceSubrange(date..<(date + 17), with: Array("2026010203040500".utf8) + [0])
      }
      image.replaceSubrange((32 << 10)..<(34 << 10), with: descriptor)
      image.replaceSubrange((34 << 10)..<((34 << 10) + 7), with: [255] + Array("CD001".utf8) + [1])
      try Files.write(image, to: "\(root)/iso")
      #expect(Volume.probe("\(root)/iso") == .known(type: "iso9660", uuid: "2026-01-02-03-04-05-00", label: "ROOST"))
      try Files.write([UInt8](repeating: 0, count: 1 << 20), to: "\(root)/empty")
      #expect(Volume.probe("\(root)/empty") == .unknown)
      #expect(Volume.probe("\(root)/none") == .unreadable("cannot be read: No such file or directory"))
    }
  }

  @Test func modaliasesOfAllBusesOnce() throws {
    try withTree([
      "bus/pci/devices/0000:00:01.0/modalias": "pci:v1AF4\n", "bus/pci/devices/0000:00:02.0/modalias": "pci:v1AF4\n",
      "bus/usb/devices/1-1/modalias": "usb:v0781\n", "bus/usb/devices/1-2/other": "x", "bus/cpu/uevent": "",
      "bus/cpu/devices/cpu0/modalias": "\n",
    ]) { root in
      #expect(Modalias.collect(sys: root) == ["pci:v1AF4", "usb:v0781"])
    }
    #expect(Modalias.collect(sys: "/nonexistent").isEmpty)
  }
}
