import Binary
import Platform
import Recipe
import Testing

@testable import ImageBuilder

/// Guests' file systems as they come out: e2fsck(8) and debugfs(8) have the last word on them.
@Suite("Debian guests' file systems")
struct GuestDiskTests {
  private static let root = "root"

  /// A root as an archive, its base, and a guest's disk in a directory: the path of the disk.
  private func make(
    _ lines: String, in directory: TemporaryDirectory, as name: String = "disk", more: [TreeEntry] = [],
    loader: GuestLoader? = nil, diskBytes: Int = 1 << 30
  ) throws -> String {
    if !Files.exists("\(directory.path)/\(Self.root)") {
      try Files.makeDirectories("\(directory.path)/\(Self.root)")
      try archive("\(directory.path)/\(Self.root)/\(DebianRoot.archive)", more)
      try GuestBase(root: Self.root).step(epoch: 1_000_000, versions: [:]).run(
        try SquashfsTests.context(directory, GuestBase(root: Self.root).name))
    }
    let text =
      "name: test\ncontrol-domain: {suite: trixie}\ndomains:\n  - name: web\n    memory: 384 MiB\n    disk: 2 GiB\n"
      + "    source:\n      debian:\n        suite: trixie\n"
      + lines.split(separator: "\n").map { "        \($0)\n" }.joined()
    let recipe = try Recipe.parse(text, file: "r.yaml", directory: directory.path)
    let domain = try #require(recipe.domains.first)
    var system = GuestSystem(hostname: "web", nameServer: nil)
    system.loader = loader
    let disk = GuestDisk(
      domain: "web", system: system,
      changes: try SystemChanges(domain.customization, owner: "web", recipe: recipe), diskBytes: diskBytes,
      root: Self.root, seed: domain.sourceDigest)
    try disk.step(epoch: 1_000_000, versions: [:]).run(try SquashfsTests.context(directory, name))
    return "\(directory.path)/\(name)/\(GuestDisk.file)"
  }

  private func archive(_ path: String, _ more: [TreeEntry]) throws {
    let writer = try ArchiveWriter(path, .tar, epoch: 1_000_000)
    var entries: [TreeEntry] = ["etc", "etc/ssh", "usr", "usr/bin", "usr/lib", "boot", "dev"].map { .directory($0) }
    entries += [
      .link("lib", to: "usr/lib"), .text("etc/passwd", "root:x:0:0:root:/root:/bin/bash\nold:x:7:8::/:/bin/sh\n"),
      .text("etc/group", "root:x:0:\n"), .text("etc/motd", "Debian\n"), .text("etc/ssh/ssh_host_rsa_key", "secret"),
      .text("boot/vmlinuz-6.12", "a kernel"), .text("usr/bin/tool", "tool", permissions: 0o755),
      .text("usr/lib/kept", "kept"), .directory("usr/lib/boot"), .text("usr/lib/boot/kept", "kept"),
      .link("etc/hosts", to: "motd"),
      TreeEntry(path: "usr/bin/second", content: .hardLink(to: "usr/bin/tool"), permissions: 0o755),
    ]
    for entry in entries + more { try writer.add(entry) }
    try writer.finish()
  }

  private func debugfs(_ image: String, _ request: String) throws -> String {
    let text = try Command(["debugfs", "-R", request, image]).run(cancellation: Cancellation()).text
    return text.split(separator: "\n").filter { !$0.hasPrefix("debugfs ") }.joined(separator: "\n")
  }

  private func check(_ image: String) throws {
    let outcome = try Command(["e2fsck", "-f", "-n", image]).run(cancellation: Cancellation())
    #expect(outcome.status.isSuccess, "\(outcome.text)")
  }

