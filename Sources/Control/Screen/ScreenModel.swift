/// What the appliance's screen shows and how keys change it. Pure: events and keys go in, lines and actions come out.
struct ScreenModel: Sendable {
  /// One row of the screen.
  struct Line: Hashable, Sendable {
    enum Style: Hashable, Sendable {
      case plain, title, faint, good, bad, busy
    }

    var text: String
    var style: Style = .plain
  }

  /// What the terminal's loop must do.
  enum Action: Hashable, Sendable {
    /// Hand the terminal to this domain's console.
    case attach(String)
    case perform(ControlOperation, String)
    /// Fetch the end of this domain's log, and give it to `setLog`.
    case fetchLog(String)
    case powerOff
    case rebootHost
    /// Show the domains' consoles side by side.
    case mosaic
    /// Hand the terminal to a shell of the control domain.
    case shell
    /// Draw everything anew.
    case redraw
    case quit
  }

  private enum View: Hashable, Sendable {
    case table, help, power
    case log(domain: String, scrolledBack: Int)
  }

  /// True when `q` leaves the program: not on the appliance's own consoles, where it would only come again, and where `x`
  /// gives a shell instead.
  let allowsQuit: Bool
  private(set) var overview: Overview?
  /// Why there is no overview, or why it is old.
  private(set) var problem: String?
  private var view = View.table
  private var selected = 0
  /// Outcome of the last action.
  private(set) var message: Line?
  private var log: [String] = []
  /// How many rows the log's page has, as of the last drawing.
  private var page = 20

  init(allowsQuit: Bool) {
    self.allowsQuit = allowsQuit
  }

  private var domains: [DomainStatus] { overview?.domains ?? [] }
  private var chosen: DomainStatus? { domains.indices.contains(selected) ? domains[selected] : nil }

  /// The domain whose log is shown and followed.
  var followedLog: String? {
    if case .log(let domain, scrolledBack: 0) = view { return domain }
    return nil
  }

  /// True when a domain's seconds run on the screen.
  var ticks: Bool {
    view == .table && domains.contains { ($0.state == .starting || $0.state == .running) && $0.startedAt != nil }
  }

  // MARK: What happened

  /// The state of everything.
  mutating func set(_ overview: Overview) {
    self.overview = overview
    problem = nil
    selected = min(selected, max(0, domains.count - 1))
  }

  /// Something changed.
  mutating func apply(_ event: ControlEvent) {
    switch event {
    case .appliance(let status): overview?.appliance = status
    case .domain(let status):
      if let index = domains.firstIndex(where: { $0.name == status.name }) {
        overview?.domains[index] = status
      } else {
        overview?.domains.append(status)
      }
    case .removed(let name):
      overview?.domains.removeAll { $0.name == name }
      selected = min(selected, max(0, domains.count - 1))
    case .making: break  // what is being made is not in the table yet
    }
  }

  /// The domain manager cannot be asked.
  mutating func setProblem(_ text: String) {
    problem = text
  }

  /// The outcome of an action.
  mutating func setMessage(_ text: String, isError: Bool = false) {
    message = Line(text: text, style: isError ? .bad : .plain)
  }

  /// The outcome has been shown elsewhere.
  mutating func forgetMessage() {
    message = nil
  }

  /// The end of the log that is shown.
  mutating func setLog(_ text: String) {
    log = Text.printable(text).split(separator: "\n", omittingEmptySubsequences: false).map { line in
      // A tab would move past where the screen believes to be.
      line.split(separator: "\t", omittingEmptySubsequences: false).joined(separator: "    ")
    }
    while log.last?.isEmpty == true { log.removeLast() }
  }

  // MARK: Keys

  mutating func handle(_ key: Key) -> [Action] {
    if key == .control("l") { return [.redraw] }
    if allowsQuit && key == .control("c") { return [.quit] }
    switch view {
    case .table: return tableKey(key)
    case .help:
      view = .table
      return []
    case .power: return powerKey(key)
    case .log(let domain, let scrolledBack):
      logKey(key, domain: domain, scrolledBack: scrolledBack)
      return []
    }
  }

