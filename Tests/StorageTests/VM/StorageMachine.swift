import Binary
import ImageBuilder
import Manifest
import Platform

/// A virtual machine with a control domain's kernel and programs, a medium with two small guests, and scripts of
/// `GuestScript` as its init. It has no udev, one processor (kernels on several emulated ones sometimes panic while they
/// patch their own text, docs/architecture.md), and the disks and the network that each boot gives it.
final class StorageMachine {
  struct Problem: Error, CustomStringConvertible {
    let description: String
  }

  /// Why it cannot run here; nil if it can.
  static let missing: String? = {
    if givenRoot == nil && !Files.exists(image) {
      return "needs a control domain: `make demo` leaves build/quickstart.iso, or ROOST_TEST_ROOT names a directory"
    }
    let tools = ["qemu-system-x86_64", "mksquashfs", "mke2fs"] + (givenRoot == nil ? ["unsquashfs", "xorriso"] : [])
    if let tool = tools.first(where: { find($0) == nil }) { return "needs \(tool)" }
    return Files.exists(program) ? nil : "needs \(program)"
  }()

  /// Directory with a Debian 13 root and its kernel in `boot`, with lvm2's library, dmsetup and e2fsprogs.
  private static var givenRoot: String? { ProcessEnvironment.value("ROOST_TEST_ROOT") }
  /// The image whose control domain is used otherwise.
  private static var image: String { "\(repository)/build/quickstart.iso" }

  /// A directory with a control domain's root, and its kernel.
  private static func controlDomain(in directory: String) throws -> (root: String, kernel: String) {
    if let givenRoot {
      let kernel = try Files.list("\(givenRoot)/boot").last { $0.hasPrefix("vmlinuz") }
      guard let kernel else { throw Problem(description: "\(givenRoot)/boot has no kernel") }
      return (givenRoot, "\(givenRoot)/boot/\(kernel)")
    }
    try command(
      "xorriso", "-osirrox", "on", "-indev", image, "-extract", "/roost/root.squashfs", "\(directory)/root.squashfs",
      "-extract", "/roost/vmlinuz", "\(directory)/vmlinuz")
    try command("unsquashfs", "-quiet", "-no-progress", "-d", "\(directory)/root", "\(directory)/root.squashfs")
    return ("\(directory)/root", "\(directory)/vmlinuz")
  }

  private static let repository: String = {
    let parts = #filePath.split(separator: "/")
    return "/" + parts.dropLast(4).joined(separator: "/")
  }()

  /// The program as it is shipped, where ROOST_PROGRAMS names the directory: an emulated machine starts and runs it in
  /// half the time. Otherwise the one that was built with the tests.
  private static var program: String {
    "\(ProcessEnvironment.value("ROOST_PROGRAMS") ?? "\(repository)/.build/debug")/roost-appliance"
  }

  /// Kernel modules that the script loads, without what they need.
  private static let modules = [
    "loop", "squashfs", "dm-mod", "dm-thin-pool", "dm-snapshot", "dm-mirror", "dm-flakey", "ext4", "isofs",
    "crc32c_generic", "virtio_pci", "virtio_blk", "virtio_net", "veth", "nbd", "aoe", "drbd", "iscsi_tcp", "sd_mod",
  ]

  /// Debian's servers of what comes over the network, which this host's packages have.
  static let servers = ["nbd-server", "tgtd", "tgtadm", "vblade"]
  /// Why tests with them cannot run here; nil if they can.
  static let missingServer = servers.first { find($0) == nil }.map { "needs \($0) (make unit installs it)" }

  /// Where its files are, disks that tests make among them.
  let directory: String
  private let kernel: String
  private var boots = 0

  /// Makes the medium and the first root that all boots have.
  init() throws {
    directory = try Files.makeTemporaryDirectory(prefix: "/tmp/roost-storage-vm-")
    let expected = try Self.makeMedium(in: directory)
    let (root, kernel) = try Self.controlDomain(in: directory)
    self.kernel = kernel
    try Self.makeInitramfs(root, medium: "\(directory)/medium", expected: expected, to: "\(directory)/initrd")
  }

  deinit {
    try? Files.removeTree(directory)
  }

  /// An empty disk for it.
  func makeDisk(_ name: String, mebibytes: Int) throws -> String {
    let path = "\(directory)/\(name)"
    try FileDescriptor(opening: path, [.readWrite, .create, .truncate]).truncate(to: mebibytes << 20)
    return path
  }

