internal import ArgumentParser
internal import Platform

/// `roost storage`: `roost-storage` under the name that users know, in the same terminal.
struct StorageCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "storage",
    abstract: "Show where the guests' disks are, enlarge that, or move it to a disk while guests run.",
    discussion: """
      What follows 'storage' goes to roost-storage as it is:

        roost storage status               what there is, and how full
        roost storage persist /dev/sdX     from memory to a disk; guests go on
        roost storage grow /dev/sdX        add a disk
        roost storage grow --ram "1 GiB"   add memory
        roost storage --help               this; roost-storage --help has more

      Inside the appliance, as root. The domain manager notices by itself what changed.

      Exit status: 0 done, 1 failed, with the reason, 2 or 64 wrong usage.
      """)

  /// Where the appliance has it.
  private static let program = "/usr/sbin/roost-storage"
  /// What is not for users: the appliance does it, or another command of this program is for it.
  private static let others = [
    "activate": "the appliance does that when it starts", "deactivate": "the appliance does that when it ends",
    "watch": "the appliance does that all the time", "disk": "`roost disk` is for that",
  ]

  @Argument(parsing: .captureForPassthrough, help: "What roost-storage is to do.")
  var words: [String] = []

  func validate() throws {
    guard let verb = words.first else { throw ValidationError("Say what to do: status, persist or grow.") }
    if ["--help", "-h", "help"].contains(verb) { throw CleanExit.helpRequest(self) }
    if let other = Self.others[verb] { throw ValidationError("'roost storage \(verb)' is not there: \(other).") }
  }

  func run() throws {
    do throws(SystemError) {
      try CurrentProcess.execute([Self.program] + words)
    } catch {
      let remedy = error.errno == .noSuchFile ? "; 'roost storage' works inside the appliance" : ""
      StandardStream.error.write("roost: \(error)\(remedy)\n")
      throw ExitCode.failure
    }
  }
}
