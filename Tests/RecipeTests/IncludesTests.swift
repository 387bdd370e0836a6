import Manifest
import Platform
import Testing

@testable import Recipe

@Suite struct IncludesTests {
  private func within<Value>(_ files: [String: String], _ body: (String) throws -> Value) throws -> Value {
    let directory = try Files.makeTemporaryDirectory(prefix: "/tmp/roost-includes.")
    defer { try? Files.removeTree(directory) }
    for (name, text) in files {
      let parts = name.split(separator: "/").dropLast()
      if !parts.isEmpty { try Files.makeDirectories("\(directory)/\(parts.joined(separator: "/"))") }
      try Files.write(text, to: "\(directory)/\(name)")
    }
    return try body(directory)
  }

  private func load(_ files: [String: String], _ name: String = "lab.yaml") throws -> Recipe {
    try within(files) { try Recipe.load("\($0)/\(name)") }
  }

  /// What is wrong, with paths as seen from the folder of the files.
  private func problems(_ files: [String: String], _ prepare: (String) throws -> Void = { _ in }) throws -> [String] {
    try within(files) { directory in
      try prepare(directory)
      do {
        _ = try Recipe.load("\(directory)/lab.yaml")
        return []
      } catch {
        return "\(error)".split(separator: "\n").map { line in
          line.split(separator: " ", omittingEmptySubsequences: false).map { word in
            word.hasPrefix("\(directory)/") ? String(word.dropFirst(directory.count + 1)) : String(word)
          }.joined(separator: " ")
        }
      }
    }
  }

  private let base = recipe(
    top: "variables: {size: 384, course: none}\nstorage: {ram: 256 MiB}\nbalancer: false\n",
    domain: """
        - name: debian
          memory: ${size} MiB
          disk: 2 GiB
          source: {debian: {suite: trixie, packages: [nano, curl]}}
        - name: other
          memory: 64 MiB
          source: {hatchling: {}}

      """)

  @Test func givesWhatTheRecipeDoesNotSay() throws {
    let recipe = try load(["base.yaml": base, "lab.yaml": "include: [base.yaml]\n"])
    #expect(try recipe.digest == Recipe.parse(base, file: "base.yaml").digest)
    #expect(try load(["base.yaml": base, "lab.yaml": "include: base.yaml\n"]).digest == recipe.digest)
  }

  @Test func mergesMappingsDomainsAndPackages() throws {
    let own = """
      include: [base.yaml]
      name: lab
      variables: {size: 512}
      storage: {ram: 128 MiB}
      domains:
        - name: debian
          disk: ~
          boot: bios
          source: {debian: {packages: [curl, vim]}}
        - name: debian
          disk: 4 GiB
        - name: third
          memory: 32 MiB
          source: {hatchling: {}}

      """
    let recipe = try load(["base.yaml": base, "lab.yaml": own])
    #expect(recipe.name == "lab")
    #expect(recipe.controlDomain.suite == "trixie")
    #expect(recipe.storage.ramBytes == 128 << 20)
    #expect(recipe.domains.map(\.name) == ["debian", "other", "third"])
    let debian = try #require(recipe.domains.first)
    #expect(debian.memoryBytes == 512 << 20 && debian.diskBytes == 4 << 30 && debian.boot == .bios)
    #expect(debian.source == .debian(suite: "trixie", packages: ["curl", "nano", "vim"], hostname: "debian"))
  }

