internal import ArgumentParser
internal import Control
internal import Platform

/// `roost poweroff`
struct PowerOffCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "poweroff", abstract: "Switch this appliance off, its domains first.")

  @Flag(name: .shortAndLong, help: "Do not ask.")
  var yes = false
  @OptionGroup var appliance: ApplianceOptions

  func run() throws {
    try Confirmation.ask("Switch the appliance off?", unless: yes)
    try appliance.orExplain { () throws(ControlError) in
      try appliance.connect().powerOff()
      StandardStream.output.write("The appliance is switched off; its domains power off first.\n")
    }
  }
}

/// `roost reboot-host`
struct RebootHostCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "reboot-host", abstract: "Restart this appliance, its domains powered off first.")

  @Flag(name: .shortAndLong, help: "Do not ask.")
  var yes = false
  @OptionGroup var appliance: ApplianceOptions

  func run() throws {
    try Confirmation.ask("Restart the appliance?", unless: yes)
    try appliance.orExplain { () throws(ControlError) in
      try appliance.connect().rebootHost()
      StandardStream.output.write("The appliance restarts; its domains power off first.\n")
    }
  }
}

/// A question before what cannot be undone.
enum Confirmation {
  /// Exits with failure unless the answer is yes. Where nobody can answer, `--yes` is needed.
  static func ask(_ question: String, unless yes: Bool) throws {
    if yes { return }
    guard Terminal.isTerminal(StandardStream.input.rawValue) else {
      StandardStream.error.write("roost: \(question) There is no terminal to answer on; say --yes.\n")
      throw ExitCode.failure
    }
    StandardStream.output.write("\(question) [y/N] ")
    guard ["y", "yes"].contains(readLine()?.lowercased()) else {
      StandardStream.output.write("Nothing was done.\n")
      throw ExitCode.failure
    }
  }
}
