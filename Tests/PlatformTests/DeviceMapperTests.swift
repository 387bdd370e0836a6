import Binary
import Testing

@testable import Platform

/// Requests to device-mapper as linux/dm-ioctl.h lays them out.
@Suite struct DeviceMapperTests {
  @Test func aRequestHasItsHeader() throws {
    let packet = DeviceMapperPacket(
      name: "roost-medium", identifier: "ROOST-x", flags: [.suspend, .noFlush, .skipFreezing], data: [1, 2, 3],
      targetCount: 1)
    let bytes = packet.encoded()
    let reader = ByteReader(bytes)
    #expect(bytes.count == 315)
    #expect(try reader.little(UInt32.self, at: 0) == 4)
    #expect(try reader.little(UInt32.self, at: 12) == 315)
    #expect(try reader.little(UInt32.self, at: 16) == 312)
    #expect(try reader.little(UInt32.self, at: 20) == 1)
    #expect(try reader.little(UInt32.self, at: 28) == 0xC02)
    #expect(Array(bytes[48..<61]) == Array("roost-medium\0".utf8))
    #expect(Array(bytes[176..<184]) == Array("ROOST-x\0".utf8))
    #expect(Array(bytes[312...]) == [1, 2, 3])
    #expect(packet.encoded(room: 1000).count == 1312)
    #expect(DeviceMapperPacket.Command.load.request == 0xC138_FD09)
  }

  @Test func textsThatAreTooLongStayEnded() {
    let bytes = DeviceMapperPacket(
      name: String(repeating: "n", count: 200), identifier: String(repeating: "i", count: 200)
    ).encoded()
    #expect(bytes.count == 312)
    #expect(bytes[174] == UInt8(ascii: "n") && bytes[175] == 0)
    #expect(bytes[303] == UInt8(ascii: "i") && bytes[304] == 0)
  }

