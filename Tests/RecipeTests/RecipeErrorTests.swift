import Recipe
import Testing

@Suite struct RecipeErrorTests {
  struct Case: Sendable, CustomTestStringConvertible {
    let from: String
    let to: String
    let expected: String

    init(_ from: String, _ to: String, _ expected: String) {
      self.from = from
      self.to = to
      self.expected = expected
    }

    var testDescription: String { "\(from) → \(to)" }
  }

  /// One change each to the correct recipe of `recipe()`, whose domain begins in line 4.
  @Test(arguments: [
    Case("memory:", "memmory:", "5:5: error: unknown key 'memmory' in a domain; did you mean 'memory'?"),
    Case("memory:", "colour:", "5:5: error: unknown key 'colour' in a domain; it may have name, os"),
    Case("memory: 384 MiB", "cpus: 2", "4:5: error: a domain needs the key 'memory'"),
    Case("384 MiB", "384", "5:13: error: 'memory' in a domain: the size '384' has no unit; write one as 384 MiB"),
    Case("384 MiB", "384 MB", "5:13: error: 'memory' in a domain: 'MB' is not a unit of size; use KiB, MiB"),
    Case("384 MiB", "[1]", "5:13: error: 'memory' in a domain must be a single value, not a list"),
    Case("384 MiB", "1 KiB", "5:13: error: 'memory' in a domain must be 8 MiB to 1 TiB, not 1 KiB"),
    Case("384 MiB", "10241 KiB", "must be a multiple of 1 MiB, not 10241 KiB"),
    Case("384 MiB", "", "'memory' in a domain has no value"),
    Case("disk: 2 GiB", "boot: pvh", "a Debian domain boots with 'boot: linux'"),
    Case("disk: 2 GiB", "cpus: 1", "4:5: error: a domain needs the key 'disk'"),
    Case("name: debian", "name: Debian", "4:11: error: 'name' in a domain: 'Debian' may only have lower-case"),
    Case("name: debian", "name: -a", "may not begin or end with a hyphen"),
    Case("name: debian", "name: image-x", "may not begin with 'image-'"),
    Case("name: debian", "name: pvmove0", "may not begin with 'pvmove'"),
    Case("name: debian", "name: \(String(repeating: "a", count: 49))", "is longer than 48 characters"),
    Case("name: debian", "name: ../etc", "may only have lower-case letters"),
    Case("name: debian", "cpus: 1", "4:5: error: a domain needs the key 'name'"),
    Case("name: debian", "name: \"a\\eb\"", "may not have line breaks or control characters"),
    Case("{suite: trixie}}", "{suit: trixie}}", "unknown key 'suit' in a Debian source; did you mean 'suite'?"),
    Case("{suite: trixie}}", "{suite: trixie, packages: [a b]}}", "'a b' is not the name of a Debian package"),
    Case("{suite: trixie}}", "{suite: trixie, packages: nano}}", "must be a list, such as [nano, curl], not 'nano'"),
    Case("{debian: {suite: trixie}}", "{}", "must have exactly one of the keys 'debian', "),
    Case("{debian: {suite: trixie}}", "{hatchling: {}}", "hatchling has no use for a disk"),
    Case("{debian: {suite: trixie}}", "{hatchling: {x: 1}}", "'hatchling' has no settings"),
    Case("{debian: {suite: trixie}}", "{kernel: k}", "6:11: error: a disk needs an image"),
    Case("{debian: {suite: trixie}}", "{kernel: k, root: r}", "a domain needs the key 'ready'"),
    Case("{debian: {suite: trixie}}", "{debian: {suite: trixie}, root: r}", "'root' belongs to a source with 'kernel'"),
    Case(
      "disk: 2 GiB", "disk: 2 GiB\n    cpus: 65",
      "'cpus' in a domain must be a whole number from 1 to 64, not '65'"),
    Case("disk: 2 GiB", "disk: 2 GiB\n    cpus: two", "not 'two'"),
    Case("disk: 2 GiB", "disk: 2 GiB\n    boot: pvhh", "plan9, bios, uefi, auto, not 'pvhh'; did you mean 'pvh'?"),
    Case("disk: 2 GiB", "disk: 2 GiB\n    network: yes", "must be true or false, or name networks, not 'yes'"),
    Case("disk: 2 GiB", "disk: 2 GiB\n    ready: {console: x, timeout: 5}", "the length of time '5' has no unit"),
    Case("disk: 2 GiB", "disk: 2 GiB\n    ready: {console: x, timeout: 0 s}", "must be 1 s to 1440 min"),
    Case(
      "disk: 2 GiB", "disk: 2 GiB\n    disk: 3 GiB",
      "7:5: error: a domain has the key 'disk' twice; the first is in line 6"),
    Case("disk: 2 GiB", "disk: 2 GiB\n\tcpus: 2", "7:1: error: a tab cannot indent; use spaces"),
    Case("disk: 2 GiB", "disk: [2", "error: not valid YAML"),
    Case("disk: 2 GiB", "disk: 2 \u{1} GiB", "6:13: error: this character cannot be in a recipe"),
    Case("name: test", "nam: test", "1:1: error: unknown key 'nam' in the recipe; did you mean 'name'?"),
    Case(
      "name: test", "name: test\nnetwork: {subnet: 10.0.0.1/24}",
      "2:19: error: 'subnet' in the network: '10.0.0.1/24' is an address"),
    Case("name: test", "name: test\nnetwork: {subnet: everything}", "is not a subnet; write one as 10.77.0.0/24"),
    Case(
      "name: test", "name: test\nstorage: {ram: 1 MiB}",
      "2:16: error: 'ram' in the storage must be 64 MiB to 1 TiB"),
    Case("{suite: trixie}", "{}", "2:17: error: the control domain needs the key 'suite'"),
    Case("{suite: trixie}", "trixie", "the control domain must have keys (suite, hostname, "),
    Case("domains:", "domain:", "unknown key 'domain' in the recipe; did you mean 'domains'?"),
  ])
  func oneMistakeIsNamedWithItsPlace(change: Case) {
    let correct = recipe()
    #expect(problems(correct) == [])
    let text = correct.replacing(change.from, with: change.to)
    let found = problems(text)
    #expect(found.contains { $0.contains(change.expected) }, "\(found)\n\(text)")
    for line in found { #expect(line.hasPrefix("r.yaml:"), "\(line)") }
  }

  @Test func severalMistakesComeTogetherSortedByLine() {
    let text = recipe(
      top: "storag: {}\n",
      domain: """
          - name: a
            memmory: 384 MiB
            cpus: 0
            source: {hatchling: {}}
          - name: b
            memory: 7
            source: {hatchling: {}}
            ready: {consol: x}
        """)
    let found = problems(text)
    let lines = found.compactMap { Int($0.split(separator: ":")[1]) }
    #expect(lines == lines.sorted())
    #expect(lines == [3, 5, 6, 7, 10, 12], "\(found)")
  }

  @Test func twoDomainsOfOneNameAreBothPlaced() {
    let second = Lines.domain
    let found = problems(recipe(domain: Lines.domain + second))
    #expect(found == ["r.yaml:8:11: error: two domains are named 'debian'; the first is at r.yaml:4:11"])
  }

  @Test func keysGivenTwiceAreAllFoundBesideOtherMistakes() {
    let text = "name: a\nname: b\nname: c\ncontrol-domain: {suite: x, \"suite\": y}\ndomains: []\n"
    let found = problems(text)
    #expect(
      found == [
        "r.yaml:2:1: error: the recipe has the key 'name' twice; the first is in line 1",
        "r.yaml:3:1: error: the recipe has the key 'name' twice; the first is in line 1",
        "r.yaml:4:28: error: the control domain has the key 'suite' twice; the first is in line 4",
        "r.yaml:5:1: error: 'domains' is empty; an appliance needs at least one domain",
      ], "\(found)")
  }

  @Test(arguments: [
    "", "# nothing\n", "---\n", "[]", "a", "- a\n- b\n", "--- a\n--- b\n", "*a", "&a [*a]", "a: !!binary x",
  ])
  func whatIsNoRecipeIsRefused(text: String) {
    #expect(!problems(text).isEmpty)
  }

  @Test func tooManyGuestsForTheSubnetAreRefused() {
    let guests = (1...6).map {
      "  - {name: g\($0), memory: 64 MiB, network: true, source: {kernel: k}, ready: {console: x}}\n"
    }
    let found = problems(recipe(top: "network: {subnet: 10.0.0.0/28}\n", domain: guests.joined()))
    #expect(found.count == 1)
    #expect(found.first?.contains("3:10: error: the subnet 10.0.0.0/28 has addresses for 5 domains") == true)
  }
}
