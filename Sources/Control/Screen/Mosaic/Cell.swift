/// One place of a terminal's screen: a character and how it looks.
struct Cell: Hashable, Sendable {
  /// The colour of a character or of what is behind it.
  enum Color: Hashable, Sendable {
    /// The terminal's own.
    case standard
    /// Of the palette of 256: 8 plain ones, 8 bright ones, a cube, and greys (xterm).
    case indexed(UInt8)
    case rgb(red: UInt8, green: UInt8, blue: UInt8)
  }

  /// Colours and attributes (ECMA-48, 8.3.117).
  struct Style: Hashable, Sendable {
    var foreground = Color.standard
    var background = Color.standard
    var isBold = false
    var isFaint = false
    var isUnderlined = false
    var isReversed = false
  }

  /// What is shown; with combining marks, if there are some.
  var character: Character = " "
  /// Places that it takes: 1, 2 for wide characters, 0 for the right half of one.
  var width = 1
  var style = Style()
}

extension Cell.Style {
  /// The sequence that sets exactly this (ECMA-48, SGR).
  var sequence: String {
    var numbers = ["0"]
    if isBold { numbers.append("1") }
    if isFaint { numbers.append("2") }
    if isUnderlined { numbers.append("4") }
    if isReversed { numbers.append("7") }
    numbers += Self.numbers(foreground, plain: 30, bright: 90, extended: 38)
    numbers += Self.numbers(background, plain: 40, bright: 100, extended: 48)
    return "\u{1B}[" + numbers.joined(separator: ";") + "m"
  }

  private static func numbers(_ color: Cell.Color, plain: Int, bright: Int, extended: Int) -> [String] {
    switch color {
    case .standard: []
    case .indexed(let index) where index < 8: ["\(plain + Int(index))"]
    case .indexed(let index) where index < 16: ["\(bright + Int(index) - 8)"]
    case .indexed(let index): ["\(extended)", "5", "\(index)"]
    case .rgb(let red, let green, let blue): ["\(extended)", "2", "\(red)", "\(green)", "\(blue)"]
    }
  }
}
