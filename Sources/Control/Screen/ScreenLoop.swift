internal import Platform

/// Runs the screen on a terminal: reads keys, follows the domain manager, and draws what changed: the table of domains,
/// or their consoles side by side.
public final class ScreenLoop {
  /// What a terminal is believed to have that does not say.
  private static let assumedSize = Terminal.Size(columns: 80, rows: 24)
  /// Seconds between drawings of running seconds: on a serial line, where each costs bytes of its log, fewer.
  private static let tickPause = (sized: 1.0, serial: 5.0)
  private static let reconnectPause = 1.0
  private static let escapePause = 0.05
  /// Seconds between two drawings of a mosaic: guests may write without a pause.
  private static let framePause = 0.04
  /// Seconds between questions how busy the domains are.
  private static let usagePause = 2.0

  private let loop: EventLoop
  private let reach: ApplianceLink
  private let input: Int32
  private let output: Int32
  private let stop: Int32?
  private var model: ScreenModel
  private var keys = KeyDecoder()
  private var client: ControlClient?
  private var clientToken: EventLoop.Token?
  private var reconnectTimer: EventLoop.Token?
  private var inputToken: EventLoop.Token?
  private var escapeTimer: EventLoop.Token?
  private var drawn: [ScreenModel.Line] = []
  private var drawnSize: Terminal.Size?
  private var mosaic: MosaicView?
  private var drawnCanvas: Canvas?
  private var nextFrame = 0.0
  private var frameTimer: EventLoop.Token?
  private var nextUsage = 0.0
  /// The appliance's uptime minus this machine's clock; 0 inside the appliance.
  private var clockOffset = 0.0
  private var isDone = false

  /// A screen on the terminal `input` and `output`, raw by now, that asks the domain manager at `reach`. It ends when
  /// `stop` becomes readable, when the terminal hangs up, or, if that is allowed, when `q` is typed. It begins with the
  /// table, or with the mosaic.
  public init(
    _ reach: ApplianceLink, input: Int32, output: Int32, stop: Int32? = nil, allowsQuit: Bool, showsMosaic: Bool = false
  ) throws(ControlError) {
    do throws(SystemError) {
      loop = try EventLoop()
    } catch {
      throw ControlError(.system, "the screen cannot start: \(error)")
    }
    self.reach = reach
    self.input = input
    self.output = output
    self.stop = stop
    model = ScreenModel(allowsQuit: allowsQuit)
    if showsMosaic { mosaic = MosaicView(loop: loop, by: reach, allowsQuit: allowsQuit) }
  }

  /// Draws and handles keys until the end, and leaves the terminal clean.
  public func run() throws(ControlError) {
    do throws(SystemError) {
      try watchInput()
      if let stop { _ = try loop.watch(stop, .readable) { [unowned self] _ in isDone = true } }
      connect()
      tick()
      try loop.run {
        if !isDone { draw() }
        return isDone
      }
    } catch {
      throw ControlError(.system, "the screen failed: \(error)")
    }
    _ = TerminalStream.write(Array(TerminalStream.blank.utf8), to: output)
  }

  private func watchInput() throws(SystemError) {
    inputToken = try loop.watch(input, .readable) { [unowned self] _ in typed() }
  }

  // MARK: The domain manager

  private func connect() {
    loop.cancel(reconnectTimer)
    reconnectTimer = nil
    do throws(ControlError) {
      let client = try ControlClient(reach)
      client.timeout = 5
      try client.hello()
      let overview = try client.subscribe()
      clockOffset = overview.appliance.uptimeSeconds - loop.now
      model.set(overview)
      do throws(SystemError) {
        clientToken = try loop.watch(client.descriptor, .readable) { [unowned self] _ in follow() }
      } catch {
        throw ControlError(.system, "cannot watch the domain manager: \(error)")
      }
      self.client = client
      follow()
    } catch {
      lost(error)
    }
  }

  private func lost(_ error: ControlError) {
    loop.unwatch(clientToken)
    clientToken = nil
    client = nil
    model.setProblem("\(error.message)")
    reconnectTimer = loop.after(Self.reconnectPause) { [unowned self] in connect() }
  }

  private func follow() {
    guard let client else { return }
    do throws(ControlError) {
      while let event = try client.nextEvent(within: 0) { model.apply(event) }
    } catch {
      lost(error)
    }
  }

