import Manifest
import Testing

@testable import Recipe

/// The recipe's words for a domain's memory: what it starts with, and how far it may shrink and grow.
@Suite struct MemoryWordsTests {
  private static let debian = "    disk: 1 GiB\n    source: {debian: {suite: trixie}}\n"

  private func domain(_ memory: String, _ source: String = debian) throws -> Recipe.Domain {
    let text = recipe(domain: "  - name: d\n    memory: \(memory)\n\(source)")
    return try #require(try Recipe.parse(text, file: "r.yaml").domains.first)
  }

  private func bounds(_ start: Int, _ minimum: Int, _ maximum: Int) -> MemoryBounds {
    MemoryBounds(start: start << 20, minimum: minimum << 20, maximum: maximum << 20)
  }

  @Test func aSizeShrinksToAQuarterAndDoesNotGrow() throws {
    #expect(try domain("512 MiB").memory == bounds(512, 128, 512))
    #expect(try domain("{start: 512 MiB}").memory == bounds(512, 128, 512))
    #expect(try domain("514 MiB").memory == bounds(514, 129, 514))
    // Little is kept.
    #expect(try domain("128 MiB").memory == bounds(128, 64, 128))
    #expect(try domain("48 MiB").memory == bounds(48, 48, 48))
  }

  @Test func boundsAreTakenAsTheyAre() throws {
    #expect(try domain("{start: 512 MiB, min: 100 MiB, max: 1 GiB}").memory == bounds(512, 100, 1024))
    #expect(try domain("{start: 512 MiB, max: 1 GiB}").memory == bounds(512, 128, 1024))
    #expect(try domain("{start: 512 MiB, min: 512 MiB}").memory == bounds(512, 512, 512))
    #expect(try domain("{max: 512 MiB, min: 512 MiB, start: 512 MiB}").memory == bounds(512, 512, 512))
  }

  /// What has no driver for a balloon keeps its memory.
  @Test func systemsWithoutABalloon() throws {
    #expect(try domain("256 MiB", "    source: {hatchling: {}}\n").memory == bounds(256, 256, 256))
    #expect(try domain("256 MiB", "    ready: {console: x}\n    source: {kernel: k}\n").memory == bounds(256, 64, 256))
  }

  @Test func boundsAreOnTheMediumAndInTheDigest() throws {
    func both(_ memory: String) throws -> (recipe: Recipe, domain: ApplianceManifest.Domain) {
      let recipe = try Recipe.parse(
        recipe(domain: "  - name: d\n    memory: \(memory)\n\(Self.debian)"), file: "r.yaml")
      let domain = try #require(recipe.domains.first)
      let boot = ApplianceManifest.Boot(method: .linux, kernel: "/k", initrd: nil, commandLine: "")
      return (recipe, ApplianceManifest.Domain(domain, in: recipe, boot: boot, disk: nil))
    }
    let plain = try both("512 MiB")
    #expect(plain.domain.memoryMinimumBytes == nil && plain.domain.memoryMaximumBytes == nil)
    #expect(plain.domain.memory == bounds(512, 128, 512))
    let same = try both("{start: 512 MiB, min: 128 MiB, max: 512 MiB}")
    #expect(same.domain == plain.domain && same.recipe.digest == plain.recipe.digest)
    let lower = try both("{start: 512 MiB, min: 127 MiB}")
    #expect(lower.domain.memoryMinimumBytes == 127 << 20 && lower.recipe.digest != plain.recipe.digest)
    let higher = try both("{start: 512 MiB, max: 1 GiB}")
    #expect(higher.domain.memoryMaximumBytes == 1 << 30 && higher.recipe.digest != plain.recipe.digest)
    // What is on the disk does not depend on it.
    #expect(higher.recipe.domains.first?.sourceDigest == plain.recipe.domains.first?.sourceDigest)
  }