  /// The disk of that name as it was left, or an empty one.
  func reuseDisk(_ name: String, mebibytes: Int) throws -> String {
    let path = "\(directory)/\(name)"
    return Files.exists(path) ? path : try makeDisk(name, mebibytes: mebibytes)
  }

  /// The medium as a disc.
  func makeDisc() throws -> String {
    let path = "\(directory)/medium.iso"
    try Self.command("xorriso", "-as", "mkisofs", "-quiet", "-R", "-o", path, "\(directory)/medium")
    return path
  }

  /// The checksum of a disk, which is off.
  func digest(_ disk: String) throws -> String {
    String(try Self.command("sha256sum", disk).prefix { $0 != " " })
  }

  /// A disk with the medium in its first partition and an empty second one for the guests.
  ///
  /// - Parameter content: a file for the first partition; nil: the medium as a squashfs.
  func makeStick(_ name: String, mebibytes: Int, content: String? = nil) throws -> String {
    let path = try makeDisk(name, mebibytes: mebibytes)
    let squashfs = "\(directory)/medium.squashfs"
    if content == nil, !Files.exists(squashfs) {
      try Self.command("mksquashfs", "\(directory)/medium", squashfs, "-quiet", "-no-progress")
    }
    let content = content ?? squashfs
    let table = """
      label: gpt
      start=2048, size=65536, name="medium"
      name="roost-storage", type=E6D6D379-F507-44C2-A23C-238F2A3DF928

      """
    try Files.write(table, to: "\(directory)/table")
    try Self.command("sh", "-c", "sfdisk --quiet '\(path)' <'\(directory)/table'")
    try FileDescriptor(opening: path, .readWrite).writeAll(Files.read(content), at: 1 << 20)
    return path
  }

  /// What the emulator does with reads of a disk, where it should fail.
  enum Fault: Sendable {
    /// All fail.
    case reads
    /// Those that reach this sector fail.
    case readsOf(sector: Int)
  }

  /// The emulator's words for a disk's file (qemu-system-x86_64(1), `-drive`; blkdebug fails requests by rules).
  private static func drive(_ path: String, _ fault: Fault?) -> String {
    guard let fault else { return "format=raw,file=\(path)" }
    let rule = "file.inject-error.0"
    var words = "driver=raw,file.driver=blkdebug,file.image.driver=file,file.image.filename=\(path)"
    words += ",\(rule).event=read_aio,\(rule).iotype=read,\(rule).errno=5"
    if case .readsOf(let sector) = fault { words += ",\(rule).sector=\(sector)" }
    return words
  }

  /// Starts it with a script and disks, which it has as `vda` and so on.
  ///
  /// - Parameters:
  ///   - fault: of the first disk.
  ///   - network: what QEMU's network card is connected to; nil for none.
  func boot(
    _ script: GuestScript, disks: [String] = [], fault: Fault? = nil, words more: String = "", network: String? = nil
  ) throws -> Running {
    boots += 1
    var words = [
      "qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "qemu64", "-smp", "1", "-m", "2048", "-nodefaults",
      "-no-user-config", "-no-reboot", "-display", "none", "-serial", "file:\(directory)/console-\(boots).log",
      "-kernel", kernel, "-initrd", "\(directory)/initrd", "-append",
      "console=ttyS0 quiet panic=-1 rdinit=/check check=\(script.rawValue) \(more)",
    ]
    if let network {
      // Two machines in one network must not have one address.
      words += ["-netdev", "\(network),id=n", "-device", "virtio-net-pci,netdev=n,mac=52:54:00:98:00:0\(boots % 10)"]
    }
    for (index, disk) in disks.enumerated() {
      words += [
        "-drive", "if=none,id=d\(index),\(Self.drive(disk, index == 0 ? fault : nil))", "-device",
        "virtio-blk-pci,drive=d\(index)",
      ]
    }
    return try Running(words, log: "\(directory)/console-\(boots).log")
  }

  /// A machine that is on.
  final class Running {
    private let process: ChildProcess
    private let path: String
    private var isOver = false

    init(_ words: [String], log path: String) throws {
      self.path = path
      var request = ChildRequest(words)
      request.newProcessGroup = true
      // QEMU takes a disk's descriptor 0 for none, and would not write to it.
      let null = try FileDescriptor(opening: "/dev/null", .readWrite)
      request.descriptors = [null.rawValue, null.rawValue, 2]
      process = try ChildProcess.start(request)
    }

    deinit {
      try? cutPower()
    }

    /// What its console showed so far.
    var log: String { (try? Files.readText(path)) ?? "" }

