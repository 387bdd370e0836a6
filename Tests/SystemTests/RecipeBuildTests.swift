import Platform
import Testing

/// The recipes that come with Roost, built: those of which all comes out of Debian's archive. They share what builds keep
/// with the image under test, so that each makes no more than what is its own.
@Suite("Recipes build", .serialized, .enabled(if: Environment.isComplete, Environment.reason))
struct RecipeBuildTests {
  /// What is fetched from elsewhere, as a recipe says so; a test's machine need not reach it.
  private static let foreign = ["url:", "git:"]

  @Test("Each that needs nothing but Debian's archive makes an image that has its domains")
  func recipes() throws {
    let work = try BuildTests.Workplace("recipes")
    for file in try Files.list("recipes").filter({ $0.hasSuffix(".yaml") }).sorted() {
      let path = "recipes/\(file)"
      let lines = try Files.readText(path).split(separator: "\n")
      let keys = lines.map { $0.drop { $0 == " " } }
      if let source = keys.first(where: { key in Self.foreign.contains { key.hasPrefix($0) } }) {
        print("skipped: \(path) needs \(source), which is not Debian's")
        continue
      }
      let name = String(file.dropLast(".yaml".count))
      let image = "\(work.path)/\(name).iso"
      let build = try Machine(
        [try Environment.program("roost"), "build", path, "-o", image], log: "build-recipe-\(name)")
      #expect(try build.waitForExit(seconds: 900) == .exited(0), "\(path): \(build.tail)")
      let report = try Machine([try Environment.program("roost"), "inspect", image], log: "inspect-recipe-\(name)")
      #expect(try report.waitForExit(seconds: 60) == .exited(0), "\(report.tail)")
      for line in lines where line.hasPrefix("  - name: ") {
        let domain = line.dropFirst("  - name: ".count).prefix { $0 != " " }
        #expect(report.text.contains(domain), "\(path): no domain '\(domain)' in \(report.tail)")
      }
      if let size = try Files.status(image)?.size, name == "minimal" {
        print("recipes/minimal.yaml: \(size) bytes")
        #expect(size <= Self.smallest, "the smallest appliance has grown: docs/images.md says what is how big")
      }
      try Files.remove(image)
    }
  }

  /// The most that `recipes/minimal.yaml` may make, in bytes.
  private static let smallest = 82_000_000
}
