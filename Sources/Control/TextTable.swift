/// Rows of plain text under a headline.
struct TextTable<Row> {
  struct Column {
    let title: String
    var alignsRight = false
    /// How far it may shrink when the table is too wide; nil: not at all.
    var minimum: Int?
    let cell: (Row) -> String
  }

  let columns: [Column]
  /// Which columns give way when the table is too wide, in this order.
  var shrinking: [Int] = []

  private static var gap: Int { 2 }

  /// A headline and a line for each row. With `width`, wide cells are shortened until the table fits.
  func lines(_ rows: [Row], width: Int? = nil) -> [String] {
    let cells = rows.map { row in columns.map { $0.cell(row) } }
    var widths = columns.indices.map { index in
      max(columns[index].title.count, cells.map { $0[index].count }.max() ?? 0)
    }
    if let width {
      var excess = widths.reduce(0, +) + Self.gap * (widths.count - 1) - width
      for index in shrinking where excess > 0 {
        let less = min(excess, max(0, widths[index] - (columns[index].minimum ?? widths[index])))
        widths[index] -= less
        excess -= less
      }
    }
    return ([columns.map(\.title)] + cells).map { row in
      var line = ""
      for (index, text) in row.enumerated() {
        let cut = text.count > widths[index] ? text.prefix(max(0, widths[index] - 1)) + "~" : text[...]
        let padding = String(repeating: " ", count: widths[index] - cut.count)
        if index > 0 { line += String(repeating: " ", count: Self.gap) }
        line += columns[index].alignsRight ? padding + cut : cut + padding
      }
      while line.last == " " { line.removeLast() }
      return width.map { String(line.prefix($0)) } ?? line
    }
  }
}