  private mutating func tableKey(_ key: Key) -> [Action] {
    message = nil
    switch key {
    case .up: selected = max(0, selected - 1)
    case .down: selected = max(0, min(domains.count - 1, selected + 1))
    case .home: selected = 0
    case .end: selected = max(0, domains.count - 1)
    case .character("h"), .character("?"): view = .help
    case .character("p"): view = .power
    case .character("m"): return [.mosaic]
    case .character("q") where allowsQuit: return [.quit]
    case .character("x") where !allowsQuit: return [.shell]
    case .character(let character):
      guard let number = character.wholeNumberValue, number >= 1 else { return chosenKey(character) }
      guard number <= domains.count else {
        setMessage("There is no domain \(number).", isError: true)
        return []
      }
      selected = number - 1
      return attach()
    case .enter: return attach()
    case .left, .right, .pageUp, .pageDown, .escape, .control: break
    }
    return []
  }

  private mutating func attach() -> [Action] {
    guard let chosen else { return [] }
    guard chosen.pid != nil else {
      setMessage("\(chosen.name) is not running: s starts it, l shows its log.", isError: true)
      return []
    }
    return [.attach(chosen.name)]
  }

  private mutating func chosenKey(_ character: Character) -> [Action] {
    guard let chosen else { return [] }
    switch character {
    case "l":
      view = .log(domain: chosen.name, scrolledBack: 0)
      log = []
      return [.fetchLog(chosen.name)]
    case "s": return [.perform(chosen.state.isLive ? .stop : .start, chosen.name)]
    case "r": return [.perform(.reboot, chosen.name)]
    case " ": return [.perform(chosen.isPaused == true ? .unpause : .pause, chosen.name)]
    case "d": return [.perform(.destroy, chosen.name)]
    default: return []
    }
  }

  private mutating func powerKey(_ key: Key) -> [Action] {
    view = .table
    switch key {
    case .character("o"): return [.powerOff]
    case .character("r"): return [.rebootHost]
    default: return []
    }
  }

  private mutating func logKey(_ key: Key, domain: String, scrolledBack: Int) {
    let most = max(0, log.count - 1)
    switch key {
    case .up: view = .log(domain: domain, scrolledBack: min(most, scrolledBack + 1))
    case .down: view = .log(domain: domain, scrolledBack: max(0, scrolledBack - 1))
    case .pageUp, .character("b"): view = .log(domain: domain, scrolledBack: min(most, scrolledBack + page))
    case .pageDown, .character(" "): view = .log(domain: domain, scrolledBack: max(0, scrolledBack - page))
    case .home, .character("g"): view = .log(domain: domain, scrolledBack: most)
    case .end, .character("G"): view = .log(domain: domain, scrolledBack: 0)
    case .escape, .enter, .character("q"), .character("l"): view = .table
    case .left, .right, .character, .control: break
    }
  }

  // MARK: Drawing

  /// The screen's rows, as many as there are at most; none is wider than the screen. `now` is the appliance's uptime.
  mutating func lines(columns: Int, rows: Int, now: Double) -> [Line] {
    let columns = max(20, columns)
    let rows = max(8, rows)
    var result: [Line]
    switch view {
    case .table: result = table(columns: columns, rows: rows, now: now)
    case .help: result = help()
    case .power: result = power()
    case .log(let domain, let scrolledBack):
      result = logPage(domain, scrolledBack: scrolledBack, columns: columns, rows: rows)
    }
    result = Array(result.prefix(rows))
    for index in result.indices where result[index].text.count > columns {
      result[index].text = String(result[index].text.prefix(columns))
    }
    return result
  }

  private var title: Line {
    let name = overview.map { " - \($0.appliance.name)" } ?? ""
    let state = overview?.appliance.state == .shuttingDown ? " - shutting down" : ""
    let host = overview?.appliance.hostname.map { " on \($0)" } ?? ""
    return Line(text: "Roost\(name)\(host)\(state)", style: .title)
  }

  private func table(columns: Int, rows: Int, now: Double) -> [Line] {
    var above = [title, Line(text: "")]
    var below: [Line] = [Line(text: "")]
    if let problem { below += Self.wrap(problem, columns, .bad) }
    if overview == nil && problem == nil { below.append(Line(text: "Waiting for the domain manager.")) }
    if let summary { below.append(summary) }
    if let message { below += Self.wrap(message.text, columns, message.style) }
    for notice in overview?.appliance.notices ?? [] { below += Self.wrap("! \(notice)", columns, .bad) }
    for domain in domains {
      // What holds for the whole appliance is said once.
      guard let reason = domain.reason, overview?.appliance.notices.contains(reason) != true else { continue }
      below += Self.wrap("\(domain.name): \(reason)", columns, style(of: domain.state))
    }
    let keys = [
      Line(text: ""),
      Line(
        text: "1-9 console  m mosaic  l log  s start/stop  r reboot  p power  "
          + (allowsQuit ? "q quit  h help" : "x shell  h help")),
    ]

    let table = DomainTable.lines(domains, width: columns - 4, now: now)
    if overview != nil, let headline = table.first { above.append(Line(text: "    " + headline, style: .faint)) }
    // What is said below may take what the table leaves, and the table keeps three rows.
    let room = max(3, rows - above.count - below.count - keys.count)
    let first = min(max(0, selected - room + 1), max(0, domains.count - room))
    let body = domains.indices.dropFirst(first).prefix(room).map { index in
      let number = index < 9 ? "\(index + 1)" : " "
      return Line(
        text: "\(index == selected ? ">" : " ") \(number) \(table[index + 1])", style: style(of: domains[index].state))
    }
    let left = rows - above.count - body.count - keys.count
    return above + body + below.prefix(max(1, left)) + keys
  }

