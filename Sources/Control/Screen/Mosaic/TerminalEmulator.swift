/// A terminal that nobody looks at directly: a guest's console goes in, cells come out. Nothing of what the guest says
/// reaches a real terminal but the cells.
///
/// With another size it begins anew, and reads again what the guest said last: lines are wrapped to the new width, and
/// libvterm's own way of changing a terminal's size (0.1.4), which trips over what a hostile guest can do to its cursor,
/// is never gone.
///
/// Not for several threads at once.
final class TerminalEmulator {
  /// Lines that are kept after they went off the top.
  static let historyLimit = FixedTerminal.historyLimit
  private static let leastColumns = 2
  /// Bytes of what the guest said that are kept for another size.
  private static let pastLimit = 256 << 10

  private(set) var columns: Int
  private(set) var rows: Int
  private var terminal: FixedTerminal
  private var past: [UInt8] = []
  /// The beginning of a character whose other bytes have not come yet.
  private var unfinished: [UInt8] = []

  init(columns: Int, rows: Int) {
    self.columns = max(Self.leastColumns, columns)
    self.rows = max(1, rows)
    terminal = FixedTerminal(columns: self.columns, rows: self.rows)
  }

  /// Takes what the guest wrote.
  func feed(_ bytes: [UInt8]) {
    var bytes = unfinished + bytes
    unfinished = Array(bytes.suffix(Self.unfinishedLength(bytes)))
    bytes.removeLast(unfinished.count)
    var text = String.UnicodeScalarView()
    text.append(contentsOf: String(decoding: bytes, as: UTF8.self).unicodeScalars.filter(Self.isCountable))
    let taken = Array(String(text).utf8)
    terminal.feed(taken)
    past += taken
    if past.count > 2 * Self.pastLimit { forget() }
  }

  /// Forgets the older half, up to the end of a line.
  private func forget() {
    past.removeFirst(past.count - Self.pastLimit)
    if let end = past.firstIndex(of: 0x0A) { past.removeFirst(end + 1) }
  }

  /// How many bytes at the end are the beginning of a character (RFC 3629, 3).
  private static func unfinishedLength(_ bytes: [UInt8]) -> Int {
    for back in 1...3 where back <= bytes.count {
      let byte = bytes[bytes.count - back]
      if byte & 0xC0 == 0x80 { continue }
      let length = byte >= 0xF0 ? 4 : byte >= 0xE0 ? 3 : byte >= 0xC0 ? 2 : 1
      return length > back ? back : 0
    }
    return 0
  }

  /// False for what makes libvterm lose count of its columns, and then write outside of its memory: to it control
  /// characters of eight bits are -1 columns wide, and these marks, which take none, two (src/unicode.c, src/state.c).
  private static func isCountable(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.value {
    case 0x80...0x9F, 0x302A...0x302F, 0x3099...0x309A: false
    default: true
    }
  }

  /// Takes another size; one that is too small becomes the smallest.
  func resize(columns: Int, rows: Int) {
    let (columns, rows) = (max(Self.leastColumns, columns), max(1, rows))
    guard (columns, rows) != (self.columns, self.rows) else { return }
    self.columns = columns
    self.rows = rows
    terminal = FixedTerminal(columns: columns, rows: rows)
    terminal.feed(past)
    // These questions were answered, or nobody was there to answer.
    _ = terminal.takeAnswers()
  }

  /// A line of the screen, or above it of the history: -1 is the one that went off last. Empty where there is none.
  func line(_ row: Int) -> [Cell] { terminal.line(row) }

  /// Where the guest's cursor is; on the screen, though it may be behind its edge.
  var cursor: Canvas.Place { terminal.cursor }
  /// Whether the guest wants its cursor seen.
  var isCursorVisible: Bool { terminal.isCursorVisible }
  /// Lines that went off the top, the oldest first.
  var history: [[Cell]] { terminal.history }
  /// How many lines have ever gone off the top at this size.
  var historyCount: Int { terminal.historyCount }

  /// What the guest asked of its terminal is answered by this. Whoever does not type into the guest forgets it.
  func takeAnswers() -> [UInt8] { terminal.takeAnswers() }
}
