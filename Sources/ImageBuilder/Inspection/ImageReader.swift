internal import Binary
internal import Manifest
internal import Platform

extension ImageReport {
  private static let manifestLimit = 4 << 20
  private static let billLimit = 64 << 20
  private static let lockLimit = 16 << 20
  private static let menuLimit = 1 << 20
  private static let kernelPath = "/roost/vmlinuz"
  /// The kernel's setup code, in which its version stands.
  private static let kernelHead = 64 << 10

  /// Looks into the image at `path`, which may be a device. With `digests` all files are read.
  ///
  /// - Throws: `badFile` for what is no image of Roost's, or damaged; `cancelled`.
  public init(
    reading path: String, digests: Bool = false, cancellation: Cancellation = Cancellation()
  ) throws(BuildError) {
    let file = try attempt("cannot read the image") { () throws(SystemError) in try FileDescriptor(opening: path) }
    let available = try attempt("cannot read \(path)") { () throws(SystemError) in try file.length() }
    let iso = try ISOReader(path)
    guard iso.length <= available else {
      throw BuildError(
        .badFile, "\(path) is cut off: the image has \(iso.length) bytes, and there are \(available)",
        hint: "fetch or build the image again")
    }
    var wanted = [
      ApplianceManifest.path: Self.manifestLimit, BillOfMaterials.path: Self.billLimit, Self.lockPath: Self.lockLimit,
      GRUBImages.menuPath: Self.menuLimit,
    ]
    wanted[Self.kernelPath] = Self.kernelHead
    let tree = try ISOFiles(path, length: iso.length, digests: digests, wanted: wanted, cancellation: cancellation)
    guard let bytes = tree.contents[ApplianceManifest.path] else {
      throw BuildError(
        .badFile, "\(path) is no appliance: there is no \(ApplianceManifest.path) in it",
        hint: "take an image that 'roost build' made")
    }
    do throws(ManifestError) {
      manifest = try ApplianceManifest.decode(bytes, path: "\(path): \(ApplianceManifest.path)")
    } catch {
      throw BuildError(.badFile, EscapedText.make("\(error)", lines: true))
    }
    self.path = path
    self.bytes = available
    volume = Volume(
      identifier: EscapedText.make(iso.descriptors.identifier), uuid: iso.descriptors.uuid, bytes: iso.length)
    files = tree.files
    menu = GRUBMenu.titles(tree.contents[GRUBImages.menuPath] ?? []).map { EscapedText.make($0) }
    commandLine = GRUBMenu.commandLine(tree.contents[GRUBImages.menuPath] ?? [], kernel: Self.kernelPath)
      .map { EscapedText.make($0) }
    kernelVersion = tree.contents[Self.kernelPath].flatMap(KernelFile.version).map { EscapedText.make($0) }
    lockDigest = tree.contents[Self.lockPath].map { SHA256.hash($0).description }
    let document = tree.contents[BillOfMaterials.path].flatMap(SPDXDocument.decode)
    roostVersion = document?.packages.first { $0.SPDXID == BillOfMaterials.roost }?.versionInfo
    roots = document?.roots ?? []
    bootEntries = try Self.bootEntries(file, iso.descriptors, path)
    let head = try attempt("cannot read \(path)") { () throws(SystemError) in
      try file.read(upTo: HybridImage.headBytes, at: 0)
    }
    partitions = Self.partitions(head)
  }

  private static func bootEntries(
    _ file: borrowing FileDescriptor, _ descriptors: VolumeDescriptors, _ path: String
  ) throws(BuildError) -> [BootEntry] {
    guard let block = descriptors.bootCatalog else { return [] }
    let bytes: [UInt8]
    do throws(SystemError) {
      bytes = try file.read(upTo: BootCatalog.bytes, at: block * VolumeDescriptors.block)
    } catch {
      throw BuildError(error, "cannot read \(path)")
    }
    return (BootCatalog(bytes)?.entries ?? []).map { entry in
      let platform: String =
        switch entry.platform {
        case 0: "bios"
        case 0xEF: "uefi"
        default: "0x" + Hex.encode([entry.platform])
        }
      return BootEntry(
        platform: platform, isBootable: entry.isBootable, emulation: entry.media == 0 ? "none" : "\(entry.media)",
        block: entry.block, loadBytes: entry.sectors * GUIDPartitionTable.sector)
    }
  }

