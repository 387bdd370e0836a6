@testable import Control
import Platform
import TestMachine
import Testing

@Suite("Terminals in memory")
struct TerminalEmulatorTests {
  private func text(_ terminal: TerminalEmulator, _ row: Int) -> String {
    var text = String(terminal.line(row).filter { $0.width > 0 }.map(\.character))
    while text.last == " " { text.removeLast() }
    return text
  }

  @Test("Text, colours and cursor movement arrive as cells")
  func cells() throws {
    let terminal = TerminalEmulator(columns: 20, rows: 4)
    terminal.feed(Array("plain \u{1B}[1;31mred\u{1B}[0m\r\n\u{1B}[7mback\u{1B}[m\u{1B}[4;3Hx\u{1B}[38;5;200my".utf8))
    #expect(text(terminal, 0) == "plain red")
    let red = try #require(terminal.line(0).dropFirst(6).first)
    #expect(red == Cell(character: "r", style: Cell.Style(foreground: .indexed(1), isBold: true)))
    #expect(terminal.line(0)[0] == Cell(character: "p"))
    #expect(terminal.line(1)[0].style.isReversed)
    #expect(text(terminal, 3) == "  xy")
    #expect(terminal.line(3)[3].style.foreground == .indexed(200))
    #expect(terminal.cursor == Canvas.Place(row: 3, column: 4))
    #expect(terminal.isCursorVisible)
    terminal.feed(Array("\u{1B}[?25l".utf8))
    #expect(!terminal.isCursorVisible)
  }

  @Test("Characters of several bytes may come in pieces, and wide ones take two places")
  func wide() {
    let terminal = TerminalEmulator(columns: 10, rows: 1)
    let bytes = Array("é世e\u{301}!".utf8)
    for byte in bytes { terminal.feed([byte]) }
    let line = terminal.line(0)
    #expect(line[0].character == "é")
    #expect(line[1].character == "世" && line[1].width == 2 && line[2].width == 0)
    #expect(line[3].character == "e\u{301}")
    #expect(text(terminal, 0) == "é世e\u{301}!")
  }

  @Test("What libvterm cannot count does not reach it, in whatever pieces it comes")
  func uncountable() {
    for (text, kept, columns) in [("\u{9B}", "", 4), ("か\u{3099}", "か", 6), ("\u{302A}", "", 4)] {
      let terminal = TerminalEmulator(columns: 20, rows: 2)
      for byte in Array("ab\(text)\u{1B}[mcd".utf8) { terminal.feed([byte]) }
      #expect(self.text(terminal, 0) == "ab\(kept)cd")
      #expect(terminal.cursor == Canvas.Place(row: 0, column: columns))
    }
    let terminal = TerminalEmulator(columns: 20, rows: 2)
    terminal.feed([0xC2])
    terminal.feed(Array("\u{1B}[m".utf8) + [0x9B, UInt8(ascii: "x")])
    #expect(terminal.line(0).allSatisfy { !$0.character.unicodeScalars.contains { (0x80...0x9F).contains($0.value) } })
    // A guest that says nothing else must not get ahead of the line.
    for _ in 0..<1000 { terminal.feed(Array("\r\u{9B}\u{9B}\u{1B}H".utf8)) }
    #expect(terminal.cursor == Canvas.Place(row: 0, column: 0))
  }

  @Test("What goes off the top is history, and comes back when there is room")
  func history() {
    let terminal = TerminalEmulator(columns: 10, rows: 3)
    terminal.feed(Array((1...6).map { "line \($0)" }.joined(separator: "\r\n").utf8))
    #expect(terminal.history.count == 3)
    #expect(text(terminal, -1) == "line 3" && text(terminal, -3) == "line 1" && terminal.line(-4).isEmpty)
    terminal.resize(columns: 10, rows: 5)
    #expect(text(terminal, 0) == "line 2" && text(terminal, 4) == "line 6")
    #expect(terminal.history.count == 1 && terminal.historyCount == 1)
    for number in 0...(TerminalEmulator.historyLimit + 10) { terminal.feed(Array("\r\nmore \(number)".utf8)) }
    #expect(terminal.history.count == TerminalEmulator.historyLimit)
  }

