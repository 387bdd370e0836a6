import Manifest
import Testing

@testable import Recipe

/// The recipe's words for a domain's processors: how many it starts with, and how many it may have.
@Suite struct ProcessorWordsTests {
  private static let debian = "    disk: 1 GiB\n    source: {debian: {suite: trixie}}\n"

  private func parse(_ cpus: String, _ source: String = debian) throws -> Recipe {
    try Recipe.parse(
      recipe(domain: "  - name: d\n    memory: 256 MiB\n    cpus: \(cpus)\n\(source)"), file: "r.yaml")
  }

  private func problem(_ cpus: String, _ source: String = debian) -> String {
    let error = #expect(throws: RecipeError.self) { _ = try parse(cpus, source) }
    return error.map { "\($0)" } ?? ""
  }

  @Test func aNumberStays() throws {
    let domain = try #require(try parse("3").domains.first)
    #expect(domain.cpus == 3 && domain.cpusMaximum == nil)
    let same = try #require(try parse("{start: 3, max: 3}").domains.first)
    #expect(same.cpus == 3 && same.cpusMaximum == nil)
    #expect(try parse("3").digest == parse("{start: 3, max: 3}").digest)
  }

  @Test func aGroupIsOnTheMediumAndInTheDigest() throws {
    let recipe = try parse("{start: 2, max: 8}")
    let domain = try #require(recipe.domains.first)
    let boot = ApplianceManifest.Boot(method: .linux, kernel: "/k", initrd: nil, commandLine: "")
    let manifest = ApplianceManifest.Domain(domain, in: recipe, boot: boot, disk: nil)
    #expect(manifest.cpus == 2 && manifest.cpusMaximum == 8 && manifest.mostCPUs == 8)
    #expect(try recipe.digest != parse("2").digest)
    #expect(try domain.sourceDigest == parse("2").domains.first?.sourceDigest)
    #expect(try parse("{max: 2}").domains.first?.cpus == 1)
  }

  @Test func whatCannotBeIsRefused() {
    #expect(problem("{start: 4, max: 2}").contains("at least what it starts with, 4, not 2"))
    #expect(problem("{start: 4}").contains("'max'"))
    #expect(problem("{start: 1, max: 65}").contains("from 1 to 64"))
    #expect(problem("{start: 1, most: 2}").contains("most"))
    #expect(
      problem("{max: 2}", "    disk: 1 GiB\n    boot: bios\n    source: {debian: {suite: trixie}}\n").contains(
        "firmware"))
    #expect(problem("{max: 2}", "    source: {hatchling: {}}\n").contains("hatchling uses one processor"))
  }
}
