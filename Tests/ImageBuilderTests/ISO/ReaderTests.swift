import Platform
import Testing

@testable import ImageBuilder

/// Programs that people look at images with: each must see the same, and nothing to complain about.
@Suite("What other programs say of an image", .enabled(if: TestImage.missing == nil, "\(TestImage.missing ?? "")"))
struct ReaderTests {
  /// A program, and what of its output is asked for.
  struct Reader: CustomTestStringConvertible, Sendable {
    let arguments: [String]
    let expected: [String]

    var testDescription: String { arguments.joined(separator: " ") }
  }

  static let readers = [
    Reader(
      arguments: ["xorriso", "-indev", "@", "-report_el_torito", "plain", "-report_system_area", "plain"],
      expected: [
        "Boot record  : El Torito , MBR protective-msdos-label grub2-mbr cyl-align-off GPT", "BIOS  y   none",
        "UEFI  y   none", "GPT partname local :   1  ISO9660", "GPT partname local :   2  Appended2",
      ]),
    Reader(
      arguments: ["isoinfo", "-d", "-i", "@"],
      expected: [
        "CD-ROM is in ISO 9660 format", "Joliet with UCS level 3 found", "Rock Ridge signatures version 1 found",
        "Eltorito defaultboot header", "Bootid 88 (bootable)",
      ]),
    Reader(arguments: ["isoinfo", "-R", "-l", "-i", "@"], expected: ["Directory listing of /boot/grub/", "grub.cfg"]),
    Reader(arguments: ["isoinfo", "-J", "-f", "-i", "@"], expected: ["/boot/grub/loopback.cfg"]),
    Reader(arguments: ["fdisk", "-l", "@"], expected: ["Disklabel type: gpt", "EFI System"]),
    Reader(arguments: ["sgdisk", "-v", "@"], expected: ["No problems found."]),
    Reader(arguments: ["gdisk", "-l", "@"], expected: ["MBR: protective", "GPT: present", "ISO9660", "EF00"]),
    Reader(arguments: ["parted", "-s", "@", "unit", "s", "print"], expected: ["Partition Table: gpt", "boot, esp"]),
    // With two answers it exits with 8 ("ambivalent").
    Reader(arguments: ["blkid", "-p", "-o", "export", "@"], expected: ["TYPE=iso9660", "PTTYPE=gpt"]),
  ]

  /// Words that programs complain with.
  static let complaints = [
    "WARNING", "Warning", "warning", "FAILURE", "SORRY", "Error", "error", "damaged", "orrupt", "Caution", "nvalid",
    "ismatch", "verlap", "truncated",
  ]

  /// A small image, and the one that was built, where there is one.
  private func images() throws -> [(path: String, owner: TestImage?)] {
    let test = try TestImage()
    try test.bootable().write(to: test.path)
    var images: [(path: String, owner: TestImage?)] = [(test.path, test)]
    if let built = ProcessEnvironment.value("ROOST_ISO"), Files.exists(built) { images.append((built, nil)) }
    return images
  }

  @Test("It is read without a complaint", arguments: readers)
  func reads(_ reader: Reader) throws {
    guard let program = reader.arguments.first, Command.find(program) != nil else {
      try Test.cancel("this machine has no \(reader.arguments.first ?? "")")
    }
    for (path, owner) in try images() {
      defer { withExtendedLifetime(owner) {} }
      let outcome = try Command(reader.arguments.map { $0 == "@" ? path : $0 }).run(cancellation: Cancellation())
      #expect(outcome.status.isSuccess, "\(outcome.status):\n\(outcome.text)")
      for word in reader.expected { #expect(outcome.text.contains(word), "no '\(word)' in:\n\(outcome.text)") }
      for word in Self.complaints { #expect(!outcome.text.contains(word), "'\(word)' in:\n\(outcome.text)") }
    }
  }

  @Test("A table that is damaged is complained of: these tests can fail")
  func canFail() throws {
    guard Command.find("sgdisk") != nil else { try Test.cancel("this machine has no sgdisk") }
    let test = try TestImage()
    try test.bootable().write(to: test.path)
    var bytes = try Files.read(test.path)
    bytes[bytes.count - 100] ^= 0xFF
    bytes[1024 + 40] ^= 0xFF
    try Files.write(bytes, to: test.path)
    let outcome = try Command(["sgdisk", "-v", test.path]).run(cancellation: Cancellation())
    #expect(!outcome.text.contains("No problems found."))
  }
}
