/// One thing that is wrong with a recipe, and where.
public struct Diagnostic: Sendable, Hashable, Comparable, CustomStringConvertible {
  /// The recipe's path as it was given.
  public let file: String
  /// Counted from 1; 0 when the whole file is meant.
  public let line: Int
  /// Counted from 1, in Unicode scalars; 0 when the whole file is meant.
  public let column: Int
  /// What is wrong and what to do about it.
  public let message: String

  /// A finding at a place of `file`.
  public init(file: String, line: Int, column: Int, message: String) {
    self.file = file
    self.line = line
    self.column = column
    self.message = message
  }

  /// `file:line:column: error: message`, as compilers write it.
  public var description: String {
    line > 0 ? "\(file):\(line):\(column): error: \(message)" : "\(file): error: \(message)"
  }

  /// By file and place, then by text.
  public static func < (left: Diagnostic, right: Diagnostic) -> Bool {
    (left.file, left.line, left.column, left.message) < (right.file, right.line, right.column, right.message)
  }
}

/// Why there is no recipe.
public enum RecipeError: Error, Hashable, Sendable, CustomStringConvertible {
  /// The recipe's text is wrong; all findings, by line.
  case invalid([Diagnostic])
  /// The recipe's file cannot be read.
  case unreadable(path: String, reason: String)

  /// As messages have it.
  public var description: String {
    switch self {
    case .invalid(let diagnostics):
      diagnostics.map(\.description).joined(separator: "\n")
    case .unreadable(let path, let reason):
      "\(path): cannot be read: \(reason)"
    }
  }
}
