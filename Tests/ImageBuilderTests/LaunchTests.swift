import Binary
import Platform
import Recipe
import Testing

@testable import ImageBuilder

@Suite("Roots that are images or folders")
struct LaunchTests {
  private func index(_ entries: [TarFile.Entry]) throws -> TreeIndex {
    let directory = try TemporaryDirectory()
    let path = "\(directory.path)/root.tar"
    try Files.write(TarFile.bytes(entries), to: path)
    return try TreeIndex(path, cancellation: Cancellation(), keeping: Accounts.paths.contains)
  }

  private func program(
    _ entries: [TarFile.Entry], image: OCIConfig.Execution? = nil, _ change: (inout Launch) -> Void = { _ in }
  ) throws -> LaunchProgram {
    var launch = Launch(suite: "trixie", hostname: "h")
    change(&launch)
    return try LaunchProgram(image, launch, try index(entries), called: "the root")
  }

  private static let accounts: [TarFile.Entry] = [
    .init("etc/passwd", "root:x:0:0::/root:/bin/sh\napp:x:7:8::/home/app:/bin/sh\n"),
    .init("etc/group", "www:x:33:app\n"),
  ]
  private static let busybox: [TarFile.Entry] = [
    .init("bin/busybox", "b"), .init("sbin/init", kind: .link, target: "/bin/busybox"),
  ]

  @Test("Whether its init or a command is run")
  func start() throws {
    let system: [TarFile.Entry] = [
      .init("lib/systemd", "s"), .init("sbin/init", kind: .link, target: "../lib/systemd"),
    ]
    let command = OCIConfig.Execution(entrypoint: ["a"], command: ["b", "c"])
    #expect(try program(system).isSystem)
    #expect(try program(system, image: command).isSystem)
    #expect(try program(system, image: command) { $0.start = .command }.words == ["a", "b", "c"])
    #expect(try program(system, image: command) { $0.command = ["d"] }.words == ["d"])
    #expect(try program(Self.busybox).isSystem)
    #expect(try program(Self.busybox, image: command).words == ["a", "b", "c"])
    #expect(try program(Self.busybox, image: command) { $0.start = .system }.isSystem)
    #expect(try program([], image: command).words == ["a", "b", "c"])
    let dangling: [TarFile.Entry] = [.init("sbin/init", kind: .link, target: "/nowhere")]
    for (entries, change, words) in [
      ([], { _ in }, "neither /sbin/init nor a command"), (dangling, { _ in }, "neither"),
      ([], { $0.start = .system }, "has no /sbin/init"), ([], { $0.command = ["/bin/x"] }, "no program /bin/x"),
    ] as [([TarFile.Entry], (inout Launch) -> Void, String)] {
      let error = #expect(throws: BuildError.self) { try program(entries, change) }
      #expect(error?.code == .badFile && error?.message.contains(words) == true && error?.hint != nil)
    }
  }

  private func program(
    _ entries: [TarFile.Entry], _ change: (inout Launch) -> Void
  ) throws -> LaunchProgram { try program(entries, image: nil, change) }

  @Test(
    "The image's user is found among its own, by name and by number",
    arguments: [
      ("", 0, 0, "/root"), ("app", 7, 8, "/home/app"), ("7", 7, 8, "/home/app"), ("app:www", 7, 33, "/home/app"),
      ("99", 99, 0, "/"), ("99:www", 99, 33, "/"), ("root", 0, 0, "/root"), ("app:", 7, 8, "/home/app"),
    ])
  func user(_ text: String, _ user: UInt32, _ group: UInt32, _ home: String) throws {
    let found = try program(Self.accounts, image: .init(user: text, command: ["x"]))
    #expect(found.user == user && found.group == group)
    #expect(found.environment.contains("HOME=\(home)"))
  }

  @Test("Variables of the recipe come before the image's, and these before what there is always")
  func environment() throws {
    let found = try program([], image: .init(environment: ["A=1", "B=x=y", "PATH=/p", "bad", "=bad"], command: ["x"])) {
      $0.environment = ["A": "2", "HOME": "/h"]
    }
    #expect(found.environment == ["A=2", "B=x=y", "HOME=/h", "HOSTNAME=h", "PATH=/p", "TERM=vt220"])
  }