  @Test("Questions are answered for whoever types, and forgotten otherwise")
  func answers() {
    let terminal = TerminalEmulator(columns: 10, rows: 3)
    terminal.feed(Array("ab\u{1B}[6n".utf8))
    #expect(terminal.takeAnswers() == Array("\u{1B}[1;3R".utf8))
    #expect(terminal.takeAnswers().isEmpty)
    for _ in 0..<10_000 { terminal.feed(Array("\u{1B}[6n".utf8)) }
    #expect(terminal.takeAnswers().count <= 4096)
  }

  @Test("Fuzz: whatever a guest writes, in whatever size, is a screen")
  func fuzz() {
    var numbers = SeededNumbers(20)
    let pieces = [
      "\u{1B}H", "\u{1B}[4h", "か" + String(repeating: "\u{3099}", count: 100), "\u{1B}[", "\u{1B}]", "\u{1B}P",
      "\u{9B}", ";", "999999999", "H", "J", "K", "r", "m", "38;2;1;2;3", "世",
    ]
    for _ in 0..<30 {
      let terminal = TerminalEmulator(columns: Int(numbers.next() % 120), rows: Int(numbers.next() % 50))
      for _ in 0..<200 {
        switch numbers.next() % 8 {
        case 0: terminal.resize(columns: Int(numbers.next() % 120), rows: Int(numbers.next() % 50))
        case 1, 2, 3: terminal.feed((0..<20).map { _ in UInt8(truncatingIfNeeded: numbers.next()) })
        default: terminal.feed(Array(pieces[Int(numbers.next() % UInt64(pieces.count))].utf8))
        }
      }
      let cursor = terminal.cursor
      #expect((0..<terminal.rows).contains(cursor.row) && (0..<terminal.columns).contains(cursor.column))
      for row in -terminal.history.count..<terminal.rows { #expect(terminal.line(row).count <= 200) }
    }
  }
}

@Suite("The mosaic")
struct MosaicTests {
  private func domains(_ count: Int) -> [DomainStatus] {
    (1...count).map { number in
      var status = Samples.status("guest-\(number)", .ready, ready: 1)
      status.pid = Int32(number)
      return status
    }
  }

  @Test("Tiles cover the screen once, with a column between those beside each other", arguments: 1...9)
  func layout(count: Int) {
    for (columns, rows) in [(80, 22), (128, 46), (240, 65), (40, 10)] {
      let layout = MosaicLayout(count: count, columns: columns, rows: rows, top: 1)
      #expect(layout.tiles.count == count)
      var cells = [Int](repeating: 0, count: columns * rows)
      for tile in layout.tiles {
        for row in tile.row..<(tile.row + tile.rows) {
          for column in tile.column..<(tile.column + tile.columns) { cells[(row - 1) * columns + column] += 1 }
        }
      }
      #expect(cells.allSatisfy { $0 <= 1 })
      let gaps = cells.count { $0 == 0 }
      #expect(gaps <= (layout.across - 1) * rows)
    }
  }

  @Test("On a terminal of 80 columns lines are not cut; a wide one has tiles beside each other")
  func layoutPrefersWholeLines() {
    let narrow = MosaicLayout(count: 3, columns: 80, rows: 22, top: 1)
    #expect(narrow.across == 1 && narrow.tiles.allSatisfy { $0.columns == 80 && $0.rows >= 7 })
    #expect(MosaicLayout(count: 3, columns: 243, rows: 40, top: 1).across == 3)
    #expect(MosaicLayout(count: 4, columns: 161, rows: 46, top: 1).across == 2)
    #expect(MosaicLayout(count: 0, columns: 80, rows: 22, top: 1).tiles.isEmpty)
  }

