import Binary
import Manifest
import Platform
import Recipe
import Testing

@testable import ImageBuilder

/// Which programs and libraries of Debian's the control domain has.
@Suite("Userland")
struct UserlandTests {
  private static let libraries = "usr/lib/x86_64-linux-gnu"

  private static func list(_ package: String, _ files: [String]) -> TreeEntry {
    .text("var/lib/dpkg/info/\(package).list", "/.\n/usr\n/usr/bin\n" + files.map { "/\($0)\n" }.joined())
  }

  private static func link(_ name: String, _ target: String) -> TreeEntry { .link("\(libraries)/\(name)", to: target) }

  private static func entry(_ path: String, _ needed: [String] = [], permissions: UInt32 = 0o755) -> TreeEntry {
    .bytes(path, SampleProgram.linked(with: needed), permissions: permissions)
  }

  /// A small Debian: bash and ls want libtinfo and libselinux, dpkg wants libmd, `su` PAM with its modules, which want
  /// libaudit; a program of Roost's wants liburing.
  private func root(_ directory: TemporaryDirectory, more: [TreeEntry] = []) throws -> String {
    let tar = "\(directory.path)/root.tar"
    let writer = try ArchiveWriter(tar, .tar, epoch: 0)
    let own = Self.libraries
    let entries: [TreeEntry] =
      [
        .directory("usr/bin", permissions: 0o755), .directory("usr/sbin", permissions: 0o755),
        Self.entry("usr/bin/bash", ["libtinfo.so.6"]), Self.entry("usr/bin/ls", ["libselinux.so.1"]),
        Self.entry("usr/bin/dpkg", ["libmd.so.0"]), Self.entry("usr/bin/su", ["libpam.so.0"]),
        Self.entry("usr/bin/busybox"), Self.entry("usr/bin/ip", ["libelf.so.1", "libc.so.6"]),
        .link("usr/bin/sh", to: "bash"), .link("usr/bin/editor", to: "/etc/alternatives/editor"),
        .link("etc/alternatives/editor", to: "/usr/bin/ls"),
        Self.link("libtinfo.so.6", "libtinfo.so.6.5"), Self.link("libelf.so.1", "libelf-0.192.so"),
        Self.entry("\(own)/libelf-0.192.so", ["libz.so.1"]), Self.entry("\(own)/libc_odd.so.1"),
      ]
      + [
        "libtinfo.so.6.5", "libselinux.so.1", "libmd.so.0", "libpam.so.0", "libaudit.so.1", "libz.so.1", "libc.so.6",
        "liburing.so.2", "libmvec.so.1",
      ].map { Self.entry("\(own)/\($0)", permissions: 0o644) }
      + [
        Self.entry("\(own)/security/pam_unix.so", ["libaudit.so.1"], permissions: 0o644),
        Self.list("bash", ["bin/bash", "usr/bin/sh", "usr/share/doc/bash/copyright"]),
        Self.list("coreutils", ["usr/bin/ls"]), Self.list("dpkg", ["usr/bin/dpkg"]),
        Self.list("util-linux", ["usr/bin/su"]), Self.list("libmd0:amd64", ["\(own)/libmd.so.0"]),
        Self.list("libc6:amd64", ["\(own)/libc.so.6", "\(own)/libc_odd.so.1", "\(own)/libmvec.so.1"]),
        .text("usr/share/doc/bash/copyright", "free"),
        .text(
          "var/lib/dpkg/status",
          "Package: bash\nVersion: 5\nDescription: a shell\n It is.\n\nPackage: dpkg\nVersion: 1\n\nPackage: libmd0\n\n"
            + "Package: libc6\n\n"),
      ] + more
    for entry in entries { try writer.add(entry) }
    try writer.finish()
    return tar
  }

  private func choose(
    _ kind: String, packages: String = "[]", files: String = "[]", more: [TreeEntry] = []
  ) throws -> Userland.Choice {
    let directory = try TemporaryDirectory()
    let tar = try root(directory, more: more)
    try Files.write(SampleProgram.linked(with: ["liburing.so.2"]), to: "\(directory.path)/roost-vmm")
    try Files.write("from elsewhere", to: "\(directory.path)/probe")
    let text = """
      name: lab
      control-domain: {suite: trixie, userland: \(kind), packages: \(packages), files: \(files)}
      domains: [{name: a, memory: 32 MiB, source: {hatchling: {}}}]
      """
    let recipe = try Recipe.parse(text, file: "lab.yaml", directory: directory.path)
    return try Userland(recipe.controlDomain).choose(
      tar, isOmitted: { $0.hasPrefix("var/lib/dpkg/info/") }, programs: ["\(directory.path)/roost-vmm"],
      applets: ["ls", "sh", "ip", "vi", "init", "poweroff", "dpkg"], cancellation: Cancellation())
  }

