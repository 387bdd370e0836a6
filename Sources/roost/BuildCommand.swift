internal import ArgumentParser
internal import ImageBuilder
internal import Platform
internal import Recipe

/// `roost build`: a recipe becomes a bootable image.
struct BuildCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "build",
    abstract: "Make a bootable ISO image out of a recipe.",
    discussion: """
      Each step's result is kept and taken again while what decides it stays the same: an unchanged recipe takes \
      a second or two, a changed domain is the only one to be made anew. Packages are fetched from the mirror that \
      mmdebstrap chooses, or from the one that --mirror names, and kept as well.

      What a recipe pins under 'sources' is downloaded into the cache, and its digest checked; a download that was \
      interrupted goes on where it was. --source takes a copy that you have instead, digest checked as well; for a \
      repository it is one that holds the pinned commit.

      --set gives a variable of the recipe's another value: what it says under 'variables' is what holds otherwise. \
      docs/recipe.md has everything that a recipe may say.

      All times in the image are set to SOURCE_DATE_EPOCH, or to a constant: the same recipe and package versions \
      give the same bytes. Needs no root privileges.

      EXAMPLES
        roost build recipes/quickstart.yaml -o build/quickstart.iso
        roost build lab.yaml -o lab.iso --mirror http://mirror.lab.example/debian --update
        roost build recipes/demo.yaml -o build/demo.iso --source freebsd-base=$HOME/base.txz
        roost build recipes/plan9.yaml -o build/plan9.iso --source plan9=$HOME/src/plan9
        roost build lab.yaml -o lab.iso --set course=networks --set memory="512 MiB"
      """)

  @Argument(help: "The recipe, a YAML file.", completion: .file(extensions: ["yaml", "yml"]))
  var recipe: String

  @Option(name: [.short, .long], help: ArgumentHelp("The image to write.", valueName: "iso"))
  var output: String

  @Option(help: ArgumentHelp("Where Debian packages come from.", valueName: "url"))
  var mirror: String?

  @Option(
    help: ArgumentHelp("Where results and packages are kept (default: ~/.cache/roost).", valueName: "directory"))
  var cache: String?

  @Option(name: [.short, .long], help: ArgumentHelp("How many steps run at once.", valueName: "count"))
  var jobs: Int = 2

  @Option(help: ArgumentHelp("Where Roost's programs are (default: beside this one).", valueName: "directory"))
  var programs: String?

  @Option(
    name: .customLong("source"),
    help: ArgumentHelp(
      "Take a copy that you have instead of fetching a source of the recipe's; may be repeated.",
      valueName: "name=path"))
  var sources: [String] = []

  @Option(
    name: .customLong("set"),
    help: ArgumentHelp("Give a variable of the recipe's a value; may be repeated.", valueName: "name=value"))
  var variables: [String] = []

  @Flag(help: "Fetch the newest package versions though the recipe did not change.")
  var update = false

  @Flag(name: [.short, .long], help: "Print nothing but errors.")
  var quiet = false

  @ParentCommand var roost: Roost

  func validate() throws {
    try roost.appliance.refuse(for: "build")
    guard (1...64).contains(jobs) else { throw ValidationError("--jobs takes a number from 1 to 64, not \(jobs).") }
    for source in sources {
      guard let equals = source.firstIndex(of: "="), equals != source.startIndex,
        source.index(after: equals) != source.endIndex
      else { throw ValidationError("--source takes NAME=PATH, as in freebsd-base=base.txz, not '\(source)'.") }
    }
    for (index, variable) in variables.enumerated() {
      guard let equals = variable.firstIndex(of: "="), equals != variable.startIndex else {
        throw ValidationError("--set takes NAME=VALUE, as in course=networks, not '\(variable)'.")
      }
      let name = variable[..<equals]
      guard !variables[..<index].contains(where: { $0.hasPrefix("\(name)=") }) else {
        throw ValidationError("--set gives '\(name)' twice.")
      }
    }
    if let mirror, !["http://", "https://", "file://"].contains(where: { mirror.hasPrefix($0) }) {
      throw ValidationError("--mirror takes a URL, as in http://mirror.example/debian, not '\(mirror)'.")
    }
  }

  func run() throws {
    Signal.ignorePipe()
    let parsed: Recipe
    do throws(RecipeError) {
      parsed = try Recipe.load(recipe, variables: values)
    } catch {
      StandardStream.error.write("\(error)\n")
      throw ExitCode.wrongFile
    }
    var options = BuildOptions(output: output, jobs: jobs)
    options.mirror = mirror
    options.cache = cache.map(absolute)
    for source in sources {
      let parts = source.split(separator: "=", maxSplits: 1)
      if let name = parts.first, let path = parts.last { options.sources[String(name)] = absolute(String(path)) }
    }
    options.programs = programs
    options.update = update
    try build(parsed, options)
  }

  /// What `--set` says, by name.
  private var values: [String: String] {
    let pairs = variables.map { variable in
      let name = variable.prefix { $0 != "=" }
      return (String(name), String(variable.dropFirst(name.count + 1)))
    }
    return Dictionary(pairs) { _, last in last }
  }

  private func absolute(_ path: String) -> String {
    path.hasPrefix("/") ? path : "\((try? Files.resolve(".")) ?? ".")/\(path)"
  }

  private func build(_ recipe: Recipe, _ options: BuildOptions) throws {
    let cancellation = Cancellation()
    let screen = BuildScreen(isQuiet: quiet)
    let watch = try InterruptWatch(cancellation, say: screen.say, tick: screen.tick)
    let outcome: Result<ImageBuild.Image, BuildError>
    do throws(BuildError) {
      outcome = .success(
        try ImageBuild(recipe, options).run(cancellation: cancellation) { screen.show($0) })
    } catch {
      outcome = .failure(error)
    }
    watch.stop()
    screen.finish()
    switch outcome {
    case .success(let image):
      screen.say(
        "\(image.path): \(BuildScreen.size(image.size)), \(image.reused ? "unchanged" : "written")"
          + ", in \(BuildScreen.seconds(image.seconds))")
    case .failure(let error):
      StandardStream.error.write("roost build: \(error)\n")
      throw ExitCode(error.code == .cancelled ? 130 : 1)
    }
  }
}