  @Test("What cannot be run is refused in words")
  func refused() throws {
    for (image, words) in [
      (.init(user: "who", command: ["x"]), "the user 'who'"),
      (.init(user: "app:who", command: ["x"]), "the group 'who'"),
      (.init(command: ["x"], directory: "/etc/passwd/d"), "no folder"), (.init(command: ["x\0y"]), "no system takes"),
      (.init(command: ["x", String(repeating: "y", count: 140_000)]), "no system takes"),
    ] as [(OCIConfig.Execution, String)] {
      let error = #expect(throws: BuildError.self) { try program(Self.accounts, image: image) }
      #expect(error?.message.contains(words) == true, "\(words)")
    }
    let place = try program(
      [.directory("data"), .init("d", kind: .link, target: "../../data")],
      image: .init(command: ["x"], directory: "/d/e"))
    #expect(place.directory == "data/e")
  }

  @Test("Its scripts are shell, whatever words it has")
  func scripts() throws {
    let directory = try TemporaryDirectory()
    var launch = Launch(suite: "trixie", hostname: "h")
    launch.restart = .onFailure
    let odd = "it's a'\u{301} $HOME `x` \"q\" \\ \n;&"
    let program = LaunchProgram(words: ["/bin/a", odd], environment: ["A=\(odd)"], directory: odd, user: 7, group: 8)
    let scripts = LaunchInit(launch: launch, hasNetwork: true, program: .init(step: "s", file: "f"))
    for entry in scripts.entries(program) + [.text("init", scripts.start(program))] {
      guard case .bytes(let bytes) = entry.content, entry.path != "etc/inittab" else { continue }
      try Files.write(bytes, to: "\(directory.path)/script")
      let outcome = try Command(["sh", "-n", "\(directory.path)/script"]).run(cancellation: Cancellation())
      #expect(outcome.status.isSuccess, "\(entry.path): \(outcome.text)")
    }
    // A word comes out of a shell as it went in.
    let outcome = try Command(["sh", "-c", "printf '%s\\n' \(ShellWord.quoted(odd))"]).run(
      cancellation: Cancellation())
    #expect(outcome.text == "\(odd)\n")
    var system = program
    system.isSystem = true
    #expect(scripts.entries(system).isEmpty && scripts.start(system).contains("switch_root /root /sbin/init"))
  }

