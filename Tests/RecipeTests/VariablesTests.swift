import Testing

@testable import Recipe

@Suite struct VariablesTests {
  private func parse(_ top: String, domain: String = Lines.domain, _ set: [String: String] = [:]) throws -> Recipe {
    try Recipe.parse(recipe(top: top, domain: domain), file: "r.yaml", variables: set)
  }

  private func problems(_ top: String, domain: String = Lines.domain, _ set: [String: String] = [:]) -> [String] {
    do {
      _ = try parse(top, domain: domain, set)
      return []
    } catch {
      return "\(error)".split(separator: "\n").map(String.init)
    }
  }

  @Test func stand() throws {
    let domain = Lines.domain.replacing("384 MiB", with: "${size} MiB")
      .replacing("trixie}", with: "trixie, hostname: \"${course}-${size}\"}")
    let text = "variables: {course: os-101, size: 512}\n"
    let recipe = try parse(text, domain: domain)
    #expect(recipe.domains.first?.memoryBytes == 512 << 20)
    #expect(recipe.domains.first?.source == .debian(suite: "trixie", packages: [], hostname: "os-101-512"))
    let other = try parse(text, domain: domain, ["size": "256", "course": "nets"])
    #expect(other.domains.first?.memoryBytes == 256 << 20)
    #expect(other.domains.first?.source == .debian(suite: "trixie", packages: [], hostname: "nets-256"))
    #expect(recipe.digest != other.digest)
  }

  @Test func mayBeMadeOfOthers() throws {
    let top = "variables: {a: \"${b}-${c}\", b: \"x${c}\", c: y}\n"
    let domain = Lines.domain + "    command-line: ${a} $${a} $a $$ $1\n"
    #expect(try parse(top, domain: domain).domains.first?.commandLine == "xy-y ${a} $a $$ $1")
    #expect(try parse(top, domain: domain, ["c": "${b}"]).domains.first?.commandLine == "x${b}-${b} ${a} $a $$ $1")
  }

  @Test func decideNothingByTheirNames() throws {
    let domain = Lines.domain.replacing("384", with: "${size}")
    let one = try parse("variables: {size: 384}\n", domain: domain)
    #expect(try one.digest == parse("").digest)
  }

  @Test(arguments: [
    ("variables: {a: 1}\n", "${b}", "6:9: error: there is no variable 'b'; there are a"),
    ("variables: {course: 1, size: 2}\n", "${qqqqqqqq}", "no variable 'qqqqqqqq'; there are course, size"),
    ("", "${HOME}", "the recipe has none under 'variables' ('$${HOME}' stands for '${HOME}' itself)"),
    ("variables: {a: 1}\n", "${a", "'${' begins a variable"),
    ("variables: {a: 1}\n", "${}", "'${' begins a variable"),
    ("variables: {a: 1}\n", "${a b}", "'${' begins a variable"),
    ("variables: {a: \"${a}\"}\n", "x", "3:16: error: the variable 'a' is defined in terms of itself: a → a"),
    ("variables: {a: \"${b}\", b: \"${c}\", c: \"${b}\"}\n", "x", "itself: b → c → b"),
    ("variables: {a: \"${b}\"}\n", "x", "3:16: error: there is no variable 'b'"),
    ("variables: {a: ${b}}\n", "x", "(between { } and [ ] a value with '${' needs quotes)"),
    ("variables: {course: 1}\n", "${corse}", "there is no variable 'corse'; did you mean 'course'?"),
    ("variables: {1a: b}\n", "x", "3:13: error: '1a' is no variable's name"),
    ("variables: {a b: c}\n", "x", "3:13: error: 'a b' is no variable's name"),
    ("variables: [a]\n", "x", "3:12: error: 'variables' must have names as its keys"),
    ("variables: {a: [b]}\n", "x", "3:16: error: the variable 'a' must be a single value, not a list"),
    ("variables: {a: }\n", "x", "the variable 'a' has no value; give it one with --set a=…"),
    ("variables: {a: 1, a: 2}\n", "x", "3:19: error: the variables has the key 'a' twice; the first is in line 3"),
  ])
  func areRefusedWithTheirPlace(top: String, value: String, expected: String) {
    let domain = Lines.domain.replacing("debian\n    memory", with: "debian\n    os: \"\(value)\"\n    memory")
    let found = problems(top, domain: domain)
    #expect(found.contains { $0.contains(expected) }, "\(found)")
  }

  @Test func standInWhatIsCalledVariablesToo() throws {
    let top = "variables: {net: 10.9.0.0/24}\nnetworks: {variables: {mode: isolated, subnet: \"${net}\"}}\n"
    #expect(try parse(top).networks.first?.subnet?.description == "10.9.0.0/24")
  }

  @Test func missTheirQuotesInLinesOfWindowsToo() {
    let text = recipe(top: "variables: {a: ${b}}\n").replacing("\n", with: "\r\n")
    let error = #expect(throws: RecipeError.self) { try Recipe.parse(text, file: "r.yaml") }
    let hint = "(between { } and [ ] a value with '${' needs quotes)"
    #expect(error?.description.contains(hint) == true, "\(error.map { "\($0)" } ?? "")")
  }

  @Test func areSetByTheNameThatTheRecipeHas() {
    #expect(problems("variables: {a: ~}\n", ["a": "1"]) == [])
    let found = problems("variables: {course: 1}\n", ["cours": "2"])
    #expect(found == ["r.yaml: error: --set: the recipe has no variable 'cours'; did you mean 'course'?"])
    #expect(problems("", ["a": "2"]) == ["r.yaml: error: --set: the recipe has no variable 'a'"])
  }

  @Test func doNotMultiply() {
    var laughs = "a0: \(String(repeating: "x", count: 100))"
    for level in 1...9 { laughs += ", a\(level): \"\(String(repeating: "${a\(level - 1)}", count: 10))\"" }
    let found = problems("variables: {\(laughs)}\n")
    #expect(found.count == 1 && found.first?.contains("3:") == true, "\(found)")
    #expect(found.first?.contains("variables make too much text") == true, "\(found)")

    let long = String(repeating: "x", count: 17_000)
    #expect(problems("variables: {a: \(long)}\n") == ["r.yaml:3:16: error: the variable 'a' is longer than 16 KiB"])
    #expect(
      problems("variables: {a: b}\n", ["a": long]) == ["r.yaml: error: the variable 'a' is longer than 16 KiB"])

    let large = String(repeating: "x", count: 16_000)
    var lists = "x0: &x0 [\"${large}\"]\n"
    for level in 1...9 { lists += "x\(level): &x\(level) [*x\(level - 1), *x\(level - 1), *x\(level - 1)]\n" }
    let made = problems("variables: {large: \(large)}\n" + lists)
    #expect(made.contains { $0.contains("variables make too much text") })
  }
}
