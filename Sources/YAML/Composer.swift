/// Makes nodes out of a document's pieces.
struct Composer: ~Copyable {
  private var parser: EventParser
  /// What aliases stand for: the last node with the anchor.
  private var anchors: [String: Node] = [:]

  /// How many nodes may still be begun inside of this one.
  private var room: Int

  private init(_ text: String, nesting: Int) throws(YAMLError) {
    parser = try EventParser(text)
    room = nesting
  }

  /// The root of the text's only document; nil where there is none.
  static func root(_ text: String, nesting: Int) throws(YAMLError) -> Node? {
    var composer = try Composer(text, nesting: nesting)
    return try composer.root()
  }

  private mutating func root() throws(YAMLError) -> Node? {
    _ = try parser.next()  // the stream's start
    guard case .documentStart = try parser.next().kind else { return nil }
    let root = try node(try parser.next())
    _ = try parser.next()  // the document's end
    let event = try parser.next()
    guard case .streamEnd = event.kind else {
      throw YAMLError(
        kind: .composer, problem: "but found another document", mark: event.mark,
        context: .init(text: "expected a single document in the stream", mark: Mark(line: 1, column: 1)))
    }
    return root
  }

  private mutating func node(_ event: EventParser.Event) throws(YAMLError) -> Node {
    switch event.kind {
    case .alias(let name):
      guard let node = anchors[name] else {
        throw YAMLError(kind: .composer, problem: "found undefined alias", mark: event.mark, context: nil)
      }
      return node
    case .scalar(let text, let isPlain, let anchor):
      return register(.scalar(.init(text, isPlain: isPlain, mark: event.mark)), anchor)
    case .sequenceStart(let anchor):
      try enter(event.mark)
      defer { room += 1 }
      var nodes: [Node] = []
      while true {
        let next = try parser.next()
        if case .sequenceEnd = next.kind { break }
        nodes.append(try node(next))
      }
      return register(.sequence(.init(nodes, mark: event.mark)), anchor)
    case .mappingStart(let anchor):
      try enter(event.mark)
      defer { room += 1 }
      var pairs: [(Node, Node)] = []
      while true {
        let next = try parser.next()
        if case .mappingEnd = next.kind { break }
        let key = try node(next)
        pairs.append((key, try node(try parser.next())))
      }
      return register(.mapping(.init(pairs, mark: event.mark)), anchor)
    case .streamStart, .streamEnd, .documentStart, .documentEnd, .sequenceEnd, .mappingEnd:
      // libyaml's grammar has none of these where a node begins.
      throw YAMLError(kind: .composer, problem: "found no value", mark: event.mark, context: nil)
    }
  }

  private mutating func enter(_ mark: Mark) throws(YAMLError) {
    guard room > 0 else {
      throw YAMLError(kind: .nesting, problem: "nodes are nested too deep", mark: mark, context: nil)
    }
    room -= 1
  }

  private mutating func register(_ node: Node, _ anchor: String?) -> Node {
    if let anchor { anchors[anchor] = node }
    return node
  }
}

extension Node {
  /// Reads a text with one document, after YAML 1.1 as libyaml knows it; nil where the text is empty or has comments alone.
  ///
  /// - Parameter nesting: how many lists and mappings may be in each other, aliases not counted: how often those multiply
  ///   what they stand for is for the caller to bound.
  public static func compose(_ text: String, nesting: Int = 100) throws(YAMLError) -> Node? {
    try Composer.root(text, nesting: nesting)
  }
}
