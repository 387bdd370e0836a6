import Binary
import Manifest
import Testing

@testable import ImageBuilder
@testable import Platform

/// Images that are read, good and bad ones.
@Suite("What is in an image")
struct InspectionTests {
  static func manifest(_ name: String = "lab", memory: Int = 384 << 20) -> ApplianceManifest {
    let domain = ApplianceManifest.Domain(
      name: "debian", os: "Debian 13", cpus: 1, memoryBytes: memory,
      boot: .init(method: .linux, kernel: "/roost/domains/debian/kernel", initrd: nil, commandLine: "quiet"),
      disk: .init(imageVolume: "image-debian", volume: "debian", bytes: 2 << 30), network: nil, autostart: true,
      ready: .init(consoleText: "debian login:", timeoutSeconds: 300), onReboot: .restart, onCrash: .preserve)
    return ApplianceManifest(
      name: name, recipeDigest: "\(SHA256.hash(name))", epoch: 1,
      controlDomain: .init(hostname: "roost", suite: "trixie"),
      storage: .init(ramBytes: 1 << 30, extentBytes: 4 << 20, mediumUUID: "m", ramUUID: "r"),
      network: .init(address: "10.77.0.1/24"), domains: [domain])
  }

  /// A file that says which Linux it is.
  static var kernel: [UInt8] {
    var bytes = [UInt8](repeating: 0, count: 0x400)
    bytes.replaceSubrange(0x202..<0x206, with: Array("HdrS".utf8))
    bytes[0x20F] = 1
    bytes.replaceSubrange(0x300..<0x318, with: Array("6.12.41-amd64 (us) #1 SMP".utf8.prefix(24)))
    return bytes
  }

  /// A tree with what an inspection looks for.
  static func tree(
    _ manifest: ApplianceManifest = manifest(), more: [(String, [UInt8])] = []
  ) throws -> ISOImage {
    var image = ISOImage(volumeIdentifier: "ROOST_LAB", volumeUUID: TestImage.uuid, epoch: TestImage.epoch)
    image.add(ApplianceManifest.path, .bytes(try manifest.encoded()))
    image.add("/roost/vmlinuz", .bytes(kernel))
    var document = SPDXDocument(name: "lab", epoch: 1, version: "0.1.0")
    document.packages = [
      .init(BillOfMaterials.roost, "roost", version: "0.1.0"), .init("SPDXRef-root-1", "control domain"),
      .init("SPDXRef-deb-1", "bash", version: "5.2"),
    ]
    document.relate("SPDXRef-root-1", "CONTAINS", "SPDXRef-deb-1")
    image.add(BillOfMaterials.path, .bytes(try StableJSON.encode(document)))
    for (path, bytes) in more { image.add(path, .bytes(bytes)) }
    return image
  }

  @Test("An image tells its recipe, versions, domains, packages, files and volume")
  func report() throws {
    let test = try TestImage()
    try Self.tree(more: [("/roost/big", [UInt8](repeating: 1, count: 70_000))]).write(to: test.path)
    let report = try ImageReport(reading: test.path, digests: true)
    #expect(report.manifest == Self.manifest())
    #expect(report.roostVersion == "0.1.0")
    #expect(report.kernelVersion == "6.12.41-amd64")
    #expect(report.lockDigest == nil)
    #expect(report.volume.identifier == "ROOST_LAB" && report.volume.uuid == "\(TestImage.uuid)")
    #expect(report.roots.map(\.name) == ["control domain"])
    #expect(report.roots.first?.packages.map(\.name) == ["bash"])
    let big = try #require(report.files.first { $0.path == "/roost/big" })
    #expect(big.bytes == 70_000)
    #expect(big.sha256 == SHA256.hash([UInt8](repeating: 1, count: 70_000)).description)
    let text = report.lines.joined(separator: "\n")
    for word in ["ROOST_LAB", "6.12.41-amd64", "debian", "384 MiB of memory", "disk of 2 GiB", "68.3 KiB  /roost/big"] {
      #expect(text.contains(word), "no \(word) in:\n\(text)")
    }
    #expect(try report.json().hasSuffix("}\n"))
  }

