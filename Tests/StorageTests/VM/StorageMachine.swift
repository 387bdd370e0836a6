import Binary
import ImageBuilder
import Manifest
import Platform

/// A virtual machine with a control domain's kernel and programs, a medium with two small guests, and `guestScript`
/// as its init. It has no disk, no network and no udev.
struct StorageMachine {
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

  private static var program: String { "\(repository)/.build/debug/roost-storage" }

  /// Kernel modules that the script loads, without what they need.
  private static let modules = ["loop", "squashfs", "dm-mod", "dm-thin-pool", "dm-snapshot", "ext4", "crc32c_generic"]

  /// Boots the machine, waits for its end and returns what its console showed.
  static func run(deadline seconds: UInt64 = 900) throws -> String {
    let directory = try Files.makeTemporaryDirectory(prefix: "/tmp/roost-storage-vm-")
    defer { try? Files.removeTree(directory) }
    let expected = try makeMedium(in: directory)
    let (root, kernel) = try controlDomain(in: directory)
    try makeInitramfs(root, medium: "\(directory)/medium", expected: expected, to: "\(directory)/initrd")
    let log = "\(directory)/console.log"
    var request = ChildRequest([
      "qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "qemu64", "-smp", "2", "-m", "2048", "-nodefaults",
      "-no-reboot", "-display", "none", "-serial", "file:\(log)", "-kernel", kernel, "-initrd", "\(directory)/initrd",
      "-append", "console=ttyS0 quiet panic=-1 rdinit=/check",
    ])
    request.newProcessGroup = true
    request.descriptors = [-1, -1, 2]
    let child = try ChildProcess.start(request)
    let end = MonotonicClock.now() + seconds * 1_000_000_000
    while try child.poll() == nil {
      if MonotonicClock.now() > end {
        try child.signalGroup(Signal.kill)
        _ = try child.wait()
        return try Files.readText(log) + "\nthe machine did not end within \(seconds) s\n"
      }
      MonotonicClock.sleep(milliseconds: 100)
    }
    return try Files.readText(log)
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
      try writer.add(tree: "\(root)/\(name)", as: name) { left.contains($0) || $0.hasSuffix("roost-storage") }
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
    try writer.add(tree: medium, as: "run/roost/medium")
    try writer.add("expected", expected)
    try writer.add("check", guestScript)
    try writer.finish()
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
