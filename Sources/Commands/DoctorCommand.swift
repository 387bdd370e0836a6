internal import ArgumentParser
internal import Control
internal import Platform

/// `roost doctor`: what this machine lacks.
struct DoctorCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "doctor",
    abstract: "Say what this machine lacks for building and booting images.",
    discussion: """
      Every line is ok, missing (building or booting fails without it) or note
      (it goes without, but slower, or only for some). The last line is one
      command that installs all that is missing. When something is missing, it
      fails.

      Examples:
        roost doctor
        sudo apt-get install $(roost doctor --packages)
      """)

  @Flag(help: "Print the names of the missing Debian packages and nothing else; exit 0.")
  var packages = false
  @ParentCommand var roost: Roost

  func validate() throws {
    try roost.appliance.refuse(for: "doctor")
  }

  func run() throws {
    let doctor = Doctor(isSuperuser: ProcessEnvironment.isSuperuser)
    if packages {
      doctor.missingPackages.forEach { StandardStream.output.write("\($0)\n") }
      return
    }
    doctor.findings.forEach { StandardStream.output.write("\($0.description)\n") }
    if let command = doctor.installCommand(isSuperuser: ProcessEnvironment.isSuperuser) {
      StandardStream.output.write("\nTo install what is missing:\n  \(command)\n")
    }
    if !doctor.isHealthy { exitProcess(1) }
    StandardStream.output.write("\nNothing that is needed is missing.\n")
  }
}
