internal import ArgumentParser
internal import Manual
internal import Platform

/// `roost manual DIRECTORY`: what `make docs` writes.
struct ManualCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "manual", abstract: "Write manual pages, help texts and completions for shells into a directory.",
    discussion: """
      Pages go to man/man1, which `man -M DIRECTORY/man roost` reads; completions for bash, zsh and fish to completions; \
      the help of each command to NAME.txt.

      EXAMPLES:
        roost manual docs/cli --date 2026-11-28
      """, shouldDisplay: false)

  @Argument(help: "Where they go.", completion: .directory)
  var directory: String
  @Option(help: "The day that the pages show, as in 2026-11-28.")
  var date: String
  @ParentCommand var roost: Roost

  func validate() throws {
    try roost.appliance.refuse(for: "manual")
    let parts = date.split(separator: "-", omittingEmptySubsequences: false)
    guard parts.map(\.count) == [4, 2, 2], parts.joined().allSatisfy({ $0.isASCII && $0.isNumber }) else {
      throw ValidationError("--date takes a day as in 2026-11-28")
    }
  }

  func run() throws {
    do throws(ManualError) {
      let manual = try ManualPages(
        json: Roost._dumpHelp(), version: Roost.configuration.version, date: date, environment: Self.environment)
      try write(manual.pages.map { ("man/man1/\($0.file)", $0.text) } + Self.completions + Self.helps(Roost.self, []))
    } catch {
      StandardStream.error.write("roost: \(error)\n")
      throw ExitCode.failure
    }
  }

  private static let environment = [
    (ApplianceOptions.variable, "The appliance that commands speak with by SSH, where --host does not say it."),
    (
      "ROOST_SSH",
      "The program that is run as OpenSSH's client, with arguments after blanks. It is called as ssh is, and asked to run "
        + "'roost relay' over there."
    ),
  ]

  private static let completions = [
    ("completions/roost.bash", Roost.completionScript(for: .bash)),
    ("completions/_roost", Roost.completionScript(for: .zsh)),
    ("completions/roost.fish", Roost.completionScript(for: .fish)),
  ]

  /// The help of a command and of those below it.
  private static func helps(_ command: any ParsableCommand.Type, _ above: [String]) -> [(String, String)] {
    let configuration = command.configuration
    let name = above + [configuration.commandName ?? ""]
    var files = [("\(name.joined(separator: "-")).txt", Roost.helpMessage(for: command, columns: 100) + "\n")]
    for other in configuration.subcommands where other.configuration.shouldDisplay { files += helps(other, name) }
    return files
  }

  private func write(_ files: [(name: String, text: String)]) throws(ManualError) {
    do throws(SystemError) {
      for place in ["man/man1", "completions"] { try Files.makeDirectories("\(directory)/\(place)") }
      for file in files { try Files.write(file.text, to: "\(directory)/\(file.name)") }
    } catch {
      throw ManualError(description: "\(error)")
    }
  }
}