  @Test("Keys choose, zoom, scroll, type and act")
  func keys() {
    var model = MosaicModel(allowsQuit: true)
    var domains = domains(4)
    func press(_ key: Key, history: Int = 50) -> [MosaicModel.Action] {
      model.handle(key, domains, across: 2, page: 11, history: history)
    }
    #expect(press(.right) == [] && model.focus == 1)
    #expect(press(.down) == [] && model.focus == 3)
    #expect(press(.right) == [] && model.focus == 3)
    #expect(press(.up) == [] && model.focus == 1)
    #expect(press(.left) == [] && model.focus == 0)
    #expect(press(.control("i")) == [] && model.focus == 1)
    #expect(press(.character("4")) == [] && model.focus == 3)
    #expect(press(.control("i")) == [] && model.focus == 0)
    #expect(press(.character("9")) == [] && model.message == "There is no domain 9.")
    #expect(press(.pageUp) == [] && model.scrolledBack == 10 && model.message == nil)
    #expect(press(.home) == [] && model.scrolledBack == 50)
    #expect(press(.pageDown) == [] && model.scrolledBack == 40)
    model.scrolled(by: 3, most: 53)
    #expect(model.scrolledBack == 43)
    #expect(press(.enter) == [] && model.isTyping && model.scrolledBack == 0)
    model.stopTyping()
    #expect(press(.character("s")) == [.perform(.stop, "guest-1")])
    #expect(press(.character("r")) == [.perform(.reboot, "guest-1")])
    domains[0].pid = nil
    domains[0].state = .off
    #expect(press(.enter) == [] && !model.isTyping && model.message == "guest-1 is not running: s starts it.")
    #expect(press(.character("s")) == [.perform(.start, "guest-1")])
    #expect(press(.character("z")) == [] && model.isZoomed)
    #expect(press(.escape) == [] && !model.isZoomed)
    #expect(press(.escape) == [.leave])
    #expect(press(.character("q")) == [.quit] && press(.control("c")) == [.quit] && press(.control("l")) == [.redraw])
    var fixed = MosaicModel(allowsQuit: false)
    #expect(fixed.handle(.character("q"), domains, across: 1, page: 1, history: 0) == [.leave])
    #expect(fixed.handle(.control("c"), domains, across: 1, page: 1, history: 0) == [])
  }

  @Test("Without domains no key does harm")
  func empty() {
    var model = MosaicModel(allowsQuit: false)
    for key in [Key.enter, .up, .down, .left, .right, .control("i"), .character("s"), .character("1"), .pageUp, .home] {
      #expect(model.handle(key, [], across: 1, page: 1, history: 0) == [])
      #expect(model.focus == 0 && !model.isTyping)
    }
  }

