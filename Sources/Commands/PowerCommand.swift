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
    try Confirmation.ask("Switch \(appliance.place) off?", unless: yes)
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
    try Confirmation.ask("Restart \(appliance.place)?", unless: yes)
    try appliance.orExplain { () throws(ControlError) in
      try appliance.connect().rebootHost()
      StandardStream.output.write("The appliance restarts; its domains power off first.\n")
    }
  }
}
