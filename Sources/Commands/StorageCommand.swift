internal import ArgumentParser
internal import Control
internal import Manifest
internal import Platform

/// `roost storage`: where the guests' disks are.
struct StorageCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "storage",
    abstract: "Show where the guests' disks are, enlarge that, move it to a disk while guests run, or reach for more.",
    discussion: """
      Of this machine; what follows 'storage' goes to roost-storage as it is:

        roost storage status               what there is, and how full
        roost storage persist /dev/sdX     from memory to a disk; guests go on
        roost storage grow /dev/sdX        add a disk
        roost storage grow --ram "1 GiB"   add memory

      Over the network, by the domain manager:

        roost storage connect data nbd://10.77.0.20/data
        roost storage connect more iscsi://nas/iqn.2026-11.org.example:disk/1 --use room
        roost storage remotes
        roost storage disconnect data

      Inside the appliance, as root, or with --host in front of all else. The domain manager notices by itself what changed; roost-storage --help has more.
      """,
    subcommands: [
      StorageProgramCommand.self, StorageConnectCommand.self, StorageDisconnectCommand.self,
      StorageRemotesCommand.self, StoragePromoteCommand.self, StorageDemoteCommand.self,
    ],
    defaultSubcommand: StorageProgramCommand.self)
}

/// `roost-storage` under the name that users know, in the same terminal.
struct StorageProgramCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "run", abstract: "Have roost-storage do something: status, persist, grow.", shouldDisplay: false)

  /// Where the appliance has it.
  private static let program = "/usr/sbin/roost-storage"
  /// What is not for users: the appliance does it, or another command of this program is for it.
  private static let others = [
    "activate": "the appliance does that when it starts", "deactivate": "the appliance does that when it ends",
    "watch": "the appliance does that all the time", "disk": "`roost disk` is for that",
  ]

  @Argument(
    parsing: .captureForPassthrough, help: "What roost-storage is to do.",
    completion: .list(["status", "persist", "grow"]))
  var words: [String] = []
  @OptionGroup var appliance: ApplianceOptions

  func validate() throws {
    guard let verb = words.first else { throw ValidationError("Say what to do: status, persist or grow.") }
    if ["--help", "-h", "help"].contains(verb) { throw CleanExit.helpRequest(StorageCommand.self) }
    if let other = Self.others[verb] { throw ValidationError("'roost storage \(verb)' is not there: \(other).") }
  }

  func run() throws {
    let command = [Self.program] + words
    var remote: [String]?
    try appliance.orExplain { () throws(ControlError) in
      let isOnTerminal = Terminal.isTerminal(StandardStream.input.rawValue)
      remote = try appliance.link().remoteCommand(command, onTerminal: isOnTerminal)
    }
    let status: ExitStatus
    do throws(SystemError) {
      guard let remote else { return try CurrentProcess.execute(command) }
      status = try ChildProcess.start(ChildRequest(remote)).wait()
    } catch {
      let remedy = error.errno == .noSuchFile ? "; 'roost storage' works inside the appliance, or with --host" : ""
      StandardStream.error.write("roost: \(error)\(remedy)\n")
      throw ExitCode.failure
    }
    try ExitCode.pass(status)
  }
}

extension ExitCode {
  /// Ends as a command over there did.
  static func pass(_ status: ExitStatus) throws {
    switch status {
    case .exited(0): return
    // ssh, or the shell over there, said why.
    case .exited(126...255): throw ExitCode.failure
    case .exited(let code): throw ExitCode(code)
    case .killed(let signal): throw ExitCode(128 + signal)
    }
  }
}