  /// What the first megabyte of a disk says of partitions.
  static func partitions(_ head: [UInt8]) -> [Partition] {
    let sector = GUIDPartitionTable.sector
    let record = MasterBootRecord(head)?.entries ?? []
    let old = record.map { entry in
      Partition(
        table: "mbr", number: entry.number, type: Hex.encode([entry.type]), name: nil, start: entry.first * sector,
        bytes: entry.sectors * sector, isActive: entry.isActive)
    }
    let new = (GUIDPartitionTable(head: head)?.partitions ?? []).map { partition in
      Partition(
        table: "gpt", number: partition.number, type: "\(partition.type)", name: EscapedText.make(partition.name),
        start: partition.start, bytes: partition.end - partition.start, isActive: false)
    }
    return old + new
  }
}

/// The partition table of a master boot record (UEFI 2.10, section 5.2.1).
struct MasterBootRecord {
  struct Entry: Hashable {
    /// Counted from 1.
    let number: Int
    let isActive: Bool
    let type: UInt8
    /// First sector.
    let first: Int
    let sectors: Int
  }

  /// All that are not empty.
  let entries: [Entry]

  /// Nil without the record's signature.
  init?(_ head: [UInt8]) {
    guard head.count >= 512, head[510] == 0x55, head[511] == 0xAA else { return nil }
    let reader = ByteReader(head)
    entries = (0..<4).compactMap { index in
      let offset = 446 + index * 16
      guard let first = try? reader.little(UInt32.self, at: offset + 8),
        let sectors = try? reader.little(UInt32.self, at: offset + 12), sectors > 0
      else { return nil }
      return Entry(
        number: index + 1, isActive: head[offset] == 0x80, type: head[offset + 4], first: Int(first),
        sectors: Int(sectors))
    }
  }
}

/// GRUB's menu as a reader sees it.
enum GRUBMenu {
  /// What the kernel of that path is told where it is first started, without what GRUB would fill in.
  static func commandLine(_ bytes: [UInt8], kernel: String) -> String? {
    for line in String(decoding: bytes, as: UTF8.self).split(separator: "\n") {
      let words = line.split(separator: " ")
      guard words.count > 1, words[0] == "linux", words[1] == kernel else { continue }
      return words.dropFirst(2).filter { !$0.contains("$") }.joined(separator: " ")
    }
    return nil
  }

  /// The titles of its entries.
  static func titles(_ bytes: [UInt8]) -> [String] {
    String(decoding: bytes, as: UTF8.self).split(separator: "\n").compactMap { line in
      let text = line.drop { $0 == " " || $0 == "\t" }
      guard text.hasPrefix("menuentry ") else { return nil }
      let rest = text.dropFirst("menuentry ".count).drop { $0 == " " }
      guard let quote = rest.first, quote == "\"" || quote == "'" else { return nil }
      return String(rest.dropFirst().prefix { $0 != quote })
    }
  }
}

extension SPDXDocument {
  /// The root file systems and what they contain.
  var roots: [ImageReport.Root] {
    let byIdentifier = Dictionary(packages.map { ($0.SPDXID, $0) }) { first, _ in first }
    var contained: [String: [Package]] = [:]
    for relation in relationships where relation.relationshipType == "CONTAINS" {
      guard let package = byIdentifier[relation.relatedSpdxElement] else { continue }
      contained[relation.spdxElementId, default: []].append(package)
    }
    return packages.filter { $0.SPDXID.hasPrefix(ImageReport.rootPrefix) }.map { root in
      ImageReport.Root(
        name: root.name,
        packages: (contained[root.SPDXID] ?? []).map {
          .init(name: $0.name, version: $0.versionInfo ?? "", purl: $0.purl, license: $0.licenseDeclared)
        })
    }
  }
}