  @Test(
    "A bootable image tells its boot entries, menu and partitions",
    .enabled(if: TestImage.missing == nil, "\(TestImage.missing ?? "")"))
  func boot() throws {
    let test = try TestImage()
    let menu = """
      linux /roost/vmlinuz a=b quiet $1 $2
      menuentry "One" --id a {
      }
        menuentry 'Two' {
      }
      #menuentry "x"
      """
    var image = try test.bootable(menu: menu)
    image.add(ApplianceManifest.path, .bytes(try Self.manifest().encoded()))
    try image.write(to: test.path)
    let report = try ImageReport(reading: test.path)
    #expect(report.bootEntries.map(\.platform) == ["bios", "uefi"])
    #expect(report.bootEntries.allSatisfy { $0.isBootable && $0.emulation == "none" })
    #expect(report.menu == ["One", "Two"])
    #expect(report.commandLine == "a=b quiet")
    #expect(report.partitions.filter { $0.table == "gpt" }.map(\.name) == ["ISO9660", "Appended2"])
    #expect(report.partitions.filter { $0.table == "mbr" }.map(\.type) == ["ee", "00"])
    #expect(report.roostVersion == nil && report.roots.isEmpty)
  }

  @Test("What steers a terminal is written, not done")
  func escapes() throws {
    let test = try TestImage()
    var manifest = Self.manifest()
    manifest.domains[0].os = "\u{1B}]0;owned\u{07}\u{9B}31m\u{202E}"
    try Self.tree(manifest, more: [("/roost/\u{1B}[2Jname", [1])]).write(to: test.path)
    let report = try ImageReport(reading: test.path)
    let text = report.lines.joined(separator: "\n") + (try report.json())
    #expect(text.unicodeScalars.allSatisfy { $0 == "\n" || $0.properties.generalCategory != .control })
    #expect(!text.contains("\u{202E}"))
    #expect(text.contains("/roost/\\u001B[2Jname"))
    #expect(
      try ApplianceManifest.decode(Array("\(try jsonField(report))".utf8)).domains[0].os == manifest.domains[0].os)
  }

  /// The manifest in the report's JSON.
  private func jsonField(_ report: ImageReport) throws -> String {
    EscapedText.make(String(decoding: try report.manifest.encoded(), as: UTF8.self), lines: true)
  }

  @Test("What is no image, none of ours, or cut off is refused in words")
  func refusals() throws {
    let test = try TestImage()
    func refusal(_ path: String) -> String {
      let error = #expect(throws: BuildError.self) { try ImageReport(reading: path) }
      return error?.description ?? ""
    }
    let text = "\(test.directory)/text"
    try Files.write("no image at all", to: text)
    #expect(refusal(text).contains("is no ISO 9660 image"))
    #expect(refusal("\(test.directory)/nothing").contains("cannot read the image"))
    #expect(refusal(test.directory).contains("cannot read"))
    try test.tree().write(to: test.path)
    #expect(refusal(test.path).contains("is no appliance: there is no /roost/manifest.json"))
    try Self.tree().write(to: test.path)
    let whole = try Files.read(test.path)
    for count in [0, 32_768, 34_000, 40_000, whole.count - 1] {
      try Files.write(Array(whole.prefix(count)), to: text)
      #expect(refusal(text).contains(count <= 34_000 ? "is no ISO 9660 image" : "is cut off"), "\(count) bytes")
    }
  }

  /// Directory records (ECMA-119, section 9.1) that say what is not so.
  @Test("Folders that hold themselves, and files with more bytes than there are, are refused", .timeLimit(.minutes(1)))
  func hostile() throws {
    let test = try TestImage()
    try Self.tree(more: [("/roost/victim", [UInt8](repeating: 7, count: 3000))]).write(to: test.path)
    let whole = try Files.read(test.path)
    // The folder /roost in the tree of plain names, and a file in it.
    let record = try #require(Self.record("ROOST", in: whole))
    let file = try #require(Self.record("VICTIM.;1", in: whole))
    let parent = Array(whole[(16 * 2048 + 156 + 2)..<(16 * 2048 + 156 + 18)])

    var loop = whole
    loop.replaceSubrange((record + 2)..<(record + 18), with: parent)
    try Files.write(loop, to: test.path)
    #expect(throws: BuildError.self) { try ImageReport(reading: test.path, digests: true) }

    var huge = whole
    huge.replaceSubrange((file + 10)..<(file + 18), with: [0, 0, 0, 0xFF, 0xFF, 0, 0, 0])
    try Files.write(huge, to: test.path)
    let error = #expect(throws: BuildError.self) { try ImageReport(reading: test.path, digests: true) }
    #expect(error?.code == .badFile)

    var beyond = whole
    beyond.replaceSubrange((file + 2)..<(file + 10), with: [0, 0, 0, 0x7F, 0x7F, 0, 0, 0])
    try Files.write(beyond, to: test.path)
    #expect(throws: BuildError.self) { try ImageReport(reading: test.path, digests: true) }
  }

  /// Where the record of that name begins.
  private static func record(_ name: String, in bytes: [UInt8]) -> Int? {
    let wanted = Array(name.utf8)
    return (16 * 2048..<bytes.count - 64).first { offset in
      bytes[offset] == UInt8(wanted.count) && bytes[(offset + 1)..<(offset + 1 + wanted.count)].elementsEqual(wanted)
    }.map { $0 - 32 }
  }

  @Test("Whatever bytes an image has, reading it ends in a report or a refusal", .timeLimit(.minutes(5)))
  func damage() throws {
    let test = try TestImage()
    try Self.tree().write(to: test.path)
    let whole = try Files.read(test.path)
    var numbers = SystemRandomNumberGenerator()
    for _ in 0..<200 {
      var bytes = whole
      for _ in 0..<Int.random(in: 1...8, using: &numbers) {
        bytes[Int.random(in: 16 * 2048..<min(bytes.count, 80 * 2048), using: &numbers)] = .random(in: 0...255)
      }
      try Files.write(bytes, to: test.path)
      do throws(BuildError) {
        _ = try ImageReport(reading: test.path, digests: true).lines
      } catch {
        #expect(!error.description.isEmpty)
      }
    }
  }
}

