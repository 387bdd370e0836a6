/// A full screen of cells, to be drawn on a terminal.
struct Canvas: Hashable, Sendable {
  /// A place on it, counted from 0.
  struct Place: Hashable, Sendable {
    var row: Int
    var column: Int
  }

  let columns: Int
  let rows: Int
  private(set) var cells: [Cell]
  /// Where the terminal's cursor is to stand; nil to hide it.
  var cursor: Place?

  /// An empty one of at least one cell.
  init(columns: Int, rows: Int) {
    self.columns = max(1, columns)
    self.rows = max(1, rows)
    cells = [Cell](repeating: Cell(), count: self.columns * self.rows)
  }

  /// Puts a cell; outside of the canvas nothing happens.
  mutating func put(_ cell: Cell, at place: Place) {
    guard (0..<rows).contains(place.row), (0..<columns).contains(place.column) else { return }
    cells[place.row * columns + place.column] = cell
  }

  /// Writes a text without control characters in a field of `width` cells, cut or filled with blanks.
  mutating func write(_ text: String, at place: Place, width: Int, _ style: Cell.Style = Cell.Style()) {
    var column = place.column
    let end = place.column + max(0, width)
    for character in text where column < end {
      put(Cell(character: character, style: style), at: Place(row: place.row, column: column))
      column += 1
    }
    while column < end {
      put(Cell(style: style), at: Place(row: place.row, column: column))
      column += 1
    }
  }

  /// The text of a row, without blanks at its end.
  func text(row: Int) -> String {
    guard (0..<rows).contains(row) else { return "" }
    var text = ""
    for cell in cells[(row * columns)..<((row + 1) * columns)] where cell.width > 0 { text.append(cell.character) }
    while text.last == " " { text.removeLast() }
    return text
  }

  /// What makes a terminal that shows `old` show this; nil for one of which nothing is known.
  func changes(from old: Canvas?) -> String {
    var text = "\u{1B}[?25l"
    let known = old.flatMap { $0.columns == columns && $0.rows == rows ? $0 : nil }
    if known == nil { text += "\u{1B}[0m\u{1B}[2J" }
    let before = known?.cells ?? [Cell](repeating: Cell(), count: cells.count)
    var style: Cell.Style?
    for row in 0..<rows {
      var isInPlace = false
      for column in 0..<columns {
        let index = row * columns + column
        let cell = cells[index]
        guard cell != before[index] else {
          isInPlace = false
          continue
        }
        // The right half comes with the left one.
        if cell.width == 0 { continue }
        if !isInPlace { text += "\u{1B}[\(row + 1);\(column + 1)H" }
        if cell.style != style {
          text += cell.style.sequence
          style = cell.style
        }
        text.append(cell.character)
        isInPlace = cell.width == 1
      }
    }
    if let cursor { text += "\u{1B}[\(cursor.row + 1);\(cursor.column + 1)H\u{1B}[?25h" }
    return text
  }
}