  @Test func aTableIsAlignedAndChained() throws {
    let targets = [
      DeviceMapper.Target(length: 8, type: "multipath", parameters: "abc"),
      DeviceMapper.Target(start: 8, length: 16, type: "error", parameters: ""),
    ]
    let reader = ByteReader(DeviceMapperPacket.table(targets))
    #expect(reader.count == 96)
    #expect(try reader.little(UInt64.self, at: 8) == 8)
    #expect(try reader.little(UInt32.self, at: 20) == 48)
    #expect(
      try Array(reader.slice(at: 24, length: 20)) == Array("multipath".utf8) + [0, 0, 0, 0, 0, 0, 0]
        + Array("abc\0".utf8))
    #expect(try reader.little(UInt64.self, at: 48) == 8)
    #expect(try reader.little(UInt64.self, at: 56) == 16)
  }

  @Test func answersAreUnderstood() throws {
    let status = "2 0 0 0 1 1 A 0 1 0 8:17 A 0 "
    // The kernel chains statuses from the beginning of the data, not each from the one before.
    var answer = DeviceMapperPacket(
      name: "x", flags: [.readOnly, .isActive],
      data: DeviceMapperPacket.table([.init(length: 64, type: "multipath", parameters: status)]), targetCount: 1
    ).encoded(room: 500)
    answer[24] = 3
    answer.replaceSubrange(40..<48, with: [0x05, 0xFE, 0, 0, 0, 0, 0, 0])
    let info = try DeviceMapperPacket.info(answer)
    #expect(
      info == DeviceMapper.Info(number: "254:5", openCount: 3, isReadOnly: true, isSuspended: false, hasTable: true))
    #expect(
      try DeviceMapperPacket.statuses(answer) == [.init(start: 0, length: 64, type: "multipath", parameters: status)])
    #expect(try !DeviceMapperPacket.isCutOff(answer))
    answer[29] = 1
    #expect(try DeviceMapperPacket.isCutOff(answer))
  }

  @Test func whatIsCutShortIsRefused() {
    var answer = DeviceMapperPacket(name: "x", targetCount: 3).encoded(room: 60)
    #expect(throws: TruncatedInput.self) { try DeviceMapperPacket.info(Array(answer.prefix(40))) }
    #expect(throws: TruncatedInput.self) { try DeviceMapperPacket.statuses(Array(answer.prefix(330))) }
    // A chain that does not go forward ends.
    #expect((try? DeviceMapperPacket.statuses(answer))?.count == 1)
    answer[16] = 0xFF
    answer[17] = 0xFF
    #expect(throws: TruncatedInput.self) { try DeviceMapperPacket.statuses(answer) }
  }

  @Test func aMappingWaitsForItsOnePath() {
    let target = Multipath.target(sectors: 2048, over: "8:4", isWaiting: true)
    #expect(target.type == "multipath" && target.start == 0 && target.length == 2048)
    #expect(target.parameters == "3 queue_if_no_path queue_mode bio 0 1 1 round-robin 0 1 1 8:4 1")
    #expect(
      Multipath.target(sectors: 1, over: "8:4", isWaiting: false).parameters
        == "2 queue_mode bio 0 1 1 round-robin 0 1 1 8:4 1")
    #expect(Multipath.isUsable("2 1 0 0 1 1 E 0 1 0 8:16 A 0 ", over: "8:16") == true)
    #expect(Multipath.isUsable("2 1 0 0 1 1 E 0 1 0 8:16 F 1 ", over: "8:16") == false)
    #expect(Multipath.isUsable("2 1 0 0 1 1 E 0 1 0 8:16 A 0 ", over: "8:1") == nil)
    #expect(Multipath.isUsable("8:1", over: "8:1") == nil)
  }

  /// A stick with a mapping over its first partition, and another mapping that is nobody's business.
  @Test func aMappingStandsInItsPartitionsPlace() throws {
    let root = try Files.makeTemporaryDirectory(prefix: "/tmp/roost-tree-")
    defer { try? Files.removeTree(root) }
    func device(_ place: String, _ number: String, _ files: [String: String]) throws {
      let name = place.split(separator: "/").last.map(String.init) ?? ""
      for (file, text) in files.merging(["dev": number, "size": "64"], uniquingKeysWith: { first, _ in first }) {
        let path = "\(root)/sys/devices/\(place)/\(file)"
        try Files.makeDirectories(String(path.prefix(path.count - (file.split(separator: "/").last?.count ?? 0))))
        try Files.write("\(text)\n", to: path)
      }
      try Files.makeDirectories("\(root)/sys/class/block")
      try Files.link("\(root)/sys/class/block/\(name)", to: "../../devices/\(place)")
    }
    try device("usb1/1-1/block/sdb", "8:16", ["removable": "1"])
    try device("usb1/1-1/block/sdb/sdb4", "8:20", ["partition": "4", "uevent": "PARTNAME=roost-storage"])
    try device("virtual/block/dm-0", "254:0", ["dm/name": "roost-storage", "slaves/sdb4": ""])
    try device("virtual/block/dm-1", "254:1", ["dm/name": "roost-roost--pool.thin", "slaves/dm-0": ""])
    try device("virtual/block/dm-2", "254:2", ["dm/name": "roost-medium", "slaves/sda1": ""])
    let tree = BlockTree(sys: "\(root)/sys")
    let node = try #require(tree.node(of: .storage))
    #expect(node.name == "dm-0" && node.path == "/dev/mapper/roost-storage" && node.number == "254:0")
    #expect(node.disk == "sdb" && node.isUSB && node.partition == 4 && node.partitionName == "roost-storage")
    #expect(tree.parts(of: "sdb").map(\.name) == ["sdb", "dm-0", "sdb4"])
    #expect(tree.nodes["dm-1"]?.path == "/dev/dm-1" && tree.nodes["dm-1"]?.disk == "dm-1")
    // What lay beneath this one was pulled out.
    #expect(tree.node(of: .medium) == nil && tree.nodes["dm-2"]?.disk == "dm-2")
  }
}
