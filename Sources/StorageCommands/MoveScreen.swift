internal import Platform
internal import Storage

/// Shows how far a move is: a bar on a terminal, lines elsewhere, JSON for programs.
final class MoveScreen: Sendable {
  private let json: Bool
  private let isTerminal = Terminal.isTerminal(1)

  init(json: Bool) {
    self.json = json
  }

  func show(_ progress: MoveProgress) {
    let text =
      switch progress.step {
      case .prepare: "taking the disk into the group"
      case .move: "moving what guests wrote (Ctrl-C interrupts; run it again to go on)"
      case .finish: "making the disk their home"
      }
    if json {
      let step = progress.step.rawValue
      StandardStream.output.write("{\"step\":\"\(step)\",\"percent\":\(progress.percent)}\n")
    } else if isTerminal {
      let width = (Terminal.size(of: 1)?.columns ?? 80) - 1
      let line = "\(Terminal.bar(progress.percent / 100, width: 20)) \(Int(progress.percent)) % \(text)"
      StandardStream.output.write("\r\u{1B}[K\(line.prefix(width))")
    } else {
      StandardStream.output.write("\(Int(progress.percent)) % \(text)\n")
    }
  }

  func end(target: String, standalone: Bool, left: String?) {
    if json {
      StandardStream.output.write("{\"step\":\"done\",\"percent\":100}\n")
      return
    }
    if isTerminal { StandardStream.output.write("\n") }
    let rest =
      left.map { "The medium in the drive is still in use: \($0)." }
      ?? (standalone
        ? "The disk starts by itself; the medium in the drive can be taken out." : "The medium is needed to start.")
    StandardStream.output.write("\(target) is the guests' home: what they write stays. \(rest)\n")
  }
}