  /// How far the domains are that start with the appliance.
  private var summary: Line? {
    guard let overview, overview.appliance.state == .up else { return nil }
    let expected = overview.domains.filter(\.autostart)
    guard let first = expected.first else { return nil }
    let ready = expected.count { $0.state == .ready }
    guard ready == expected.count else { return Line(text: "\(ready) of \(expected.count) domains are ready.") }
    let text = expected.count == 1 ? "The domain \(first.name) is ready." : "All \(ready) domains are ready."
    return Line(text: text, style: .good)
  }

  private func style(of state: DomainState) -> Line.Style {
    switch state {
    case .ready: .good
    case .starting, .running, .shuttingDown: .busy
    case .crashed, .failed: .bad
    case .defined, .off: .plain
    }
  }

  private func help() -> [Line] {
    [
      title, Line(text: ""),
      Line(text: "1-9         the console of that domain; Ctrl-] comes back"),
      Line(text: "up, down    choose a domain; Enter opens its console"),
      Line(text: "m           all consoles side by side; t comes back"),
      Line(text: "l           its log; q comes back"),
      Line(text: "s           start it, or press its power button"),
      Line(text: "r           press its power button and start it again"),
      Line(text: "Space       pause it, or have it go on"),
      Line(text: "d           destroy it: end it at once"),
      Line(text: "p           power: switch the appliance off or restart it"),
      Line(text: allowsQuit ? "q           leave" : "x           a shell of the control domain; exit comes back"),
      Line(text: "Ctrl-L      draw the screen anew"), Line(text: ""),
      Line(text: "A domain is ready when its console has shown what its recipe waits for."),
      Line(text: "The same from a shell: roost list, roost console NAME, roost --help."), Line(text: ""),
      Line(text: "Any key returns."),
    ]
  }

  private func power() -> [Line] {
    let running = domains.count { $0.state.isLive }
    let what =
      switch running {
      case 0: "No domain is running."
      case 1: "1 domain is running; it is asked to power off first."
      default: "\(running) domains are running; they are asked to power off first."
      }
    return [
      title, Line(text: ""), Line(text: what), Line(text: ""), Line(text: "o  switch the appliance off"),
      Line(text: "r  restart the appliance"), Line(text: ""),
      Line(text: "Any other key returns, and nothing happens."),
    ]
  }

  private mutating func logPage(_ domain: String, scrolledBack: Int, columns: Int, rows: Int) -> [Line] {
    page = max(1, rows - 4)
    let place = scrolledBack > 0 ? " - \(scrolledBack) lines back" : ""
    var body: [Line] = []
    if log.isEmpty { body = [Line(text: "Nothing yet.", style: .faint)] }
    for line in log.dropLast(scrolledBack).suffix(page) { body += Self.wrap(line, columns, .plain) }
    body = body.suffix(page)
    let padding = [Line](repeating: Line(text: ""), count: page - body.count)
    return [Line(text: "Log of \(domain)\(place)", style: .title), Line(text: "")] + body + padding
      + [Line(text: ""), Line(text: "up/down, PgUp/PgDn scroll  G end  q back", style: .faint)]
  }

  /// A text in as many rows as it needs, broken at spaces where there are some.
  private static func wrap(_ text: String, _ columns: Int, _ style: Line.Style) -> [Line] {
    var lines: [Line] = []
    var rest = text[...]
    while rest.count > columns {
      let head = rest.prefix(columns)
      let cut = head.lastIndex(of: " ") ?? head.endIndex
      let end = cut == head.startIndex ? head.endIndex : cut
      lines.append(Line(text: String(rest[..<end]), style: style))
      rest = rest[end...].drop { $0 == " " }
    }
    lines.append(Line(text: String(rest), style: style))
    return lines
  }
}
