/// A place in a text.
public struct Mark: Sendable, Hashable {
  /// Counted from 1.
  public let line: Int
  /// In Unicode scalars, counted from 1.
  public let column: Int

  /// A place by its numbers, from 1.
  public init(line: Int, column: Int) {
    self.line = line
    self.column = column
  }
}
