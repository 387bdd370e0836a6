import Fuzzing
import Platform

@testable import ImageBuilder

extension FuzzTarget {
  /// What stands outside of an image's files: volume descriptors, boot catalogue, boot record, menu.
  static let imageHead = FuzzTarget(
    "image-head",
    seeds: {
      var descriptor = [UInt8](repeating: 0x20, count: 2048)
      descriptor.replaceSubrange(0..<7, with: [1] + Array("CD001".utf8) + [1])
      descriptor.replaceSubrange(830..<846, with: Array("2025010203040506".utf8))
      var boot = [UInt8](repeating: 0, count: 2048)
      boot.replaceSubrange(0..<30, with: [0] + Array("CD001".utf8) + [1] + Array("EL TORITO SPECIFICATION".utf8))
      var catalog = [UInt8](repeating: 0, count: 128)
      catalog.replaceSubrange(0..<2, with: [1, 0])
      catalog.replaceSubrange(28..<34, with: [0xAA, 0x55, 0x55, 0xAA, 0x88, 0])
      catalog.replaceSubrange(64..<68, with: [0x91, 0xEF, 1, 0])
      return [descriptor + boot, catalog, Array("menuentry \"a\" {\nmenuentry 'b\n".utf8)]
    },
    run: { input in
      let bytes = input.rest()
      if let descriptors = VolumeDescriptors(bytes) {
        precondition(EscapedText.make(descriptors.identifier).utf8.count <= 32 * 12)
        _ = descriptors.uuid
      }
      if let catalog = BootCatalog(bytes) { precondition(catalog.entries.count <= bytes.count / 32) }
      for entry in MasterBootRecord(bytes)?.entries ?? [] { precondition((1...4).contains(entry.number)) }
      _ = ImageReport.partitions(bytes)
      _ = GRUBMenu.titles(bytes)
      _ = KernelFile.version(bytes)
      precondition(
        EscapedText.make(String(decoding: bytes, as: UTF8.self)).utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7F })
    })

  /// The lock of a recipe, which comes with the recipe from wherever that is from.
  static let recipeLock = FuzzTarget(
    "recipe-lock",
    seeds: {
      let digest = String(repeating: "ab", count: 32)
      return [
        Array(
          """
          roost-lock 1
          tool zstd 1.5
          file disc \(digest)
          root guest trixie bash vim
          archive deb http://deb.example.org/debian trixie main
          package bash 1:5.2-1+b1 amd64 12 \(digest)

          """.utf8)
      ]
    },
    run: { input in
      guard let lock = try? RecipeLock(String(decoding: input.rest(), as: UTF8.self), path: "a.lock") else { return }
      for package in lock.roots.flatMap(\.packages) {
        precondition(!package.archiveName.contains("/") && !package.archiveName.hasPrefix("."))
      }
      // What was read is written, and read as the same.
      guard let again = try? RecipeLock(lock.text, path: "b.lock") else {
        preconditionFailure("its own text is refused")
      }
      precondition(again.text == lock.text)
    })

  /// Debian's files of fields: what is installed, and under which licences.
  static let debianFields = FuzzTarget(
    "debian-fields",
    seeds: {
      [
        Array("Package: a\nStatus: install ok installed\nArchitecture: amd64\nSource: b (1)\nVersion: 1:2~3\n".utf8),
        Array(
          """
          Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/

          Files: *
          License: GPL-2+ with Bison exception or Expat, and own
           text
           .

          """.utf8),
      ]
    },
    run: { input in
      let bytes = input.rest()
      let packages = ControlFile.paragraphs(bytes).compactMap { InstalledPackage($0) }
      for package in packages { precondition(package.purl(suite: "trixie").hasPrefix("pkg:deb/debian/")) }
      if let copyright = CopyrightFile(bytes, package: "a") {
        precondition(!copyright.expression.isEmpty)
        precondition(copyright.texts.keys.allSatisfy { copyright.expression.contains($0) })
      }
      let text = String(decoding: bytes, as: UTF8.self)
      let halves = text.split(separator: "\n", maxSplits: 1).map { DebianVersion(String($0)) }
      if halves.count == 2 { precondition(!(halves[0] < halves[1] && halves[1] < halves[0])) }
    })
}