  @Test("What is put into a root follows its links, and stays out of what is no folder")
  func added() throws {
    func paths(_ entries: [TarFile.Entry]) throws -> [String] {
      LaunchDisk.added(try index(entries), hostname: "h", nameServer: "10.0.0.1", directory: "data").map(\.path)
    }
    let own = ["etc/hostname", "etc/hosts", "etc/resolv.conf"]
    #expect(try paths([]) == ["dev", "proc", "run", "sys", "tmp", "data"] + own)
    #expect(
      try paths([.directory("dev"), .directory("tmp"), .directory("data"), .init("proc", kind: .link, target: "/etc")])
        == ["proc", "run", "sys"] + own)
    let moved = try paths([.init("etc", kind: .link, target: "/conf"), .directory("conf")])
    #expect(moved.suffix(3) == ["conf/hostname", "conf/hosts", "conf/resolv.conf"])
    // So do the name servers that a lease brings.
    func lease(_ entries: [TarFile.Entry]) throws -> String {
      let scripts = LaunchInit(
        launch: Launch(suite: "trixie", hostname: "h"), hasNetwork: true, program: .init(step: "s", file: "f"))
      let found = scripts.entries(try program(entries, image: .init(command: ["x"]))).first { $0.path == "launch/dhcp" }
      guard case .bytes(let bytes)? = found?.content else { return "" }
      return String(decoding: bytes, as: UTF8.self)
    }
    #expect(try lease([]).contains(">'/root/etc/resolv.conf'\n"))
    let linked: [TarFile.Entry] = [.init("etc", kind: .link, target: "/conf"), .directory("conf")]
    #expect(try lease(linked).contains(">'/root/conf/resolv.conf'\n"))
    #expect(try !lease([.init("etc", "a file")]).contains("resolv.conf"))
    #expect(try paths([.init("etc", "a file")]) == ["dev", "proc", "run", "sys", "tmp", "data"])
  }

  /// Runs steps, and returns the folders of their results.
  private func make(_ steps: [Step], in directory: TemporaryDirectory) throws -> [String: String] {
    let cache = try ResultCache("\(directory.path)/cache")
    defer { try? cache.removeScratch() }
    let executor = Executor(cache: cache, epoch: 1_000_000_000, jobs: 1, cancellation: Cancellation())
    return try executor.run(steps) { _ in }.mapValues(\.directory)
  }

  private func disk(_ root: String) -> LaunchDisk {
    LaunchDisk(
      domain: "d", hostname: "h", nameServer: nil, diskBytes: 128 << 20, root: root, seed: SHA256.hash("seed"))
  }

  /// What debugfs says of a path on a disk.
  private func stat(_ path: String, _ results: [String: String]) throws -> String {
    let image = "\(results["d: disk"] ?? "")/\(GuestDisk.file)"
    return try Command(["debugfs", "-R", "stat \(path)", image]).run(cancellation: Cancellation()).text
  }

  @Test("An image becomes a disk: whiteouts applied, owners kept, the same bytes twice")
  func image() throws {
    let fixture = try OCIFixture()
    var owned = TarFile.Entry("home/app/f", "x")
    owned.owner = 1234
    let layers = [
      try fixture.layer([.init("bin/app", "1"), .init("gone", "1"), owned], packedBy: "gzip"),
      try fixture.layer([.init(".wh.gone"), .init("bin/app", "22")], packedBy: "zstd"),
    ]
    try fixture.index([try fixture.manifest(layers, execution: #"{"Cmd":["/bin/app"],"WorkingDir":"/work"}"#)])
    func results(in directory: TemporaryDirectory) throws -> [String: String] {
      let root = OCIRoot(
        domain: "d",
        root: .init(image: .path("image"), reference: nil, launch: .init(suite: "trixie", hostname: "h")),
        source: .local(fixture.path, digest: "digest"), diskBytes: 128 << 20)
      return try make([root.step(), disk(root.name).step(epoch: 1_000_000_000, versions: [:])], in: directory)
    }
    let (one, two) = (try TemporaryDirectory(), try TemporaryDirectory())
    defer { withExtendedLifetime((one, two)) {} }
    let (first, second) = (try results(in: one), try results(in: two))
    let image = { (results: [String: String]) in try Files.read("\(results["d: disk"] ?? "")/\(GuestDisk.file)") }
    #expect(try image(first) == image(second))
    #expect(try stat("/bin/app", first).contains("Size: 2"))
    #expect(try stat("/gone", first).contains("File not found"))
    #expect(try stat("/home/app/f", first).contains("User:  1234"))
    for folder in ["work", "dev", "proc", "sys", "run"] {
      #expect(try stat("/\(folder)", first).contains("Type: directory"), "\(folder)")
    }
  }

  @Test("A folder becomes a disk: one owner, links as links, nothing that follows from when it was made")
  func folder() throws {
    let directory = try TemporaryDirectory()
    let path = "\(directory.path)/tree"
    try Files.makeDirectories("\(path)/etc/b")
    try Files.write("app:x:7:8::/:/bin/sh\n", to: "\(path)/etc/passwd")
    try Files.write("program", to: "\(path)/etc/b/c", permissions: 0o755)
    try Files.link("\(path)/out", to: "/etc/shadow")
    func step(_ owner: String) throws -> Step {
      let root = Recipe.FolderRoot(
        path: "tree", owner: owner, launch: .init(suite: "trixie", hostname: "h", command: ["/etc/b/c"]))
      return try FolderRoot(domain: "d", root: root, path: path).step(epoch: 1_000_000_000)
    }
    let first = try step("app")
    let results = try make([first], in: directory)
    let reader = try ArchiveReader("\(results[first.name] ?? "")/root.tar", .tar)
    var entries: [ArchiveEntry] = []
    while let entry = try reader.next() { entries.append(entry) }
    #expect(entries.map(\.path) == ["etc", "etc/b", "etc/b/c", "etc/passwd", "out"])
    #expect(entries.allSatisfy { $0.owner == 7 && $0.group == 8 })
    #expect(entries.last?.kind == .symbolicLink("/etc/shadow"))
    MonotonicClock.sleep(milliseconds: 1100)
    try Files.touch("\(path)/etc/b/c")
    #expect(try step("app").settings == first.settings)
    #expect(try step("1:2").settings != first.settings)
    for name in ["who", "app:who"] {
      let wrong = try step(name)
      let error = #expect(throws: BuildError.self) { try make([wrong], in: directory) }
      #expect(error?.message.contains("no 'who'") == true)
    }
    // It changes between the plan and the build.
    let planned = try step("root")
    try Files.write("another", to: "\(path)/etc/b/c")
    let changed = #expect(throws: BuildError.self) { try make([planned], in: directory) }
    #expect(changed?.message.contains("changed during the build") == true)
    let outcome = try Command(["mkfifo", "\(path)/pipe"]).run(cancellation: Cancellation())
    #expect(outcome.status.isSuccess)
    let special = #expect(throws: BuildError.self) { try step("root") }
    #expect(special?.message.contains("pipe is no file, folder or link") == true)
  }
}
