internal import ArgumentParser
internal import Control
internal import Platform

/// `roost disk`: the guests' volumes.
struct DiskCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "disk",
    abstract: "Make, grow, copy and hand around the guests' disks, while they run.",
    discussion: """
      Every disk is a thin volume: it takes the room of what is written to it. Snapshots and clones take none until \
      something changes.

      Examples:
        roost disk list
        roost disk create data --size "2 GiB"
        roost disk attach data debian
        roost disk resize data --size "4 GiB"
        roost disk snapshot debian before-upgrade
        roost disk rollback debian before-upgrade
        roost disk clone debian trial
      """,
    subcommands: [
      DiskListCommand.self,
      DiskCreateCommand.self,
      DiskResizeCommand.self,
      DiskSnapshotCommand.self,
      DiskRollbackCommand.self,
      DiskCloneCommand.self,
      DiskAttachCommand.self,
      DiskDetachCommand.self,
      DiskDestroyCommand.self,
    ])
}

/// How a disk command shows what became of it.
struct DiskOptions: ParsableArguments {
  @Flag(help: "Print JSON.")
  var json = false
  @OptionGroup var appliance: ApplianceOptions

  /// Asks the domain manager, and says what it answered: `words` begin the line for people.
  func ask(
    _ words: (DiskStatus?) -> String, _ question: (ControlClient) throws(ControlError) -> DiskResult
  ) throws {
    try appliance.orExplain { () throws(ControlError) in
      let result = try question(try appliance.connect())
      if json {
        StandardStream.output.write(try result.prettyJSON() + "\n")
      } else {
        StandardStream.output.write("\(words(result.disk))\(result.note.map { "; \($0)" } ?? "")\n")
      }
    }
  }
}

/// `roost disk list`
struct DiskListCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "list", abstract: "Show all disks, snapshots and clones.")

  @OptionGroup var options: DiskOptions

  func run() throws {
    try options.appliance.orExplain { () throws(ControlError) in
      let disks = try options.appliance.connect().disks()
      if options.json {
        StandardStream.output.write(try DiskList(disks: disks).prettyJSON() + "\n")
        return
      }
      let width = Terminal.size(of: StandardStream.output.rawValue)?.columns
      StandardStream.output.write(DiskTable.lines(disks, width: width).map { $0 + "\n" }.joined())
    }
  }
}

/// `roost disk create NAME --size SIZE`
struct DiskCreateCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "create", abstract: "Make an empty disk.",
    discussion: """
      Example:
        roost disk create data --size "2 GiB" && roost disk attach data debian
      """)

  @Argument(help: "What it is to be called.")
  var name: String
  @Option(help: "Its size, a multiple of 4 MiB, such as \"2 GiB\".", transform: Size.init)
  var size: Size
  @OptionGroup var options: DiskOptions

  func run() throws {
    try options.ask(
      { _ in "\(name): \(size), empty" },
      { client throws(ControlError) in try client.createDisk(name, bytes: size.bytes) })
  }
}

/// `roost disk resize NAME --size SIZE`
struct DiskResizeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "resize", abstract: "Make a disk larger.",
    discussion: """
      A domain that has it open sees the new size at once; its file system is made larger from inside of it. Disks do \
      not become smaller.

      Example:
        roost disk resize debian --size "4 GiB"
        resize2fs /dev/vda            (in the guest)
      """)

  @Argument(help: "The disk's name; `roost disk list` shows them.", completion: .disks)
  var name: String
  @Option(help: "Its new size, a multiple of 4 MiB, such as \"4 GiB\".", transform: Size.init)
  var size: Size
  @OptionGroup var options: DiskOptions

  func run() throws {
    try options.ask(
      { _ in "\(name): \(size)" },
      { client throws(ControlError) in try client.resizeDisk(name, bytes: size.bytes) })
  }
}

