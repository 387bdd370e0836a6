import Platform
import Testing

@testable import Storage

/// Where the guests' changes live, out of what disks hold.
@Suite struct HomeSearchTests {
  private static let medium = "medium"
  private static let memory = "memory"

  private static func device(_ name: String, disk: String? = nil, partition: String? = nil) -> BlockNode {
    BlockNode(name, number: "8:0", disk: disk, size: 1 << 30, partitionName: partition)
  }

  private static func physical(_ device: BlockNode, _ uuid: String) -> HomeSearch.Candidate {
    .init(device: device, type: "LVM2_member", uuid: uuid)
  }

  private static func group(
    named group: String = "g", tags: [String] = [HomeSearch.tag], _ volumes: [String]
  ) -> GroupReport {
    GroupReport(group: group, name: "roost", tags: tags, volumes: volumes)
  }

  private static func search(
    _ candidates: [HomeSearch.Candidate], mediumDisk: String? = "sr0", _ reports: [String: GroupReport] = [:],
    blankFrom: Int? = 0, silent: Set<String> = []
  ) throws -> HomeSearch {
    func answer(_ device: BlockNode) throws(StorageError) {
      if silent.contains(device.name) {
        throw StorageError(
          .device, "\(device.path) cannot be read", cause: SystemError("read", errno: .inputOutput))
      }
    }
    return try HomeSearch(candidates, mediumDisk: mediumDisk, mediumUUID: medium, ramUUID: memory) {
      device throws(StorageError) in
      try answer(device)
      return reports[device.name]
    } isBlank: { device, offset throws(StorageError) in
      try answer(device)
      return blankFrom.map { $0 <= offset } ?? false
    }
  }

  private static let sda = device("sda")
  private static let sdb = device("sdb")
  private static let own = device("sdc4", disk: "sdc", partition: "roost-storage")

  /// A partition that is beneath a mapping is held by it: the mapping is what there is.
  @Test func aStickThatMayBePulledOutIsFoundByItsMapping() throws {
    let part = Self.device("sdc4", disk: "sdc", partition: "roost-storage")
    let mapping = BlockNode(
      "dm-1", number: "254:1", disk: "sdc", size: 1 << 30, partitionName: "roost-storage", slaves: ["sdc4"],
      mapping: .storage)
    let volume = BlockNode("dm-2", number: "254:2", size: 1 << 30, slaves: ["dm-1"])
    let found = BlockTree(nodes: [Self.device("sdc"), part, mapping, volume, Self.sda]).storage()
    #expect(found.map(\.path) == ["/dev/mapper/roost-storage", "/dev/sda", "/dev/sdc"])
    #expect(BlockTree(nodes: [Self.device("sdc"), part]).storage().map(\.name) == ["sdc", "sdc4"])
    let search = try Self.search([.init(device: mapping)], mediumDisk: "sdc")
    #expect(search.home == .fresh(mapping))
  }

  @Test func withoutDisksItIsMemory() throws {
    #expect(try Self.search([]).home == .memory)
    let others = [HomeSearch.Candidate(device: Self.sda, type: "ext4", uuid: "x"), .init(device: Self.sdb)]
    let search = try Self.search(others)
    #expect(search.home == .memory)
    #expect(search.warnings.isEmpty)
  }

  @Test func aGroupWithTheTagAndTheMediumIsTheHome() throws {
    let search = try Self.search(
      [Self.physical(Self.sda, "a")], ["sda": Self.group([Self.medium, "a"])])
    #expect(search.home == .disks([Self.sda]))
    #expect(search.warnings.isEmpty)
  }

  @Test func memoryThatIsStillListedIsNotMissed() throws {
    let search = try Self.search(
      [Self.physical(Self.sda, "a")], ["sda": Self.group([Self.medium, "a", Self.memory])])
    #expect(search.home == .disks([Self.sda]))
  }

  @Test func aHomeOnTwoDisksIsBoth() throws {
    let report = Self.group([Self.medium, "a", "b"])
    let search = try Self.search(
      [Self.physical(Self.sdb, "b"), Self.physical(Self.sda, "a")], ["sda": report, "sdb": report])
    #expect(search.home == .disks([Self.sda, Self.sdb]))
  }

