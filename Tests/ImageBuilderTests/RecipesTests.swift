import Platform
import Recipe
import Testing

@testable import ImageBuilder

/// The recipes that come with Roost.
@Suite("Roost's own recipes")
struct RecipesTests {
  private static let folder =
    "/" + #filePath.split(separator: "/").dropLast(3).joined(separator: "/") + "/recipes"

  private static func recipes() throws -> [String] {
    try Files.list(folder).filter { $0.hasSuffix(".yaml") }.sorted()
  }

  @Test("Those that the documentation names are there")
  func names() throws {
    let names = try Self.recipes()
    for name in ["quickstart", "demo", "network-lab", "storage-lab", "minimal", "course", "pc", "plan9"] {
      #expect(names.contains("\(name).yaml"))
    }
  }

  @Test("Each is without a mistake, is called as its file, says how it is built, and makes a plan")
  func plans() throws {
    let directory = try TemporaryDirectory()
    for name in Programs.names + [Programs.gateway, Programs.hatchling] { try directory.write(name, "a program") }
    try directory.write(Programs.bootMenu, "@TITLE@ @COMMAND_LINE@")
    var options = BuildOptions(output: "\(directory.path)/out.iso")
    options.programs = directory.path
    for file in try Self.recipes() {
      let recipe = try Recipe.load("\(Self.folder)/\(file)")
      #expect("\(recipe.name).yaml" == file)
      let plan = try BuildPlan(recipe, options, versions: [:])
      #expect(plan.domains.map(\.domain.name) == recipe.domains.map(\.name), "\(file)")
      let head = try Files.readText("\(Self.folder)/\(file)").split(separator: "\n").prefix { $0.hasPrefix("#") }
      #expect(head.count > 2, "\(file): no comment says what it is for")
      #expect(head.contains { $0.contains("roost build recipes/\(file) -o build/\(recipe.name).iso") }, "\(file)")
    }
  }
}