  /// Has the domain manager do what was typed. One that ended and came back while something else had the terminal is
  /// sought at once: nothing that was typed is passed over without a word.
  private func order(_ question: (ControlClient) throws(ControlError) -> Void) {
    if client == nil { connect() }
    guard client != nil else { return model.setMessage("Nothing was done.", isError: true) }
    ask(question)
  }

  /// Asks the domain manager; a refusal is shown, a lost connection is sought again.
  private func ask(_ question: (ControlClient) throws(ControlError) -> Void) {
    guard let client else { return }
    do throws(ControlError) {
      try question(client)
      follow()
    } catch {
      if error.code == .disconnected || error.code == .timedOut {
        lost(error)
      } else {
        model.setMessage(error.message, isError: true)
      }
    }
  }

  // MARK: Keys

  private func typed() {
    guard var bytes = try? TerminalStream.read(input), !bytes.isEmpty else {
      isDone = true
      return
    }
    loop.cancel(escapeTimer)
    // The rest after the key that ends typing is for the screen, as what follows the key that begins it is for the guest:
    // keys are taken one by one.
    while !bytes.isEmpty {
      if let mosaic, mosaic.isTyping {
        bytes = mosaic.type(bytes)
      } else {
        // What was typed with a key that gave the terminal away was meant for what had it meanwhile.
        guard act(keys.append([bytes.removeFirst()])) else { break }
      }
    }
    if keys.isWaiting {
      escapeTimer = loop.after(Self.escapePause) { [unowned self] in _ = act(keys.flush()) }
    }
  }

  /// False when something else had the terminal meanwhile.
  private func act(_ keys: [Key]) -> Bool {
    for key in keys {
      if let mosaic {
        for action in mosaic.handle(key) { perform(action) }
        continue
      }
      for action in model.handle(key) {
        perform(action)
        switch action {
        case .attach, .shell: return false
        default: break
        }
      }
    }
    return true
  }

  private func perform(_ action: MosaicModel.Action) {
    switch action {
    case .perform(let operation, let name): perform(ScreenModel.Action.perform(operation, name))
    case .redraw: drawnCanvas = nil
    case .leave:
      mosaic = nil
      drawnSize = nil
    case .quit: isDone = true
    }
  }

  private func perform(_ action: ScreenModel.Action) {
    switch action {
    case .attach(let name): attach(name)
    case .perform(let operation, let name):
      // What becomes of it shows in the table; only a refusal needs words.
      order { client throws(ControlError) in try client.perform(operation, on: name) }
    case .fetchLog(let name): fetchLog(name)
    case .powerOff:
      order { client throws(ControlError) in
        try client.powerOff()
        model.setMessage("The appliance is switched off; its domains power off first.")
      }
    case .rebootHost:
      order { client throws(ControlError) in
        try client.rebootHost()
        model.setMessage("The appliance restarts; its domains power off first.")
      }
    case .mosaic:
      mosaic = MosaicView(loop: loop, by: reach, allowsQuit: model.allowsQuit)
      drawnCanvas = nil
      nextUsage = 0
    case .shell: runShell()
    case .redraw: drawnSize = nil
    case .quit: isDone = true
    }
  }

  private func fetchLog(_ name: String) {
    ask { client throws(ControlError) in
      model.setLog(try client.tail(name, bytes: ControlProtocol.maximumTail / 2))
    }
  }

  private func attach(_ name: String) {
    guard let status = model.overview?.domains.first(where: { $0.name == name }) else { return }
    loop.unwatch(inputToken)
    do throws(ControlError) {
      let session = try ConsoleSession(status, by: reach, input: input, output: output)
      let banner = "\(TerminalStream.blank)-- Console of \(name). Ctrl-] comes back. --\r\n"
      _ = TerminalStream.write(Array(banner.utf8), to: output)
      switch try session.run(stop: stop) {
      case .left: break
      case .closed: model.setMessage("The console of \(name) closed.")
      case .hungUp, .stopped: isDone = true
      }
    } catch {
      model.setMessage("\(name): \(error.message)", isError: true)
    }
    // Whatever the guest set: attributes, margins, character set, wrapping, keypad.
    let reset = "\u{1B}[0m\u{1B}[r\u{1B}(B\u{0F}\u{1B}[?7h\u{1B}[?1l\u{1B}>\u{1B}[?1049l"
    _ = TerminalStream.write(Array(reset.utf8), to: output)
    drawnSize = nil
    do throws(SystemError) {
      try watchInput()
    } catch {
      isDone = true
    }
    follow()
  }

