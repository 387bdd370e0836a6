import Binary
import Identity
import Manifest
import Platform
import Recipe
import Synchronization
import Testing

@testable import ImageBuilder

/// Files as sticks, from an image that the suite makes.
@Suite("Sticks", .enabled(if: TestImage.missing == nil, "\(TestImage.missing ?? "")"))
struct ProvisioningTests {
  static let size = 80 << 20
  static let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB pupil"

  let image: StickImage
  private let directory: TemporaryDirectory

  init() throws {
    image = try StickImage.shared.get()
    directory = try TemporaryDirectory()
  }

  private func path(_ name: String) -> String { "\(directory.path)/\(name)" }

  private func request(_ names: [String], roster: String? = nil, size: Int? = Self.size) throws -> ProvisionRequest {
    if let roster { try Files.write(roster, to: path("lab.yaml")) }
    return ProvisionRequest(
      image: image.path, targets: names.map(path), roster: roster.map { _ in path("lab.yaml") }, fileSize: size)
  }

  private func provision(_ request: ProvisionRequest) throws -> [ProvisionOutcome] {
    try Provisioning(request).run(cancellation: Cancellation()) { _ in }
  }

  private func refusal(_ request: ProvisionRequest) -> String {
    do {
      _ = try Provisioning(request)
      return "nothing was refused"
    } catch {
      return error.description
    }
  }

  private func identity(_ name: String) throws -> ApplianceIdentity? {
    let bytes = try Files.read(path(name))
    let table = try #require(GUIDPartitionTable(head: bytes))
    let partition = try #require(table.partitions.first { $0.name == "roost-identity" })
    #expect(partition.end - partition.start == 1 << 20)
    return try IdentityDocument.decode(Array(bytes[partition.start..<partition.end]))
  }

  @Test func aStickIsTheImageAndTwoPartitions() throws {
    let outcomes = try provision(try request(["a"]))
    #expect(outcomes.map { $0.error?.description } == [nil])
    let stick = try Files.read(path("a"))
    let iso = try Files.read(image.path)
    #expect(stick.count == Self.size)
    // Everything but the boot record's size and the partition table is the image's, to the last byte.
    #expect(stick.prefix(446) == iso.prefix(446) && stick[462..<512] == iso[462..<512])
    let table = try #require(GUIDPartitionTable(head: stick))
    let own = try #require(GUIDPartitionTable(head: iso))
    let first = table.firstUsable * 512
    #expect(stick[first..<iso.count] == iso[first...])
    #expect(table.partitions.map(\.name) == own.partitions.map(\.name) + ["roost-identity", "roost-storage"])
    #expect(Array(table.partitions.map(\.first).prefix(2)) == own.partitions.map(\.first))
    let added = Array(table.partitions.suffix(2))
    #expect(added.map(\.type) == [StickPartition.identity.type, StickPartition.storage.type])
    #expect(added.allSatisfy { $0.start % (1 << 20) == 0 && $0.end % (1 << 20) == 0 } && added[0].start >= iso.count)
    #expect(added[1].end > Self.size - (2 << 20) && added[0].end == added[1].start)
    let storage = stick[added[1].start..<added[1].end]
    #expect(storage.prefix(1 << 20).allSatisfy { $0 == 0 } && storage.suffix(1 << 20).allSatisfy { $0 == 0 })
    #expect(try identity("a") == nil)
  }

  @Test(.enabled(if: Command.find("sfdisk") != nil, "this machine has no sfdisk"))
  func sfdiskFindsNothingWrong() throws {
    #expect(try provision(try request(["a", "b"])).allSatisfy { $0.error == nil })
    var identifiers: Set<String> = []
    for name in ["a", "b"] {
      let verify = try Command(["sfdisk", "--verify", path(name)]).run(cancellation: Cancellation())
      #expect(verify.status == .exited(0) && verify.text.contains("No errors detected"), "\(verify.text)")
      let dump = try Command(["sfdisk", "--dump", path(name)]).run(cancellation: Cancellation()).text
      #expect(dump.contains("type=6D3A6C5E-3F0B-4E5C-9B0B-524F4F535431") && dump.contains("name=\"roost-identity\""))
      #expect(dump.contains("type=E6D6D379-F507-44C2-A23C-238F2A3DF928") && dump.contains("name=\"roost-storage\""))
      let words = dump.split(whereSeparator: { ",\n".contains($0) })
      let found = words.filter { $0.contains("uuid=") || $0.hasPrefix("label-id") }.map(String.init)
      #expect(found.count == 5)
      identifiers.formUnion(found)
    }
    // Two sticks in one machine are told apart.
    #expect(identifiers.count == 10)
  }

