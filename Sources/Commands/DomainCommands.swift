internal import ArgumentParser
internal import Control
internal import Platform

/// How commands reach the domain manager.
struct ApplianceOptions: ParsableArguments {
  /// Names the machine where no option does.
  static let variable = "ROOST_HOST"

  @Option(
    help: ArgumentHelp(
      "The appliance to speak with, by SSH: [user@]name[:port]. Without it, what \(Self.variable) says, or this machine.",
      valueName: "host"),
    transform: { text in
      do throws(ControlError) {
        return try RemoteHost(text)
      } catch {
        throw ValidationError(error.message)
      }
    })
  var host: RemoteHost?
  @Option(help: "The domain manager's socket there (default: \(ControlProtocol.socketPath)).")
  var socket: String?

  /// The machine that is meant; nil for this one. A socket that is named without a machine is one of this machine.
  func machine() throws(ControlError) -> RemoteHost? {
    if let host { return host }
    guard socket == nil, let name = ProcessEnvironment.value(Self.variable), !name.isEmpty else { return nil }
    do throws(ControlError) {
      return try RemoteHost(name)
    } catch {
      throw ControlError(error.code, "\(Self.variable): \(error.message)")
    }
  }

  /// The way there.
  func link() throws(ControlError) -> ApplianceLink {
    ApplianceLink(host: try machine(), socket: socket)
  }

  /// A connection, by `link` if there is one already, whose other side speaks the same version.
  func connect(_ link: ApplianceLink? = nil) throws(ControlError) -> ControlClient {
    let client = if let link { try ControlClient(link) } else { try ControlClient(try self.link()) }
    try client.hello()
    return client
  }

  /// What is asked about before it is done to it: the appliance here, or the one over there.
  var place: String {
    guard let machine = try? machine() else { return "the appliance" }
    return "the appliance \(machine)"
  }

  /// Throws for a command that works on this machine and on files only.
  func refuse(for command: String) throws {
    guard host != nil || socket != nil else { return }
    throw ValidationError("'roost \(command)' works on this machine; --host and --socket are not for it")
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
      StandardStream.output.write("\(name): \(status.activity)\(reason)\n")
    }
  }
}

/// The domain that a command is about.
struct DomainOptions: ParsableArguments {
  @Argument(help: "The domain's name; `roost list` shows them.", completion: .domains)
  var name: String
  @OptionGroup var appliance: ApplianceOptions
}

/// A command that asks for an operation on a domain, and nothing else.
protocol DomainVerb: ParsableCommand {
  static var operation: ControlOperation { get }
  var target: DomainOptions { get }
}

extension DomainVerb {
  func run() throws {
    try target.appliance.perform(Self.operation, on: target.name)
  }
}

/// `roost start NAME`
struct StartCommand: DomainVerb {
  static let operation = ControlOperation.start
  static let configuration = CommandConfiguration(commandName: "start", abstract: "Start a domain of this appliance.")

  @OptionGroup var target: DomainOptions
}

/// `roost stop NAME`
struct StopCommand: DomainVerb {
  static let operation = ControlOperation.stop
  static let configuration = CommandConfiguration(
    commandName: "stop", abstract: "Press a domain's power button.",
    discussion: "The guest powers off in its own time. `roost destroy` ends one that does not.",
    aliases: ["shutdown"])

  @OptionGroup var target: DomainOptions
}

/// `roost reboot NAME`
struct RebootCommand: DomainVerb {
  static let operation = ControlOperation.reboot
  static let configuration = CommandConfiguration(
    commandName: "reboot", abstract: "Press a domain's power button, and start it again when it is off.")

  @OptionGroup var target: DomainOptions
}

/// `roost destroy NAME`
struct DestroyCommand: DomainVerb {
  static let operation = ControlOperation.destroy
  static let configuration = CommandConfiguration(
    commandName: "destroy", abstract: "End a domain at once, as if its power cord were pulled.")

  @OptionGroup var target: DomainOptions
}

/// `roost pause NAME`
struct PauseCommand: DomainVerb {
  static let operation = ControlOperation.pause
  static let configuration = CommandConfiguration(
    commandName: "pause", abstract: "Have a domain stand still.",
    discussion: """
      Its processors leave the guest, and what its devices were given is still done. It keeps its memory. When the \
      command returns, the guest stands still; `roost unpause` has it go on, with its clock put right by the guest \
      itself. A paused domain hears no power button: `roost stop` refuses, `roost destroy` works.

      EXAMPLES:
        roost pause debian
        roost unpause debian
      """)

  @OptionGroup var target: DomainOptions
}

/// `roost unpause NAME`
struct UnpauseCommand: DomainVerb {
  static let operation = ControlOperation.unpause
  static let configuration = CommandConfiguration(
    commandName: "unpause", abstract: "Have a paused domain go on.")

  @OptionGroup var target: DomainOptions
}

/// `roost info NAME`
struct InfoCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "info", abstract: "Show all that is known of a domain.",
    discussion: """
      EXAMPLES:
        roost info debian
        roost info debian --json
      """)

  @Argument(help: "The domain's name; `roost list` shows them.", completion: .domains)
  var name: String
  @Flag(help: "Print JSON.")
  var json = false
  @OptionGroup var appliance: ApplianceOptions

  func run() throws {
    try appliance.orExplain { () throws(ControlError) in
      let client = try appliance.connect()
      let info = try client.info(name)
      if json { return StandardStream.output.write(try info.prettyJSON() + "\n") }
      let uptime = try client.list().appliance.uptimeSeconds
      StandardStream.output.write(info.lines(now: uptime).map { $0 + "\n" }.joined())
    }
  }
}
