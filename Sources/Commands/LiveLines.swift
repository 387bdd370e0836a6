internal import Platform

/// The lines at the end of the output that are redrawn while something goes on; on a terminal only.
///
/// Not for several threads: who has one guards it.
struct LiveLines {
  /// Whether there are any.
  let isLive: Bool
  private var drawn = 0

  init(isLive: Bool) {
    self.isLive = isLive
  }

  /// Prints a line that stays, above those that are redrawn.
  mutating func say(_ text: String) {
    erase()
    StandardStream.output.write(text + "\n")
  }

  /// Shows `lines` instead of those that were shown before, each cut to the terminal's width.
  mutating func draw(_ lines: [String]) {
    guard isLive else { return }
    erase()
    let width = (Terminal.size(of: StandardStream.output.rawValue)?.columns ?? 80) - 1
    StandardStream.output.write(lines.map { $0.prefix(width) + "\n" }.joined())
    drawn = lines.count
  }

  /// Takes them away.
  mutating func erase() {
    guard drawn > 0 else { return }
    StandardStream.output.write("\u{1B}[\(drawn)A\u{1B}[J")
    drawn = 0
  }
}
