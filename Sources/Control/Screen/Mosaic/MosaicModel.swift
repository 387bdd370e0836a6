/// How keys change a mosaic. Pure: keys go in, actions come out.
struct MosaicModel: Sendable {
  /// What the terminal's loop must do.
  enum Action: Hashable, Sendable {
    case perform(ControlOperation, String)
    /// Draw everything anew.
    case redraw
    /// Show the table of domains instead.
    case leave
    case quit
  }

  /// True when `q` leaves the program.
  let allowsQuit: Bool
  /// Number of the tile that keys concern.
  private(set) var focus = 0
  /// That tile alone is shown.
  private(set) var isZoomed = false
  /// What is typed goes to that tile's guest.
  private(set) var isTyping = false
  /// Lines that its view is above the end.
  private(set) var scrolledBack = 0
  /// Outcome of the last action.
  private(set) var message: String?

  init(allowsQuit: Bool) {
    self.allowsQuit = allowsQuit
  }

  /// Takes a key that is not typed to a guest.
  ///
  /// - Parameters:
  ///   - domains: those that have tiles, in their order.
  ///   - across: how many tiles are beside each other.
  ///   - page: lines of the tile in focus.
  ///   - history: lines above its end.
  mutating func handle(
    _ key: Key, _ domains: [DomainStatus], across: Int, page: Int, history: Int
  ) -> [Action] {
    message = nil
    let last = max(0, domains.count - 1)
    switch key {
    case .left: move(to: focus - 1, last)
    case .right: move(to: focus + 1, last)
    case .up: move(to: focus - across, last)
    case .down: move(to: focus + across, last)
    case .home: scrolledBack = history
    case .end: scrolledBack = 0
    case .pageUp: scrolledBack = min(history, scrolledBack + max(1, page - 1))
    case .pageDown: scrolledBack = max(0, scrolledBack - max(1, page - 1))
    case .control("i"): move(to: focus < last ? focus + 1 : 0, last)
    case .control("l"): return [.redraw]
    case .control("c") where allowsQuit: return [.quit]
    case .control: break
    case .escape:
      guard isZoomed else { return [.leave] }
      isZoomed = false
    case .enter: type(to: domains)
    case .character(let character): return letter(character, domains)
    }
    return []
  }

  /// Ctrl-] was typed, or the guest is gone.
  mutating func stopTyping() {
    isTyping = false
  }

  /// So many lines went off the top of the tile in focus: who looks back goes on seeing the same.
  mutating func scrolled(by lines: Int, most: Int) {
    if scrolledBack > 0 { scrolledBack = min(most, max(1, scrolledBack + lines)) }
  }

  /// Says what became of an action.
  mutating func setMessage(_ text: String) {
    message = text
  }

  /// There are `count` tiles now.
  mutating func limit(to count: Int) {
    if focus >= count { focus = max(0, count - 1) }
    if count == 0 { isTyping = false }
  }

  private mutating func move(to tile: Int, _ last: Int) {
    guard (0...last).contains(tile), tile != focus else { return }
    focus = tile
    scrolledBack = 0
  }

  private mutating func type(to domains: [DomainStatus]) {
    guard domains.indices.contains(focus) else { return }
    guard domains[focus].pid != nil else {
      message = "\(domains[focus].name) is not running: s starts it."
      return
    }
    isTyping = true
    scrolledBack = 0
  }

  private mutating func letter(_ character: Character, _ domains: [DomainStatus]) -> [Action] {
    if let number = character.wholeNumberValue, number >= 1 {
      guard number <= domains.count else {
        message = "There is no domain \(number)."
        return []
      }
      move(to: number - 1, domains.count - 1)
      return []
    }
    switch character {
    case "z": isZoomed.toggle()
    case "m", "t": return [.leave]
    case "q": return [allowsQuit ? .quit : .leave]
    case "s" where domains.indices.contains(focus):
      return [.perform(domains[focus].state.isLive ? .stop : .start, domains[focus].name)]
    case "r" where domains.indices.contains(focus): return [.perform(.reboot, domains[focus].name)]
    case " " where domains.indices.contains(focus):
      return [.perform(domains[focus].isPaused == true ? .unpause : .pause, domains[focus].name)]
    default: break
    }
    return []
  }

  /// What the keys do, for the last row.
  var help: String {
    if isTyping { return "What you type goes to the guest.  Ctrl-] comes back" }
    return "arrows, 1-9 choose  Enter type  z \(isZoomed ? "all" : "zoom")  PgUp/PgDn scroll  s start/stop  "
      + "Space pause  r reboot  "
      + (allowsQuit ? "t table  q quit" : "t table")
  }
}
