internal import ArgumentParser
internal import Control
internal import Platform

/// `roost console NAME`
struct ConsoleCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "console", abstract: "Use a domain's console; Ctrl-] leaves it.",
    discussion: """
      EXAMPLES:
        roost console debian
        roost console debian --host root@lab-01         from another machine
      """)

  @Argument(help: "The domain's name; `roost list` shows them.", completion: .domains)
  var name: String
  @OptionGroup var appliance: ApplianceOptions

  func run() throws {
    try appliance.orExplain { () throws(ControlError) in
      let link = try appliance.link()
      let domain = try appliance.domain(name, of: try appliance.connect(link))
      guard domain.pid != nil else {
        throw ControlError(
          .wrongState, "\(name) is not running (it is \(domain.state.rawValue)); `roost start \(name)` starts it")
      }
      let input = StandardStream.input.rawValue
      let session = try ConsoleSession(
        domain, by: link, input: input, output: StandardStream.output.rawValue)
      guard Terminal.isTerminal(input) else {
        // Typed by a program: raw bytes both ways until either side ends.
        _ = try session.run()
        return
      }
      StandardStream.error.write("Connected to \(name); Ctrl-] leaves.\n")
      let end = try TerminalSession.run(on: input) { stop throws(ControlError) in try session.run(stop: stop) }
      StandardStream.error.write(end == .closed ? "\nThe console of \(name) closed.\n" : "\nLeft \(name).\n")
    }
  }
}
