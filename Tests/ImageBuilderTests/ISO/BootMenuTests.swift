import Binary
import Testing

@testable import ImageBuilder
@testable import Platform

@Suite struct BootMenuTests {
  static let template =
    String(#filePath.dropLast("Tests/ImageBuilderTests/ISO/BootMenuTests.swift".count))
    + "iso/grub.cfg"

  @Test func fillsTheTemplate() throws {
    let uuid = VolumeUUID(digest: SHA256.hash("a volume for tests"))
    let line = BootMenu.commandLine(medium: uuid, root: SHA256.hash("root"))
    #expect(
      line.hasPrefix("roost.medium=2012-08-10-05-11-09-89 roost.root=verity:\(SHA256.hash("root")) console=tty0 "))
    let text = try BootMenu(title: "Roost quickstart", commandLine: line).text(template: Self.template)
    #expect(text.contains("menuentry \"Roost quickstart\" --id roost {"))
    #expect(text.contains("  linux /roost/vmlinuz \(line) $1 $2\n"))
    #expect(text.contains("  linux /roost/vmlinuz \(line) \"iso-scan/filename=$iso_path\" $1 $2\n"))
    #expect(
      GRUBMenu.titles(Array(text.utf8)) == [
        "Roost quickstart", "Roost quickstart: live session, in memory",
        "Roost quickstart: to RAM, and the medium can be taken out",
        "Roost quickstart: persistent, and only with the disk of the guests", "Roost quickstart: rescue shell",
        "Memory test (memtest86+)",
      ])
    #expect(!text.contains("@"))
  }

  @Test func refusesWordsThatItDoesNotKnow() throws {
    let error = #expect(throws: BuildError.self) {
      try BootMenu(title: "T", commandLine: "c").fill("set timeout=3\nlinux @COMMANDLINE@\n", from: "grub.cfg")
    }
    #expect(error?.description.contains("grub.cfg:2: '@COMMANDLINE@'") == true)
  }

  @Test(arguments: ["quick\"; halt", "$root", "two\nlines", "a@b"])
  func refusesWhatWouldBecomeAScript(_ title: String) {
    #expect(throws: BuildError.self) {
      try BootMenu(title: title, commandLine: "quiet").fill("menuentry \"@TITLE@\" {}", from: "grub.cfg")
    }
  }

  @Test func saysWhichTemplateIsMissing() {
    let error = #expect(throws: BuildError.self) {
      try BootMenu(title: "T", commandLine: "c").text(template: "/nonexistent/grub.cfg")
    }
    #expect(error?.description.contains("/nonexistent/grub.cfg") == true)
    #expect(error?.description.contains("--share") == true)
  }
}
