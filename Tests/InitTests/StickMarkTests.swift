import Binary
import Identity
import Platform
import Testing

@testable import Init

/// How a stick is recognised.
@Suite("Recognising a stick") struct StickMarkTests {
  private static let group = GroupMark(
    volume: "v", group: "g", generation: 7, head: SHA256.hash("head 7"), area: 4096)
  private static let mark = StickMark(
    size: 1 << 30, serial: "4C53", head: SHA256.hash("head"), identity: SHA256.hash("identity"), group: group)

  private func objection(
    mayHaveChanged: Bool = false, mark: StickMark = mark, _ change: (inout StickMark) -> Void = { _ in }
  ) -> String? {
    var found = mark
    change(&found)
    return mark.objection(to: found, mayHaveChanged: mayHaveChanged)
  }

  @Test func theSameStickIsRecognised() {
    #expect(objection() == nil)
    #expect(objection(mark: StickMark(size: 1, serial: nil, head: SHA256.hash("x"))) == nil)
  }

  @Test func anotherStickIsNot() {
    #expect(objection { $0.size += 512 } == "is another stick")
    #expect(objection { $0.head = SHA256.hash("other") } == "is another stick")
    #expect(objection { $0.serial = "4C54" }?.hasPrefix("is a copy of the stick") == true)
    #expect(objection { $0.serial = nil }?.hasPrefix("is a copy of the stick") == true)
    #expect(objection { $0.identity = nil }?.contains("identity") == true)
  }

  @Test func aStickThatWasUsedElsewhereIsNot() {
    func used(_ found: inout StickMark) {
      found.group?.generation = 8
      found.group?.head = SHA256.hash("head 8")
    }
    #expect(objection(used)?.contains("used by another machine meanwhile") == true)
    // Where a change of this machine's own was under way, it may have come that far.
    #expect(objection(mayHaveChanged: true, used) == nil)
    #expect(objection(mayHaveChanged: true) { $0.group?.generation = 6 } != nil)
    #expect(objection(mayHaveChanged: true) { $0.group?.group = "h" } != nil)
    #expect(objection(mayHaveChanged: true) { $0.group?.volume = "w" } != nil)
    #expect(objection(mayHaveChanged: true) { $0.group = nil } != nil)
  }

  @Test func aFirstStartMayBeUnderWay() {
    var blank = Self.mark
    blank.group = nil
    #expect(objection(mark: blank) == nil)
    #expect(objection(mark: blank) { $0.group = Self.group }?.contains("another machine") == true)
    #expect(objection(mayHaveChanged: true, mark: blank) { $0.group = Self.group } == nil)
    var begun = Self.mark
    begun.group?.group = ""
    #expect(objection(mayHaveChanged: true, mark: begun) { $0.group = Self.group } == nil)
  }

  // MARK: LVM's format

  /// A physical volume with a metadata area of 8 KiB at 4096 whose text begins at `offset` there.
  private static func volume(text: String, at offset: Int, labelSector: Int = 1) -> [UInt8] {
    let areaBytes = 8192
    var bytes = [UInt8](repeating: 0, count: 4096 + areaBytes)
    var label = ByteWriter()
    label.raw(Array("LABELONE".utf8))
    label.little(UInt64(labelSector))
    label.little(UInt32(0))
    label.little(UInt32(32))
    label.raw(Array("LVM2 001".utf8))
    label.raw(Array("abcdefghijklmnopqrstuvwxyz012345".utf8))
    for number: UInt64 in [1 << 30, 1 << 20, 0, 0, 0, 4096, UInt64(areaBytes), 0, 0] { label.little(number) }
    bytes.replaceSubrange((labelSector * 512)..<(labelSector * 512 + label.count), with: label.bytes)
    var head = ByteWriter()
    head.little(UInt32(0))
    head.raw(Array(" LVM2 x[5A%r0N*>".utf8))
    head.little(UInt32(1))
    let content = Array(text.utf8) + [0]
    for number: UInt64 in [
      4096, UInt64(areaBytes), UInt64(text.isEmpty ? 0 : offset), UInt64(text.isEmpty ? 0 : content.count),
    ] {
      head.little(number)
    }
    bytes.replaceSubrange(4096..<(4096 + head.count), with: head.bytes)
    for (index, byte) in content.enumerated() where !text.isEmpty {
      var place = offset + index
      if place >= areaBytes { place = place - areaBytes + 512 }
      bytes[4096 + place] = byte
    }
    return bytes
  }

