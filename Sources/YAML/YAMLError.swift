/// Why a text is no YAML.
public struct YAMLError: Error, Sendable, Hashable {
  /// What found it.
  public enum Kind: Sendable, Hashable {
    /// There was no memory.
    case memory
    /// Bytes that are no characters of YAML's, at so many bytes from the text's beginning.
    case reader(offset: Int)
    /// Characters that are no token.
    case scanner
    /// Tokens that make no document.
    case parser
    /// Nodes that make no single document: an alias of nothing, or a second document.
    case composer
    /// Nodes in nodes, more than the caller allows.
    case nesting
  }

  /// What it was about when it was found.
  public struct Context: Sendable, Hashable {
    /// As in `while scanning a quoted scalar`.
    public let text: String
    /// Where that began.
    public let mark: Mark
  }

  /// What found it.
  public let kind: Kind
  /// In libyaml's words.
  public let problem: String
  /// Where it was found.
  public let mark: Mark
  /// What it was about, where that is known.
  public let context: Context?
}
