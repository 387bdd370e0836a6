import Platform
import Recipe
import Testing

@testable import ImageBuilder

@Suite("What a recipe adds to a Debian system")
struct SystemChangesTests {
  private static let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB pupil"
  private static let day = 20_000
  private static let hash = "$6$salt$" + String(repeating: "x", count: 86)

  /// A root as an archive, with the files that hold users, and links as Debian has them.
  private func index(in directory: TemporaryDirectory, with more: [TreeEntry] = []) throws -> TreeIndex {
    let path = "\(directory.path)/root.tar"
    let writer = try ArchiveWriter(path, .tar, epoch: 1)
    var entries: [TreeEntry] = ["etc", "etc/skel", "usr", "usr/bin", "var", "etc/foo"].map { .directory($0) }
    entries += [
      .link("bin", to: "usr/bin"), .link("var/run", to: "/run"), .link("etc/circle", to: "circle"),
      .text("usr/bin/bash", "", permissions: 0o755), .text("etc/skel/.profile", "umask 022\n"),
      .text(
        "etc/passwd",
        "root:x:0:0:root:/root:/bin/bash\nwww-data:x:33:33:www-data:/var/www:/usr/sbin/nologin\n"
          + "old:x:1000:1000::/home/old:/bin/sh\n"),
      .text("etc/group", "root:x:0:\nadm:x:4:\nshadow:x:42:\nwww-data:x:33:\nold:x:1000:\nother:x:1001:\n"),
      TreeEntry(
        path: "etc/shadow", content: .bytes(Array("root::19000:0:99999:7:::\n".utf8)), permissions: 0o640, owner: 0,
        group: 42),
      TreeEntry(
        path: "etc/gshadow", content: .bytes(Array("root:*::\nadm:*::\n".utf8)), permissions: 0o640, owner: 0, group: 42
      ),
    ]
    for entry in entries + more { try writer.add(entry) }
    try writer.finish()
    return try TreeIndex(path, cancellation: Cancellation(), keeping: SystemChanges.keeps)
  }

  /// What the lines of a Debian source add, by path.
  private func added(
    _ lines: String, in directory: TemporaryDirectory, with more: [TreeEntry] = []
  ) throws -> [String: TreeEntry] {
    let entries = try changes(lines, in: directory).entries(
      index(in: directory, with: more), spool: "\(directory.path)/spool", epoch: Self.day * 86_400)
    #expect(Set(entries.map(\.path)).count == entries.count)
    #expect(entries.map(\.path) == entries.map(\.path).sorted())
    return Dictionary(uniqueKeysWithValues: entries.map { ($0.path, $0) })
  }

  private func changes(_ lines: String, in directory: TemporaryDirectory) throws -> SystemChanges {
    let text =
      "name: test\ncontrol-domain: {suite: trixie}\ndomains:\n  - name: web\n    memory: 384 MiB\n    disk: 2 GiB\n"
      + "    source:\n      debian:\n        suite: trixie\n"
      + lines.split(separator: "\n").map { "        \($0)\n" }.joined()
    let recipe = try Recipe.parse(text, file: "r.yaml", directory: directory.path)
    let domain = try #require(recipe.domains.first)
    return try SystemChanges(domain.customization, owner: domain.name, recipe: recipe)
  }

  private func text(_ entry: TreeEntry?) -> String? {
    switch entry?.content {
    case .bytes(let bytes)?: return String(decoding: bytes, as: UTF8.self)
    case .file(let path)?: return try? Files.readText(path)
    default: return nil
    }
  }

  private func failure(_ lines: String) throws -> BuildError? {
    let directory = try TemporaryDirectory()
    return #expect(throws: BuildError.self) { try added(lines, in: directory) }
  }

  @Test("Nothing adds nothing, and decides nothing")
  func nothing() throws {
    let directory = try TemporaryDirectory()
    #expect(try added("", in: directory).isEmpty)
    #expect(try changes("", in: directory).settings.isEmpty)
  }

