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
      try appliance.showScreen(noQuit: noQuit, asMosaic: false)
    }
  }
}

/// `roost mosaic`
struct MosaicCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "mosaic", abstract: "Show all domains' consoles side by side, and type into any of them.",
    discussion: """
      Each domain has a tile with its console, its state, and what it takes of the machine. The arrows, Tab or a \
      number choose a tile; Enter types into it until Ctrl-]; z shows it alone; t shows the table of `roost screen`.

      EXAMPLES:
        roost mosaic                                    inside the appliance
        roost mosaic --host root@lab-01                 from another machine, where the recipe or the stick has keys
      """)

  @Flag(help: "Without a key to quit, for the appliance's own consoles.")
  var noQuit = false
  @OptionGroup var appliance: ApplianceOptions

  func run() throws {
    try appliance.orExplain { () throws(ControlError) in
      try appliance.showScreen(noQuit: noQuit, asMosaic: true)
    }
  }
}

/// Brings this program into memory while its screen is there already: the stick that it lies on may be pulled out, and
/// what it says and does then must not have to be read from there.
private func keepInMemory() {
  guard let thread = try? Platform.Thread("keep", { try? CurrentProcess.lockMemory() }) else { return }
  thread.detach()
}

extension ApplianceOptions {
  /// Hands this terminal to the screen until it is left.
  fileprivate func showScreen(noQuit: Bool, asMosaic: Bool) throws(ControlError) {
    let input = StandardStream.input.rawValue
    guard Terminal.isTerminal(input) else {
      throw ControlError(.system, "the screen needs a terminal; `roost list` prints a table without one")
    }
    let stays = noQuit || TerminalSession.isStartedByInit
    if stays, DaemonConfiguration().hasKeeper { keepInMemory() }
    let link = try link()
    if link.host != nil {
      // What ssh asks is asked before the screen has the terminal; all later connections share that login.
      _ = try connect(link)
      link.becomeQuiet()
    }
    try TerminalSession.run(on: input) { stop throws(ControlError) in
      try ScreenLoop(
        link, input: input, output: StandardStream.output.rawValue, stop: stop, allowsQuit: !stays,
        showsMosaic: asMosaic
      ).run()
    }
  }
}
