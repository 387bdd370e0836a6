internal import ArgumentParser
internal import Control
internal import Platform

/// `roost relay`: the other end of `roost --host`.
struct RelayCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "relay", abstract: "Join standard input and output with a socket of this appliance.",
    discussion: """
      `roost --host` runs it over there. The first line on standard output says whether it is joined; from then on every \
      byte is the other side's, until either ends.

      EXAMPLES:
        roost relay                          the domain manager
        roost relay console debian
        roost relay screen windows
        roost relay log debian --follow
      """, shouldDisplay: false)

  /// What it may be joined with.
  enum Kind: String, ExpressibleByArgument, CaseIterable {
    case control, console, screen, log
  }

  @Argument(help: "control, console, screen or log.")
  var kind = Kind.control
  @Argument(help: "The domain whose console, screen or log is meant.")
  var name: String?
  @Flag(help: "Go on with what comes to a log.")
  var follow = false
  @OptionGroup var appliance: ApplianceOptions

  func validate() throws {
    if appliance.host != nil { throw ValidationError("a relay is for the machine that it runs on") }
    if kind == .control ? name != nil : name == nil {
      throw ValidationError("the domain manager has no name; console, screen and log are a domain's")
    }
    if follow, kind != .log { throw ValidationError("--follow is for a log") }
  }

  func run() throws {
    let name = name ?? ""
    let target: Relay.Target =
      switch kind {
      case .control: .control
      case .console: .console(name)
      case .screen: .screen(name)
      case .log: .log(name, follows: follow)
      }
    do throws(ControlError) {
      try Relay.run(
        target, socket: appliance.socket ?? ControlProtocol.socketPath, input: StandardStream.input.rawValue,
        output: StandardStream.output.rawValue)
    } catch {
      // The first line told the other side.
      throw ExitCode.failure
    }
  }
}