  private static func read(_ bytes: [UInt8]) throws -> GroupMark? {
    try GroupMark.read { offset, count throws(SystemError) in
      Array(bytes[min(offset, bytes.count)..<min(offset + count, bytes.count)])
    }
  }

  private static let text = """
    roost {
    id = "AAAAAA-BBBB-CCCC-DDDD-EEEE-FFFF-GGGGGG"
    seqno = 42
    physical_volumes { pv0 { id = "other" } }
    }
    """

  @Test(arguments: [(512, 1), (1024, 0), (8192 - 40, 3)])
  func theGroupIsRead(offset: Int, sector: Int) throws {
    let mark = try #require(try Self.read(Self.volume(text: Self.text, at: offset, labelSector: sector)))
    #expect(mark.volume == "abcdefghijklmnopqrstuvwxyz012345" && mark.area == 4096)
    #expect(mark.group == "AAAAAA-BBBB-CCCC-DDDD-EEEE-FFFF-GGGGGG" && mark.generation == 42)
  }

  @Test func aVolumeWithoutAGroupAndNoVolume() throws {
    let mark = try #require(try Self.read(Self.volume(text: "", at: 0)))
    #expect(mark.group == "" && mark.generation == 0)
    #expect(try Self.read([UInt8](repeating: 0, count: 8192)) == nil)
    #expect(try Self.read([]) == nil)
    var damaged = Self.volume(text: Self.text, at: 512)
    damaged[4100] = 0
    #expect(try Self.read(damaged) == nil)
  }

  @Test func garbageDoesNotTrap() throws {
    var state: UInt32 = 7
    let good = Self.volume(text: Self.text, at: 8192 - 40)
    for _ in 0..<2000 {
      var bytes = good
      for _ in 0..<4 {
        state = state &* 1_664_525 &+ 1_013_904_223
        let place = [512 + Int(state >> 8) % 160, 4096 + Int(state >> 8) % 80][Int(state >> 31)]
        bytes[place] = UInt8(truncatingIfNeeded: state)
      }
      _ = try Self.read(bytes)
    }
  }

  // MARK: The boot

  @Test func onlyAStickWithPartitionsIsMapped() {
    func node(_ name: String, _ disk: String?, part: String? = nil, usb: Bool = true, readOnly: Bool = false)
      -> BlockNode
    {
      BlockNode(name, number: name, disk: disk, size: 1, isReadOnly: readOnly, isUSB: usb, partitionName: part)
    }
    let stick = [node("sda", nil), node("sda1", "sda"), node("sda4", "sda", part: "roost-storage")]
    let other = [node("sdb", nil), node("sdb4", "sdb", part: "roost-storage")]
    let plan = StickMappings.plan(for: "sda1", in: BlockTree(nodes: stick + other))
    #expect(plan.mapValues(\.name) == [.medium: "sda1", .storage: "sda4"])
    #expect(StickMappings.plan(for: "sda", in: BlockTree(nodes: stick)).isEmpty)
    #expect(StickMappings.plan(for: "sda1", in: BlockTree(nodes: Array(stick.prefix(2)))).map(\.key) == [.medium])
    let disk = [node("sda", nil, usb: false), node("sda1", "sda", usb: false)]
    #expect(StickMappings.plan(for: "sda1", in: BlockTree(nodes: disk)).isEmpty)
    let locked = [node("sda1", "sda", readOnly: true), node("sda4", "sda", part: "roost-storage", readOnly: true)]
    #expect(StickMappings.plan(for: "sda1", in: BlockTree(nodes: locked)).map(\.key) == [.medium])
  }

  @Test func aWriteCacheIsSwitchedOff() throws {
    let root = try Files.makeTemporaryDirectory(prefix: "/tmp/roost-cache-")
    defer { try? Files.removeTree(root) }
    let directory = "\(root)/class/block/sda/device/scsi_disk/0:0:0:0"
    try Files.makeDirectories(directory)
    try Files.write("write back\n", to: "\(directory)/cache_type")
    #expect(WriteCache.switchOff(disk: "sda", sys: root))
    #expect(try Files.readText("\(directory)/cache_type") == "write through")
    #expect(WriteCache.switchOff(disk: "sdb", sys: root))
  }
}
