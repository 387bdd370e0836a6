internal import ArgumentParser
internal import Control
internal import Manifest
internal import Platform

/// `roost storage connect NAME ADDRESS`
struct StorageConnectCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "connect", abstract: "Connect a disk over the network.",
    discussion: """
      A disk can be attached to a domain as any other: roost disk attach NAME DOMAIN. Room becomes a part of the guests' \
      storage, for all of them; it stays a part until everything is moved to a disk of this machine. A session on a disk \
      connects it again at its next start, one in memory forgets it.

      Addresses:
        nbd://SERVER[:10809]/EXPORT          NBD
        iscsi://SERVER[:3260]/TARGET[/UNIT]  iSCSI; the logical unit is 1 if it is not said
        aoe://SHELF.SLOT[/INTERFACE]         ATA over Ethernet
        drbd://PEER[:7788]/SIZE              a volume that this machine and another keep alike; say it on both

      Examples:
        roost storage connect data nbd://10.77.0.20/data && roost disk attach data debian
        roost storage connect more iscsi://nas/iqn.2026-11.org.example:disk/1 --use room
        roost storage connect shelf aoe://7.1/eth1
        roost storage connect twin drbd://192.0.2.12/4GiB && roost storage promote twin
      """)

  @Argument(help: "What it is to be called.")
  var name: String
  @Argument(help: "Where it is.")
  var address: String
  @Option(help: "disk: a domain can have it. room: more room for all domains.", transform: Self.use)
  var use = RemoteUse.disk
  @Flag(help: "What the device holds may be lost (with --use room, which takes empty ones otherwise).")
  var wipe = false
  @Flag(name: .shortAndLong, help: "Do not ask.")
  var yes = false
  @OptionGroup var options: RemoteOptions

  private static func use(_ text: String) throws -> RemoteUse {
    if let use = RemoteUse(rawValue: text) { return use }
    throw ValidationError("It is disk or room.")
  }

  func validate() throws {
    if case .failure(let problem) = RemoteAddress.parse(address) { throw ValidationError("\(problem)") }
  }

  func run() throws {
    if wipe { try Confirmation.ask("Lose what \(address) holds?", unless: yes) }
    try options.ask { client throws(ControlError) in
      try client.connectRemote(name, to: address, use: use.rawValue, wipe: wipe)
    }
  }
}

/// How a command about a remote shows what became of it.
struct RemoteOptions: ParsableArguments {
  @Flag(help: "Print JSON.")
  var json = false
  @OptionGroup var appliance: ApplianceOptions

  /// Asks the domain manager and shows its answer.
  func ask(_ question: (ControlClient) throws(ControlError) -> RemoteStatus) throws {
    try appliance.orExplain { () throws(ControlError) in
      let remote = try question(try appliance.connect())
      StandardStream.output.write(json ? try remote.prettyJSON() + "\n" : RemoteTable.text([remote]))
    }
  }
}

/// `roost storage remotes`
struct StorageRemotesCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "remotes", abstract: "Show what comes over the network, and what is wrong with it.",
    discussion: """
      Example:
        roost storage remotes
      """)

  @OptionGroup var options: RemoteOptions

  func run() throws {
    try options.appliance.orExplain { () throws(ControlError) in
      let remotes = try options.appliance.connect().reloadStorage().remotes ?? []
      StandardStream.output.write(options.json ? try remotes.prettyJSON() + "\n" : RemoteTable.text(remotes))
    }
  }
}

/// `roost storage disconnect NAME`
struct StorageDisconnectCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "disconnect", abstract: "Let a disk over the network go, and forget it.",
    discussion: """
      Not one that is attached, in use or a part of the guests' storage. Of a replicated volume this machine's copy is \
      removed; the other machine keeps its own.

      Example:
        roost disk detach data && roost storage disconnect data
      """)

  @Argument(help: "Its name; `roost storage remotes` shows them.", completion: .remotes)
  var name: String
  @Flag(name: .shortAndLong, help: "Do not ask before a copy of a replicated volume is removed.")
  var yes = false
  @OptionGroup var options: RemoteOptions

  func run() throws {
    try options.appliance.orExplain { () throws(ControlError) in
      let client = try options.appliance.connect()
      let remote = try client.storage().remotes?.first { $0.name == name }
      if remote?.address.hasPrefix("drbd:") == true { try confirm() }
      let result = try client.disconnectRemote(name)
      StandardStream.output.write(options.json ? try result.prettyJSON() + "\n" : "\(name): disconnected\n")
    }
  }

  private func confirm() throws(ControlError) {
    do {
      try Confirmation.ask("Remove this machine's copy of \(name)?", unless: yes)
    } catch {
      throw ControlError(.wrongState, "\(name) stays connected")
    }
  }
}

/// `roost storage promote NAME`
struct StoragePromoteCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "promote", abstract: "Have this machine write to a replicated volume.",
    discussion: """
      The other machine must not be doing so: `roost storage demote NAME` there. With --force this machine's copy is \
      the right one whatever the other has, which is for when the other is lost.

      Example:
        roost storage promote twin && roost disk attach twin debian
      """)

  @Argument(help: "Its name; `roost storage remotes` shows them.", completion: .remotes)
  var name: String
  @Flag(help: "This machine's copy is the right one, whatever the other has.")
  var force = false
  @Flag(name: .shortAndLong, help: "Do not ask.")
  var yes = false
  @OptionGroup var options: RemoteOptions

  func run() throws {
    if force { try Confirmation.ask("Lose what only the other machine's copy of \(name) has?", unless: yes) }
    try options.ask { client throws(ControlError) in try client.promoteRemote(name, force: force) }
  }
}

/// `roost storage demote NAME`
struct StorageDemoteCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "demote", abstract: "Have this machine write to a replicated volume no more, so that the other may.",
    discussion: """
      No domain may have it open.

      Example:
        roost stop debian && roost storage demote twin
      """)

  @Argument(help: "Its name; `roost storage remotes` shows them.", completion: .remotes)
  var name: String
  @OptionGroup var options: RemoteOptions

  func run() throws {
    try options.ask { client throws(ControlError) in try client.demoteRemote(name) }
  }
}