/// `roost disk snapshot NAME SNAPSHOT`
struct DiskSnapshotCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "snapshot", abstract: "Keep what a disk is now.",
    discussion: """
      Of a running domain's disk it has everything that the guest had flushed.

      Example:
        roost disk snapshot debian before-upgrade
      """)

  @Argument(help: "The disk's name; `roost disk list` shows them.", completion: .disks)
  var name: String
  @Argument(help: "What the snapshot is to be called.")
  var snapshot: String
  @OptionGroup var options: DiskOptions

  func run() throws {
    try options.ask(
      { _ in "\(snapshot): a snapshot of \(name)" },
      { client throws(ControlError) in try client.snapshotDisk(name, as: snapshot) })
  }
}

/// `roost disk rollback NAME SNAPSHOT`
struct DiskRollbackCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "rollback", abstract: "Make a disk what a snapshot of it is.",
    discussion: """
      What was written to the disk since is gone; the snapshot stays. No running domain may have the disk.

      Example:
        roost stop debian
        roost disk rollback debian before-upgrade
        roost start debian
      """)

  @Argument(help: "The disk's name; `roost disk list` shows them.", completion: .disks)
  var name: String
  @Argument(help: "The snapshot's name.", completion: .disks)
  var snapshot: String
  @Flag(name: .shortAndLong, help: "Do not ask.")
  var yes = false
  @OptionGroup var options: DiskOptions

  func run() throws {
    try Confirmation.ask("Lose what was written to \(name) since \(snapshot)?", unless: yes)
    try options.ask(
      { _ in "\(name): as it was in \(snapshot)" },
      { client throws(ControlError) in try client.rollBackDisk(name, to: snapshot) })
  }
}

/// `roost disk clone NAME NEW`
struct DiskCloneCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "clone", abstract: "Copy a disk, at once and of any size.",
    discussion: """
      The copy and the disk go their own ways; they share what neither has changed.

      Example:
        roost disk clone data trial && roost disk attach trial debian
      """)

  @Argument(help: "The disk's name; `roost disk list` shows them.", completion: .disks)
  var name: String
  @Argument(help: "What the copy is to be called.")
  var clone: String
  @OptionGroup var options: DiskOptions

  func run() throws {
    try options.ask(
      { _ in "\(clone): a clone of \(name)" },
      { client throws(ControlError) in try client.cloneDisk(name, as: clone) })
  }
}

/// `roost disk attach NAME DOMAIN`
struct DiskAttachCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "attach", abstract: "Give a disk to a domain, beside its own.",
    discussion: """
      A running domain sees it at once if its recipe has 'hotplug: true', as Debian domains do by themselves; others \
      see it from their next start. The domain keeps it until it is detached. A snapshot can be read and not written.

      Example:
        roost disk attach data debian
        lsblk                         (in the guest)
      """)

  @Argument(help: "The disk's name; `roost disk list` shows them.", completion: .disks)
  var name: String
  @Argument(help: "The domain's name; `roost list` shows them.", completion: .domains)
  var domain: String
  @OptionGroup var options: DiskOptions

  func run() throws {
    try options.ask(
      { _ in "\(name): attached to \(domain)" },
      { client throws(ControlError) in try client.attachDisk(name, to: domain) })
  }
}

/// `roost disk detach NAME`
struct DiskDetachCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "detach", abstract: "Take a disk from the domain that has it.",
    discussion: """
      The guest should have unmounted it.

      Example:
        roost disk detach data
      """)

  @Argument(help: "The disk's name; `roost disk list` shows them.", completion: .disks)
  var name: String
  @OptionGroup var options: DiskOptions

  func run() throws {
    try options.ask(
      { _ in "\(name): detached" }, { client throws(ControlError) in try client.detachDisk(name) })
  }
}

/// `roost disk destroy NAME`
struct DiskDestroyCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "destroy", abstract: "Remove a disk, a snapshot or a clone for good.",
    discussion: """
      Not one that is attached or in use, and not a domain's own.

      Example:
        roost disk destroy before-upgrade --yes
      """)

  @Argument(help: "The disk's name; `roost disk list` shows them.", completion: .disks)
  var name: String
  @Flag(name: .shortAndLong, help: "Do not ask.")
  var yes = false
  @OptionGroup var options: DiskOptions

  func run() throws {
    try Confirmation.ask("Remove \(name) and what is on it?", unless: yes)
    try options.ask({ _ in "\(name): removed" }, { client throws(ControlError) in try client.destroyDisk(name) })
  }
}
