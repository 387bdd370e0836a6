internal import Platform

/// The domains' consoles side by side: a terminal for each, fed from its monitor, and what is drawn of them.
///
/// Lives on the loop's thread.
final class MosaicView {
  /// Seconds between attempts to reach a console.
  private static let reconnectPause = (here: 1.0, remote: 5.0)

  /// One domain's part.
  private final class Tile {
    let name: String
    let terminal = TerminalEmulator(columns: 80, rows: 24)
    var link: ConsoleLink?
    /// When the console may be sought again.
    var retryAt = 0.0

    init(_ name: String) {
      self.name = name
    }
  }

  private let loop: EventLoop
  private let reach: ApplianceLink
  private var model: MosaicModel
  private var tiles: [Tile] = []
  private var overview: Overview?
  private var problem: String?
  private var usage = UsageMeter()
  private var layout = MosaicLayout(count: 0, columns: 80, rows: 22, top: 1)

  /// One on `loop`, which reaches for the consoles by `reach`.
  init(loop: EventLoop, by reach: ApplianceLink = ApplianceLink(), allowsQuit: Bool) {
    self.loop = loop
    self.reach = reach
    model = MosaicModel(allowsQuit: allowsQuit)
  }

  private var domains: [DomainStatus] { overview?.domains ?? [] }
  private var focused: Tile? { tiles.indices.contains(model.focus) ? tiles[model.focus] : nil }

  // MARK: What happened

  /// The domains as they are now, and why they are not known if they are not.
  func show(_ overview: Overview?, problem: String?) {
    self.overview = overview
    self.problem = problem
    let old = Dictionary(tiles.map { ($0.name, $0) }) { first, _ in first }
    tiles = domains.map { old[$0.name] ?? Tile($0.name) }
    model.limit(to: tiles.count)
    connect()
  }

  /// How busy the domains are.
  func take(_ report: UsageReport) {
    usage.take(report)
  }

  /// Says what became of an action.
  func setMessage(_ text: String) {
    model.setMessage(text)
  }

  /// Reaches for the consoles that are not connected; to be called now and then.
  func connect() {
    for (tile, domain) in zip(tiles, domains) where tile.link == nil && domain.pid != nil && loop.now >= tile.retryAt {
      tile.retryAt = loop.now + (reach.host == nil ? Self.reconnectPause.here : Self.reconnectPause.remote)
      guard let connection = try? reach.open(.console(domain)) else { continue }
      tile.link = try? ConsoleLink(
        connection, loop: loop,
        onBytes: { [unowned self, unowned tile] bytes in take(bytes, tile) },
        onEnd: { [unowned self, unowned tile] in
          tile.link = nil
          if tile === focused { model.stopTyping() }
        })
    }
  }

  private func take(_ bytes: [UInt8], _ tile: Tile) {
    let before = tile.terminal.historyCount
    tile.terminal.feed(bytes)
    let answers = tile.terminal.takeAnswers()
    guard tile === focused else { return }
    // Only who types into a guest is its terminal.
    if model.isTyping, !answers.isEmpty { tile.link?.send(answers) }
    model.scrolled(by: tile.terminal.historyCount - before, most: tile.terminal.history.count)
  }

  // MARK: Keys

  /// True when what is typed goes to a guest, byte by byte.
  var isTyping: Bool { model.isTyping }

  /// Types into the guest in focus until Ctrl-] comes; returns what was typed after that.
  func type(_ bytes: [UInt8]) -> [UInt8] {
    guard let leave = bytes.firstIndex(of: ConsoleSession.leaveByte) else {
      focused?.link?.send(bytes)
      return []
    }
    focused?.link?.send(bytes[..<leave])
    model.stopTyping()
    return Array(bytes[(leave + 1)...])
  }

  /// Takes a key that is for the mosaic.
  func handle(_ key: Key) -> [MosaicModel.Action] {
    let page = shown.first { $0.index == model.focus }.map { $0.place.rows - 1 } ?? 1
    return model.handle(
      key, domains, across: layout.across, page: page, history: focused?.terminal.history.count ?? 0)
  }

  // MARK: Drawing

