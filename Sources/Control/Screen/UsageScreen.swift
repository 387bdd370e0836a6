internal import Platform

/// A table of how busy the domains are, drawn again and again on a terminal.
public final class UsageScreen {
  private let client: ControlClient
  private let interval: Double
  private let input: Int32
  private let output: Int32
  private let stop: Int32
  private let loop: EventLoop
  private var table = UsageTable()
  private var keys = KeyDecoder()
  private var canvas: Canvas?
  private var failure: ControlError?
  private var isDone = false

  /// One on the terminal `input` and `output`, raw by now, measured every `interval` seconds. It ends when `stop` becomes
  /// readable, when the terminal hangs up, and by `q`.
  public init(
    _ client: ControlClient, interval: Double, input: Int32, output: Int32, stop: Int32
  ) throws(ControlError) {
    self.client = client
    // Keys wait as long as an answer does.
    client.timeout = 5
    self.interval = interval
    self.input = input
    self.output = output
    self.stop = stop
    do throws(SystemError) {
      loop = try EventLoop()
    } catch {
      throw ControlError(.system, "the screen cannot start: \(error)")
    }
  }

  /// Draws until the end, and leaves the terminal clean.
  public func run() throws(ControlError) {
    do throws(SystemError) {
      _ = try loop.watch(input, .readable) { [unowned self] _ in typed() }
      _ = try loop.watch(stop, .readable) { [unowned self] _ in isDone = true }
      measure()
      try loop.run { isDone }
    } catch {
      throw ControlError(.system, "the screen failed: \(error)")
    }
    _ = TerminalStream.write(Array(TerminalStream.blank.utf8), to: output)
    if let failure { throw failure }
  }

  private func typed() {
    guard let bytes = try? TerminalStream.read(input), !bytes.isEmpty else {
      isDone = true
      return
    }
    for key in keys.append(bytes) where [.character("q"), .control("c")].contains(key) { isDone = true }
  }

  private func measure() {
    do throws(ControlError) {
      let overview = try client.list()
      table.take(try client.usage(), overview)
      draw(overview)
    } catch {
      failure = error
      isDone = true
    }
    // The first figures are there soon, the others when they are wanted.
    loop.after(canvas == nil ? min(interval, 1) : interval) { [unowned self] in measure() }
  }

  private func draw(_ overview: Overview) {
    let size = Terminal.size(of: output) ?? Terminal.Size(columns: 80, rows: 24)
    var next = Canvas(columns: size.columns, rows: size.rows)
    let title = "Roost - \(overview.appliance.name) - up \(Text.seconds(overview.appliance.uptimeSeconds))"
    next.write(title, at: .init(row: 0, column: 0), width: next.columns, Cell.Style(isBold: true))
    for (index, line) in table.lines(width: next.columns).prefix(max(0, next.rows - 4)).enumerated() {
      let style = Cell.Style(isFaint: index == 0)
      next.write(line, at: .init(row: index + 2, column: 0), width: next.columns, style)
    }
    next.write("q quit", at: .init(row: next.rows - 1, column: 0), width: next.columns)
    let text = next.changes(from: canvas)
    canvas = next
    if !TerminalStream.write(Array(text.utf8), to: output) { isDone = true }
  }
}