  @Test(.enabled(if: Command.find("sgdisk") != nil, "this machine has no sgdisk"))
  func sgdiskFindsNothingWrong() throws {
    #expect(try provision(try request(["a"])).allSatisfy { $0.error == nil })
    let verify = try Command(["sgdisk", "--verify", path("a")]).run(cancellation: Cancellation())
    #expect(verify.text.contains("No problems found"), "\(verify.text)")
  }

  @Test func eachGetsItsIdentityInOrder() throws {
    let roster = """
      ssh-keys: [\(Self.key)]
      sticks:
        - {hostname: lab-01, network: {subnet: 10.78.0.0/24}, autostart: []}
        - {hostname: lab-02, device: \(path("a"))}
        - {hostname: lab-03}
      """
    let provisioning = try Provisioning(try request(["a", "b", "c"], roster: roster))
    #expect(provisioning.targets.map(\.hostname) == ["lab-02", "lab-01", "lab-03"])
    #expect(provisioning.run(cancellation: Cancellation()) { _ in }.allSatisfy { $0.error == nil })
    #expect(
      try identity("b")
        == ApplianceIdentity(hostname: "lab-01", address: "10.78.0.1/24", sshKeys: [Self.key], autostart: []))
    #expect(try identity("a") == ApplianceIdentity(hostname: "lab-02", sshKeys: [Self.key]))
    #expect(try identity("c")?.hostname == "lab-03")
  }

  @Test func theRosterMayNameAllDevices() throws {
    let roster = "sticks:\n  - {hostname: x, device: \(path("a"))}\n  - {hostname: y, device: \(path("b"))}\n"
    #expect(try provision(try request([], roster: roster)).count == 2)
    #expect(try identity("b")?.hostname == "y")
  }

  @Test func rostersThatDoNotFitAreRefused() throws {
    let two = "sticks:\n  - hostname: x\n  - hostname: y\n"
    #expect(refusal(try request(["a"], roster: two)).hasPrefix("the roster has 2 sticks, and there is 1 target"))
    #expect(refusal(try request(["a", "b", "c"], roster: two)).hasPrefix("the roster has 2 sticks, and there are 3"))
    #expect(refusal(try request([], roster: two)).hasPrefix("the roster does not say what x is written to"))
    let elsewhere = "sticks:\n  - {hostname: x, device: \(path("b"))}\n"
    #expect(refusal(try request(["a"], roster: elsewhere)).contains("which is not among the targets"))
    let wrong = "sticks:\n  - {hostname: x, autostart: [debia]}\n"
    #expect(refusal(try request(["a"], roster: wrong)).contains("lab.yaml:2:31: error: "))
    #expect(!Files.exists(path("a")))
  }

  @Test func whatMustNotBeOverwrittenIsRefusedAllAtOnce() throws {
    try Files.makeDirectories(path("directory"))
    try Files.write([UInt8](repeating: 0, count: 1 << 20), to: path("small"))
    try Files.link(path("link"), to: path("small"))
    try Files.link(path("image"), to: image.path)
    let text = refusal(
      try request(["small", "directory", "none/x", "new", "image", "small", "link"], size: nil))
    #expect(text.contains("/small is too small: it has 1 MiB"))
    #expect(text.contains("needs 76 MiB"), "\(text)")
    #expect(text.contains("/directory is neither a block device nor a file"))
    #expect(text.contains("/none/x cannot be made"))
    #expect(text.contains("/new is not there\n  --size makes a file"))
    #expect(text.contains("/image is the image itself"))
    #expect(text.hasSuffix("nothing was written"))
    let twice = refusal(try request(["x", "../\(directory.path.split(separator: "/").last ?? "")/x"]))
    #expect(twice.contains("is there twice: it is the same as"))
    #expect(
      refusal(ProvisionRequest(image: image.path, targets: ["/dev/roost-none"], fileSize: Self.size)).contains(
        "is not there"))
    #expect(refusal(ProvisionRequest(image: image.path, targets: ["/dev/null"])).contains("neither"))
  }

  @Test func imagesThatAreNoneAreRefused() throws {
    try Files.write("no image", to: path("text"))
    func refusal(_ image: String?) -> String {
      self.refusal(ProvisionRequest(image: image, targets: [path("a")], fileSize: Self.size))
    }
    #expect(refusal(path("text")).contains("is no ISO 9660 image"))
    #expect(refusal(path("none")).contains("No such file"))
    #expect(refusal(nil).contains("this is no running appliance"))
    let iso = try Files.read(image.path)
    try Files.write(Array(iso.dropLast(4096)), to: path("cut"))
    #expect(refusal(path("cut")).contains("is cut off"))
    var damaged = iso
    damaged[1030] ^= 1
    try Files.write(damaged, to: path("damaged"))
    #expect(refusal(path("damaged")).contains("does not boot from a stick"))
    let test = try TestImage()
    try test.bootable().write(to: test.path)
    #expect(refusal(test.path).contains("is no appliance"))
  }

  @Test func whatIsThereIsTold() throws {
    #expect(try provision(try request(["a"])).allSatisfy { $0.error == nil })
    let again = try Provisioning(try request(["a"], size: nil))
    let target = try #require(again.targets.first)
    #expect(target.size == Self.size && target.description == "a file, 83.9 MB")
    #expect(target.contents.contains("gpt partition table"))
    #expect(target.contents.contains { $0.hasPrefix("partition 1, ") && $0.contains("iso9660") })
    #expect(target.contents.contains { $0.hasPrefix("partition 2, ") && $0.contains("vfat") })
    try Files.write([UInt8](repeating: 0, count: Self.size), to: path("blank"))
    #expect(try Provisioning(try request(["blank"], size: nil)).targets.first?.contents == [])
  }

  @Test func aStickThatWasProvisionedCanBeCloned() throws {
    let roster = "sticks:\n  - hostname: first\n"
    #expect(try provision(try request(["a"], roster: roster)).allSatisfy { $0.error == nil })
    var clone = ProvisionRequest(image: path("a"), targets: [path("b")], fileSize: Self.size + (32 << 20))
    clone.roster = nil
    #expect(try provision(clone).allSatisfy { $0.error == nil })
    #expect(try identity("b") == nil)
    let (a, b) = (try Files.read(path("a")), try Files.read(path("b")))
    let end = try HybridImage(image.path).length
    let table = try #require(GUIDPartitionTable(head: b))
    #expect(a[(table.firstUsable * 512)..<end] == b[(table.firstUsable * 512)..<end])
    #expect(table.partitions.count == 4 && (table.partitions.last?.end ?? 0) > Self.size)
  }

  @Test func oneThatFailsDoesNotStopTheOthers() throws {
    let provisioning = try Provisioning(try request(["a", "b", "c"]))
    let faults: [TestStick.Fault] = [
      .writesFail(from: 6 << 20, .inputOutput), .none, .flippedByte(5 << 20),
    ]
    let sticks = faults.map { TestStick([UInt8](repeating: 0xFF, count: Self.size), $0) }
    let finished = Mutex<[Int]>([])
    let outcomes = provisioning.run(cancellation: Cancellation(), wrapping: { index, _ in sticks[index] }) { event in
      if case .finished(let index, _) = event { finished.withLock { $0.append(index) } }
    }
    #expect(finished.withLock { $0.sorted() } == [0, 1, 2])
    #expect(outcomes.map { $0.error?.code } == [.system, nil, .verification])
    #expect(outcomes[0].error?.message.contains("/a at ") == true)
    #expect(outcomes[2].error?.message.contains("does not give back what was written, between 5 and 9 MiB") == true)
    // None of those that failed boots; the one between does.
    #expect(sticks.map { Array($0.bytes[510..<512]) } == [[0, 0], [0x55, 0xAA], [0, 0]])
  }

  @Test("A byte that changes anywhere is noticed", arguments: [0, 40_000, 1 << 20, (5 << 20) + 77, 80 << 20 - 1])
  func verification(place: Int) throws {
    let image = try HybridImage(self.image.path)
    let stick = TestStick([UInt8](repeating: 0, count: Self.size), .flippedByte(place))
    let plan = StickPlan(image, size: stick.size, identity: nil, seed: SHA256.hash("x"))
    let writer = try StickWriter("stick", image, plan, to: stick, cancellation: Cancellation()) { _, _, _ in }
    #expect {
      try writer.run()
    } throws: { error in
      (error as? BuildError)?.code == .verification
    }
  }

  @Test("The identity and the edges of the storage are compared, too")
  func verificationOfPieces() throws {
    let image = try HybridImage(self.image.path)
    let plan = StickPlan(image, size: Self.size, identity: ApplianceIdentity(hostname: "x"), seed: SHA256.hash("x"))
    for place in [plan.bodyEnd + 3, plan.storage.lowerBound, plan.storage.upperBound - 1] {
      let stick = TestStick([UInt8](repeating: 0, count: Self.size), .flippedByte(place))
      let writer = try StickWriter("stick", image, plan, to: stick, cancellation: Cancellation()) { _, _, _ in }
      #expect(throws: BuildError.self) { try writer.run() }
    }
  }

  @Test(
    "Wherever it is interrupted, an old stick does not boot and has no partitions", arguments: [0, 1 << 20, 7 << 20])
  func interruption(place: Int) throws {
    let image = try HybridImage(self.image.path)
    // A stick that boots, with a table at its beginning and end.
    let old = TestStick([UInt8](repeating: 0xEE, count: Self.size))
    let plan = StickPlan(image, size: Self.size, identity: nil, seed: SHA256.hash("x"))
    _ = try StickWriter("old", image, plan, to: old, cancellation: Cancellation()) { _, _, _ in }.run()
    #expect(GUIDPartitionTable(head: old.bytes) != nil)
    let cancellation = Cancellation()
    let stick = TestStick(old.bytes, .atOffset(place) { cancellation.cancel() })
    let writer = try StickWriter("stick", image, plan, to: stick, cancellation: cancellation) { _, _, _ in }
    #expect {
      try writer.run()
    } throws: { error in
      (error as? BuildError)?.code == .cancelled
    }
    // Cut off at once, it has lost the boot record.
    #expect(stick.bytes.prefix(place > 0 ? 1 << 20 : 512).allSatisfy { $0 == 0 })
    if place > 0 { #expect(stick.bytes.suffix(512).allSatisfy { $0 == 0 } || place == 0) }
  }

  @Test func theFirstMebibyteIsWrittenLastAndOfItTheBootRecord() throws {
    let image = try HybridImage(self.image.path)
    let stick = TestStick([UInt8](repeating: 0xEE, count: Self.size))
    let plan = StickPlan(image, size: Self.size, identity: nil, seed: SHA256.hash("x"))
    _ = try StickWriter("stick", image, plan, to: stick, cancellation: Cancellation()) { _, _, _ in }.run()
    let places = stick.places
    #expect(Array(places.prefix(2)) == [0..<512, 512..<(1 << 20)])
    #expect(Array(places.suffix(2)) == [512..<(1 << 20), 0..<512])
    #expect(places.dropFirst(2).dropLast(2).allSatisfy { $0.lowerBound >= 1 << 20 })
    // Whatever was in the storage partition's place is not taken for content of it.
    #expect(stick.bytes[plan.storage.lowerBound..<(plan.storage.lowerBound + (1 << 20))].allSatisfy { $0 == 0 })
    #expect(stick.bytes[(plan.storage.upperBound - (1 << 20))..<plan.storage.upperBound].allSatisfy { $0 == 0 })
  }

  @Test func progressGoesToItsEnd() throws {
    let provisioning = try Provisioning(try request(["a"]))
    let phases = Mutex<[String: (done: Int, total: Int)]>([:])
    _ = provisioning.run(cancellation: Cancellation()) { event in
      guard case .progress(0, let phase, let done, let total) = event else { return }
      phases.withLock { $0[phase] = (max(done, $0[phase]?.done ?? 0), total) }
    }
    let seen = phases.withLock { $0 }
    #expect(Set(seen.keys) == ["erase", "write", "verify", "finish"])
    for phase in ["write", "verify", "finish"] { #expect(seen[phase]?.done == seen[phase]?.total) }
  }
}

