internal import ArgumentParser
internal import ImageBuilder
internal import Platform
internal import Recipe

/// `roost provision`: an image on sticks, each with an identity of its own.
struct ProvisionCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "provision",
    abstract: "Write an image to USB sticks, and give each its own name, network and keys.",
    usage: "roost provision [<image>] --to <device> ... [--roster <file>] [--size <size>] [--wipe] [--yes] [--json]",
    discussion: """
      Writes to all devices at once, reads everything back past the cache and compares it. What is left of each \
      device becomes a partition for the guests' disks, which the appliance takes at its first start. Without --to, \
      the devices that may be meant are shown, and nothing is done.

      A device that is mounted or in use, the disk that this system runs from, partitions, and what is too small are \
      refused, and so is a device with anything on it, unless --wipe is given: that shows what is there and asks. The \
      boot sector is written last: a stick that was interrupted does not boot, and is provisioned again.

      A roster names the sticks (docs/provisioning.md): host names, SSH keys, networks, and which domains start by \
      themselves; they get the devices in the order given.

      Inside the appliance, --running (the default there) clones the medium that it was started from.

      EXAMPLES
        sudo roost provision lab.iso --to /dev/sdb
        sudo roost provision lab.iso --roster lab.yaml --to /dev/sdb /dev/sdc /dev/sdd --wipe
        roost provision lab.iso --to stick.img --size 8GiB && roost inspect stick.img
      """)

  @Argument(help: "The image, as 'roost build' makes it.", completion: .file(extensions: ["iso"]))
  var image: String?

  @Flag(help: "Clone the medium that this appliance was started from.")
  var running = false

  @Option(
    name: .customLong("to"), parsing: .upToNextOption,
    help: ArgumentHelp("What to write to: disks, or files.", valueName: "device"), completion: .file())
  var targets: [String] = []

  @Option(help: ArgumentHelp("A YAML file with a name and more for each stick.", valueName: "file"))
  var roster: String?

  @Option(
    help: ArgumentHelp("How large targets that are files become.", valueName: "size"), transform: Size.init)
  var size: Size?

  @Flag(help: "Overwrite what is on the devices, after showing it and asking.")
  var wipe = false

  @Flag(name: .shortAndLong, help: "Do not ask.")
  var yes = false

  @Flag(help: "Print JSON, one object a line, as it goes.")
  var json = false
  @ParentCommand var roost: Roost

  func validate() throws {
    try roost.appliance.refuse(for: "provision")
    if image != nil, running { throw ValidationError("--running is the image; another one was named as well.") }
    if let size, size.bytes % (1 << 20) != 0 { throw ValidationError("--size must be whole MiB.") }
  }

  func run() throws {
    Signal.ignorePipe()
    try checkUsage()
    let screen = ProvisionScreen(printsJSON: json)
    let provisioning: Provisioning
    do throws(BuildError) {
      provisioning = try Provisioning(
        ProvisionRequest(image: image, targets: targets, roster: roster, fileSize: size?.bytes))
      try checkContents(provisioning)
    } catch {
      screen.fail(error)
      throw ExitCode(1)
    }
    if provisioning.targets.contains(where: { !$0.contents.isEmpty }) {
      try Confirmation.ask("All of this will be lost. Go on?", unless: yes)
    }
    screen.begin(provisioning)
    let cancellation = Cancellation()
    let watch = try InterruptWatch(cancellation, say: screen.say, tick: screen.tick)
    let outcomes = provisioning.run(cancellation: cancellation, report: screen.show)
    watch.stop()
    screen.finish(outcomes)
    if cancellation.isCancelled { throw ExitCode(130) }
    if outcomes.contains(where: { $0.error != nil }) { throw ExitCode(1) }
  }

  /// Never guesses a device, nor an image.
  private func checkUsage() throws {
    if targets.isEmpty, roster == nil {
      let found = Provisioning.candidates()
      StandardStream.error.write(
        "roost provision: say with --to what to write to.\n"
          + (found.isEmpty
            ? "There is no removable or USB disk in this machine.\n"
            : "Removable and USB disks of this machine:\n" + found.map { "  \($0)\n" }.joined())
          + "\nUsage: \(Self.configuration.usage ?? "")\n")
      throw ExitCode.validationFailure
    }
    if image == nil, !running, !Provisioning.isAppliance {
      StandardStream.error.write(
        "roost provision: name the image to write.\n\nUsage: \(Self.configuration.usage ?? "")\n")
      throw ExitCode.validationFailure
    }
  }

  /// Shows what is on the targets; without --wipe that ends it.
  private func checkContents(_ provisioning: Provisioning) throws(BuildError) {
    let full = provisioning.targets.filter { !$0.contents.isEmpty }
    guard !full.isEmpty else { return }
    let lines = full.flatMap { target in
      ["\(target.path) (\(target.description)) is not empty:"] + target.contents.map { "  \($0)" }
    }
    guard wipe else {
      throw BuildError(
        .refused, lines.joined(separator: "\n"), hint: "nothing was written; --wipe overwrites what is there")
    }
    if !json { StandardStream.output.write(lines.map { "\($0)\n" }.joined()) }
  }
}