  @Test func aDiskThatIsNotHereIsSaid() {
    let error = #expect(throws: StorageError.self) {
      _ = try Self.search([Self.physical(Self.sda, "a")], ["sda": Self.group([Self.medium, "a", "gone"])])
    }
    #expect(error?.message.contains("gone") == true && error?.message.contains("/dev/sda") == true)
  }

  @Test func roomOverTheNetworkIsWaitedFor() throws {
    let tags = [HomeSearch.tag, "roost.room.more=b", "roost.remote.more=room:nbd://far/more"]
    let report = Self.group(tags: tags, [Self.medium, "a", "b"])
    let error = #expect(throws: StorageError.self) {
      _ = try Self.search([Self.physical(Self.sda, "a")], ["sda": report])
    }
    #expect(error?.code == .waiting && error?.message.contains("waits for more") == true)
    #expect(error?.tags == tags)
    // With it everything is there; with something else missing beside it, waiting would not help.
    let remote = Self.device("nbd0")
    let all = try Self.search(
      [Self.physical(Self.sda, "a"), Self.physical(remote, "b")], ["sda": report, "nbd0": report])
    #expect(all.home == .disks([remote, Self.sda]))
    let worse = Self.group(tags: tags, [Self.medium, "a", "b", "gone"])
    let other = #expect(throws: StorageError.self) {
      _ = try Self.search([Self.physical(Self.sda, "a")], ["sda": worse])
    }
    #expect(other?.code == .home)
  }

  @Test func aMoveThatWasCutOffIsNoHome() throws {
    let search = try Self.search(
      [Self.physical(Self.sda, "a")], ["sda": Self.group(tags: [], [Self.medium, "a", Self.memory])])
    #expect(search.home == .memory)
    #expect(search.warnings.count == 1)
    #expect(search.warnings.first?.contains("persist /dev/sda --wipe") == true)
  }

  @Test func somebodyElsesGroupIsLeftAlone() throws {
    let foreign = try Self.search([Self.physical(Self.sda, "a")], ["sda": Self.group(tags: [], ["a"])])
    #expect(foreign.home == .memory)
    #expect(foreign.warnings.isEmpty)
    let otherImage = try Self.search([Self.physical(Self.sda, "a")], ["sda": Self.group(["other medium", "a"])])
    #expect(otherImage.home == .memory)
    #expect(otherImage.warnings.first?.contains("another image") == true)
  }

  @Test func anEmptyPartitionOfTheMediumsDiskIsFresh() throws {
    let empty = HomeSearch.Candidate(device: Self.own)
    #expect(try Self.search([empty], mediumDisk: "sdc").home == .fresh(Self.own))
    // The same partition of another disk is another stick's.
    #expect(try Self.search([empty], mediumDisk: "sda").home == .memory)
    #expect(try Self.search([empty], mediumDisk: nil).home == .memory)
  }

  @Test func aFirstStartThatWasCutOffBeginsAnew() throws {
    let half = Self.group(tags: [], [Self.medium, "c"])
    let begun = [Self.physical(Self.own, "c")]
    #expect(try Self.search(begun, mediumDisk: "sdc", ["sdc4": half], blankFrom: nil).home == .fresh(Self.own))
    // Before it had a group there is a label, and nothing behind it.
    #expect(try Self.search(begun, mediumDisk: "sdc", blankFrom: HomeSearch.emptyMetadata).home == .fresh(Self.own))
  }

  @Test func whatMayBeADamagedHomeIsNotTakenForFresh() {
    // LVM finds no group, or nothing is known at all, and yet there is something.
    for candidate in [Self.physical(Self.own, "c"), .init(device: Self.own)] {
      let error = #expect(throws: StorageError.self) {
        _ = try Self.search([candidate], mediumDisk: "sdc", blankFrom: nil)
      }
      #expect(error?.code == .home && error?.message.contains("/dev/sdc4") == true)
    }
  }

  @Test func theOwnPartitionIsNotTakenFromOthers() throws {
    let file = HomeSearch.Candidate(device: Self.own, type: "ext4", uuid: "x")
    let error = #expect(throws: StorageError.self) { _ = try Self.search([file], mediumDisk: "sdc") }
    #expect(error?.message.contains("ext4") == true)
    for report in [Self.group(tags: [], ["c"]), Self.group(["other medium", "c"])] {
      #expect(throws: StorageError.self) {
        _ = try Self.search([Self.physical(Self.own, "c")], mediumDisk: "sdc", ["sdc4": report])
      }
    }
  }

  @Test func theOwnHomeGoesBeforeAnother() throws {
    let search = try Self.search(
      [Self.physical(Self.sda, "a"), Self.physical(Self.own, "c")], mediumDisk: "sdc",
      ["sda": Self.group(named: "one", [Self.medium, "a"]), "sdc4": Self.group(named: "two", [Self.medium, "c"])])
    #expect(search.home == .disks([Self.own]))
    #expect(search.warnings.first?.contains("/dev/sda") == true)
  }

  @Test func twoHomesAreNotChosenFrom() {
    let error = #expect(throws: StorageError.self) {
      _ = try Self.search(
        [Self.physical(Self.sda, "a"), Self.physical(Self.sdb, "b")],
        ["sda": Self.group(named: "one", [Self.medium, "a"]), "sdb": Self.group(named: "two", [Self.medium, "b"])])
    }
    #expect(error?.message.contains("/dev/sda; /dev/sdb") == true)
  }

  @Test func ofCopiesTheOneOnTheMediumsDiskIsRight() throws {
    let copy = Self.device("sdd4", disk: "sdd", partition: "roost-storage")
    let report = Self.group([Self.medium, "c"])
    let both = [Self.physical(copy, "c"), Self.physical(Self.own, "c")]
    let search = try Self.search(both, mediumDisk: "sdc", ["sdc4": report, "sdd4": report])
    #expect(search.home == .disks([Self.own]))
    #expect(search.warnings.first?.contains("copies of one another") == true)
    #expect(throws: StorageError.self) {
      _ = try Self.search(both, mediumDisk: "sr0", ["sdc4": report, "sdd4": report])
    }
    // Copies of what is nothing to us are nobody's business.
    let foreign = Self.group(tags: [], ["c"])
    #expect(try Self.search(both, mediumDisk: "sr0", ["sdc4": foreign, "sdd4": foreign]).warnings.isEmpty)
  }

  @Test func aDiskThatCannotBeReadMayBeTheHome() {
    let failing = HomeSearch.Candidate(device: Self.sda, failure: "Input/output error")
    for candidate in [failing, Self.physical(Self.sda, "a")] {
      let error = #expect(throws: StorageError.self) { _ = try Self.search([candidate], silent: ["sda"]) }
      #expect(error?.code == .home)
      #expect(error?.message.contains("/dev/sda cannot be read (Input/output error)") == true)
      #expect(error?.message.hasSuffix("choose the live session in the boot menu") == true)
    }
  }

  @Test func aHomeThatIsThereDoesNotWaitForADiskThatCannotBeRead() throws {
    let failing = HomeSearch.Candidate(device: Self.sdb, failure: "Input/output error")
    let search = try Self.search(
      [Self.physical(Self.sda, "a"), failing], ["sda": Self.group([Self.medium, "a"])])
    #expect(search.home == .disks([Self.sda]))
    #expect(search.warnings == ["/dev/sdb cannot be read (Input/output error); it is not used"])
    #expect(try Self.search([.init(device: Self.own), failing], mediumDisk: "sdc").home == .fresh(Self.own))
  }

  @Test func theOwnPartitionIsNotPassedOverWhenItCannotBeRead() {
    let other = Self.physical(Self.sda, "a")
    let reports = ["sda": Self.group([Self.medium, "a"])]
    let failing = HomeSearch.Candidate(device: Self.own, failure: "Input/output error")
    let silent: Set<String> = ["sdc4"]
    for own in [failing, Self.physical(Self.own, "c")] {
      let error = #expect(throws: StorageError.self) {
        _ = try Self.search([own, other], mediumDisk: "sdc", reports, silent: silent)
      }
      #expect(error?.message.contains("/dev/sdc4, which is for the guests, cannot be read") == true)
    }
    let blank = #expect(throws: StorageError.self) {
      _ = try Self.search([.init(device: Self.own)], mediumDisk: "sdc", silent: silent)
    }
    #expect(blank?.code == .home && blank?.message.contains("/dev/sdc4 cannot be read") == true)
  }

  @Test func reportsAreReadBack() throws {
    let report = Self.group(["a"])
    #expect(try GroupReport.decode(encodeJSON(report), device: "/dev/sda") == report)
    #expect(try GroupReport.decode(Array("null\n".utf8), device: "/dev/sda") == nil)
    #expect(throws: StorageError.self) { _ = try GroupReport.decode(Array("{".utf8), device: "/dev/sda") }
  }

  @Test func disksAreNotReplacedByMemoryWhereTheyAreWanted() throws {
    let error = #expect(throws: StorageError.self) { try WantedHome.disks.check(.memory) }
    #expect(error?.message.contains("roost storage persist") == true)
    try WantedHome.disks.check(.disks([]))
    try WantedHome.any.check(.memory)
    try WantedHome.memory.check(.memory)
  }
}