  /// The recipe's place, and what is wrong there. A domain begins in line 4.
  @Test(arguments: [
    (
      "{start: 512 MiB, min: 513 MiB}",
      "5:35: error: 'min' in a domain's 'memory' must be at most what it starts with, 512 MiB"
    ),
    (
      "{start: 512 MiB, max: 511 MiB}",
      "5:35: error: 'max' in a domain's 'memory' must be at least what it starts with, 512"
    ),
    ("{min: 64 MiB}", "5:13: error: a domain's 'memory' needs the key 'start'"),
    (
      "{start: 512 MiB, maxx: 1 GiB}",
      "5:30: error: unknown key 'maxx' in a domain's 'memory'; did you mean 'max'"
    ),
    ("{start: 512 MiB, min: 1025 KiB}", "'min' in a domain's 'memory' must be 8 MiB to 1 TiB, not 1025 KiB"),
    ("{start: 512 MiB, min: 10241 KiB}", "'min' in a domain's 'memory' must be a multiple of 1 MiB, not 10241 KiB"),
    ("{start: 512 MiB, max: 2 TiB}", "'max' in a domain's 'memory' must be 8 MiB to 1 TiB, not 2 TiB"),
    ("{start: 512 MiB, max: lots}", "'max' in a domain's 'memory': 'lots' is not a size"),
    ("{start: [1]}", "'start' in a domain's 'memory' must be a single value, not a list"),
    ("{start: 512 MiB, min: }", "'min' in a domain's 'memory' has no value"),
  ])
  func mistakes(memory: String, expected: String) {
    let error = #expect(throws: RecipeError.self) { try domain(memory) }
    #expect(error?.description.contains(expected) == true, "\(error?.description ?? "")")
  }

  @Test(arguments: [
    (
      "hatchling: {}", "{start: 64 MiB, min: 32 MiB}",
      "'min' in a domain's 'memory': hatchling has no driver for a balloon"
    ),
    (
      "hatchling: {}", "{start: 64 MiB, max: 128 MiB}",
      "'max' in a domain's 'memory': hatchling has no driver for memory"
    ),
  ])
  func systemsWithoutADriver(source: String, memory: String, expected: String) {
    let error = #expect(throws: RecipeError.self) { try domain(memory, "    source: {\(source)}\n") }
    #expect(error?.description.contains(expected) == true, "\(error?.description ?? "")")
  }

  @Test("A balancer is in the recipe and its digest, and needs domains whose memory may change")
  func balancer() throws {
    let domain = "  - name: d\n    memory: 512 MiB\n\(Self.debian)"
    let with = try Recipe.parse(recipe(top: "balancer: true\n", domain: domain), file: "r.yaml")
    let without = try Recipe.parse(recipe(domain: domain), file: "r.yaml")
    #expect(with.balancer && !without.balancer && with.digest != without.digest)
    let no = try Recipe.parse(recipe(top: "balancer: false\n", domain: domain), file: "r.yaml")
    #expect(no.digest == without.digest)
    let kept = "  - name: h\n    memory: 32 MiB\n    source: {hatchling: {}}\n"
    #expect(
      problems(recipe(top: "balancer: true\n", domain: kept)).first?
        .hasPrefix("r.yaml:3:11: error: 'balancer' has nothing to move: each domain keeps what it starts with") == true)
    #expect(problems(recipe(top: "balancer: 3\n", domain: kept)).first?.contains("true or false, not '3'") == true)
  }

  @Test func aManifestOutOfOrderIsRefused() throws {
    let recipe = try Recipe.parse(recipe(domain: "  - name: d\n    memory: 512 MiB\n\(Self.debian)"), file: "r.yaml")
    let domain = try #require(recipe.domains.first)
    let boot = ApplianceManifest.Boot(method: .linux, kernel: "/k", initrd: nil, commandLine: "")
    func refused(_ minimum: Int?, _ maximum: Int?) throws -> Bool {
      var made = ApplianceManifest.Domain(domain, in: recipe, boot: boot, disk: nil)
      made.memoryMinimumBytes = minimum
      made.memoryMaximumBytes = maximum
      let manifest = ApplianceManifest(
        name: "m", recipeDigest: "", epoch: 0, controlDomain: .init(hostname: "h", suite: "trixie"),
        storage: .init(ramBytes: 1, extentBytes: 1, mediumUUID: "", ramUUID: ""), network: .init(address: ""),
        domains: [made])
      let bytes = try manifest.encoded()
      do throws(ManifestError) {
        return try ApplianceManifest.decode(bytes).domains.first?.memory != made.memory
      } catch {
        return "\(error)".contains("the memory of 'd'")
      }
    }
    #expect(try !refused(nil, nil) && !refused(8 << 20, 1 << 40))
    #expect(try refused(513 << 20, nil) && refused(nil, 511 << 20) && refused(0, nil) && refused(nil, .max))
  }
}