    /// Waits until it turns itself off; what its console showed.
    func waitForEnd(seconds: UInt64 = 900) throws -> String {
      try wait(seconds: seconds) { _ in false }
      if isOver { return log }
      try cutPower()
      return log + "\nthe machine did not end within \(seconds) s\n"
    }

    /// Waits until its console shows a text; false if it ends before.
    @discardableResult
    func wait(for text: String, seconds: UInt64 = 900) throws -> Bool {
      try wait(seconds: seconds) { $0.contains(text) }
      return log.contains(text)
    }

    /// Ends it as a power cut does.
    func cutPower() throws {
      guard !isOver else { return }
      isOver = true
      try process.signalGroup(Signal.kill)
      _ = try process.wait()
    }

    private func wait(seconds: UInt64, until isDone: (String) -> Bool) throws {
      let end = MonotonicClock.now() + seconds * 1_000_000_000
      while !isOver, !isDone(log), MonotonicClock.now() < end {
        if try process.poll() != nil { isOver = true }
        MonotonicClock.sleep(milliseconds: 50)
      }
    }
  }

  /// Lays out what the medium has below `/roost`; returns the checksums of the files in each guest's image.
  private static func makeMedium(in directory: String) throws -> String {
    let (content, medium) = ("\(directory)/content", "\(directory)/medium/roost")
    for path in [content, medium, "\(directory)/images"] { try Files.makeDirectories(path) }
    var sums = ""
    for (name, size) in [("origin-small", 100), ("origin-large", 5 << 20)] {
      var state: UInt32 = UInt32(size)
      let bytes = (0..<size).map { _ -> UInt8 in
        state = state &* 1_664_525 &+ 1_013_904_223
        return UInt8(truncatingIfNeeded: state >> 24)
      }
      try Files.write(bytes, to: "\(content)/\(name)")
      sums += "\(SHA256.hash(bytes))  \(name)\n"
    }
    for name in ["alpha", "beta"] {
      try command("mke2fs", "-q", "-t", "ext4", "-d", content, "\(directory)/\(name).ext4", "16M")
    }
    let ram = 32 << 20
    let group = try VolumeGroupImage.write(
      images: ["alpha", "beta"].map { ($0, "\(directory)/\($0).ext4") }, volumeGroup: "roost", ramBytes: ram,
      seed: SHA256.hash("storage machine"), to: "\(directory)/images/images.pv")
    try command("mksquashfs", "\(directory)/images", "\(medium)/images.squashfs", "-quiet", "-no-progress")
    try Files.write(group.metadataTemplate, to: "\(medium)/volume-group.conf")
    func domain(_ name: String, disk: Int?) -> ApplianceManifest.Domain {
      ApplianceManifest.Domain(
        name: name, os: "none", cpus: 1, memoryBytes: 64 << 20,
        boot: .init(method: .linux, kernel: "/k", initrd: nil, commandLine: ""),
        disk: disk.map { .init(imageVolume: "image-\(name)", volume: name, bytes: $0) }, network: nil, autostart: true,
        ready: .init(consoleText: "login:", timeoutSeconds: 10), onReboot: .restart, onCrash: .preserve)
    }
    let manifest = ApplianceManifest(
      name: "test", recipeDigest: "", epoch: 0, controlDomain: .init(hostname: "roost", suite: "trixie"),
      storage: .init(
        ramBytes: ram, extentBytes: group.extentBytes, mediumUUID: group.mediumUUID, ramUUID: group.ramUUID),
      network: .init(address: "10.77.0.1/24"),
      domains: [domain("alpha", disk: 64 << 20), domain("beta", disk: 32 << 20), domain("diskless", disk: nil)])
    try Files.write(manifest.encoded(), to: "\(medium)/manifest.json")
    return sums
  }