  @Test func nothingTakesAVariablesValueAndNotTheVariable() throws {
    let files = ["base.yaml": base, "lab.yaml": "include: base.yaml\nvariables: {size: ~}\n"]
    let found = try problems(files)
    #expect(
      found == ["lab.yaml:2:19: error: the variable 'size' has no value; give it one with --set size=…"], "\(found)")
    let recipe = try within(files) { try Recipe.load("\($0)/lab.yaml", variables: ["size": "512"]) }
    #expect(recipe.domains.first?.memoryBytes == 512 << 20)
  }

  @Test func laterOnesComeFirstAndTheRecipeBeforeAll() throws {
    let files = [
      "a.yaml": "name: a\nstorage: {ram: 64 MiB}\nnetwork: {subnet: 10.1.0.0/24}\n",
      "b.yaml": "name: b\nstorage: {ram: 128 MiB}\n",
      "lab.yaml": recipe().replacing("name: test", with: "name: c\ninclude: [a.yaml, b.yaml]"),
    ]
    let recipe = try load(files)
    #expect(recipe.name == "c" && recipe.storage.ramBytes == 128 << 20)
    #expect(recipe.network.subnet.description == "10.1.0.0/24")
  }

  @Test func pathsStartAtTheFileThatSaysThem() throws {
    let files = [
      "common/deep/base.yaml":
        "sources: {own: {file: own.img}}\ndomains: [{name: a, source: {kernel: k, image: d}}]\n",
      "common/base.yaml": "include: deep/base.yaml\ndomains: [{name: a, cdrom: cd.iso}]\n",
      "lab/lab.yaml": """
      name: lab
      include: ../common/base.yaml
      control-domain: {suite: trixie}
      domains: [{name: a, floppy: /f, boot: bios, memory: 64 MiB, ready: {console: x}, source: {kernel: ~}}]

      """,
    ]
    let recipe = try load(files, "lab/lab.yaml")
    let domain = try #require(recipe.domains.first)
    #expect(domain.hardware.cdrom == .path("../common/cd.iso"))
    #expect(domain.hardware.floppy == .path("/f"))
    guard case .files(let own) = domain.source else {
      Issue.record("\(domain)")
      return
    }
    #expect(own.kernel == nil && own.image == .path("../common/deep/d"))
    #expect(recipe.sources["own"] == .file(path: "../common/deep/own.img", sha256: nil))
  }

  @Test func mistakesHaveTheirOwnFileAndLine() throws {
    let files = [
      "base.yaml": "# one\n# two\nstorage: {ran: 64 MiB}\nname: a\n",
      "lab.yaml": recipe(top: "include: base.yaml\nbalancer: maybe\n"),
    ]
    let found = try problems(files)
    #expect(
      found == [
        "base.yaml:3:11: error: unknown key 'ran' in the storage; did you mean 'ram'?",
        "lab.yaml:4:11: error: 'balancer' in the recipe must be true or false, not 'maybe'",
      ], "\(found)")
    let twice = try problems([
      "base.yaml": "storage: {ram: 64 MiB}\nname: a\nname: b\n", "lab.yaml": recipe(top: "include: base.yaml\n"),
    ])
    #expect(twice == ["base.yaml:3:1: error: the key 'name' is given twice; the first is in line 2"])
    let including = recipe(top: "include: base.yaml\n")
    let broken = try problems(["base.yaml": "name: a\nstorage: [\n", "lab.yaml": including])
    #expect(broken.count == 1 && broken.first?.hasPrefix("base.yaml:3:1: error: not valid YAML") == true, "\(broken)")
    let twins = try problems([
      "base.yaml": "\n\n\ndomains: [{name: a, memory: 1 TiB}, {name: a}]\n", "lab.yaml": "include: base.yaml\n",
    ])
    let expected = "base.yaml:4:44: error: two domains are named 'a'; the first is at base.yaml:4:18"
    #expect(twins.contains(expected), "\(twins)")
  }

  @Test func circlesAreNamedWhole() throws {
    let circle = try problems([
      "lab.yaml": "include: [a.yaml]\n", "a.yaml": "include: [sub/b.yaml]\n", "sub/b.yaml": "\ninclude: [../a.yaml]\n",
    ])
    #expect(
      circle == [
        "sub/b.yaml:2:11: error: cannot include '../a.yaml': it includes itself: a.yaml → sub/b.yaml → sub/../a.yaml"
      ])
    let own = try problems(["lab.yaml": "include: lab.yaml\n"])
    #expect(own == ["lab.yaml:1:10: error: cannot include 'lab.yaml': it includes itself: lab.yaml → lab.yaml"])
    let link = try problems(["lab.yaml": "include: other.yaml\n"]) {
      try Files.link("\($0)/other.yaml", to: "lab.yaml")
    }
    #expect(link.first?.contains("it includes itself: lab.yaml → other.yaml") == true, "\(link)")
  }

  @Test func oneFileMayBeIncludedTwice() throws {
    let files = [
      "base.yaml": base, "a.yaml": "include: base.yaml\nstorage: {ram: 64 MiB}\n", "b.yaml": "include: base.yaml\n",
      "lab.yaml": "include: [a.yaml, b.yaml]\n",
    ]
    #expect(try load(files).storage.ramBytes == 256 << 20)
  }

  @Test(arguments: [
    ("none.yaml", "there is no file none.yaml"), ("sub", "sub is a folder"),
    ("/dev/zero", "/dev/zero is no file but a device or the like"), ("pipe", "pipe is no file but"),
    ("large.yaml", "the recipe is larger than 1 MiB"),
    ("bytes.yaml", "it is not UTF-8 text"), ("empty.yaml", "the recipe is empty"), ("list.yaml", "it has no keys"),
    ("\"${x}.yaml\"", "its name cannot have variables"), ("\"\"", "is a folder"),
    ("[none.yaml]", "an entry of 'include' must be a single value, not a list"),
  ])
  func whatCannotBeIncludedIsToldWithItsPlace(name: String, expected: String) throws {
    let files = [
      "lab.yaml": recipe(top: "include: [\(name)]\n"), "sub/x": "", "empty.yaml": "# nothing\n", "list.yaml": "[a]\n",
    ]
    let found = try problems(files) { directory in
      try Files.write([UInt8](repeating: 32, count: (1 << 20) + 2), to: "\(directory)/large.yaml")
      #expect(try ChildProcess.start(ChildRequest(["mkfifo", "\(directory)/pipe"])).wait() == .exited(0))
      try Files.write([0x61, 0xFF, 0xFE], to: "\(directory)/bytes.yaml")
    }
    #expect(found.count == 1 && found.first?.contains(expected) == true, "\(found)")
  }

  @Test func thereAreBounds() throws {
    var deep = ["lab.yaml": recipe(top: "include: f1.yaml\n")]
    for level in 1...12 { deep["f\(level).yaml"] = "include: f\(level + 1).yaml\n" }
    let depth = try problems(deep).first
    #expect(depth?.contains("f8.yaml:1:10: error: cannot include 'f9.yaml': includes are nested") == true)
    var wide = ["lab.yaml": recipe(top: "include: [a.yaml, a.yaml]\n")]
    for (name, next) in [("a", "b"), ("b", "c"), ("c", "d"), ("d", "e"), ("e", "f"), ("f", "g")] {
      wide["\(name).yaml"] = "include: [\(next).yaml, \(next).yaml]\n"
    }
    wide["g.yaml"] = "storage: {ram: 64 MiB}\n"
    #expect(try problems(wide).first?.contains("there are more than 64 includes in all") == true)
    let group = try problems(["lab.yaml": recipe(top: "include: {a: b}\n")]).first
    #expect(group?.contains("'include' must be a list") == true)
  }
}
