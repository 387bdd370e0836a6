import Binary
import Manifest
import Platform
import Testing

@testable import Recipe

@Suite struct CustomizationTests {
  private static let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB pupil"
  private static let hash = "$6$salt$" + String(repeating: "x", count: 86)

  /// A recipe whose guest, or whose control domain, has these lines.
  private func recipe(_ lines: String, inControlDomain: Bool = false) -> String {
    let indented = { (count: Int) in
      lines.split(separator: "\n").map { String(repeating: " ", count: count) + $0 + "\n" }.joined()
    }
    return "name: test\nvariables: {course: os-101}\ncontrol-domain:\n  suite: trixie\n"
      + (inControlDomain ? indented(2) : "")
      + "domains:\n  - name: debian\n    memory: 384 MiB\n    disk: 2 GiB\n    source:\n      debian:\n"
      + "        suite: trixie\n" + (inControlDomain ? "" : indented(8))
  }

  private func guest(_ lines: String, directory: String = ".") throws -> Customization {
    let recipe = try Recipe.parse(recipe(lines), file: "r.yaml", directory: directory)
    return try #require(recipe.domains.first).customization
  }

  private func found(_ lines: String, inControlDomain: Bool = false, directory: String = ".") -> [String] {
    do {
      _ = try Recipe.parse(recipe(lines, inControlDomain: inControlDomain), file: "r.yaml", directory: directory)
      return []
    } catch {
      return "\(error)".split(separator: "\n").map(String.init)
    }
  }

