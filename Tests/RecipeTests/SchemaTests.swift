import Platform
import Testing
import YAML

@testable import Recipe

@Suite struct SchemaTests {
  private static let root = "/" + #filePath.split(separator: "/").dropLast(3).joined(separator: "/")

  /// A value of a recipe's that a shape has a key for.
  private struct Place {
    let key: String
    let path: [Step]
  }

  private enum Step {
    case key(String)
    case index(Int)
  }

  /// Nothing that any key takes.
  private static var nonsense: Node { .sequence(.init([.sequence(.init([.mapping(.init([]))]))])) }

  private func node(_ text: String) throws -> Node { try #require(try Node.compose(text)) }

  @Test func thePublishedOneIsThatOfTheCode() throws {
    #expect(
      try Files.readText("\(Self.root)/docs/recipe.schema.json") == RecipeSchema.text, "'make docs' writes it anew")
  }

  @Test func theReferenceNamesEveryKey() throws {
    let text = try Files.readText("\(Self.root)/docs/recipe.md")
    for shape in shapes() {
      for key in shape.keys { #expect(text.contains("`\(key.name)`"), "\(key.name) of \(shape.what)") }
    }
  }

  @Test func everyKeyIsReadAndNoOther() throws {
    let complete = try node(CompleteRecipe.text)
    try CompleteRecipe.within { directory in
      func problems(_ node: Node) throws -> String? {
        do {
          _ = try Recipe.parse(json(node), file: "r.yaml", directory: directory)
          return nil
        } catch {
          return "\(error)"
        }
      }
      let wrong = try problems(complete)
      try #require(wrong == nil, "\(wrong ?? "")")
      var seen: Set<String> = []
      for place in places(complete, .group(.recipe), []) {
        seen.insert(place.key)
        #expect(try problems(replaced(complete, place.path[...], with: Self.nonsense)) != nil, "\(place)")
        let parent = Array(place.path.dropLast())
        let found = try problems(added(to: complete, parent[...])) ?? ""
        #expect(
          found.contains("unknown key 'nonsense'") || parent.isEmpty && found.isEmpty == false, "\(place): \(found)")
      }
      for shape in shapes() {
        for key in shape.keys { #expect(seen.contains("\(shape.name).\(key.name)"), "\(shape.name).\(key.name)") }
      }
    }
  }

  @Test(
    .enabled(if: Files.exists("/usr/lib/python3/dist-packages/jsonschema"), "skipped: no package python3-jsonschema"))
  func aValidatorSaysTheSame() throws {
    let complete = try node(CompleteRecipe.text)
    var documents = [(true, complete)]
    for name in try Files.list("\(Self.root)/recipes") {
      documents.append((true, try node(Files.readText("\(Self.root)/recipes/\(name)"))))
    }
    documents.append((true, try node("include: base.yaml\ndomains: [{name: a, memory: \"${size}\"}]\n")))
    documents.append((false, try node("name: a\n")))
    documents.append((false, try node("include: base.yaml\ndomains: [{memory: 1 GiB}]\n")))
    for place in places(complete, .group(.recipe), []) {
      documents.append((false, replaced(complete, place.path[...], with: Self.nonsense)))
      documents.append((false, added(to: complete, place.path.dropLast())))
    }
    let verdicts = try validate(documents.map(\.1))
    #expect(verdicts.count == documents.count)
    for (verdict, document) in zip(verdicts, documents) where verdict != document.0 {
      Issue.record("the schema says \(verdict): \(json(document.1))")
    }
  }

  /// All shapes of a recipe.
  private func shapes() -> [Shape] {
    var shapes: [String: Shape] = [:]
    func visit(_ form: Shape.Form) {
      switch form {
      case .group(let shape):
        if shapes.updateValue(shape, forKey: shape.name) == nil { shape.keys.forEach { visit($0.form) } }
      case .list(let form), .named(let form): visit(form)
      case .either(let forms): forms.forEach(visit)
      case .text, .pattern, .digits, .flag, .number, .word: break
      }
    }
    visit(.group(.recipe))
    return shapes.values.sorted { $0.name < $1.name }
  }

  /// Where in a node keys of shapes are.
  private func places(_ node: Node, _ form: Shape.Form, _ path: [Step]) -> [Place] {
    switch (form, node) {
    case (.group(let shape), .mapping(let mapping)):
      mapping.flatMap { key, value -> [Place] in
        guard let name = key.scalar?.string, let known = shape.keys.first(where: { $0.name == name }) else { return [] }
        let own = Place(key: "\(shape.name).\(name)", path: path + [.key(name)])
        return [own] + places(value, known.form, own.path)
      }
    case (.named(let form), .mapping(let mapping)):
      mapping.flatMap { key, value in places(value, form, path + [.key(key.scalar?.string ?? "")]) }
    case (.list(let form), .sequence(let sequence)):
      sequence.enumerated().flatMap { places($0.element, form, path + [.index($0.offset)]) }
    case (.either(let forms), _): forms.flatMap { places(node, $0, path) }
    default: []
    }
  }

  private func replaced(_ node: Node, _ path: ArraySlice<Step>, with new: Node) -> Node {
    changed(node, path) { _ in new }
  }

  private func added(to node: Node, _ path: ArraySlice<Step>) -> Node {
    changed(node, path) { node in
      .mapping(
        .init(
          (node.mapping.map { $0.map { ($0.key, $0.value) } } ?? [])
            + [(.scalar(.init("nonsense")), .scalar(.init("1")))]))
    }
  }

  private func changed(_ node: Node, _ path: ArraySlice<Step>, _ body: (Node) -> Node) -> Node {
    guard let step = path.first else { return body(node) }
    switch (step, node) {
    case (.key(let name), .mapping(let mapping)):
      return .mapping(
        .init(
          mapping.map { ($0.key, $0.key.scalar?.string == name ? changed($0.value, path.dropFirst(), body) : $0.value) }
        ))
    case (.index(let index), .sequence(let sequence)):
      return .sequence(
        .init(
          sequence.enumerated().map { $0.offset == index ? changed($0.element, path.dropFirst(), body) : $0.element }))
    default: return node
    }
  }

  /// What a validator says of documents.
  private func validate(_ documents: [Node]) throws -> [Bool] {
    let directory = try Files.makeTemporaryDirectory(prefix: "/tmp/roost-schema.")
    defer { try? Files.removeTree(directory) }
    let script = """
      import json, sys
      from jsonschema import Draft202012Validator as Validator
      schema = json.load(open(sys.argv[1] + "/schema"))
      Validator.check_schema(schema)
      validator = Validator(schema)
      verdicts = [str(int(validator.is_valid(document))) for document in json.load(open(sys.argv[1] + "/documents"))]
      open(sys.argv[1] + "/verdicts", "w").write("".join(verdicts))
      """
    try Files.write(RecipeSchema.text, to: "\(directory)/schema")
    try Files.write("[\(documents.map(json).joined(separator: ",\n"))]", to: "\(directory)/documents")
    #expect(try ChildProcess.start(ChildRequest(["python3", "-c", script, directory])).wait() == .exited(0))
    return try Files.readText("\(directory)/verdicts").map { $0 == "1" }
  }

  /// A node as JSON, by YAML 1.2's core schema.
  private func json(_ node: Node) -> String {
    switch node {
    case .mapping(let mapping):
      return "{\(mapping.map { "\(quoted($0.key.scalar?.string ?? "")): \(json($0.value))" }.joined(separator: ", "))}"
    case .sequence(let sequence): return "[\(sequence.map(json).joined(separator: ", "))]"
    case .scalar(let scalar):
      let text = scalar.string
      guard scalar.isPlain else { return quoted(text) }
      if ["", "~", "null"].contains(text) { return "null" }
      if ["true", "false"].contains(text) { return text }
      return Int(text).map { "\($0)" } ?? Double(text).map { "\($0)" } ?? quoted(text)
    }
  }

  private func quoted(_ text: String) -> String {
    "\"" + text.map { ["\"": "\\\"", "\\": "\\\\", "\n": "\\n"][$0] ?? String($0) }.joined() + "\""
  }
}
