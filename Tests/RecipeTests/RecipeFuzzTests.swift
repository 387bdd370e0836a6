import Recipe
import TestMachine
import Testing

@Suite struct RecipeFuzzTests {
  @Test func mutatedRecipesNeverTrap() throws {
    let lines = try quickstartText().split(separator: "\n", omittingEmptySubsequences: false)
    let source = Array(lines.drop { $0.hasPrefix("#") }.joined(separator: "\n").utf8)
    let tokens = [
      "&a ", "*a", "<<: ", "? ", "!!str ", "|\n", ">\n", "---\n", "...\n", "\t", "{", "}", "[", "]", ": ", "- ", "\"",
      "'", "\u{0}", "\u{FEFF}", "\u{F0000}", "\u{2028}", "9999999999999999999999 MiB", "name: ", "~", "\r", "%YAML 9\n",
      "-9223372036854775808", "10.77.0.0/99", "1 TiB", "{{}: {}}", "\\ud800",
      "${", "$${", "${a}", "variables: {a: b}\n", "include: [.]\n", "include: r.yaml\n",
    ].map { Array($0.utf8) }
    var generator = SeededNumbers(20_26)
    var accepted = 0
    var refused = 0
    for _ in 0..<2_500 {
      var bytes = source
      for _ in 0..<Int.random(in: 1...4, using: &generator) where !bytes.isEmpty {
        let at = Int.random(in: 0..<bytes.count, using: &generator)
        switch Int.random(in: 0..<5, using: &generator) {
        case 0: bytes[at] = UInt8.random(in: 0...255, using: &generator)
        case 1: bytes.remove(at: at)
        case 2: bytes.insert(contentsOf: tokens.randomElement(using: &generator) ?? [], at: at)
        case 3:
          let end = min(bytes.count, at + Int.random(in: 1...40, using: &generator))
          bytes.removeSubrange(at..<end)
        default:
          let end = min(bytes.count, at + Int.random(in: 1...200, using: &generator))
          bytes.insert(contentsOf: bytes[at..<end], at: Int.random(in: 0..<bytes.count, using: &generator))
        }
      }
      do {
        let recipe = try Recipe.parse(String(decoding: bytes, as: UTF8.self), file: "r.yaml")
        _ = recipe.digest
        accepted += 1
      } catch {
        #expect(!error.description.isEmpty)
        refused += 1
      }
    }
    #expect(accepted > 100)
    #expect(refused > 100)
  }

  @Test func deepAndWideTextsNeverTrap() {
    let deep = String(repeating: "[", count: 100_000)
    let deepMap = String(repeating: "{a: ", count: 50_000)
    let deepBlock = (0..<900).map { String(repeating: " ", count: $0) + "a:\n" }.joined()
    var laughs = "a0: &a0 [x]\n"
    for level in 1...40 { laughs += "a\(level): &a\(level) [*a\(level - 1), *a\(level - 1), *a\(level - 1)]\n" }
    let keys = (0..<200).map { _ in "name: x\n" }.joined()
    let dashes = String(repeating: "- ", count: 50_000)
    for text in [deep, deepMap, deepBlock, laughs, keys, dashes, String(repeating: "? ", count: 50_000)] {
      #expect(!problems(text).isEmpty)
    }
  }

  @Test func nestedAliasesAsKeysEndInTime() {
    var text = "a0: &a0 [x]\n"
    for level in 1...10 { text += "a\(level): &a\(level) [*a\(level - 1), *a\(level - 1), *a\(level - 1)]\n" }
    text = text.replacing("a9: ", with: "? *a8\n: ")
    #expect(!problems(text).isEmpty)
  }
}
