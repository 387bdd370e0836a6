/// Says what the user should know of the storage's room, once for each state that it gets into. Pure.
struct PoolWatch: Sendable {
  /// So much of the room in use, in percent, is worth a notice.
  static let fillingPercent = 80.0
  /// The notice stays until less than so much is in use: a pool at the brink does not make it come and go.
  static let restedPercent = 78.0

  /// What changed.
  struct Change: Hashable, Sendable {
    /// The notice about the room; nil for none.
    var room: String?
    /// The notice about what is missing; nil for none.
    var degraded: String?
    /// Lines for the log.
    var log: [String] = []
  }

  private enum Level: Sendable {
    case fine, filling, full
  }

  private var level = Level.fine
  private var degraded: String?

  /// Takes what is known now; nil when nothing is.
  mutating func take(_ pool: PoolStatus?) -> Change {
    let oldLevel = level
    let oldDegraded = degraded
    level = Self.level(of: pool, after: oldLevel)
    degraded = pool?.degraded.flatMap(Self.words)
    var change = Change(degraded: degraded)
    let percent = pool.map { "\(Int(max(0, min($0.dataPercent, 100)))) %" } ?? ""
    switch level {
    case .fine:
      if let pool, oldLevel != .fine {
        change.log.append("the guests' storage has room again: \(percent) of \(Text.size(pool.poolBytes)) is in use")
      }
    case .filling:
      let remedy =
        pool?.home == "disk"
        ? "`roost storage grow /dev/sdX` adds a disk"
        : "`roost storage grow` adds memory or a disk, `roost storage persist /dev/sdX` moves it to a disk"
      change.room = "the guests' storage is \(percent) full: \(remedy)"
    case .full:
      change.room =
        "the guests' storage is full: guests wait with their writes until it grows (roost storage grow /dev/sdX)"
    }
    if let room = change.room, level != oldLevel { change.log.append(room) }
    if degraded != oldDegraded { change.log.append(degraded ?? "the guests' storage is whole again") }
    return change
  }

  private static func level(of pool: PoolStatus?, after old: Level) -> Level {
    guard let pool else { return .fine }
    if pool.isFull || pool.dataPercent >= 100 { return .full }
    return pool.dataPercent >= (old == .fine ? fillingPercent : restedPercent) ? .filling : .fine
  }

  /// One line that a screen can show; nil for an empty text.
  private static func words(_ text: String) -> String? {
    let line = Text.printable(text).split(whereSeparator: { $0 == "\n" || $0 == "\t" }).joined(separator: " ")
    return line.isEmpty ? nil : String(line.prefix(300))
  }
}
