import Binary
import Manifest
import Platform
import Recipe
import Testing

@testable import ImageBuilder

@Suite("The bill of materials")
struct BillOfMaterialsTests {
  private static let recipe = """
    name: lab
    control-domain: {suite: trixie, hostname: lab}
    sources:
      disc: {url: "https://example.org/disc.iso", sha256: \(String(repeating: "ab", count: 32))}
    domains:
      - name: one
        os: Debian 13
        disk: 2 GiB
        memory: 256 MiB
        source: {debian: {suite: trixie, packages: [], hostname: one}}
        ready: {console: "one login:", timeout: 60 s}
      - name: two
        os: Something
        memory: 256 MiB
        boot: bios
        cdrom: {from: disc}
        source: {image: disk.img}
        ready: {console: "ok", timeout: 60 s}

    """

  /// Makes the document out of lists of packages that are in `directory`.
  private func document(
    _ directory: TemporaryDirectory, version: String = "1", packages: [String] = ["base-files"], domains: String = ""
  ) throws -> [UInt8] {
    for name in Programs.names + [Programs.gateway, Programs.hatchling] { try directory.write(name, "a program") }
    try directory.write(Programs.bootMenu, "@TITLE@ @COMMAND_LINE@")
    try directory.write("recipe.yaml", Self.recipe + domains)
    try directory.write("disk.img", "a disk")
    var options = BuildOptions(output: "\(directory.path)/out.iso")
    options.programs = directory.path
    let plan = try BuildPlan(
      try Recipe.load("\(directory.path)/recipe.yaml"), options, versions: ["grub-pc-bin": "2.12-9", "mtools": "4"])
    let step = try #require(plan.steps.last { $0.kind == "bill-of-materials" })
    var results: [String: String] = [:]
    for input in step.inputs {
      let place = "\(directory.path)/\(results.count)"
      try Files.makeDirectories(place)
      results[input.step] = place
      guard input.file == PackageInventory.file else {
        try Files.write("content", to: "\(place)/\(input.file)")
        continue
      }
      let installed = try packages.map { name in
        try #require(InstalledPackage(["package": name, "version": version, "architecture": "amd64"]))
      }
      try Files.write(
        try PackageInventory(suite: "trixie", packages: installed).encoded(), to: "\(place)/\(input.file)")
    }
    let context = StepContext(
      output: directory.path, scratch: directory.path, log: "\(directory.path)/log", epoch: plan.epoch,
      cache: directory.path, cancellation: Cancellation(), results: results, report: { _ in })
    try step.run(context)
    return try Files.read("\(directory.path)/\(BillOfMaterials.file)")
  }

  @Test("A guest that is an image has the image and its kernel's package, and no others of a Debian's")
  func image() throws {
    let directory = try TemporaryDirectory()
    try Files.makeDirectories("\(directory.path)/image")
    try directory.write("image/index.json", "{}")
    let bytes = try document(
      directory, packages: ["base-files", "linux-image-6-amd64"],
      domains: """
          - name: app
            memory: 64 MiB
            disk: 64 MiB
            source: {oci: {image: image, suite: bookworm}}

        """)
    let document = try #require(SPDXDocument.decode(bytes))
    let root = try #require(document.roots.first { $0.name == "kernel of guests: Debian bookworm" })
    #expect(root.packages.map(\.name) == ["linux-image-6-amd64"])
    let image = try #require(document.packages.first { $0.name == "image" })
    #expect(image.checksums?.first?.checksumValue == SHA256.hash("{}").description)
  }

  @Test(
    "It has each root's packages, what domains are made of with digests and URLs, Roost, and what it is linked with")
  func content() throws {
    let bytes = try document(try TemporaryDirectory())
    let document = try #require(SPDXDocument.decode(bytes))
    #expect(document.roots.map(\.name) == ["control domain: Debian trixie with seabios", "guests: Debian trixie"])
    #expect(document.roots.allSatisfy { $0.packages.map(\.name) == ["base-files"] })
    let disc = try #require(document.packages.first { $0.name == "disc" })
    #expect(disc.downloadLocation == "https://example.org/disc.iso")
    #expect(disc.sha256 == String(repeating: "ab", count: 32))
    let disk = try #require(document.packages.first { $0.name == "disk.img" })
    #expect(disk.sha256?.count == 64)
    #expect(document.packages.contains { $0.name == "roost" && $0.versionInfo == RoostVersion.current })
    #expect(document.packages.contains { $0.purl == "pkg:swift/github.com/apple/swift-argument-parser@1.8.2" })
    #expect(!document.packages.contains { $0.name == "swift-nio" }, "this image has no HTTP interface")
    #expect(document.packages.contains { $0.name == "grub-pc-bin" && $0.versionInfo == "2.12-9" })
    #expect(!document.packages.contains { $0.name == "mtools" })
    #expect(document.creationInfo.created == "2025-08-09T00:00:00Z")
  }

  @Test("Identifiers are those that SPDX allows, each is there once, and every relationship is between two of them")
  func identifiers() throws {
    let document = try #require(SPDXDocument.decode(try document(try TemporaryDirectory())))
    let all = document.packages.map(\.SPDXID)
    #expect(Set(all).count == all.count)
    for identifier in all {
      #expect(identifier.hasPrefix("SPDXRef-"))
      #expect(identifier.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "." || $0 == "-") })
    }
    let known = Set(all + [document.SPDXID])
    for relation in document.relationships {
      #expect(known.contains(relation.spdxElementId) && known.contains(relation.relatedSpdxElement), "\(relation)")
    }
  }

  @Test("Equal inputs give equal bytes; another version of a package gives another document of another name")
  func reproducible() throws {
    let first = try document(try TemporaryDirectory())
    #expect(try document(try TemporaryDirectory()) == first)
    let other = try #require(SPDXDocument.decode(try document(try TemporaryDirectory(), version: "2")))
    #expect(other.documentNamespace != SPDXDocument.decode(first)?.documentNamespace)
  }

  @Test("It lies beside the image by the image's name")
  func sidecar() {
    #expect(BillOfMaterials.sidecar(of: "build/lab.iso") == "build/lab.spdx.json")
    #expect(BillOfMaterials.sidecar(of: "lab") == "lab.spdx.json")
  }

  @Test("The libraries that it names have the versions that the programs are built with")
  func libraries() throws {
    let root = #filePath.split(separator: "/").dropLast(4).joined(separator: "/")
    let pins = try FlatJSON.values(try Files.read("/\(root)/Package.resolved"))
    var versions: [String: String] = [:]
    for (path, location) in pins where path.hasSuffix(".location") {
      let pin = path.dropLast("location".count)
      let name = location.split(separator: "/").last.map { $0.hasSuffix(".git") ? String($0.dropLast(4)) : String($0) }
      versions[name ?? ""] = pins["\(pin)state.version"]
    }
    for library in LinkedLibrary.all where library.purl != nil && library.name.contains("swift-") {
      #expect(versions[library.name] == library.version, "\(library.name)")
    }
    #expect(versions["hummingbird"] == LinkedLibrary.all.first { $0.name == "hummingbird" }?.version)
  }
}