  @Test func usersHaveKeysHashesAndGroups() throws {
    let users = try guest(
      """
      packages: [sudo, openssh-server]
      users:
        - {name: ada, ssh-keys: ["\(Self.key)"], password-hash: "\(Self.hash)", groups: [adm, audio], sudo: true}
        - {name: root, password-hash: "*", shell: /bin/sh}

      """
    ).users
    #expect(
      users == [
        .init(
          name: "ada", sshKeys: [Self.key], passwordHash: Self.hash, groups: ["adm", "audio"], shell: nil,
          mayDoAll: true),
        .init(name: "root", sshKeys: [], passwordHash: "*", groups: [], shell: "/bin/sh", mayDoAll: false),
      ])
  }

  @Test func servicesCommandsAndSettings() throws {
    let system = try guest(
      """
      services: {enable: [fstrim.timer, nginx], disable: [ssh]}
      first-boot:
        - apt-get update
        - |
          for i in 1 2; do
            echo "${course} $i" "$${i}"
          done
      sysctl: {vm.swappiness: 10, net.ipv4.ip_forward: 1}

      """)
    #expect(system.enabledServices == ["fstrim.timer", "nginx.service"])
    #expect(system.disabledServices == ["ssh.service"])
    #expect(system.firstBoot == ["apt-get update", "for i in 1 2; do\n  echo \"os-101 $i\" \"${i}\"\ndone\n"])
    #expect(system.kernelSettings == ["vm.swappiness": "10", "net.ipv4.ip_forward": "1"])
  }

  @Test func filesAreInlineCopiedOrMadeOfTemplates() throws {
    let directory = try Files.makeTemporaryDirectory(prefix: "/tmp/roost-files.")
    defer { try? Files.removeTree(directory) }
    try Files.makeDirectories("\(directory)/etc")
    try Files.write("as it is: ${course}\n", to: "\(directory)/etc/own")
    try Files.write("the course is ${course}, not $${course}\n", to: "\(directory)/motd")
    let system = try guest(
      """
      files:
        - {path: /etc/one, text: "two\\nlines\\n", mode: 0600, owner: "www-data:adm"}
        - {path: /etc/motd, template: motd}
        - {path: /etc/own, from: etc/own, owner: "1000"}
        - {path: /etc/empty, text: ""}

      """, directory: directory)
    #expect(
      system.files == [
        .init(path: "/etc/empty", content: .text(""), permissions: 0o644, owner: "root", group: nil),
        .init(
          path: "/etc/motd", content: .text("the course is os-101, not ${course}\n"), permissions: 0o644, owner: "root",
          group: nil),
        .init(path: "/etc/one", content: .text("two\nlines\n"), permissions: 0o600, owner: "www-data", group: "adm"),
        .init(path: "/etc/own", content: .file("etc/own"), permissions: 0o644, owner: "1000", group: nil),
      ])
  }

  @Test func filesOfAnIncludedRecipeLieBesideIt() throws {
    let directory = try Files.makeTemporaryDirectory(prefix: "/tmp/roost-files.")
    defer { try? Files.removeTree(directory) }
    for folder in ["common", "lab"] { try Files.makeDirectories("\(directory)/\(folder)") }
    try Files.write("x", to: "\(directory)/common/own")
    try Files.write("for ${course}", to: "\(directory)/common/t")
    try Files.write(
      recipe("files: [{path: /a, from: own}, {path: /t, template: t}]"), to: "\(directory)/common/base.yaml")
    try Files.write("include: ../common/base.yaml\nvariables: {course: nets}\n", to: "\(directory)/lab/lab.yaml")
    let recipe = try Recipe.load("\(directory)/lab/lab.yaml")
    let files = try #require(recipe.domains.first).customization.files
    #expect(files.map(\.content) == [.file("../common/own"), .text("for nets")])
    #expect(try Files.readText(recipe.resolve("../common/own")) == "x")
  }

  @Test(arguments: [
    ("users: [{name: ada, password: secret}]", "unknown key 'password' in a user: a password in a recipe"),
    ("users: [{name: ada, password-hash: secret}]", "'password-hash' in a user is no hash that a system takes; write"),
    ("users: [{name: ada, password-hash: $1$abc$def}]", "is no hash"),
    ("users: [{name: Ada}]", "'Ada' is no name that Debian gives"),
    ("users: [{name: a b}]", "is no name that Debian gives"),
    ("users: [{name: ..}]", "is no name that Debian gives"),
    ("users: [{name: \"ada:x\"}]", "is no name that Debian gives"),
    ("users: [{ssh-keys: []}]", "a user needs the key 'name'"),
    ("users: [{name: ada}, {name: ada}]", "two users are named 'ada'"),
    ("users: [{name: ada, ssh-keys: [hello]}]", "'hello' is not a public key"),
    ("users: [{name: ada, sudo: true}]", "'sudo' in a user takes the package of that name"),
    ("users: [{name: ada, shell: bash}]", "must be a path from the root on"),
    ("users: [{name: ada, groups: [a b]}]", "'a b' is no name"),
    ("users: [{name: ada, groups: [1a]}]", "'1a' is no name"),
    ("users: [{name: Debian-exim}]", "'Debian-exim' is no name that Debian gives"),
    ("users: {name: ada}", "'users' in a Debian source must be a list"),
    ("files: [{path: etc/motd, text: a}]", "must be a path from the root on"),
    ("files: [{path: /etc/../motd, text: a}]", "must be a path from the root on"),
    ("files: [{path: /etc/./motd, text: a}]", "must be a path from the root on"),
    ("files: [{path: /etc//motd, text: a}]", "must be a path from the root on"),
    ("files: [{path: /, text: a}]", "must be a path from the root on"),
    ("files: [{path: /etc/motd/, text: a}]", "must be a path from the root on"),
    ("files: [{path: /run/x, text: a}]", "would not be seen: /run is empty at each start"),
    ("files: [{path: /etc/shadow, text: a}]", "'/etc/shadow' is what 'users' says"),
    ("files: [{path: /a, text: a}, {path: /a, text: b}]", "has /a twice"),
    ("files: [{path: /a, text: a}, {path: /a/b, text: b}]", "/a is a file, so that /a/b cannot be in it"),
    ("files: [{path: /a}]", "exactly one of the keys 'text', 'from' and 'template'"),
    ("files: [{path: /a, text: a, from: b}]", "exactly one of the keys"),
    ("files: [{path: /a, text: }]", "'text' in a file has no value"),
    ("files: [{path: /a, text: a, mode: rwx}]", "must be permissions as chmod has them"),
    ("files: [{path: /a, text: a, mode: 0888}]", "must be permissions as chmod has them"),
    ("files: [{path: /a, text: a, owner: \"a:b:c\"}]", "is no owner"),
    ("files: [{path: /a, text: a, owner: \"99999999999\"}]", "is no owner"),
    ("files: [{path: /a, from: /etc/passwd}]", "is an absolute path"),
    ("files: [{path: /a, from: ../x}]", "is no file's path in the recipe's folder"),
    ("files: [{path: /a, from: nowhere}]", "'nowhere' is not there"),
    ("files: [{path: /a, from: folder}]", "is a folder"),
    ("files: [{path: /a, from: out}]", "leads out of the recipe's folder"),
    ("files: [{path: /a, from: beside}]", "leads out of the recipe's folder"),
    ("files: [{path: /a, from: zero}]", "is no file but a device"),
    ("files: [{path: /a, template: pipe}]", "is no file but a device"),
    ("files: [{path: /a, from: large}]", "is larger than 64 MiB"),
    ("files: [{path: /a, template: bytes}]", "it is not UTF-8 text"),
    ("files: [{path: /a, template: wrong}]", "/wrong:2:3: error: there is no variable 'corse'; did you mean 'course'?"),
    ("files: [{path: /a, template: crlf}]", "/crlf:2:3: error: there is no variable 'corse'; did you mean 'course'?"),
    ("services: [nginx]", "'services' in a Debian source must have keys (enable, disable)"),
    ("services: {enable: [nginx], disable: [nginx.service]}", "'nginx.service' is enabled and disabled"),
    ("services: {enable: [../x]}", "is no unit of systemd's"),
    ("services: {enable: [\"a'b\"]}", "is no unit of systemd's"),
    ("services: {enable: [-f]}", "is no unit of systemd's"),
    ("first-boot: reboot", "'first-boot' in a Debian source must be a list"),
    ("first-boot: [[a]]", "must be text, not a list"),
    ("first-boot: [\"a\\0b\"]", "may not have the character NUL"),
    ("at-start: [a]", "unknown key 'at-start' in a Debian source: a guest keeps"),
    ("sysctl: [a]", "must have settings as its keys"),
    ("sysctl: {\"../../etc/x\": 1}", "is no setting of the kernel's"),
    ("sysctl: {a/../b: 1}", "is no setting of the kernel's"),
    ("sysctl: {a.b: [1]}", "must be a single value"),
  ])
  func mistakesAreToldWithTheirPlace(line: String, expected: String) throws {
    let parent = try Files.makeTemporaryDirectory(prefix: "/tmp/roost-files.")
    defer { try? Files.removeTree(parent) }
    let directory = "\(parent)/own"
    try Files.makeDirectories("\(directory)/folder")
    try Files.makeDirectories("\(parent)/own-other")
    try Files.write("x", to: "\(parent)/own-other/x")
    try Files.link("\(directory)/out", to: "/etc/passwd")
    try Files.link("\(directory)/beside", to: "../own-other/x")
    try Files.link("\(directory)/zero", to: "/dev/zero")
    #expect(try ChildProcess.start(ChildRequest(["mkfifo", "\(directory)/pipe"])).wait() == .exited(0))
    try FileDescriptor(opening: "\(directory)/large", [.readWrite, .create]).truncate(to: (64 << 20) + 1)
    try Files.write([0xFF], to: "\(directory)/bytes")
    try Files.write("a\nb ${corse}\n", to: "\(directory)/wrong")
    try Files.write("a\r\nb ${corse}\r\n", to: "\(directory)/crlf")
    let found = found(line, directory: directory)
    #expect(found.contains { $0.contains(expected) }, "\(found)")
    #expect(found.allSatisfy { $0.contains(": error: ") && !$0.contains("secret") }, "\(found)")
  }

  @Test func aTemplateDoesNotMultiply() throws {
    let directory = try Files.makeTemporaryDirectory(prefix: "/tmp/roost-files.")
    defer { try? Files.removeTree(directory) }
    try Files.write(String(repeating: "${large}", count: 1_000), to: "\(directory)/template")
    let text = recipe("files: [{path: /a, template: template}]").replacing("os-101", with: "os-101, large: ~")
    let error = #expect(throws: RecipeError.self) {
      try Recipe.parse(
        text, file: "r.yaml", directory: directory, variables: ["large": String(repeating: "x", count: 16_000)])
    }
    #expect(error?.description.contains("/template:1:2097: error: variables make too much text") == true, "\(error)")
  }

  @Test func aTemplatesMistakesAreNotToldWithoutEnd() throws {
    let directory = try Files.makeTemporaryDirectory(prefix: "/tmp/roost-files.")
    defer { try? Files.removeTree(directory) }
    try Files.write(String(repeating: "é ${corse}\n", count: 150), to: "\(directory)/template")
    let found = found("files: [{path: /a, template: template}]", directory: directory)
    #expect(found.count == 101)
    #expect(found.first?.contains("/template:1:3: error: ") == true, "\(found.first ?? "")")
    #expect(found.dropLast().last?.contains("/template:100:3: error: ") == true, "\(found.dropLast().last ?? "")")
    #expect(
      found.last?.hasSuffix("/template:101:3: error: 50 more mistakes are in this file") == true, "\(found.last ?? "")")
    // One more is told as it is.
    try Files.write(String(repeating: "é ${corse}\n", count: 101), to: "\(directory)/template")
    let one = self.found("files: [{path: /a, template: template}]", directory: directory)
    #expect(one.count == 101)
    #expect(one.last?.contains("/template:101:3: error: there is no variable 'corse'") == true, "\(one.last ?? "")")
  }

  @Test func packagesNamesMayHaveUpperCaseLetters() throws {
    let system = try guest(
      """
      users: [{name: ada, groups: [Debian-exim]}]
      files: [{path: /a, text: a, owner: "Debian-exim:Debian-exim"}]

      """)
    #expect(system.users.first?.groups == ["Debian-exim"])
    #expect(system.files.first?.owner == "Debian-exim" && system.files.first?.group == "Debian-exim")
  }

  @Test func theControlDomainHasNoSystemdAndNoFirstStart() throws {
    let found = found("services: {enable: [nginx]}\nfirst-boot: [a]\n", inControlDomain: true)
    #expect(found.count == 2)
    #expect(found.first?.hasPrefix("r.yaml:5:3: error: unknown key 'services' in the control domain: it has") == true)
    #expect(found.last?.hasPrefix("r.yaml:6:3: error: unknown key 'first-boot' in the control domain: its") == true)
  }

  @Test func theControlDomainHasTheRest() throws {
    let lines = """
      command-line: nomodeset mitigations=off
      users: [{name: root, ssh-keys: ["\(Self.key)"]}]
      files: [{path: /etc/motd, text: Hello}]
      at-start: ["echo ${course}"]
      sysctl: {kernel.panic: 5}

      """
    let control = try Recipe.parse(recipe(lines, inControlDomain: true), file: "r.yaml").controlDomain
    #expect(control.commandLine == "nomodeset mitigations=off")
    #expect(control.customization.startCommands == ["echo os-101"])
    #expect(control.customization.users.map(\.name) == ["root"])
    #expect(control.customization.files.count == 1 && control.customization.kernelSettings == ["kernel.panic": "5"])
    for (line, expected) in [
      ("a=\"b\"", "may not have the character '\"'"), ("roost.root=x", "is for Roost to say"),
      ("init=/bin/sh", "is for Roost to say"), ("a;b", "may not have the character ';'"),
    ] {
      let found = found("command-line: '\(line)'\n", inControlDomain: true)
      #expect(found.count == 1 && found.first?.contains(expected) == true, "\(found)")
    }
  }

  @Test func everythingDecidesTheDigestsAndNothingLeavesThemAsTheyWere() throws {
    func digests(_ lines: String) throws -> [String] {
      let recipe = try Recipe.parse(recipe(lines), file: "r.yaml")
      return try [recipe.digest.description, #require(recipe.domains.first).sourceDigest.description]
    }
    let plain = try digests("")
    #expect(try plain == digests("files: []\nusers: []\nservices: {enable: []}\nfirst-boot: []\nsysctl: {}\n"))
    var all: Set<String> = Set(plain)
    let lines = [
      "files: [{path: /a, text: a}]", "files: [{path: /a, text: b}]", "files: [{path: /a, text: a, mode: 0600}]",
      "users: [{name: ada}]", "users: [{name: ada, shell: /bin/sh}]", "services: {enable: [a]}",
      "services: {disable: [a]}", "first-boot: [a]", "sysctl: {a: 1}", "sysctl: {a: 2}",
    ]
    for line in lines { all.formUnion(try digests(line)) }
    #expect(all.count == 2 * (lines.count + 1))
  }
}