  @Test("A terminal is told only what changed, and ends up as the canvas is", arguments: [0, 1, 2, 3])
  func changes(seed: Int) {
    var numbers = SeededNumbers(UInt64(seed))
    let terminal = TerminalEmulator(columns: 30, rows: 8)
    var shown: Canvas?
    for round in 0..<20 {
      var canvas = shown ?? Canvas(columns: 30, rows: 8)
      for _ in 0..<15 {
        let place = Canvas.Place(row: Int(numbers.next() % 8), column: Int(numbers.next() % 29))
        let style = Cell.Style(
          foreground: .indexed(UInt8(numbers.next() % 20)), isBold: numbers.next() % 2 == 0,
          isReversed: numbers.next() % 2 == 0)
        canvas.write("text \(round)", at: place, width: min(6, 30 - place.column), style)
      }
      canvas.cursor = Canvas.Place(row: round % 8, column: round)
      let text = canvas.changes(from: shown)
      terminal.feed(Array(text.utf8))
      #expect(canvas.changes(from: nil).utf8.count > canvas.changes(from: canvas).utf8.count)
      for row in 0..<8 { #expect(terminal.line(row) == Array(canvas.cells[(row * 30)..<(row * 30 + 30)])) }
      #expect(terminal.cursor == canvas.cursor)
      shown = canvas
    }
  }

  @Test("Consoles are side by side, titles tell states, and what is typed reaches the guest")
  func view() throws {
    try Samples.withDirectory { directory in
      var domains = domains(2)
      for index in domains.indices { domains[index].console = "\(directory)/\(index).sock" }
      let firstConsole = try UnixSocket.listen(domains[0].console)
      let secondConsole = try UnixSocket.listen(domains[1].console)
      let loop = try EventLoop()
      let view = MosaicView(loop: loop, allowsQuit: true)
      domains[1].state = .running
      view.show(overview(domains), problem: nil)
      let first = try UnixSocket.accept(firstConsole)
      let second = try UnixSocket.accept(secondConsole)
      _ = view.draw(columns: 80, rows: 24)
      try first.writeAll(Array("login: \u{1B}[6n".utf8))
      try second.writeAll(Array("second".utf8))
      var rounds = 0
      try loop.run {
        rounds += 1
        return view.draw(columns: 80, rows: 24).text(row: 13) == "second"
          && view.draw(columns: 80, rows: 24).text(row: 2) == "login:" || rounds > 100
      }
      var canvas = view.draw(columns: 80, rows: 24)
      #expect(canvas.text(row: 0) == "Roost - demo - 1 of 2 ready")
      #expect(canvas.text(row: 1) == ">1 guest-1  ready")
      #expect(canvas.text(row: 2) == "login:")
      #expect(canvas.text(row: 12) == " 2 guest-2  running")
      #expect(canvas.text(row: 13) == "second")
      #expect(canvas.cursor == nil && !view.isTyping)

      #expect(view.handle(.enter) == [] && view.isTyping)
      #expect(view.type(Array("root\r".utf8) + [ConsoleSession.leaveByte] + Array("q".utf8)) == Array("q".utf8))
      #expect(!view.isTyping)
      // The guest's question before was nobody's to answer.
      #expect(try first.read(upTo: 100) == Array("root\r".utf8))
      #expect(view.handle(.enter) == [])
      #expect(view.draw(columns: 80, rows: 24).cursor == Canvas.Place(row: 2, column: 7))

      let report = UsageReport(
        uptimeSeconds: 10, domains: [.init(name: "guest-1", pid: 1, cpuSeconds: 1, memoryBytes: 64 << 20)])
      view.take(report)
      canvas = view.draw(columns: 80, rows: 24)
      #expect(canvas.text(row: 1) == ">1 guest-1  ready  64 MiB  typing")
      var later = report
      later.uptimeSeconds = 12
      later.domains[0].cpuSeconds = 2
      view.take(later)
      #expect(view.draw(columns: 80, rows: 24).text(row: 1).hasPrefix(">1 guest-1  ready  CPU 50 %  64 MiB"))
    }
  }

  private func overview(_ domains: [DomainStatus]) -> Overview {
    Overview(appliance: ApplianceStatus(name: "demo", state: .up, uptimeSeconds: 1), domains: domains)
  }
}

@Suite("How busy domains are")
struct UsageTests {
  private func report(_ uptime: Double, _ seconds: [(String, Int32, Double)]) -> UsageReport {
    UsageReport(
      uptimeSeconds: uptime,
      domains: seconds.map {
        // The busy one waits for processors half as long as it has them.
        .init(
          name: $0.0, pid: $0.1, cpuSeconds: $0.2, memoryBytes: 100 << 20, stealSeconds: $0.0 == "busy" ? $0.2 / 2 : nil
        )
      })
  }

  @Test("The busiest is first; what was started anew, or does not run, has no share yet")
  func table() throws {
    let overview = Overview(
      appliance: ApplianceStatus(name: "demo", state: .up, uptimeSeconds: 1),
      domains: ["calm", "busy", "fresh", "off"].map { Samples.status($0, $0 == "off" ? .off : .ready) })
    var table = UsageTable()
    table.take(report(10, [("calm", 1, 5), ("busy", 2, 7), ("fresh", 3, 90)]), overview)
    #expect(table.rows.map(\.name) == ["calm", "busy", "fresh", "off"])
    #expect(table.rows.allSatisfy { $0.cpuPercent == nil })
    table.take(report(12, [("calm", 1, 5.1), ("busy", 2, 10), ("fresh", 4, 0.5)]), overview)
    #expect(table.rows.map(\.name) == ["busy", "calm", "fresh", "off"])
    let lines = table.lines(width: 80)
    #expect(lines[0].split(separator: " ").joined(separator: " ") == "NAME STATE CPU STEAL CPU TIME MEMORY USED OF")
    #expect(lines[1].split(separator: " ").joined(separator: " ") == "busy ready 150.0 % 75.0 % 10.0 s 100 MiB 320 MiB")
    #expect(lines[3].split(separator: " ").joined(separator: " ") == "fresh ready - - 0.5 s 100 MiB 320 MiB")
    #expect(lines[4].split(separator: " ").joined(separator: " ") == "off off - - - - 320 MiB")
    #expect(try table.prettyJSON().contains("\"cpuPercent\" : 150"))
  }
}
