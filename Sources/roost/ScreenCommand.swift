internal import ArgumentParser
internal import Control
internal import Platform

/// `roost screen`
struct ScreenCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "screen", abstract: "Show this appliance's domains full-screen, with keys for their consoles.",
    discussion: "The appliance runs it on its own screen and on its serial line. A terminal without a size is taken "
      + "for one of 80 columns and 24 rows.")

  @Flag(help: "Without a key to quit, for the appliance's own consoles.")
  var noQuit = false
  @OptionGroup var appliance: ApplianceOptions

  func run() throws {
    try appliance.orExplain { () throws(ControlError) in
      let input = StandardStream.input.rawValue
      guard Terminal.isTerminal(input) else {
        throw ControlError(.system, "the screen needs a terminal; `roost list` prints a table without one")
      }
      let stays = noQuit || TerminalSession.isStartedByInit
      try TerminalSession.run(on: input) { stop throws(ControlError) in
        try ScreenLoop(
          socket: appliance.socket, input: input, output: StandardStream.output.rawValue, stop: stop,
          allowsQuit: !stays
        ).run()
      }
    }
  }
}