  /// What is left out of `usr/bin`, and of the libraries.
  private func short(_ choice: Userland.Choice) -> Set<String> {
    Set(
      choice.omitted.compactMap { path in
        path.hasPrefix("usr/bin/") || path.hasPrefix(Self.libraries)
          ? path.split(separator: "/").last.map(String.init) : nil
      }
    ).subtracting(["iconv", "localedef", "rdma", "ss", "zdump"])
  }

  @Test("A shell's own programs stay; what packs a system goes, and libraries that nobody is linked with")
  func gnu() throws {
    let choice = try choose("gnu")
    #expect(short(choice) == ["dpkg", "libmd.so.0", "libmvec.so.1"])
    #expect(choice.applets.isEmpty)
    #expect(choice.absent == ["dpkg", "libmd0"])
    guard case .bytes(let status)? = choice.status?.content else { throw BuildError(.content, "no status") }
    #expect(
      String(decoding: status, as: UTF8.self)
        == "Package: bash\nVersion: 5\nDescription: a shell\n It is.\n\nPackage: libc6\n\n")
  }

  @Test("Busybox takes the place of the rest, and plug-ins go with their library")
  func busybox() throws {
    let choice = try choose("busybox")
    #expect(
      short(choice) == [
        "dpkg", "bash", "sh", "ls", "su", "editor", "libmd.so.0", "libmvec.so.1", "libtinfo.so.6", "libtinfo.so.6.5",
        "libselinux.so.1", "libpam.so.0", "libaudit.so.1", "pam_unix.so",
      ])
    #expect(choice.applets == ["ls", "sh", "vi"], "ip is iproute2's, init and poweroff are Roost's")
    #expect(!choice.omitted.contains("usr/share/doc/bash/copyright"))
    #expect(choice.absent == ["bash", "coreutils", "dpkg", "libmd0", "util-linux"])
  }

  @Test("Where the recipe has packages of its own, their libraries and all others stay")
  func packages() throws {
    #expect(short(try choose("gnu", packages: "[nmap]")) == ["dpkg"])
    let busybox = try choose("busybox", packages: "[nmap]")
    #expect(short(busybox) == ["dpkg", "bash", "sh", "ls", "su", "editor"])
  }

  @Test("Where the recipe brings files, which may be programs, all libraries stay; its texts are none")
  func files() throws {
    #expect(short(try choose("gnu", files: "[{path: /opt/probe, from: probe}]")) == ["dpkg"])
    #expect(short(try choose("gnu", files: "[{path: /etc/motd, text: hello}]")).contains("libmvec.so.1"))
  }

  @Test("A library that a needed one wants stays, also where it does so in a circle")
  func closure() throws {
    let more = [
      Self.entry("usr/sbin/nft", ["liba.so"]), Self.entry("\(Self.libraries)/liba.so", ["libb.so"]),
      Self.entry("\(Self.libraries)/libb.so", ["liba.so", "libmd.so.0"]),
    ]
    #expect(short(try choose("gnu", more: more)) == ["dpkg", "libmvec.so.1"])
  }

  @Test("A root without busybox is refused where it is to be the shell")
  func missing() throws {
    let directory = try TemporaryDirectory()
    let tar = "\(directory.path)/root.tar"
    let writer = try ArchiveWriter(tar, .tar, epoch: 0)
    try writer.add(.directory("usr/bin", permissions: 0o755))
    try writer.finish()
    let recipe = try Recipe.parse(
      """
      name: lab
      control-domain: {suite: trixie, userland: busybox}
      domains: [{name: a, memory: 32 MiB, source: {hatchling: {}}}]
      """, file: "lab.yaml", directory: directory.path)
    #expect(throws: BuildError.self) {
      try Userland(recipe.controlDomain).choose(
        tar, isOmitted: { _ in false }, programs: [], applets: [], cancellation: Cancellation())
    }
  }

  @Test("What an ELF file is linked with is read, and a damaged one refused at every length")
  func elf() throws {
    let bytes = SampleProgram.linked(with: ["libc.so.6", "libblkid.so.1"])
    #expect(try SharedObject.needed(bytes) == ["libc.so.6", "libblkid.so.1"])
    #expect(try SharedObject.needed(Array("#!/bin/sh\n".utf8)) == [])
    #expect(try SharedObject.needed(SampleProgram.linked(with: [])) == [])
    for length in 64..<bytes.count {
      #expect(throws: TruncatedInput.self, "\(length)") { try SharedObject.needed(Array(bytes.prefix(length))) }
    }
    // Every byte of the headers and the section, set to what is most likely to go wrong.
    for place in 6..<(bytes.count - 20) {
      for value: UInt8 in [0, 0x7F, 0xFF] {
        var other = bytes
        other[place] = value
        _ = try? SharedObject.needed(other)
      }
    }
    // What this machine's own linker made.
    #expect(try SharedObject.needed(try Files.read("/proc/self/exe")).contains { $0.hasPrefix("libc.so") })
  }
}
