@testable import Control
import Testing

@Suite("The screen")
struct ScreenTests {
  private func overview(_ domains: [DomainStatus], notices: [String] = []) -> Overview {
    Overview(
      appliance: ApplianceStatus(name: "quickstart", state: .up, uptimeSeconds: 100, notices: notices), domains: domains
    )
  }

  private func model(_ domains: [DomainStatus], notices: [String] = [], allowsQuit: Bool = false) -> ScreenModel {
    var model = ScreenModel(allowsQuit: allowsQuit)
    model.set(overview(domains, notices: notices))
    return model
  }

  private func text(_ model: inout ScreenModel, columns: Int = 80, rows: Int = 23) -> [String] {
    model.lines(columns: columns, rows: rows, now: 100).map(\.text)
  }

  @Test("Before anything is known it says what it waits for, and later why")
  func waiting() {
    var model = ScreenModel(allowsQuit: false)
    #expect(text(&model).contains("Waiting for the domain manager."))
    model.setProblem("cannot reach the domain manager")
    #expect(text(&model).contains("cannot reach the domain manager"))
  }

  @Test("The table follows events until all are ready")
  func follows() {
    var model = model([
      Samples.status("debian", .ready, ready: 10.12), Samples.status("plan9", .running, started: 97.5),
    ])
    var lines = text(&model)
    #expect(lines[3] == "> 1 debian  Debian 13  ready       1  320 MiB       10.1 s  10.77.0.10")
    #expect(lines[4] == "  2 plan9   Debian 13  running     1  320 MiB        2 s..  10.77.0.10")
    #expect(lines.contains("1 of 2 domains are ready."))
    #expect(model.ticks)
    model.apply(.domain(Samples.status("plan9", .ready, ready: 30.4)))
    lines = text(&model)
    #expect(lines.contains("All 2 domains are ready."))
    #expect(!model.ticks)
    // One that is made comes last, and goes again.
    model.apply(.domain(Samples.status("made", .ready)))
    #expect(text(&model).contains { $0.hasPrefix("  3 made ") })
    _ = model.handle(.end)
    model.apply(.removed("made"))
    _ = model.handle(.home)
    #expect(text(&model) == lines)
    #expect(model.handle(.character(" ")) == [.perform(.pause, "debian")])
    var paused = Samples.status("debian", .ready, ready: 10.12)
    paused.isPaused = true
    model.apply(.domain(paused))
    #expect(text(&model)[3].contains("paused") && model.handle(.character(" ")) == [.perform(.unpause, "debian")])
  }

  @Test("Nothing is wider or longer than the screen", arguments: [(80, 23), (40, 10), (20, 8), (200, 60)])
  func fits(columns: Int, rows: Int) {
    let reason = String(repeating: "a long reason without an end ", count: 20)
    var domains = (1...12).map { Samples.status("domain-with-a-long-name-\($0)", .failed, reason: reason) }
    domains[3].os = String(repeating: "x", count: 300)
    var model = model(domains, notices: [reason])
    for key in [Key.down, .end, .character("l"), .character("q"), .character("h"), .escape, .character("p")] {
      _ = model.handle(key)
      model.setLog(String(repeating: "log line \u{1B}[31m with colour and more words than fit\n", count: 50))
      let lines = text(&model, columns: columns, rows: rows)
      #expect(lines.count <= rows)
      #expect(lines.allSatisfy { $0.count <= columns })
    }
    _ = model.handle(.escape)
    _ = model.handle(.end)
    #expect(text(&model, columns: columns, rows: rows).contains { $0.hasPrefix(">   domain-") })
    #expect(text(&model).last?.hasPrefix("1-9 console") == true)
  }

  @Test("Digits and Enter open consoles of domains that run")
  func consoles() {
    var running = Samples.status("debian", .ready, ready: 1)
    running.pid = 7
    var model = model([running, Samples.status("plan9", .off)])
    #expect(model.handle(.character("1")) == [.attach("debian")])
    #expect(model.handle(.enter) == [.attach("debian")])
    #expect(model.handle(.character("2")) == [])
    #expect(text(&model).contains { $0.contains("plan9 is not running") })
    #expect(model.handle(.character("7")) == [])
    #expect(text(&model).contains("There is no domain 7."))
    #expect(model.handle(.character("0")) == [])
  }

  @Test("s starts or stops, r restarts, d destroys the chosen domain")
  func operations() {
    var model = model([Samples.status("debian", .ready), Samples.status("plan9", .off)])
    #expect(model.handle(.character("s")) == [.perform(.stop, "debian")])
    #expect(model.handle(.down) == [])
    #expect(model.handle(.character("s")) == [.perform(.start, "plan9")])
    #expect(model.handle(.character("r")) == [.perform(.reboot, "plan9")])
    #expect(model.handle(.character("d")) == [.perform(.destroy, "plan9")])
  }