  /// Hands the terminal to a shell and waits for its end.
  private func runShell() {
    loop.unwatch(inputToken)
    let banner = "\(TerminalStream.blank)-- A shell of the control domain. exit comes back. --\r\n"
    _ = TerminalStream.write(Array(banner.utf8), to: output)
    do throws(SystemError) {
      let shell = reach.remoteCommand() ?? [Files.exists("/bin/bash") ? "bash" : "sh", "-i"]
      var request = ChildRequest(["/bin/sh", "-c", "stty sane; exec \"$@\"", "sh"] + shell)
      request.descriptors = [input, output, output]
      if reach.host == nil { request.directory = "/root" }
      _ = try ChildProcess.start(request).wait()
      _ = try Terminal.makeRaw(input)
      try watchInput()
    } catch {
      model.setMessage("The shell failed: \(error)", isError: true)
      if (try? watchInput()) == nil { isDone = true }
    }
    drawnSize = nil
    follow()
  }

  // MARK: Drawing

  private func tick() {
    var pause = Terminal.size(of: output) == nil ? Self.tickPause.serial : Self.tickPause.sized
    if let name = model.followedLog {
      fetchLog(name)
      pause = Self.tickPause.sized
    }
    loop.after(pause) { [unowned self] in tick() }
  }

  /// Writes the rows that are not on the terminal yet.
  private func draw() {
    let size = Terminal.size(of: output) ?? Self.assumedSize
    if let mosaic { return draw(mosaic, size) }
    // The last row stays free: each row ends in a newline, so that a log of the line can be read.
    let seconds = model.ticks ? loop.now + clockOffset : 0
    let lines = model.lines(columns: size.columns, rows: size.rows - 1, now: seconds)
    var text = ""
    if size != drawnSize {
      text += "\u{1B}[0m\u{1B}[?25l\u{1B}[2J\u{1B}[H"
      drawn = []
      drawnSize = size
    }
    for row in 0..<max(lines.count, drawn.count) {
      let line = row < lines.count ? lines[row] : ScreenModel.Line(text: "")
      let old = row < drawn.count ? drawn[row] : ScreenModel.Line(text: "")
      guard line != old else { continue }
      text += "\u{1B}[\(row + 1);1H" + Self.begin(line.style) + line.text + Self.end(line.style) + "\u{1B}[K\r\n"
    }
    drawn = lines
    if !text.isEmpty, !TerminalStream.write(Array(text.utf8), to: output) { isDone = true }
  }

  /// Writes the cells that are not on the terminal yet, a bounded number of times a second.
  private func draw(_ mosaic: MosaicView, _ size: Terminal.Size) {
    let now = loop.now
    if now >= nextUsage {
      nextUsage = now + Self.usagePause
      loop.after(Self.usagePause) {}
      ask { client throws(ControlError) in mosaic.take(try client.usage()) }
    }
    mosaic.show(model.overview, problem: model.problem)
    if let message = model.message {
      mosaic.setMessage(message.text)
      model.forgetMessage()
    }
    guard now >= nextFrame else {
      if frameTimer == nil {
        frameTimer = loop.after(nextFrame - now) { [unowned self] in frameTimer = nil }
      }
      return
    }
    let canvas = mosaic.draw(columns: size.columns, rows: size.rows)
    guard canvas != drawnCanvas else { return }
    nextFrame = now + Self.framePause
    let text = canvas.changes(from: drawnCanvas)
    drawnCanvas = canvas
    if !TerminalStream.write(Array(text.utf8), to: output) { isDone = true }
  }

  private static func begin(_ style: ScreenModel.Line.Style) -> String {
    switch style {
    case .plain: ""
    case .title: "\u{1B}[1m"
    case .faint: "\u{1B}[2m"
    case .good: "\u{1B}[32m"
    case .bad: "\u{1B}[31m"
    case .busy: "\u{1B}[33m"
    }
  }

  private static func end(_ style: ScreenModel.Line.Style) -> String {
    style == .plain ? "" : "\u{1B}[0m"
  }
}
