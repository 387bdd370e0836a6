import Manifest
import Testing

@testable import ImageBuilder
@testable import Platform

@Suite("What changed between images")
struct DifferenceTests {
  private static func report(_ change: (inout ImageReport) -> Void = { _ in }) -> ImageReport {
    var report = ImageReport(
      path: "a.iso", bytes: 300 << 20, volume: .init(identifier: "ROOST_LAB", uuid: nil, bytes: 300 << 20),
      bootEntries: [.init(platform: "bios", isBootable: true, emulation: "none", block: 83, loadBytes: 2048)],
      menu: ["Roost: lab"], commandLine: "quiet",
      partitions: [
        .init(table: "gpt", number: 1, type: "x", name: "ISO9660", start: 0, bytes: 1 << 20, isActive: false)
      ], roostVersion: "0.1.0", kernelVersion: "6.12.41", lockDigest: nil, manifest: InspectionTests.manifest(),
      files: [.init(path: "/roost/vmlinuz", bytes: 1 << 20, sha256: "a")],
      roots: [
        .init(
          name: "guests: Debian trixie",
          packages: [
            .init(name: "bash", version: "5.2-1", license: "x"), .init(name: "nano", version: "8-1", license: "x"),
            .init(name: "old", version: "1", license: "x"),
          ])
      ])
    change(&report)
    return report
  }

  private func lines(_ change: (inout ImageReport) -> Void) throws -> [String] {
    try ImageDifference(Self.report(), Self.report(change)).lines
  }

  @Test("Equal images have no difference, whatever their names")
  func same() throws {
    let difference = try ImageDifference(Self.report(), Self.report { $0.path = "b.iso" })
    #expect(difference.isEmpty && difference.lines.isEmpty)
  }

  @Test("Packages are added, removed, upgraded and downgraded, also where a root has others beside them")
  func packages() throws {
    let found = try lines { report in
      report.roots[0].name = "guests: Debian trixie with tree"
      report.roots[0].packages = [
        .init(name: "bash", version: "5.2-2", license: "x"), .init(name: "nano", version: "8~rc1", license: "x"),
        .init(name: "tree", version: "2", license: "x"),
      ]
    }
    #expect(
      found == [
        "Packages of guests: Debian trixie with tree", "  bash: upgraded from 5.2-1 to 5.2-2",
        "  nano: downgraded from 8-1 to 8~rc1", "  old: removed, 1", "  tree: added, 2",
      ])
  }

  @Test("A root that is there as it was is compared with itself, whatever comes before it")
  func roots() throws {
    func root(_ package: String) -> ImageReport.Root {
      .init(
        name: "guests: Debian trixie with \(package)", packages: [.init(name: package, version: "1", license: "x")])
    }
    let found = try ImageDifference(
      Self.report { $0.roots = [root("git"), root("vim")] }, Self.report { $0.roots = [root("curl"), root("git")] }
    ).lines
    #expect(
      found == ["Packages of guests: Debian trixie with curl", "  curl: added, 1", "  vim: removed, 1"])
  }

  @Test("Domains are added, removed and changed; the rest of the recipe is said by itself")
  func recipe() throws {
    let found = try lines { report in
      report.manifest.domains[0].memoryBytes = 512 << 20
      report.manifest.domains[0].boot.commandLine = "quiet debug"
      report.manifest.network.address = "10.78.0.1/24"
      report.manifest.recipeDigest = "another"
      report.manifest.storage.mediumUUID = "another"
    }
    #expect(found.contains("  debian: boot, command line: quiet became 'quiet debug'"))
    #expect(found.contains("  debian: memory: 384 MiB became 512 MiB"))
    #expect(found.contains("  network, address: 10.77.0.1/24 became 10.78.0.1/24"))
    #expect(found.contains { $0.hasPrefix("  recipe: ") })
    #expect(!found.contains { $0.contains("UUID") })
    let renamed = try lines { $0.manifest.domains[0].name = "other" }
    #expect(renamed == ["Domains", "  other was added", "  debian was removed"])
  }

  @Test("Kernel, menu, files and sizes are compared")
  func rest() throws {
    let found = try lines { report in
      report.kernelVersion = "6.12.43"
      report.menu.append("Memory test")
      report.files = [
        .init(path: "/roost/vmlinuz", bytes: 1 << 20, sha256: "b"), .init(path: "/x", bytes: 5, sha256: "c"),
      ]
      report.bytes += 1 << 20
    }
    #expect(
      found == [
        "Versions", "  kernel: 6.12.41 became 6.12.43", "", "Boot",
        "  menu entry 2: 'Memory test', which was not there",
        "", "Files", "  /roost/vmlinuz: 1 MiB of other content", "  /x: added, 5 bytes", "", "Size",
        "  300 MiB became 301 MiB, 1 MiB more",
      ])
  }

  @Test("Two files are compared, also outside of what the image has as files")
  func images() throws {
    let test = try TestImage()
    let other = "\(test.directory)/other.iso"
    try InspectionTests.tree().write(to: test.path)
    try InspectionTests.tree().write(to: other)
    #expect(try ImageDifference(between: test.path, and: other).isEmpty)
    var bytes = try Files.read(other)
    bytes[100] ^= 1
    try Files.write(bytes, to: other)
    let difference = try ImageDifference(between: test.path, and: other)
    #expect(difference.differsOutsideFiles && !difference.isEmpty)
    try InspectionTests.tree(InspectionTests.manifest(memory: 1 << 30)).write(to: other)
    #expect(
      try ImageDifference(between: test.path, and: other).lines.contains("  debian: memory: 384 MiB became 1 GiB"))
    #expect(throws: BuildError.self) { try ImageDifference(between: test.path, and: "/nonexistent") }
  }
}
