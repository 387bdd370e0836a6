/// What a YAML text says, with the place of everything in it. Aliases are replaced by what they stand for, tags are not
/// looked at, and no scalar is taken for a number or the like: that is for who reads it.
public enum Node: Sendable {
  case scalar(Scalar)
  case sequence(Sequence)
  case mapping(Mapping)

  /// A single value.
  public struct Scalar: Sendable {
    /// What it says.
    public let string: String
    /// Whether it stands there without quotes, and in no block.
    public let isPlain: Bool
    /// Where it begins; nil for one that is in no text.
    public let mark: Mark?

    /// A value; `isPlain` as if it stood in a text without quotes.
    public init(_ string: String, isPlain: Bool = true, mark: Mark? = nil) {
      self.string = string
      self.isPlain = isPlain
      self.mark = mark
    }
  }

  /// A list.
  public struct Sequence: Sendable, RandomAccessCollection {
    private let nodes: [Node]
    /// Where it begins; nil for one that is in no text.
    public let mark: Mark?

    /// A list of these.
    public init(_ nodes: [Node], mark: Mark? = nil) {
      self.nodes = nodes
      self.mark = mark
    }

    /// The first position, 0.
    public var startIndex: Int { 0 }
    /// The position after the last.
    public var endIndex: Int { nodes.count }
    /// One of them.
    public subscript(position: Int) -> Node { nodes[position] }
  }

  /// Keys and their values in the text's order. A key may be there more than once.
  public struct Mapping: Sendable, RandomAccessCollection {
    private let pairs: [(Node, Node)]
    /// Where it begins; nil for one that is in no text.
    public let mark: Mark?

    /// Keys, each with its value.
    public init(_ pairs: [(Node, Node)], mark: Mark? = nil) {
      self.pairs = pairs
      self.mark = mark
    }

    /// The first position, 0.
    public var startIndex: Int { 0 }
    /// The position after the last.
    public var endIndex: Int { pairs.count }
    /// A key and its value.
    public subscript(position: Int) -> (key: Node, value: Node) { pairs[position] }
  }

  /// Where it begins; nil for one that is in no text.
  public var mark: Mark? {
    switch self {
    case .scalar(let scalar): scalar.mark
    case .sequence(let sequence): sequence.mark
    case .mapping(let mapping): mapping.mark
    }
  }

  /// Itself, if it is a single value.
  public var scalar: Scalar? { if case .scalar(let scalar) = self { scalar } else { nil } }

  /// Itself, if it is a list.
  public var sequence: Sequence? { if case .sequence(let sequence) = self { sequence } else { nil } }

  /// Itself, if it has keys.
  public var mapping: Mapping? { if case .mapping(let mapping) = self { mapping } else { nil } }
}
