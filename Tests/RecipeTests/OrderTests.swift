import Manifest
import Platform
import Testing
@testable import Recipe

@Suite("Domains that start after others")
struct OrderTests {
  private func domains(_ entries: [(name: String, autostart: String)]) -> String {
    entries.map { name, autostart in
      "  - name: \(name)\n    memory: 32 MiB\n    source: {hatchling: {}}\n    autostart: \(autostart)\n"
    }.joined()
  }

  private func found(_ entries: [(name: String, autostart: String)]) -> [String] {
    problems(recipe(domain: domains(entries)))
  }

  @Test("An order is read, is in the manifest, and is part of the digest")
  func reads() throws {
    let text = recipe(
      domain: domains([("web", "{after: [db, router]}"), ("db", "{after: [router]}"), ("router", "true")]))
    let read = try Recipe.parse(text, file: "r.yaml")
    #expect(read.domains.map(\.after) == [["db", "router"], ["router"], []])
    #expect(read.domains.map(\.autostart) == [true, true, true])
    let boot = ApplianceManifest.Boot(method: .pvh, kernel: "/k", initrd: nil, commandLine: "")
    let built = read.domains.map { ApplianceManifest.Domain($0, in: read, boot: boot, disk: nil) }
    #expect(built.map(\.after) == [["db", "router"], ["router"], nil])
    let other = try Recipe.parse(text.replacing("[db, router]", with: "[db]"), file: "r.yaml")
    #expect(other.digest != read.digest)
  }

  @Test("Itself, a name that there is not, a name twice and circles are refused where they stand")
  func refuses() {
    #expect(found([("a", "{after: [a]}")]) == ["r.yaml:7:25: error: the domain 'a' comes after itself"])
    #expect(
      found([("web", "{after: [bd]}"), ("db", "true")])
        == ["r.yaml:7:25: error: the domain 'web' comes after 'bd', which is no domain; did you mean 'db'?"])
    #expect(
      found([("a", "{after: [b, b]}"), ("b", "false")])
        == ["r.yaml:7:28: error: 'after' in a domain's 'autostart' has 'b' twice"])
    #expect(
      found([("a", "{after: [b]}"), ("b", "{after: [c]}"), ("c", "{after: [a]}")])
        == [
          "r.yaml:7:25: error: none of these domains would start: a comes after b, b comes after c, c comes after a; "
            + "leave one of these out"
        ])
  }

  @Test("Other forms are refused with what is wanted")
  func forms() {
    #expect(found([("a", "{after: b}")]).first?.contains("must be a list of domains, such as [db], not 'b'") == true)
    #expect(found([("a", "{}")]).first?.contains("needs the key 'after'") == true)
    #expect(found([("a", "{before: [b]}")]).contains { $0.contains("unknown key 'before'") })
    #expect(found([("a", "maybe")]).first?.contains("must be true or false, not 'maybe'") == true)
    #expect(found([("a", "{after: [[b]]}")]).first?.contains("must be a single value") == true)
  }

  @Test("A file of domains has them in the order in which they can be made, and may name others of the appliance")
  func filesOfDomains() throws {
    let directory = try Files.makeTemporaryDirectory(prefix: "/tmp/roost-recipe-")
    defer { try? Files.removeTree(directory) }
    func load(_ entries: [(name: String, autostart: String)]) throws -> [String] {
      try Files.write("domains:\n" + domains(entries), to: "\(directory)/lab.yaml")
      return try Recipe.loadDomains("\(directory)/lab.yaml").domains.map(\.name)
    }
    #expect(
      try load([("web", "{after: [db, elsewhere]}"), ("spare", "true"), ("db", "true")]) == ["spare", "db", "web"])
    let error = #expect(throws: RecipeError.self) { try load([("a", "{after: [b]}"), ("b", "{after: [a]}")]) }
    #expect(error?.description.contains("none of these domains would start") == true)
  }
}