@Suite("Boot catalogues and volume descriptors")
struct CatalogTests {
  private static func catalog(_ entries: [[UInt8]]) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: 32)
    (bytes[0], bytes[30], bytes[31]) = (1, 0x55, 0xAA)
    bytes[28] = UInt8(truncatingIfNeeded: 0x100 - 0x56)
    bytes[29] = UInt8(truncatingIfNeeded: 0xFF - 0xAA)
    return bytes + entries.flatMap { $0 + [UInt8](repeating: 0, count: 32 - $0.count) }
  }

  @Test("Entries of several platforms are read, and extensions passed over")
  func entries() throws {
    let catalog = Self.catalog([
      [0x88, 0, 0, 0, 0, 0, 4, 0, 83, 0, 0, 0], [0x90, 0xEF, 1, 0], [0x88, 0, 0, 0, 0, 0, 0, 8, 0, 1, 0, 0], [0x44],
      [0x91, 2, 1, 0], [0, 0, 0, 0, 0, 0, 1, 0, 9, 0, 0, 0],
    ])
    let found = try #require(BootCatalog(catalog)).entries
    #expect(found.map(\.platform) == [0, 0xEF, 2])
    #expect(found.map(\.block) == [83, 256, 9])
    #expect(found.map(\.sectors) == [4, 2048, 1])
    #expect(found.map(\.isBootable) == [true, true, false])
  }

  @Test("A catalogue without a valid beginning is none; one that ends early gives what is there")
  func damaged() {
    #expect(BootCatalog([]) == nil)
    #expect(BootCatalog([UInt8](repeating: 0, count: 64)) == nil)
    var wrong = Self.catalog([[0x88]])
    wrong[5] = 1
    #expect(BootCatalog(wrong) == nil)
    #expect(BootCatalog(Self.catalog([[0x88], [0x91, 0xEF, 0xFF, 0xFF]]))?.entries.count == 1)
  }
}
