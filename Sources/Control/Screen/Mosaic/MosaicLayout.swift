/// Where the tiles of a mosaic lie: each has a row for its title, and below it the guest's terminal.
struct MosaicLayout: Hashable, Sendable {
  /// A tile's place, its title's row included.
  struct Tile: Hashable, Sendable {
    var row: Int
    var column: Int
    var rows: Int
    var columns: Int
  }

  /// What guests believe a terminal to have; what a tile has beyond that helps little.
  private static let guestColumns = 80
  private static let guestRows = 24

  /// Tiles in reading order.
  let tiles: [Tile]
  /// How many are beside each other.
  let across: Int

  /// Lays `count` tiles out below the row `top`, one column free between those beside each other.
  ///
  /// Of all numbers of columns it takes the one that shows most of each guest's 80 by 24; a line that is cut or wrapped
  /// is worse than lines that went off the top.
  init(count: Int, columns: Int, rows: Int, top: Int) {
    let count = max(0, count)
    let choices = (1...max(1, count)).map { across -> (across: Int, worth: Double) in
      let down = (count + across - 1) / across
      let width = (columns - (across - 1)) / across
      let height = rows / max(1, down) - 1
      guard width > 0, height > 0 else { return (across, 0) }
      let (seenColumns, seenRows) = (Double(min(width, Self.guestColumns)), Double(min(height, Self.guestRows)))
      return (across, seenColumns * seenColumns.squareRoot() * seenRows)
    }
    let best = choices.reduce(choices[0]) { $1.worth > $0.worth ? $1 : $0 }
    across = best.across
    let down = max(1, (count + across - 1) / across)
    tiles = (0..<count).map { index in
      let (line, place) = (index / best.across, index % best.across)
      // The last line may have fewer, which are wider then.
      let inLine = min(best.across, count - line * best.across)
      let (left, right) = (Self.cut(columns + 1, inLine, place), Self.cut(columns + 1, inLine, place + 1))
      let (upper, lower) = (Self.cut(rows, down, line), Self.cut(rows, down, line + 1))
      return Tile(row: top + upper, column: left, rows: lower - upper, columns: max(1, right - left - 1))
    }
  }

  /// Where the piece `index` of `count` begins.
  private static func cut(_ length: Int, _ count: Int, _ index: Int) -> Int {
    length * index / count
  }
}
