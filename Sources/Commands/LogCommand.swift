internal import ArgumentParser
internal import Control
internal import Platform

/// `roost log NAME`
struct LogCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "log", abstract: "Show what a domain's console has shown.",
    discussion: "On a terminal, the guest's escape sequences are left out; into a file or a pipe they go as they are.",
    aliases: ["logs"])

  @Argument(help: "The domain's name; `roost list` shows them.", completion: .domains)
  var name: String
  @Flag(name: .shortAndLong, help: "Go on with what comes, until Ctrl-C.")
  var follow = false
  @OptionGroup var appliance: ApplianceOptions

  func run() throws {
    try appliance.orExplain { () throws(ControlError) in
      let link = try appliance.link()
      let domain = try appliance.domain(name, of: try appliance.connect(link))
      let isShown = Terminal.isTerminal(StandardStream.output.rawValue)
      var printable = PrintableBytes()
      try link.readLog(of: domain, follows: follow) { bytes in
        // What nobody reads any more is lost, as with every other command.
        try? StandardStream.output.writeAll(isShown ? printable.show(bytes) : bytes)
      }
    }
  }
}
