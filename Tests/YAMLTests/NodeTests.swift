import Testing
import YAML

@Suite struct NodeTests {
  /// A node in one line: what it is, and where.
  private func shown(_ node: Node) -> String {
    let place = node.mark.map { "@\($0.line):\($0.column)" } ?? "@?"
    return switch node {
    case .scalar(let scalar): (scalar.isPlain ? scalar.string : "'\(scalar.string)'") + place
    case .sequence(let sequence): "[\(sequence.map(shown).joined(separator: " "))]\(place)"
    case .mapping(let mapping):
      "{\(mapping.map { "\(shown($0.key)): \(shown($0.value))" }.joined(separator: " "))}\(place)"
    }
  }

  private func error(_ text: String) -> YAMLError? {
    do throws(YAMLError) {
      _ = try Node.compose(text)
      return nil
    } catch {
      return error
    }
  }

  @Test("Everything has its place, in lines and characters")
  func places() throws {
    let node = try #require(try Node.compose("a: [1, 'ü', x]\nbé: {c: \"d\"}\n"))
    #expect(shown(node) == "{a@1:1: [1@1:5 'ü'@1:8 x@1:13]@1:4 bé@2:1: {c@2:6: 'd'@2:9}@2:5}@1:1")
  }

  @Test("Blocks are not plain, and keep their lines")
  func blocks() throws {
    let node = try #require(try Node.compose("a: |\n  one\n  two\nb: >\n  one\n  two\n"))
    #expect(shown(node) == "{a@1:1: 'one\ntwo\n'@1:4 b@4:1: 'one two\n'@4:4}@1:1")
  }

  @Test("A key that is there twice is kept twice")
  func twins() throws {
    let node = try #require(try Node.compose("a: 1\na: 2\n"))
    #expect(node.mapping?.map { $0.key.scalar?.string } == ["a", "a"])
    #expect(shown(node) == "{a@1:1: 1@1:4 a@2:1: 2@2:4}@1:1")
  }

  @Test("An alias is what the last anchor of its name is at; one of nothing, or of itself, is refused")
  func aliases() throws {
    let node = try #require(try Node.compose("a: &x {k: 1}\nb: *x\nc: &x 2\nd: *x\n"))
    let place = "{k@1:8: 1@1:11}@1:4"
    #expect(shown(node) == "{a@1:1: \(place) b@2:1: \(place) c@3:1: 2@3:4 d@4:1: 2@3:4}@1:1")
    #expect(error("a: *x\n")?.kind == .composer)
    #expect(error("a: *x\n")?.mark == Mark(line: 1, column: 4))
    #expect(error("a: &x [*x]\n")?.problem == "found undefined alias")
  }

  @Test("Tags are not looked at", arguments: ["!!int 1", "!!str 1", "!own 1"])
  func tags(_ text: String) throws { #expect(try Node.compose(text)?.scalar?.string == "1") }

  @Test("Nothing is no node", arguments: ["", "\n\n", "# a comment\n"])
  func nothing(_ text: String) throws { #expect(try Node.compose(text) == nil) }

  @Test("A value that is left out is an empty plain one")
  func empty() throws {
    #expect(shown(try #require(try Node.compose("a:\nb: ''\n"))) == "{a@1:1: @1:3 b@2:1: ''@2:4}@1:1")
  }

  @Test("What is no YAML is told with its place, and with what it was about")
  func errors() throws {
    let scanner = try #require(error("a: 'b\n"))
    #expect(scanner.kind == .scanner && scanner.context?.mark == Mark(line: 1, column: 4), "\(scanner)")
    let parser = try #require(error("a: [1\nb: 2\n"))
    #expect(parser.kind == .parser && parser.mark.line == 2, "\(parser)")
    #expect(error("a: \u{7}\n")?.kind == .reader(offset: 3))
    let second = try #require(error("a: 1\n---\nb: 2\n"))
    #expect(second.problem == "but found another document" && second.mark == Mark(line: 2, column: 1), "\(second)")
  }

  @Test("Depth is bounded, and no more than what is in each other counts")
  func depth() throws {
    func nested(_ count: Int) -> String { String(repeating: "[", count: count) + String(repeating: "]", count: count) }
    #expect(error(nested(100)) == nil)
    #expect(error(nested(101))?.kind == .nesting)
    #expect(error(nested(101))?.mark == Mark(line: 1, column: 101))
    #expect(error(String(repeating: "[", count: 100_000))?.kind == .nesting)
    let wide = "[" + String(repeating: "[{a: 1}], ", count: 200) + "]"
    #expect(try Node.compose(wide, nesting: 3)?.sequence?.count == 200)
    #expect(throws: YAMLError.self) { try Node.compose(wide, nesting: 2) }
  }

  @Test("A zero is part of a text")
  func zero() throws { #expect(try Node.compose("\"a\\0b\"")?.scalar?.string == "a\0b") }
}
