import Binary
import Platform
import Testing

@testable import ImageBuilder

/// Whole builds by the program itself, as a user runs it, of a small recipe. Everything is real but Debian: in
/// mmdebstrap's place is a script that knows one root.
struct FakeBuild {
  let directory: TemporaryDirectory
  /// Results, packages, logs.
  let cache: String
  let output: String

  /// Bytes of the root's largest file.
  private static let noise = 600 << 10

  /// A recipe, and a machine to build it on; the cache and the image are to be in `place`.
  init(in place: String? = nil) throws {
    directory = try TemporaryDirectory()
    let path = directory.path
    cache = "\(place ?? path)/cache"
    output = "\(place ?? path)/out.iso"
    for folder in ["bin", "programs"] { try Files.makeDirectories("\(path)/\(folder)") }
    for name in Programs.names { try Files.write(try Files.read("/bin/true"), to: "\(path)/programs/\(name)") }
    for name in Programs.names { try Files.setPermissions("\(path)/programs/\(name)", 0o755) }
    try directory.write("programs/grub.cfg", "@TITLE@ @COMMAND_LINE@\n")
    try Self.root("\(path)/root.tar")
    let script = """
      #!/bin/sh
      set -eu
      if [ "$1" = --version ]; then echo fake; exit; fi
      if [ -e \(path)/hang ]; then
        setsid sleep 987 & echo $! >\(path)/orphan
        sleep 987
      fi
      for word; do case $word in /*/root.tar) cp \(path)/root.tar "$word" ;; esac; done

      """
    try Files.write(script, to: "\(path)/bin/mmdebstrap", permissions: 0o755)
    try directory.write(
      "recipe.yaml",
      """
      name: small
      image: {secure-boot: none}
      control-domain: {suite: trixie}
      domains:
        - name: one
          memory: 64 MiB
          disk: 256 MiB
          source: {debian: {suite: trixie, files: [{path: /etc/motd, text: one}]}}
        - name: two
          memory: 64 MiB
          disk: 256 MiB
          source: {debian: {suite: trixie}}

      """)
  }

  /// A root with a kernel that is none, no modules, and a file that does not get smaller.
  private static func root(_ path: String) throws {
    var kernel = [UInt8](repeating: 0, count: 4096)
    kernel.replaceSubrange(0x202..<0x206, with: Array("HdrS".utf8))
    kernel.replaceSubrange(0x206..<0x208, with: [0x0F, 0x02])
    kernel[0x236] = 1
    var state: UInt64 = 1
    let noise = (0..<noise).map { _ in
      state = state &* 6_364_136_223_846_793_005 &+ 1
      return UInt8(truncatingIfNeeded: state >> 56)
    }
    let modules = "usr/lib/modules/6.12"
    let writer = try ArchiveWriter(path, .tar, epoch: 1_000_000)
    let folders = ["boot", "etc", "usr", "usr/bin", "usr/lib", "usr/lib/modules", modules, "var", "var/lib"]
    for entry in folders.map({ TreeEntry.directory($0) }) { try writer.add(entry) }
    for entry: TreeEntry in [
      .bytes("boot/vmlinuz-6.12", kernel), .text("boot/memtest86+x64.bin", "m"), .text("boot/memtest86+x64.efi", "m"),
      .text("usr/bin/busybox", "busybox", permissions: 0o755), .text("\(modules)/modules.dep", ""),
      .text("etc/passwd", "root:x:0:0:root:/root:/bin/bash\n"), .text("etc/group", "root:x:0:\n"),
      .text("var/lib/dpkg/status", "Package: base\nStatus: install ok installed\nVersion: 1\nArchitecture: all\n"),
      .bytes("usr/lib/noise", noise),
    ] { try writer.add(entry) }
    try writer.finish()
  }

  /// The program that is tested lies beside the tests.
  private static var program: String {
    get throws {
      let own = try Files.resolve("/proc/self/exe")
      return "/" + own.split(separator: "/").dropLast().joined(separator: "/") + "/roost"
    }
  }

  /// Starts a build; what it tells goes to the file `log`, as JSON.
  func start(_ arguments: [String] = []) throws -> ChildProcess {
    let path = directory.path
    var request = ChildRequest(
      [
        try Self.program, "build", "\(path)/recipe.yaml", "-o", output, "--cache", cache, "--programs",
        "\(path)/programs", "--json",
      ] + arguments)
    request.environment = [
      "PATH=\(path)/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/nonexistent",
    ]
    let nothing = try FileDescriptor(opening: "/dev/null", .readWrite)
    let log = try FileDescriptor(opening: "\(path)/log", [.writeOnly, .create, .truncate])
    request.descriptors = [nothing.rawValue, log.rawValue, log.rawValue]
    return try ChildProcess.start(request)
  }

  /// Runs a build to its end: what it printed, and whether it went well.
  func run(_ arguments: [String] = []) throws -> (text: String, isDone: Bool) {
    let status = try start(arguments).wait()
    return (try directory.text("log"), status.isSuccess)
  }

  /// Waits until `child` printed what is wanted, and kills it, after some milliseconds more; false when it ended before.
  func kill(
    _ child: ChildProcess, after milliseconds: UInt32 = 0, when isThere: (String) -> Bool
  ) throws -> Bool {
    while !isThere(try directory.text("log")) {
      if try child.poll() != nil { return false }
      MonotonicClock.sleep(milliseconds: 2)
    }
    if milliseconds > 0 { MonotonicClock.sleep(milliseconds: milliseconds) }
    try child.signal(Signal.kill)
    return try child.wait() == .killed(signal: Signal.kill)
  }

  /// Nothing of a build that failed is there: no scratch, no image, no result that is not whole.
  func expectClean(_ comment: @autoclosure () -> String) throws {
    #expect(try Files.list("\(cache)/scratch").isEmpty, "\(comment())")
    let folder = output.split(separator: "/").dropLast().joined(separator: "/")
    let name = output.split(separator: "/").last.map(String.init) ?? ""
    #expect(try Files.list("/\(folder)").filter { $0.hasPrefix(name) }.isEmpty, "\(comment())")
    let broken = try BuildCache(cache).verify(cancellation: Cancellation()) { _ in }
    #expect(broken.isEmpty, "\(comment()): \(broken.map(\.name))")
  }

  static var isSuperuser: Bool { ProcessEnvironment.isSuperuser }
}
