internal import ArgumentParser
internal import Control
internal import Manifest
internal import Platform

/// `roost boot`: an image in an emulated machine.
struct BootCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "boot",
    abstract: "Boot an image under QEMU, in this terminal or unattended.",
    discussion: """
      The machine's serial line is this terminal, unless --headless is given.
      The image is never written to: what the machine writes to a stick (--usb)
      goes into a temporary file ($TMPDIR, or /var/tmp) and is forgotten when
      it ends.

      With KVM that hands virtualisation on to its guests ("nested"), the
      appliance runs in hardware. Without, all of it is emulated in software,
      which works everywhere and is slow. The second line says which it is.

      Examples:
        roost boot build/quickstart.iso
            Boot as a CD by BIOS, in this terminal. Ctrl-a x leaves.
        roost boot build/quickstart.iso --uefi --usb --memory 6GiB --cpus 4
            Boot as a USB stick by UEFI. Sticks of 'roost provision' as well.
        roost boot build/quickstart.iso --secure-boot
            UEFI starts what Microsoft or who it trusts signed, and nothing
            else. --uefi-variables names a file with other owners' keys.
        roost boot build/quickstart.iso --headless --until-ready --timeout 600
            For scripts: exit 0 as soon as every domain that starts by
            itself is ready, with a line for each. Otherwise exit 1 and say
            which is not, with the last lines of its console.
      """)

  @Argument(help: "The image, as 'roost build' or 'roost provision' makes it.", completion: .file(extensions: ["iso"]))
  var iso: String

  @Flag(help: "Start the boot loader by BIOS (the default) or UEFI.")
  var firmware: Firmware = .bios

  @Flag(help: "Boot by UEFI that starts nothing which is not signed.")
  var secureBoot = false

  @Option(
    help: ArgumentHelp("Let UEFI start with a copy of these variables.", valueName: "file"), completion: .file())
  var uefiVariables: String?

  @Flag(help: "Present the image as a USB stick instead of a CD.")
  var usb = false

  @Option(help: ArgumentHelp("The machine's memory. (default: 4GiB)", valueName: "size"), transform: Size.init)
  var memory = Size(bytes: 4 << 30)

  @Option(
    help: ArgumentHelp(
      "The machine's processors. (default: 2; 3 to 5 where they are emulated)", valueName: "count"))
  var cpus: Int?

  @Flag(help: "Do not use this terminal for the serial line.")
  var headless = false

  @Flag(help: "Stop and exit 0 as soon as every domain that starts by itself is ready.")
  var untilReady = false

  @Option(
    help: ArgumentHelp(
      "With --until-ready: how long that may take. (default: 600)", valueName: "seconds"))
  var timeout: Int?

  @Option(
    help: ArgumentHelp("Keep what the serial line says in this file.", valueName: "file"), completion: .file())
  var log: String?

  @Flag(inversion: .prefixedNo, help: "Give the machine a network card behind NAT.")
  var net = true

  enum Firmware: String, EnumerableFlag {
    case bios
    case uefi
  }

  @ParentCommand var roost: Roost

  mutating func validate() throws {
    try roost.appliance.refuse(for: "boot")
    if secureBoot { firmware = .uefi }
    if uefiVariables != nil, firmware != .uefi {
      throw ValidationError("--uefi-variables is for UEFI: add --uefi or --secure-boot.")
    }
    if let timeout {
      guard untilReady else { throw ValidationError("--timeout needs --until-ready: nothing else is waited for.") }
      guard (1...86_400).contains(timeout) else { throw ValidationError("--timeout must be 1 to 86400 seconds.") }
    }
  }

  func run() throws {
    var options = BootOptions(iso: iso)
    options.firmware = firmware == .uefi ? .uefi : .bios
    options.secureBoot = secureBoot
    options.variables = uefiVariables
    options.usb = usb
    options.memory = memory.bytes
    options.cpus = cpus
    options.headless = headless
    options.log = log
    options.network = net
    options.readyWithin = untilReady ? timeout ?? 600 : nil
    do throws(ControlError) {
      let plan = try BootPlan(options, host: .probe())
      plan.summary.forEach(Self.say)
      if !headless { Self.say(BootRunner.keys) }
      finish(try BootRunner(plan, report: Self.say).run())
    } catch {
      StandardStream.error.write("roost boot: \(error.message)\n")
      exitProcess(1)
    }
  }

  private func finish(_ outcome: BootOutcome) {
    switch outcome {
    case .ended:
      Self.say("the machine has ended")
    case .ready(let lines):
      lines.forEach { StandardStream.output.write("\($0)\n") }
    case .notReady(let lines):
      lines.forEach { StandardStream.error.write("\($0)\n") }
      exitProcess(1)
    case .interrupted(let signal):
      Self.say("stopped")
      exitProcess(128 + signal)
    }
  }

  @Sendable private static func say(_ line: String) {
    StandardStream.output.write("roost: \(line)\n")
  }
}