  @Test("A guest's file system has its root, what it adds, and is whole")
  func content() throws {
    let directory = try TemporaryDirectory()
    try directory.write("big", String(repeating: "0123456789abcdef", count: 1 << 16))
    let image = try make(
      """
      files:
        - {path: /etc/motd, text: "mine\\n", mode: 0640, owner: "old:70000"}
        - {path: '/srv/a "b/c d', text: "quoted\\n"}
        - {path: /lib/below, text: x}
        - {path: /usr/bin/tool, from: big, mode: 0755}
      """, in: directory)
    try check(image)
    #expect(try debugfs(image, "cat /etc/motd") == "mine")
    #expect(try debugfs(image, "cat \"/srv/a \"\"b/c d\"") == "quoted")
    #expect(try debugfs(image, "cat /usr/lib/below") == "x")
    #expect(try debugfs(image, "cat /usr/lib/kept") == "kept")
    // What is left out of /boot is not left out elsewhere.
    #expect(try debugfs(image, "cat /usr/lib/boot/kept") == "kept")
    #expect(try debugfs(image, "cat /usr/bin/tool").utf8.count == 1 << 20)
    // The other name of a file that was replaced still has what it had.
    #expect(try debugfs(image, "cat /usr/bin/second") == "tool")
    #expect(try debugfs(image, "cat /etc/hostname") == "web")
    let motd = try debugfs(image, "stat /etc/motd")
    #expect(motd.contains("Mode:  0640") && motd.contains("User:     7") && motd.contains("Group: 70000"), "\(motd)")
    for time in ["ctime", "atime", "mtime", "crtime"] {
      #expect(motd.contains("\(time): 0x000f4240"), "\(time): \(motd)")
    }
    #expect(try debugfs(image, "stat /etc/hosts").contains("Type: regular"))
    #expect(try debugfs(image, "stat /lib").contains("Fast link dest: \"usr/lib\""))
    for gone in ["/boot/vmlinuz-6.12", "/etc/ssh/ssh_host_rsa_key"] {
      #expect(try debugfs(image, "stat \(gone)").contains("File not found"), "\(gone)")
    }
    let facts = try Command(["dumpe2fs", "-h", image]).run(cancellation: Cancellation()).text
    #expect(!facts.contains(GuestBase(root: Self.root).name))
  }

  @Test("Two guests of one root differ in little, and each is the same whenever it is made")
  func same() throws {
    let directory = try TemporaryDirectory()
    let lines = "files: [{path: /etc/motd, text: one}]"
    let first = try Files.read(try make(lines, in: directory, as: "first"))
    let again = try Files.read(try make(lines, in: directory, as: "again"))
    #expect(first == again)
    let other = try Files.read(try make("files: [{path: /etc/motd, text: two}]", in: directory, as: "other"))
    #expect(first.count == other.count)
    let block = 128 << 10
    let differing = stride(from: 0, to: first.count, by: block).filter { start in
      first[start..<min(start + block, first.count)] != other[start..<min(start + block, other.count)]
    }
    // Its identifier, its inode, its content.
    #expect((1...8).contains(differing.count), "\(differing.map { $0 / block })")
    // A second base, too.
    let elsewhere = try TemporaryDirectory()
    #expect(try Files.read(try make(lines, in: elsewhere)) == first)
  }