  /// Writes the first root: programs, libraries and some modules of `root`, our program, the medium.
  private static func makeInitramfs(_ root: String, medium: String, expected: String, to path: String) throws {
    guard let release = try Files.list("\(root)/usr/lib/modules").last else {
      throw Problem(description: "\(root) has no kernel modules")
    }
    let base = "usr/lib/modules/\(release)"
    var writer = try InitramfsWriter(path)
    let left = ["usr/share", "usr/lib/modules", "usr/lib/firmware", "usr/lib/udev", "usr/lib/systemd", "usr/lib/apt"]
    for name in ["bin", "sbin", "lib", "lib64", "usr", "etc"] {
      try writer.add(tree: "\(root)/\(name)", as: name) { left.contains($0) || $0.hasPrefix("usr/sbin/roost") }
    }
    for name in ["proc", "sys", "dev", "run", "run/roost", "tmp", "usr/lib/modules", base] {
      try writer.add(directory: name)
    }
    var directories: Set<String> = [base]
    for file in try moduleFiles("\(root)/\(base)") {
      var parent = base
      for part in file.split(separator: "/").dropLast() {
        parent += "/\(part)"
        if directories.insert(parent).inserted { try writer.add(directory: parent) }
      }
      try writer.add(tree: "\(root)/\(base)/\(file)", as: "\(base)/\(file)")
    }
    for name in try Files.list("\(root)/\(base)") where name.hasPrefix("modules.") {
      try writer.add(tree: "\(root)/\(base)/\(name)", as: "\(base)/\(name)")
    }
    try writer.add(tree: Files.resolve(program), as: "usr/sbin/roost-storage")
    try addRuntime(&writer)
    try addServers(&writer)
    try writer.add(tree: medium, as: "run/roost/medium")
    try writer.add("expected", expected)
    try writer.add("check", guestPrelude)
    try writer.add(directory: "scripts")
    for script in GuestScript.allCases { try writer.add("scripts/\(script.rawValue)", script.text) }
    try writer.finish()
  }

  /// This host's servers with their own libraries, apart from the control domain's, and a script in the place of each.
  private static func addServers(_ writer: inout InitramfsWriter) throws {
    guard missingServer == nil else { return }
    for name in ["servers", "servers/lib", "far"] { try writer.add(directory: name) }
    var libraries: Set<String> = []
    for server in servers {
      guard let path = find(server) else { continue }
      try writer.add(tree: Files.resolve(path), as: "servers/\(server)")
      try writer.add(
        "usr/sbin/\(server)",
        "#!/bin/sh\nexec /servers/lib/ld-linux-x86-64.so.2 --library-path /servers/lib /servers/\(server) \"$@\"\n")
      for line in try command("ldd", path).split(separator: "\n") {
        let words = line.split { $0 == " " || $0 == "\t" }
        let place = words.count > 2 && words[1] == "=>" ? words[2] : words.first ?? ""
        if place.hasPrefix("/") { libraries.insert(String(place)) }
      }
    }
    for library in libraries.sorted() {
      let name = library.split(separator: "/").last ?? ""
      try writer.add(tree: Files.resolve(library), as: "servers/lib/\(name)")
    }
  }

  /// The Swift runtime's libraries that a debug build needs, at the paths where it looks for them.
  private static func addRuntime(_ writer: inout InitramfsWriter) throws {
    var made: Set<String> = []
    for line in try command("ldd", program).split(separator: "\n") {
      let words = line.split { $0 == " " || $0 == "\t" }
      guard words.count >= 3, words[1] == "=>", words[2].contains("/swift/") else { continue }
      let name = String(words[2].dropFirst())
      var parent = ""
      for part in name.split(separator: "/").dropLast() {
        parent += parent.isEmpty ? "\(part)" : "/\(part)"
        if made.insert(parent).inserted, parent != "usr" { try writer.add(directory: parent) }
      }
      try writer.add(tree: "/\(name)", as: name)
    }
  }

  /// Paths of `modules` and of what they need, as modules.dep tells.
  private static func moduleFiles(_ directory: String) throws -> [String] {
    var files: Set<String> = []
    for line in try Files.readText("\(directory)/modules.dep").split(separator: "\n") {
      let paths = line.split { $0 == " " || $0 == ":" }.map(String.init)
      guard let name = paths.first?.split(separator: "/").last?.split(separator: ".").first else { continue }
      if modules.contains(String(name)) { files.formUnion(paths) }
    }
    return files.sorted()
  }

  private static func find(_ tool: String) -> String? {
    ["/usr/sbin", "/sbin", "/usr/bin", "/bin"].map { "\($0)/\(tool)" }.first { Files.exists($0) }
  }

  @discardableResult
  private static func command(_ arguments: String...) throws -> String {
    let pipe = try Pipe()
    var request = ChildRequest([find(arguments[0]) ?? arguments[0]] + arguments.dropFirst())
    request.descriptors = [-1, pipe.writer.rawValue, 2]
    let child = try ChildProcess.start(request)
    let output = try drain(pipe)
    let status = try child.wait()
    guard status.isSuccess else {
      throw Problem(description: "\(arguments.joined(separator: " ")): \(status)\n\(output)")
    }
    return output
  }

  private static func drain(_ pipe: consuming Pipe) throws -> String {
    let reader = try pipe.reader.duplicate()
    _ = consume pipe
    return String(decoding: try reader.readToEnd(), as: UTF8.self)
  }
}
