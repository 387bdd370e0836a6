internal import ArgumentParser
internal import Platform
internal import Recipe

/// `roost new`: a recipe to start from.
struct NewCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "new",
    abstract: "Write a recipe to start from, and say what comes next.",
    usage: "roost new <file> [--guest <guest>] ...\nroost new --list",
    discussion: """
      The recipe has comments for all that it says, and builds as it is. It is called as its file. A file that is there is \
      never written over.

      EXAMPLES:
        roost new lab.yaml
            A Debian.
        roost new zoo.yaml --guest debian --guest debian --guest plan9
            Two of them, and Plan 9.
        roost new --list
            What there is.
      """)

  @Argument(help: "The recipe's file, as in lab.yaml.", completion: .file(extensions: ["yaml", "yml"]))
  var file: String?

  @Option(
    help: ArgumentHelp(
      "What runs in it: debian, freebsd, plan9, pc or hatchling. (default: debian)", valueName: "guest"),
    completion: .list(StarterRecipe.Guest.allCases.map(\.rawValue)), transform: NewCommand.guest)
  var guest: [StarterRecipe.Guest] = []

  @Flag(help: "Show what there is, and write nothing.")
  var list = false

  @ParentCommand var roost: Roost

  private static func guest(_ text: String) throws -> StarterRecipe.Guest {
    if let guest = StarterRecipe.Guest(rawValue: text) { return guest }
    let all = StarterRecipe.Guest.allCases.map(\.rawValue).joined(separator: ", ")
    throw ValidationError("There is no guest '\(text)' to start with; there are \(all).")
  }

  func validate() throws {
    try roost.appliance.refuse(for: "new")
    if (file == nil) != list {
      throw ValidationError(list ? "--list writes no file." : "Name the file to write, as in: roost new lab.yaml")
    }
  }

  func run() throws {
    guard let file else {
      for guest in StarterRecipe.Guest.allCases {
        let name = guest.rawValue + String(repeating: " ", count: max(0, 12 - guest.rawValue.count))
        StandardStream.output.write(name + guest.summary + "\n")
      }
      return
    }
    let recipe: StarterRecipe
    do throws(RecipeError) {
      recipe = try StarterRecipe(path: file, guests: guest)
    } catch {
      StandardStream.error.write("roost new: \(error)\n")
      throw ExitCode.failure
    }
    do throws(SystemError) {
      let new = try FileDescriptor(opening: file, [.writeOnly, .create, .exclusive])
      try new.writeAll(Array(recipe.text.utf8))
    } catch {
      let reason = error.errno == .exists ? "it is there already; remove it, or name another" : "\(error.errno)"
      StandardStream.error.write("roost new: cannot write \(file): \(reason)\n")
      throw ExitCode.failure
    }
    StandardStream.output.write(
      """
      \(file): \(recipe.guests.map(\.rawValue).joined(separator: ", "))

      Change it as you like, and then:
        roost doctor                                   what this machine lacks for the rest
        roost build \(file) -o \(recipe.name).iso
        roost boot \(recipe.name).iso                    here, in this terminal
        roost lock \(file)                           today's versions of packages, for the same image again
        sudo roost provision \(recipe.name).iso --to /dev/sdX       a stick, read back and compared

      """)
  }
}