@Suite("Files in an ISO image", .enabled(if: TestImage.missing == nil, "\(TestImage.missing ?? "")"))
struct ISOReaderTests {
  @Test func filesAreFoundByTheirPlainNames() throws {
    let test = try StickImage.shared.get()
    let reader = try ISOReader(test.path)
    #expect(reader.length == (try Files.read(test.path)).count)
    #expect(try reader.file("/roost/manifest.json", limit: 1 << 20) == StickImage.manifest.encoded())
    #expect(try reader.file("/roost/vmlinuz", limit: 100) == Array("not a kernel\n".utf8))
    #expect(try reader.file("/roost/empty", limit: 100) == [])
    #expect(try reader.file("/roost/none", limit: 100) == nil)
    #expect(try reader.file("/none/vmlinuz", limit: 100) == nil)
    #expect(try reader.file("/roost", limit: 100) == nil)
    #expect(try reader.file("/roost/vmlinuz/x", limit: 100) == nil)
    #expect(throws: BuildError.self) { try reader.file("/roost/initrd.img", limit: 4999) }
  }

  @Test("Damaged directories are refused or lead nowhere, never out of bounds")
  func damage() throws {
    let directory = try TemporaryDirectory()
    let iso = Array(try Files.read(StickImage.shared.get().path).prefix(1 << 19))
    let path = "\(directory.path)/damaged"
    let root = Int(iso[(32768 + 158)]) | Int(iso[32768 + 159]) << 8
    for offset in Array(32768 + 80..<32768 + 84) + Array(32768 + 156..<32768 + 190)
      + Array(root * 2048..<root * 2048 + 400)
    {
      for value: UInt8 in [0, 1, 0x7F, 0xFF] {
        var damaged = iso
        damaged[offset] = value
        try Files.write(damaged, to: path)
        guard let reader = try? ISOReader(path) else { continue }
        _ = try? reader.file("/roost/manifest.json", limit: 1 << 20)
      }
    }
  }
}
