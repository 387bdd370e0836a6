import Testing

@testable import ImageBuilder

@Suite("Licences of Debian packages")
struct CopyrightTests {
  @Test(
    "Short names become SPDX's identifiers, and operators keep their order",
    arguments: [
      ("GPL-2+", "GPL-2.0-or-later"), ("GPL-2", "GPL-2.0-only"), ("LGPL-2.1+", "LGPL-2.1-or-later"),
      ("Expat", "MIT"), ("BSD-3-clause or GPL-3", "BSD-3-Clause OR GPL-3.0-only"),
      ("GPL-2+ or Expat, and ISC", "(GPL-2.0-or-later OR MIT) AND ISC"),
      ("Expat and ISC or Zlib", "MIT AND ISC OR Zlib"),
      ("GPL-3+ with Autoconf exception", "GPL-3.0-or-later WITH Autoconf-exception-2.0"),
      ("GFDL-NIV-1.3+", "GFDL-1.3-no-invariants-or-later"),
      ("public-domain", "[public-domain]"), ("GPL-2+ with OpenSSL exception", "[GPL-2+ with OpenSSL exception]"),
      ("GPL-9", "[GPL-9]"), ("or", "[or]"), ("", "[unknown]"), (" , ", "[unknown]"),
      ("GPL-2 or", "GPL-2.0-only OR [unknown]"),
    ])
  func expressions(_ text: String, _ expected: String) {
    #expect(LicenseExpression(text).text { "[\($0)]" } == expected)
  }

  private static let file = """
    Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
    Upstream-Name: thing

    Files: *
    Copyright: 2020 Somebody
    License: GPL-2+ or Expat

    Files: a.c b.c
    Copyright: none
    License: own
     Do what you like,
     .
     and more.

    Files: debian/*
    Copyright: 2021 Somebody else
    License: own

    License: GPL-2+
     See common-licenses.

    """

  @Test("All files' licences are joined, each once; a text without a name of SPDX's comes along")
  func wholeFile() throws {
    let copyright = try #require(CopyrightFile(Array(Self.file.utf8), package: "thing"))
    let reference = try #require(copyright.texts.keys.first)
    #expect(reference.hasPrefix("LicenseRef-debian-own-"))
    #expect(copyright.expression == "(GPL-2.0-or-later OR MIT) AND \(reference)")
    #expect(copyright.texts == [reference: "Do what you like,\n\nand more."])
  }

  @Test("A file that is for people says nothing to machines")
  func prose() {
    #expect(CopyrightFile(Array("This is Debian's package of thing.\n\nLicense: GPL-2\n".utf8), package: "a") == nil)
    #expect(CopyrightFile([], package: "a") == nil)
    #expect(CopyrightFile([0xFF, 10, 0x3A, 10], package: "a") == nil)
  }
}

@Suite("Debian packages in a tree")
struct PackageTests {
  @Test("dpkg's status tells what is installed, and what it was built from")
  func status() throws {
    let text = """
      Package: libc6
      Status: install ok installed
      Architecture: amd64
      Source: glibc
      Version: 2.41-12

      Package: gone
      Status: deinstall ok config-files
      Architecture: amd64
      Version: 1

      Package: libstdc++6
      Status: install ok installed
      Architecture: amd64
      Source: gcc-14 (14.2.0-19)
      Version: 1:14.2.0-19+b1
      Description: a library
       with more: lines
      """
    let packages = ControlFile.paragraphs(Array(text.utf8)).compactMap { InstalledPackage($0) }
    #expect(packages.map(\.name) == ["libc6", "libstdc++6"])
    let library = try #require(packages.last)
    #expect(packages[0].source == "glibc" && packages[0].sourceVersion == "2.41-12")
    #expect(library.source == "gcc-14" && library.sourceVersion == "14.2.0-19")
    #expect(library.fileName == "libstdc++6_1%3a14.2.0-19+b1_amd64.deb")
    #expect(
      library.purl(suite: "trixie")
        == "pkg:deb/debian/libstdc%2B%2B6@1:14.2.0-19%2Bb1?arch=amd64&distro=trixie&upstream=gcc-14%4014.2.0-19")
    #expect(
      packages[0].purl(suite: "trixie")
        == "pkg:deb/debian/libc6@2.41-12?arch=amd64&distro=trixie&upstream=glibc")
  }

  @Test("Versions are ordered as Debian orders them")
  func versions() {
    let ascending = [
      "1.0~rc1", "1.0", "1.0-1", "1.0-1+b1", "1.0a", "1.0+x", "1.2", "1.10", "1.10-00002", "1.10-10", "1:0.1", "2:0",
    ]
    for (index, older) in ascending.enumerated() {
      for newer in ascending[(index + 1)...] {
        #expect(DebianVersion(older) < DebianVersion(newer), "\(older) is before \(newer)")
        #expect(!(DebianVersion(newer) < DebianVersion(older)))
      }
    }
    #expect(DebianVersion("1.0-0") == DebianVersion("1.0"))
    #expect(DebianVersion("007") == DebianVersion("7"))
    #expect(!(DebianVersion("") < DebianVersion("")))
  }

  /// A tree as mmdebstrap leaves it, and the packages' files beside it.
  @Test("The tree is read, not this machine: status, single files of packages, shared copyright files, digests")
  func inventory() throws {
    let directory = try TemporaryDirectory()
    let tar = "\(directory.path)/tree.tar"
    let writer = try ArchiveWriter(tar, .tar, epoch: 1)
    let status = "Package: a\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1\n\n"
    let more = "Package: b\nStatus: install ok installed\nArchitecture: all\nVersion: 2\n"
    let copyright =
      "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\nFiles: *\nLicense: ISC\n"
    for entry: TreeEntry in [
      .text("var/lib/dpkg/status", status + more),
      .text("var/lib/dpkg/status.d/kernel", "Package: kernel\nVersion: 6\nArchitecture: amd64\nSource: linux (6-1)\n"),
      .text("usr/share/doc/a/copyright", copyright), .link("usr/share/doc/b", to: "a"),
    ] { try writer.add(entry) }
    try writer.finish()
    try directory.write("a_1_amd64.deb", "the package")
    let inventory = try PackageInventory(
      suite: "trixie", tree: tar, downloads: directory.path, cancellation: Cancellation())
    #expect(inventory.packages.map(\.name) == ["a", "b", "kernel"])
    #expect(inventory.packages.map(\.license) == ["ISC", "ISC", nil])
    #expect(inventory.packages[0].sha256 == "ab326f16dec533ba65139949246581c016b9d4c77d0de0046e65f48e575372a3")
    #expect(inventory.packages[1].sha256 == nil)
    try directory.write("list", String(decoding: try inventory.encoded(), as: UTF8.self))
    #expect(try PackageInventory(file: "\(directory.path)/list") == inventory)
  }
}
