internal import ArgumentParser
internal import Control
internal import Platform

/// How commands reach the domain manager.
struct ApplianceOptions: ParsableArguments {
  @Option(help: "The domain manager's socket.")
  var socket = ControlProtocol.socketPath

  /// A connection whose other side speaks the same version.
  func connect() throws(ControlError) -> ControlClient {
    let client = try ControlClient(path: socket)
    try client.hello()
    return client
  }

  /// Runs `body`; what the domain manager says against it becomes one line and exit code 1.
  func orExplain(_ body: () throws(ControlError) -> Void) throws {
    do throws(ControlError) {
      try body()
    } catch {
      StandardStream.error.write("roost: \(error.message)\n")
      throw ExitCode.failure
    }
  }

  /// The domain of this name, or an error with the nearest one.
  func domain(_ name: String, of client: ControlClient) throws(ControlError) -> DomainStatus {
    let overview = try client.list()
    if let domain = overview.domain(name) { return domain }
    throw overview.unknown(name)
  }

  /// Asks for an operation on a domain and says what became of it.
  func perform(_ operation: ControlOperation, on name: String) throws {
    try orExplain { () throws(ControlError) in
      let status = try connect().perform(operation, on: name)
      let reason = status.reason.map { ": \($0)" } ?? ""
      if status.state == .failed { throw ControlError(.system, "\(name) failed\(reason)") }
      StandardStream.output.write("\(name): \(status.state.rawValue)\(reason)\n")
    }
  }
}

/// `roost start NAME`
struct StartCommand: ParsableCommand {
  static let configuration = CommandConfiguration(commandName: "start", abstract: "Start a domain of this appliance.")

  @Argument(help: "The domain's name; `roost list` shows them.")
  var name: String
  @OptionGroup var appliance: ApplianceOptions

  func run() throws {
    try appliance.perform(.start, on: name)
  }
}

/// `roost stop NAME`
struct StopCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "stop", abstract: "Press a domain's power button.",
    discussion: "The guest powers off in its own time. `roost destroy` ends one that does not.")

  @Argument(help: "The domain's name; `roost list` shows them.")
  var name: String
  @OptionGroup var appliance: ApplianceOptions

  func run() throws {
    try appliance.perform(.stop, on: name)
  }
}

/// `roost reboot NAME`
struct RebootCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "reboot", abstract: "Press a domain's power button, and start it again when it is off.")

  @Argument(help: "The domain's name; `roost list` shows them.")
  var name: String
  @OptionGroup var appliance: ApplianceOptions

  func run() throws {
    try appliance.perform(.reboot, on: name)
  }
}

/// `roost destroy NAME`
struct DestroyCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "destroy", abstract: "End a domain at once, as if its power cord were pulled.")

  @Argument(help: "The domain's name; `roost list` shows them.")
  var name: String
  @OptionGroup var appliance: ApplianceOptions

  func run() throws {
    try appliance.perform(.destroy, on: name)
  }
}