  @Test("A guest with more than the base has room for gets a larger file system; GRUB's has its kernel")
  func larger() throws {
    let directory = try TemporaryDirectory()
    try directory.write("big", "")
    try FileDescriptor(opening: "\(directory.path)/big", .readWrite).truncate(to: 60 << 20)
    try FileDescriptor(opening: "\(directory.path)/big", .readWrite).writeAll([1], at: (60 << 20) - 1)
    let small = try make("", in: directory, as: "small")
    try Files.makeDirectories("\(directory.path)/initrd")
    try directory.write("initrd/initrd", "an initramfs")
    let loader = GuestLoader(title: "web", commandLine: "", initramfs: .init(step: "initrd", file: "initrd"))
    let lines = "files: [{path: /srv/big, from: big}]"
    let large = try make(lines, in: directory, as: "large", loader: loader)
    try check(large)
    let bytes = try (#require(try Files.status(small)).size, #require(try Files.status(large)).size)
    #expect(bytes.1 >= bytes.0 + (60 << 20))
    #expect(try debugfs(large, "stat /srv/big").contains("Size: \(60 << 20)"))
    #expect(try debugfs(large, "cat /boot/vmlinuz-6.12") == "a kernel")
    #expect(try debugfs(large, "cat /boot/initrd.img-6.12") == "an initramfs")
    #expect(try debugfs(large, "stat /vmlinuz").contains("boot/vmlinuz-6.12"))
    #expect(
      try FileDigest.plain(large)
        == FileDigest.plain(try make(lines, in: directory, as: "again", loader: loader)))
    let error = #expect(throws: BuildError.self) {
      try make(lines, in: directory, as: "none", diskBytes: 64 << 20)
    }
    #expect(error?.code == .diskTooSmall)
  }

  @Test("A name that debugfs has no words for is refused, and a folder does not become a file")
  func refusals() throws {
    let directory = try TemporaryDirectory()
    try archive("\(directory.path)/root.tar", [])
    let index = try TreeIndex("\(directory.path)/root.tar", cancellation: Cancellation()) { _ in false }
    var edit = Ext4Edit(index, epoch: 1, spool: directory.path)
    #expect(throws: BuildError.self) { try edit.add(.text("etc/a\nrm b", "")) }
    #expect(throws: BuildError.self) { try edit.add(.text("usr/bin", "")) }
    #expect(!edit.commands.contains { $0.contains("\n") })
    try edit.add(.link("etc/motd", to: "x"))
    try edit.remove("etc/none")
    #expect(edit.commands.filter { $0.hasPrefix("rm ") } == ["rm \"motd\""])
  }

  @Test("Two guests that differ in nothing but their names have disks of their own")
  func names() throws {
    let recipe = try Recipe.parse(
      "name: t\ncontrol-domain: {suite: trixie}\ndomains:\n  - {name: h, memory: 64 MiB, source: {hatchling: {}}}\n",
      file: "r.yaml", directory: "/")
    let changes = try SystemChanges(Customization(), owner: "h", recipe: recipe)
    let seed = SHA256.hash("x")
    let disks = ["a", "b"].map { name in
      GuestDisk(
        domain: name, system: GuestSystem(hostname: "h", nameServer: nil), changes: changes, diskBytes: 1, root: "r",
        seed: seed
      ).step(epoch: 1, versions: [:]).settings
    }
    let launched = ["a", "b"].map { name in
      LaunchDisk(domain: name, hostname: "h", nameServer: nil, diskBytes: 1, root: "r", seed: seed)
        .step(epoch: 1, versions: [:]).settings
    }
    #expect(disks[0] != disks[1] && launched[0] != launched[1])
  }

  @Test("What switching services changes is done to the file system")
  func services() throws {
    let directory = try TemporaryDirectory()
    try archive("\(directory.path)/root.tar", [.link("etc/old", to: "motd"), .link("etc/kept", to: "motd")])
    let index = try TreeIndex("\(directory.path)/root.tar", cancellation: Cancellation()) { _ in false }
    var system = GuestSystem(hostname: "h", nameServer: nil)
    let recipe = try Recipe.parse(
      "name: t\ncontrol-domain: {suite: trixie}\ndomains:\n  - {name: h, memory: 64 MiB, source: {hatchling: {}}}\n",
      file: "r.yaml", directory: directory.path)
    let changes = try SystemChanges(Customization(), owner: "h", recipe: recipe)
    #expect(ServiceLinks(domain: "h", root: "r", system: system, changes: changes) == nil)
    system.customization.enabledServices = ["nginx.service"]
    // Nothing of the tree is run: an init script beside the unit would need programs that are not there.
    #expect(system.serviceScript.contains("SYSTEMCTL_SKIP_SYSV=1 "))
    let links = try #require(ServiceLinks(domain: "h", root: "r", system: system, changes: changes))
    try directory.write("links", "etc/old\0motd\0etc/kept\0motd\0\0etc/kept\0motd\0etc/new/nginx\0/lib/nginx\0")
    var edit = Ext4Edit(index, epoch: 1, spool: directory.path)
    try links.apply("\(directory.path)/links", to: &edit)
    #expect(
      edit.commands.filter { $0.hasPrefix("rm ") || $0.hasPrefix("symlink ") || $0.hasPrefix("mkdir ") }
        == ["rm \"old\"", "mkdir \"new\"", "symlink \"nginx\" \"/lib/nginx\""])
    try directory.write("links", "etc/old\0motd\0")
    #expect(throws: BuildError.self) { try links.apply("\(directory.path)/links", to: &edit) }
  }
}
