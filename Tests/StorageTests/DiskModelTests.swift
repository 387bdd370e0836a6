import Platform
import Testing

@testable import Storage

/// What LVM and the kernel say, read.
@Suite struct DiskModelTests {
  @Test func thinVolumesAreDisks() {
    let rows: [[String: String]] = [
      ["lv_name": "image-debian", "lv_size": "4194304", "pool_lv": ""],
      ["lv_name": GuestStorage.pool, "lv_size": "4194304", "pool_lv": ""],
      [
        "lv_name": "debian", "lv_size": "8388608", "data_percent": "12.50", "origin": "image-debian",
        "lv_tags": "roost.domain", "lv_device_open": "open", "pool_lv": GuestStorage.pool,
      ],
      [
        "lv_name": "before", "lv_size": "8388608", "data_percent": "", "origin": "debian",
        "lv_tags": "roost.snapshot,roost.attached=web", "lv_device_open": "", "pool_lv": GuestStorage.pool,
      ],
    ]
    let disks = Disks.disks(rows, group: "roost")
    #expect(
      disks == [
        Disk(
          name: "before", device: "/dev/roost/before", bytes: 8_388_608, usedPercent: 0, kind: .snapshot,
          origin: "debian", attachedTo: "web", isOpen: false),
        Disk(
          name: "debian", device: "/dev/roost/debian", bytes: 8_388_608, usedPercent: 12.5, kind: .domain, origin: nil,
          attachedTo: nil, isOpen: true),
      ])
    let table = DiskReport(disks: disks).table.split(separator: "\n")
    #expect(table.count == 3)
    #expect(table[0].hasPrefix("NAME") && table[1].contains("snapshot") && table[2].hasSuffix("yes"))
  }

  @Test func aRollbackGoesOnWhereThePowerWentOff() {
    let ready = [Rollback.readyTag]
    // Nothing is under way.
    #expect(Rollback.steps([("a", ["roost.disk"]), ("b", [])]).isEmpty)
    // The new volume was made, and not marked: the disk stays what it is.
    #expect(Rollback.steps([("a", []), ("a.next", [])]) == [.remove("a.next")])
    let end: [Rollback.Step] = [.rename("a.next", to: "a"), .untag("a"), .activate("a"), .remove("a.previous")]
    // It was marked.
    #expect(Rollback.steps([("a", []), ("a.next", ready)]) == [.rename("a", to: "a.previous")] + end)
    // The first renaming was done.
    #expect(Rollback.steps([("a.next", ready), ("a.previous", [])]) == end)
    // Both were.
    #expect(Rollback.steps([("a", ready), ("a.previous", [])]) == [.untag("a"), .remove("a.previous")])
    #expect(Rollback.steps([("a", []), ("a.previous", [])]) == [.remove("a.previous")])
    // Another one left the old volume behind.
    #expect(
      Rollback.steps([("a", []), ("a.next", ready), ("a.previous", [])])
        == [.remove("a.previous"), .rename("a", to: "a.previous")] + end)
  }

  @Test func definitionsFitIntoTags() {
    let long = Array(repeating: UInt8(ascii: "x"), count: Definition.limit - 3) + [0, 255, 10]
    let tags = Definition.tags(long)
    let allowed = Set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+.-/=!:#&")
    #expect(tags.allSatisfy { $0.count <= 1024 && allowed.isSuperset(of: $0) })
    // With the other columns of a disk's row.
    #expect(tags.joined(separator: ",").count < 3500)
    #expect(Definition.read((tags + ["roost.own"]).shuffled()) == long)
    #expect(Definition.tags(among: ["roost.own"] + tags) == tags)
    #expect(Definition.read(Definition.tags([1])) == [1])
    // What is not whole is none.
    #expect(Definition.read(Array(tags.dropFirst())) == nil && Definition.read([]) == nil)
    for tag in ["roost.definition.", "roost.definition.0.1=?", "roost.definition.a.b=AA==", "roost.definition.0.1"] {
      #expect(Definition.read([tag]) == nil, "\(tag)")
    }
  }

  @Test func aDomainIsThereWhenItsVolumeHasItsName() {
    let definition = "roost.own," + Definition.tags(Array("text".utf8))[0]
    let rows = [
      ["lv_name": "web", "lv_tags": definition], ["lv_name": "new.made", "lv_tags": definition],
      ["lv_name": "web.previous", "lv_tags": definition], ["lv_name": "alpha", "lv_tags": "roost.domain"],
      ["lv_name": "broken", "lv_tags": "roost.own,roost.definition.0.2=AA=="],
    ]
    #expect(Definition.definitions(rows) == ["web": "text"])
    #expect(Definition.unfinished(among: rows) == ["new.made"])
    let pool =
      rows.map { $0.merging(["pool_lv": GuestStorage.pool]) { $1 } } + [
        ["lv_name": "bare", "lv_tags": "roost.none", "pool_lv": GuestStorage.pool]
      ]
    #expect(Disks.disks(pool, group: "roost").map(\.name) == ["alpha", "broken", "web", "web.previous"])
  }

  @Test func thePoolsStatusIsRead() throws {
    let well = try #require(
      PoolStatus(parameters: "1 17/1024 96/384 - rw discard_passdown queue_if_no_space - 1024"))
    #expect(well.mode == .readWrite && well.data.percent == 25 && well.metadata.used == 17 && !well.needsCheck)
    let report = PoolReport(well, chunkBytes: 65536, home: .disk)
    #expect(report.poolBytes == 384 * 65536 && report.dataPercent == 25 && !report.isFull && report.degraded == nil)

    let full = try #require(
      PoolStatus(parameters: "1 17/1024 384/384 - out_of_data_space discard_passdown queue_if_no_space - 1024"))
    #expect(PoolReport(full, chunkBytes: 65536, home: .memory).isFull)
    #expect(PoolReport(full, chunkBytes: 65536, home: .memory).degraded == nil)
    let marked = try #require(
      PoolStatus(
        parameters: "1 17/1024 384/384 - out_of_data_space discard_passdown queue_if_no_space needs_check 1024"))
    #expect(PoolReport(marked, chunkBytes: 65536, home: .memory).degraded != nil)

    let damaged = try #require(
      PoolStatus(parameters: "1 17/1024 96/384 - ro discard_passdown queue_if_no_space needs_check 1024"))
    #expect(damaged.needsCheck && PoolReport(damaged, chunkBytes: 1, home: .disk).degraded != nil)
    let failed = try #require(PoolStatus(parameters: "Fail"))
    #expect(failed.mode == .failed && PoolReport(failed, chunkBytes: 1, home: .disk).degraded != nil)
    #expect(PoolReport(nil, chunkBytes: 1, home: .disk).degraded != nil)

    for text in ["", "1 17/1024", "1 17/0 96/384 - rw a b - 1", "1 a/b c/d - rw a b - 1", "1 1/2 3/4 - odd a b - 1"] {
      #expect(PoolStatus(parameters: text) == nil, "\(text)")
    }
  }

  @Test func deviceMapperDoublesHyphens() {
    #expect(
      PoolStatus.deviceNames(group: "roost", pool: "roost-pool.thin")
        == ["roost-roost--pool.thin-tpool", "roost-roost--pool.thin"])
    #expect(PoolStatus.deviceNames(group: "a--b", pool: "p-").first == "a----b-p---tpool")
  }

  @Test func movesTellHowFarTheyAre() {
    #expect(PhysicalVolume.movedPercent("  /dev/loop2: Moved: 12.50%") == 12.5)
    #expect(PhysicalVolume.movedPercent("  /dev/loop2: Moved: 100.00%") == 100)
    #expect(PhysicalVolume.movedPercent("  No data to move for roost.") == nil)
  }

  @Test func aGroupGetsIdentifiersOfItsOwn() throws {
    let template = MetadataTemplate(
      text: """
        roost {
        \tid = "group"
        \tphysical_volumes {
        \t\tpv_medium {
        \t\t\tid = "medium"
        \t\t}
        \t\tpv_ram {
        \t\t\tid = "memory"
        \t\t}
        """)
    let lines = try template.withIdentifiers(group: "G", volume: "V").text.split(separator: "\n")
    #expect(
      lines.filter { $0.contains("id =") }.map(String.init) == ["id = \"G\"", "\t\t\tid = \"medium\"", "id = \"V\""])
    #expect(throws: StorageError.self) {
      _ = try MetadataTemplate(text: "roost {\nid = \"x\"\n}").withIdentifiers(group: "G", volume: "V")
    }
    let first = try LVMIdentity.random()
    #expect(first.split(separator: "-").map(\.count) == [6, 4, 4, 4, 4, 4, 6])
    #expect(try LVMIdentity.random() != first)
  }

  @Test func disksThatCanHoldAPhysicalVolumeAreTold() throws {
    let root = try Files.makeTemporaryDirectory(prefix: "/tmp/roost-sysfs-")
    defer { try? Files.removeTree(root) }
    func add(_ place: String, _ name: String, _ files: [String: String]) throws {
      try Files.makeDirectories("\(root)/\(place)/\(name)")
      try Files.makeDirectories("\(root)/class/block")
      for (file, text) in files { try Files.write(text, to: "\(root)/\(place)/\(name)/\(file)") }
      try Files.link("\(root)/class/block/\(name)", to: "\(root)/\(place)/\(name)")
    }
    try add("devices/block", "sda", ["dev": "8:0\n", "size": "2048\n", "uevent": "DEVNAME=sda\n"])
    try add(
      "devices/block/sda", "sda4",
      ["dev": "8:4\n", "size": "1024\n", "partition": "4\n", "uevent": "DEVNAME=sda4\nPARTNAME=roost-storage\n"])
    try add("devices/block", "cciss!c0d0", ["dev": "104:0\n", "size": "8\n"])
    for (number, name) in ["loop0", "sr0", "dm-0", "md0", "zram0"].enumerated() {
      try add("devices/block", name, ["dev": "7:\(number)\n", "size": "8\n"])
    }
    try add("devices/block", "sdb", ["dev": "8:16\n", "size": "0\n"])
    for (number, name) in ["nbd0", "etherd!e1.0", "drbd0"].enumerated() {
      try add("devices/virtual/block", name, ["dev": "43:\(number)\n", "size": "8\n"])
    }
    try add(
      "devices/platform/host2/session1/target2:0:0/2:0:0:1/block", "sdc", ["dev": "8:32\n", "size": "8\n"])
    let tree = BlockTree(sys: root)
    let devices = tree.storage()
    #expect(devices.map(\.path) == ["/dev/cciss/c0d0", "/dev/sda", "/dev/sda4"])
    // What comes over the network is a guest's, whatever it holds, unless it is known to be room.
    #expect(tree.nodes.values.filter(\.isRemote).map(\.name).sorted() == ["drbd0", "etherd!e1.0", "nbd0", "sdc"])
    let rooms = tree.storage(rooms: ["/dev/etherd/e1.0", "/dev/sdc"])
    #expect(Set(rooms.map(\.path)).subtracting(devices.map(\.path)) == ["/dev/etherd/e1.0", "/dev/sdc"])
    for node in tree.nodes.values {
      if node.isRemote {
        #expect(throws: StorageError.self) { try Target.refuseRemote(node) }
      } else {
        try Target.refuseRemote(node)
      }
    }
    let partition = try #require(devices.last)
    #expect(partition.disk == "sda" && partition.isPartition && partition.partitionName == "roost-storage")
    #expect(partition.size == 512 * 1024 && devices[1].partitionName == nil && !devices[1].isPartition)
  }

  @Test func marksAreFoundAndTakenOff() throws {
    let directory = try Files.makeTemporaryDirectory(prefix: "/tmp/roost-marks-")
    defer { try? Files.removeTree(directory) }
    let path = "\(directory)/disk"
    try FileDescriptor(opening: path, [.readWrite, .create]).truncate(to: 16 << 20)
    #expect(try Probe.marks(path) == [])
    let status = try ChildProcess.start(ChildRequest(["mke2fs", "-q", "-F", "-L", "mine", path])).wait()
    try #require(status.isSuccess)
    #expect(try Probe.marks(path) == ["ext2 \"mine\""])
    #expect(try Probe.wipe(path) == ["ext2 \"mine\""])
    #expect(try Probe.marks(path) == [])
  }
}