  @Test("A new user has the next number that is free, a group of its own, a home, and no password but the recipe's")
  func newUsers() throws {
    let directory = try TemporaryDirectory()
    let added = try added(
      "users: [{name: ada, ssh-keys: [\"\(Self.key)\"], groups: [adm]}, {name: bob, password-hash: \"\(Self.hash)\"}]",
      in: directory)
    let passwd = try #require(text(added["etc/passwd"])).split(separator: "\n").suffix(2)
    #expect(passwd == ["ada:x:1002:1002::/home/ada:/bin/bash", "bob:x:1003:1003::/home/bob:/bin/bash"])
    let shadow = try #require(text(added["etc/shadow"]))
    #expect(
      shadow == "root::19000:0:99999:7:::\nada:*:20000:0:99999:7:::\nbob:\(Self.hash):20000:0:99999:7:::\n")
    let group = try #require(text(added["etc/group"]))
    #expect(group.contains("adm:x:4:ada\n") && group.hasSuffix("other:x:1001:\nada:x:1002:\nbob:x:1003:\n"))
    #expect(text(added["etc/gshadow"]) == "root:*::\nadm:*::ada\nada:!::\nbob:!::\n")
    for path in ["etc/shadow", "etc/gshadow"] {
      let entry = try #require(added[path])
      #expect(entry.permissions == 0o640 && entry.owner == 0 && entry.group == 42)
    }
    let expected: [(String, UInt32)] = [
      ("home/ada", 0o700), ("home/ada/.profile", 0o644), ("home/ada/.ssh", 0o700),
      ("home/ada/.ssh/authorized_keys", 0o600),
    ]
    for (path, permissions) in expected {
      let entry = try #require(added[path])
      #expect(entry.permissions == permissions && entry.owner == 1002 && entry.group == 1002, "\(path)")
    }
    #expect(text(added["home/ada/.ssh/authorized_keys"]) == "\(Self.key)\n")
    #expect(added["home/bob/.ssh"] == nil)
  }

  @Test("A user that the packages make is changed, and keeps what is not said")
  func oldUsers() throws {
    let directory = try TemporaryDirectory()
    let added = try added(
      "packages: [sudo]\nusers: [{name: root, password-hash: \"*\", ssh-keys: [\"\(Self.key)\"]}, "
        + "{name: old, shell: /bin/bash, sudo: true}]", in: directory)
    let passwd = try #require(text(added["etc/passwd"]))
    #expect(passwd.hasPrefix("root:x:0:0:root:/root:/bin/bash\n"))
    #expect(passwd.hasSuffix("old:x:1000:1000::/home/old:/bin/bash\n"))
    #expect(text(added["etc/shadow"])?.hasPrefix("root:*:20000:0:99999:7:::\n") == true)
    #expect(added["root/.ssh/authorized_keys"]?.permissions == 0o600)
    #expect(added["root"] == nil && added["home/old"] == nil)
    #expect(text(added["etc/sudoers.d/old"]) == "old ALL=(ALL:ALL) NOPASSWD: ALL\n")
    #expect(added["etc/sudoers.d/old"]?.permissions == 0o440)
  }

  @Test("A system without shadow passwords gets the file when a password comes")
  func withoutShadow() throws {
    let directory = try TemporaryDirectory()
    let path = "\(directory.path)/small.tar"
    let writer = try ArchiveWriter(path, .tar, epoch: 1)
    try writer.add(.text("etc/passwd", "root:*:0:0:root:/root:/bin/bash\n"))
    try writer.add(.text("etc/group", "root:x:0:\nshadow:*:42:\n"))
    try writer.finish()
    let index = try TreeIndex(path, cancellation: Cancellation(), keeping: SystemChanges.keeps)
    var accounts = Accounts(index)
    accounts.addService("roost-gateway", id: 500)
    let users = try changes(
      "users: [{name: root, password-hash: \"\(Self.hash)\", groups: [none]}]", in: directory
    ).customization.users
    let user = try #require(users.first)
    #expect(accounts.apply(user, day: 1) == ["none"])
    #expect(accounts.entries.map(\.path) == ["etc/passwd", "etc/shadow", "etc/group"])
    #expect(text(accounts.entries[0])?.hasPrefix("root:x:0:0:") == true)
    #expect(accounts.entries[1].permissions == 0o640 && accounts.entries[1].group == 42)
    #expect(text(accounts.entries[1]) == "root:\(Self.hash):1:0:99999:7:::\n")
  }

  @Test("Files go where links lead, belong to whom they shall, and their owners have the folders in their homes")
  func files() throws {
    let directory = try TemporaryDirectory()
    try directory.write("own", "content")
    let added = try added(
      """
      users: [{name: ada}]
      sysctl: {vm.swappiness: 10, kernel.panic: 5}
      files:
        - {path: /bin/tool, from: own, mode: 0755}
        - {path: /var/www/index.html, text: hi, owner: www-data}
        - {path: /home/ada/.config/deep/x, text: x, owner: "ada:adm"}
        - {path: /home/ada/.profile, text: mine, owner: ada}
        - {path: /srv/new/y, text: y, owner: "1234:5678"}
      """, in: directory)
    #expect(text(added["usr/bin/tool"]) == "content" && added["usr/bin/tool"]?.permissions == 0o755)
    let page = try #require(added["var/www/index.html"])
    #expect(page.owner == 33 && page.group == 33)
    let deep = try #require(added["home/ada/.config/deep/x"])
    #expect(deep.owner == 1002 && deep.group == 4)
    for path in ["home/ada/.config", "home/ada/.config/deep"] { #expect(added[path]?.owner == 1002) }
    #expect(added["home/ada"]?.permissions == 0o700)
    #expect(text(added["home/ada/.profile"]) == "mine")
    let new = try #require(added["srv/new/y"])
    #expect(new.owner == 1234 && new.group == 5678 && added["srv/new"] == nil)
    #expect(text(added[SystemChanges.settingsPath]) == "kernel.panic = 5\nvm.swappiness = 10\n")
  }

  @Test("What the root has no place, user, group or shell for is refused")
  func refusals() throws {
    let cases = [
      ("files: [{path: /var/run/x, text: a}]", "web: /var/run/x is run/x, which is empty at each start"),
      ("files: [{path: /etc/circle/x, text: a}]", "web: /etc/circle/x leads in circles"),
      ("files: [{path: /etc/foo, text: a}]", "web: /etc/foo is a folder"),
      ("files: [{path: /etc/passwd/x, text: a}]", "web: /etc/passwd/x cannot be: /etc/passwd is a file"),
      (
        "files: [{path: /bin/x, text: a}, {path: /usr/bin/x, text: b}]",
        "web: /bin/x and /usr/bin/x are both /usr/bin/x"
      ),
      (
        "files: [{path: /bin/x, text: a}, {path: /usr/bin/x/y, text: b}]",
        "web: /usr/bin/x/y cannot be: /bin/x is a file"
      ),
      (
        "files: [{path: /bin/x/y, text: a}, {path: /usr/bin/x, text: b}]",
        "web: /bin/x/y cannot be: /usr/bin/x is a file"
      ),
      ("files: [{path: /a, text: a, owner: nobody}]", "web: there is no user 'nobody' to have /a"),
      ("files: [{path: /a, text: a, owner: \"root:staff\"}]", "web: there is no group 'staff' to have /a"),
      ("users: [{name: ada, groups: [docker]}]", "web: there is no group 'docker' for 'ada' to be in"),
      ("users: [{name: ada, shell: /bin/zsh}]", "web: the shell /bin/zsh of 'ada' is not there"),
    ]
    for (lines, message) in cases {
      let error = try failure(lines)
      #expect(error?.message == message)
      #expect(error?.hint != nil)
    }
  }

  @Test("Links lead where they do in the tree, and never out of it")
  func links() throws {
    let directory = try TemporaryDirectory()
    let index = try index(
      in: directory,
      with: [.link("up", to: "../../../etc"), .link("usr/up", to: "../etc/foo"), .link("last", to: "/etc/passwd")])
    #expect(index.place(of: "/bin/bash") == "usr/bin/bash")
    #expect(index.place(of: "/up/x") == "etc/x")
    #expect(index.place(of: "/usr/up/../x") == "etc/x")
    #expect(index.place(of: "/last") == "last" && index.hasFile("/last") && index.hasFile("/bin/bash"))
    #expect(index.place(of: "/etc/circle/x") == nil && !index.hasFile("/etc/circle"))
  }

  @Test("A file's content decides the result")
  func contents() throws {
    let directory = try TemporaryDirectory()
    try directory.write("own", "one")
    let before = try changes("files: [{path: /a, from: own}]", in: directory).settings
    try directory.write("own", "two")
    #expect(try changes("files: [{path: /a, from: own}]", in: directory).settings != before)
  }

  @Test("A file that changes after its digest was taken is refused")
  func changedFile() throws {
    let directory = try TemporaryDirectory()
    try directory.write("own", "one")
    let changes = try changes("files: [{path: /a, from: own}]", in: directory)
    let index = try index(in: directory)
    #expect(try text(changes.entries(index, spool: "\(directory.path)/spool", epoch: 0).first) == "one")
    try directory.write("own", "two")
    let error = #expect(throws: BuildError.self) {
      try changes.entries(index, spool: "\(directory.path)/spool", epoch: 0)
    }
    #expect(error?.message == "web: \(directory.path)/own, the file for /a, changed during the build")
  }

  @Test("The commands of the first start are run in order, and none twice")
  func firstBoot() throws {
    let directory = try TemporaryDirectory()
    let state = "\(directory.path)/state"
    let log = "\(directory.path)/log"
    let boot = FirstBoot(
      commands: ["echo \"it's one\" >> \(log)", "test -e \(directory.path)/ready", "echo two >> \(log)"],
      hasNetwork: false)
    let script = try #require(boot.entries.compactMap { text($0) }.first { $0.hasPrefix("#!/bin/sh") })
    try directory.write("script", script.replacing("/var/lib/roost", with: state))
    func run() throws -> Bool {
      try Command(["sh", "\(directory.path)/script"]).run(cancellation: Cancellation()).status.isSuccess
    }
    #expect(try !run())
    #expect(try directory.text("log") == "it's one\n")
    #expect(try !run() && !Files.exists("\(state)/first-boot.done"))
    #expect(try directory.text("log") == "it's one\n")
    try directory.write("ready", "")
    #expect(try run() && Files.exists("\(state)/first-boot.done"))
    #expect(try directory.text("log") == "it's one\ntwo\n")
    #expect(FirstBoot(commands: [], hasNetwork: true).entries.isEmpty)
  }

  @Test("The control domain's commands are all run, whatever becomes of one")
  func startCommands() throws {
    let directory = try TemporaryDirectory()
    let log = "\(directory.path)/log"
    let start = StartCommands(commands: ["echo 'it''s one' >> \(log)", "false", "exit 3", "echo two >> \(log)"])
    let script = try #require(text(start.entries.first))
    try directory.write("script", script.replacing("cd /root", with: "cd /"))
    let outcome = try Command(["sh", "\(directory.path)/script"]).run(cancellation: Cancellation())
    #expect(outcome.status.isSuccess && outcome.text.contains("at-start: command 2 of 4 failed"))
    #expect(outcome.text.contains("at-start: command 3 of 4 failed"))
    #expect(try directory.text("log") == "its one\ntwo\n")
    #expect(start.entries.first?.permissions == 0o755 && StartCommands(commands: []).entries.isEmpty)
  }

  @Test("A quote with a mark on it is a quote to sh")
  func quotes() throws {
    let directory = try TemporaryDirectory()
    let start = StartCommands(commands: ["printf %s \"it'\u{0301}s\" > \(directory.path)/log"])
    let script = try #require(text(start.entries.first))
    try directory.write("script", script.replacing("cd /root", with: "cd /"))
    let outcome = try Command(["sh", "\(directory.path)/script"]).run(cancellation: Cancellation())
    #expect(outcome.status.isSuccess)
    #expect(try directory.text("log") == "it'\u{0301}s")
  }

  @Test("Services are switched by the system's own systemctl; what the recipe wants is not masked")
  func services() throws {
    var system = GuestSystem(hostname: "h", nameServer: nil)
    #expect(system.serviceScript.isEmpty)
    system.customization.enabledServices = ["fstrim.timer", "nginx.service"]
    system.customization.disabledServices = ["ssh.service", "man-db.timer"]
    let lines = system.serviceScript.split(separator: "\n")
    // By a root of Debian's alone: the recipe's files may have another systemctl, which must not run here.
    #expect(lines.first == "mkdir \"$1.base\"" && lines.last == "rm -rf \"$1.base\"")
    try #require(lines.count == 5)
    #expect(lines[2].contains("chroot \"$tree.base\" systemctl --root=/mnt"))
    #expect(lines[2].hasSuffix(" sh \"$1\" enable -- 'fstrim.timer' 'nginx.service'"))
    #expect(lines[3].hasSuffix(" sh \"$1\" disable -- 'ssh.service'"))
    let masked = Set(system.entries.map(\.path))
    #expect(!masked.contains("etc/systemd/system/fstrim.timer") && masked.contains("etc/systemd/system/man-db.timer"))
  }

  @Test("OpenSSH's keys are each machine's own")
  func hostKeys() throws {
    let directory = try TemporaryDirectory()
    #expect(GuestBase.omits("etc/ssh/ssh_host_ed25519_key") && !GuestBase.omits("etc/ssh/sshd_config"))
    #expect(GuestSystem.hostKeys(try index(in: directory)).isEmpty)
    let server = TreeEntry.text("usr/sbin/sshd", "", permissions: 0o755)
    #expect(GuestSystem.hostKeys(try index(in: directory, with: [server])).count == 1)
  }
}
