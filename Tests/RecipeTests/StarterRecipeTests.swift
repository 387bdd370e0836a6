import Platform
import Testing

@testable import Recipe

@Suite("Recipes to start from")
struct StarterRecipeTests {
  typealias Guest = StarterRecipe.Guest

  /// Each guest alone, each two of them, and all.
  static let choices: [[Guest]] =
    [[]] + Guest.allCases.map { [$0] } + Guest.allCases.flatMap { one in Guest.allCases.map { [one, $0] } }
    + [Guest.allCases + Guest.allCases]

  @Test("What is written is a recipe without a mistake, for every choice", arguments: choices)
  func parses(guests: [Guest]) throws {
    let starter = try StarterRecipe(path: "some/where/my-lab.yaml", guests: guests)
    let recipe = try Recipe.parse(starter.text, file: "my-lab.yaml")
    #expect(recipe.name == "my-lab")
    let wanted = guests.isEmpty ? [.debian] : guests
    #expect(recipe.domains.map { $0.name.split(separator: "-").first.map(String.init) } == wanted.map(\.rawValue))
    #expect(Set(recipe.domains.map(\.name)).count == wanted.count)
    let used = recipe.sources.keys.map { $0.split(separator: "-").first.map(String.init) ?? "" }
    let needed = wanted.compactMap { ["freebsd": "freebsd", "plan9": "plan9", "pc": "ipxe"][$0.rawValue] }
    #expect(Set(used) == Set(needed))
  }

  @Test("Comments and lists read as one wrote them: no line is too long, none ends in blanks", arguments: choices)
  func form(guests: [Guest]) throws {
    let text = try StarterRecipe(path: "lab.yaml", guests: guests).text
    #expect(text.hasSuffix("\n") && !text.hasSuffix("\n\n"))
    #expect(!text.contains("\n\n\n"))
    for line in text.split(separator: "\n") { #expect(line.count <= 120 && line.last != " ", "\(line)") }
  }

  @Test("What it fetches is what recipes/demo.yaml does")
  func sources() throws {
    let root = "/" + #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
    let demo = try Recipe.load("\(root)/recipes/demo.yaml")
    let starter = try StarterRecipe(path: "lab.yaml", guests: [.freebsd, .plan9])
    #expect(try Recipe.parse(starter.text, file: "lab.yaml").sources == demo.sources)
  }

  @Test(
    "A file's name that is none of a recipe is refused",
    arguments: [
      ("lab", "such as lab.yaml"), (".yaml", "such as lab.yaml"), ("lab.iso", "such as lab.yaml"),
      ("My Lab.yaml", "'My Lab'"), ("-a.yml", "'-a'"), ("a/b/Ü.yaml", "'Ü'"),
    ])
  func names(path: String, expected: String) {
    #expect {
      try StarterRecipe(path: path, guests: [])
    } throws: {
      "\($0)".contains(expected)
    }
  }

  @Test("There is a most")
  func limit() {
    #expect(throws: RecipeError.self) {
      try StarterRecipe(path: "lab.yaml", guests: Array(repeating: .debian, count: StarterRecipe.limit + 1))
    }
  }
}