  /// What is to be seen on a terminal of this size.
  func draw(columns: Int, rows: Int) -> Canvas {
    var canvas = Canvas(columns: columns, rows: rows)
    let top = 1
    layout = MosaicLayout(
      count: model.isZoomed ? min(1, tiles.count) : tiles.count, columns: canvas.columns,
      rows: max(1, canvas.rows - top - 1), top: top)
    canvas.write(title, at: .init(row: 0, column: 0), width: canvas.columns, Cell.Style(isBold: true))
    for (index, place) in shown { draw(index, place, on: &canvas) }
    for place in layout.tiles where place.column > 0 {
      for row in place.row..<(place.row + place.rows) {
        canvas.put(
          Cell(character: "│", style: Cell.Style(isFaint: true)), at: .init(row: row, column: place.column - 1))
      }
    }
    let (text, style) = lastRow
    canvas.write(text, at: .init(row: canvas.rows - 1, column: 0), width: canvas.columns, style)
    return canvas
  }

  private var shown: [(index: Int, place: MosaicLayout.Tile)] {
    model.isZoomed ? layout.tiles.prefix(1).map { (model.focus, $0) } : Array(zip(tiles.indices, layout.tiles))
  }

  private func draw(_ index: Int, _ place: MosaicLayout.Tile, on canvas: inout Canvas) {
    let (tile, domain) = (tiles[index], domains[index])
    let hasFocus = index == model.focus
    var style = Cell.Style(foreground: Self.color(of: domain.state), isReversed: true)
    style.isBold = hasFocus
    canvas.write(
      caption(index, domain, hasFocus: hasFocus), at: .init(row: place.row, column: place.column),
      width: place.columns, style)
    let rows = place.rows - 1
    guard rows > 0 else { return }
    tile.terminal.resize(columns: place.columns, rows: rows)
    let back = hasFocus ? min(model.scrolledBack, tile.terminal.history.count) : 0
    for row in 0..<rows {
      for (column, cell) in tile.terminal.line(row - back).prefix(place.columns).enumerated() {
        // Of a wide character at the tile's edge there would be a half.
        let isCut = cell.width == 2 && column + 1 >= place.columns
        canvas.put(
          isCut ? Cell(style: cell.style) : cell, at: .init(row: place.row + 1 + row, column: place.column + column))
      }
    }
    if hasFocus, model.isTyping, tile.terminal.isCursorVisible {
      let cursor = tile.terminal.cursor
      canvas.cursor = .init(
        row: place.row + 1 + cursor.row, column: place.column + min(cursor.column, place.columns - 1))
    }
  }

  private var title: String {
    guard let overview else { return "Roost" }
    let host = overview.appliance.hostname.map { " on \($0)" } ?? ""
    let state = overview.appliance.state == .shuttingDown ? " - shutting down" : ""
    let expected = overview.domains.filter(\.autostart)
    let ready = expected.count { $0.state == .ready }
    let summary = expected.isEmpty ? "" : " - \(ready) of \(expected.count) ready"
    return "Roost - \(overview.appliance.name)\(host)\(state)\(summary)"
  }

  private func caption(_ index: Int, _ domain: DomainStatus, hasFocus: Bool) -> String {
    var words = ["\(index + 1) \(domain.name)", domain.activity]
    if let used = usage.of(domain.name) {
      if let percent = used.cpuPercent { words.append("CPU \(Int(percent.rounded())) %") }
      words.append(Text.size(used.memoryBytes))
    }
    if let reason = domain.reason, !domain.state.isLive { words.append(reason) }
    if hasFocus && model.isTyping { words.append("typing") }
    if hasFocus && model.scrolledBack > 0 { words.append("\(model.scrolledBack) lines back") }
    return (hasFocus ? ">" : " ") + words.joined(separator: "  ")
  }

  private var lastRow: (String, Cell.Style) {
    let bad = Cell.Style(foreground: .indexed(1))
    if let problem { return (problem, bad) }
    if let message = model.message { return (message, bad) }
    if !model.isTyping, let notice = overview?.appliance.notices.first { return ("! \(notice)", bad) }
    return (model.help, Cell.Style())
  }

  private static func color(of state: DomainState) -> Cell.Color {
    switch state {
    case .ready: .indexed(2)
    case .starting, .running, .shuttingDown: .indexed(3)
    case .crashed, .failed: .indexed(1)
    case .defined, .off: .standard
    }
  }
}