  @Test("Power asks first")
  func power() {
    var model = model([Samples.status("debian", .ready)])
    #expect(model.handle(.character("p")) == [])
    #expect(text(&model).contains { $0.contains("1 domain is running") })
    #expect(model.handle(.character("x")) == [])
    #expect(model.handle(.character("o")) == [])
    _ = model.handle(.character("p"))
    #expect(model.handle(.character("o")) == [.powerOff])
    _ = model.handle(.character("p"))
    #expect(model.handle(.character("r")) == [.rebootHost])
  }

  @Test("Only where it helps does q quit")
  func quit() {
    var fixed = model([Samples.status("debian", .ready)])
    #expect(fixed.handle(.character("q")) == [])
    #expect(fixed.handle(.control("c")) == [])
    var free = model([Samples.status("debian", .ready)], allowsQuit: true)
    #expect(free.handle(.character("q")) == [.quit])
    #expect(free.handle(.control("c")) == [.quit])
  }

  @Test("A shell is offered on the appliance's own consoles only")
  func shell() {
    var fixed = model([Samples.status("debian", .ready)])
    #expect(text(&fixed).contains { $0.contains("x shell") })
    #expect(fixed.handle(.character("x")) == [.shell])
    var free = model([Samples.status("debian", .ready)], allowsQuit: true)
    #expect(free.handle(.character("x")) == [])
  }

  @Test("The log is followed, scrolled and left")
  func log() {
    var model = model([Samples.status("debian", .ready)])
    #expect(model.handle(.character("l")) == [.fetchLog("debian")])
    #expect(model.followedLog == "debian")
    model.setLog((1...100).map { "line \($0)" }.joined(separator: "\r\n") + "\r\n")
    #expect(text(&model).contains("line 100"))
    _ = model.handle(.pageUp)
    #expect(!text(&model).contains("line 100"))
    #expect(model.followedLog == nil)
    for _ in 0..<50 { _ = model.handle(.pageUp) }
    #expect(text(&model).contains("line 1"))
    _ = model.handle(.end)
    #expect(model.followedLog == "debian")
    _ = model.handle(.character("q"))
    #expect(text(&model).contains { $0.hasPrefix("> 1 debian") })
  }

  @Test("What holds for the whole appliance is said once")
  func notices() {
    var model = model(
      [Samples.status("a", .failed, reason: HardwareVirtualisation.missing)], notices: [HardwareVirtualisation.missing])
    #expect(text(&model).count { $0.contains("no hardware virtualisation") } == 1)
  }

  @Test("Keys are decoded from any pieces")
  func keys() {
    var decoder = KeyDecoder()
    #expect(
      decoder.append(Array("a\r\u{1B}[A\u{1B}OB\u{1B}[5~\u{0C}".utf8)) == [
        .character("a"), .enter, .up, .down, .pageUp, .control("l"),
      ])
    #expect(decoder.append([0x1B]) == [])
    #expect(decoder.isWaiting)
    #expect(decoder.flush() == [.escape])
    #expect(decoder.append([0x1B]) == [])
    #expect(decoder.append(Array("[B".utf8)) == [.down])
    #expect(decoder.append(Array("\u{1B}x".utf8)) == [.escape, .character("x")])
    #expect(decoder.append(Array("\u{1B}[999999999999999999999999999~z".utf8)).last == .character("z"))
    #expect(decoder.append([0xFF, 0x80, 0x00, 0x7F]) == [])
  }

  @Test("A console's past asks the terminal nothing")
  func replay() {
    var filter = ReplayFilter()
    let past =
      "a\u{1B}[6nb\u{1B}[31mc\u{1B}[c\u{1B}[18t\u{1B}]11;?\u{07}\u{1B}]0;title\u{07}\u{1B}P+q54\u{1B}\\d\u{1B}(Be\u{1B}Z"
    #expect(
      String(decoding: filter.filter(Array(past.utf8)), as: UTF8.self) == "ab\u{1B}[31mc\u{1B}]0;title\u{07}d\u{1B}(Be")
    var cut = ReplayFilter()
    var result: [UInt8] = []
    for byte in past.utf8 { result += cut.filter([byte]) }
    #expect(String(decoding: result, as: UTF8.self) == "ab\u{1B}[31mc\u{1B}]0;title\u{07}d\u{1B}(Be")
  }
}
