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

      Where `roost lock` has written NAME.lock beside the recipe, its versions are taken and no others. \
      --check-reproducible builds twice, the second time from nothing, as another locale, time zone, umask, folder \
      and number of jobs, and says in what the two differ, if they do.

      All times in the image are set to SOURCE_DATE_EPOCH, or to a constant: the same recipe and package versions \
      give the same bytes. Needs no root privileges.

      EXAMPLES
        roost build recipes/quickstart.yaml -o build/quickstart.iso
        roost lock lab.yaml && roost build lab.yaml -o lab.iso --check-reproducible
        roost build lab.yaml -o lab.iso --mirror http://mirror.lab.example/debian --update
        roost build lab.yaml -o lab.iso --json | jq -r 'select(.event == "finished") | "\\(.seconds) \\(.name)"'
        roost build recipes/demo.yaml -o build/demo.iso --source freebsd-base=$HOME/base.txz
        roost build recipes/plan9.yaml -o build/plan9.iso --source plan9=$HOME/src/plan9
        roost build lab.yaml -o lab.iso --set course=networks --set memory="512 MiB"
      """)

  @Argument(help: "The recipe, a YAML file.", completion: .file(extensions: ["yaml", "yml"]))
  var recipe: String

  @Option(name: [.short, .long], help: ArgumentHelp("The image to write.", valueName: "iso"))
  var output: String

  @OptionGroup var inputs: BuildInputs

  @Option(
    name: [.short, .long],
    help: ArgumentHelp("How many steps run at once (default: one for each processor).", valueName: "count"))
  var jobs: Int?

  @Option(
    help: ArgumentHelp(
      "How much memory steps may take together, as in '2 GiB' (default: three quarters of what is available).",
      valueName: "size"),
    transform: Size.init)
  var memory: Size?

  @Option(help: ArgumentHelp("Where Roost's programs are (default: beside this one).", valueName: "directory"))
  var programs: String?

  @Option(
    help: ArgumentHelp(
      "The versions to take (default: NAME.lock beside the recipe, if it is there).", valueName: "file"))
  var lock: String?

  @Flag(help: "Take the newest versions, whatever a lock says.")
  var noLock = false

  @Flag(help: "Build the image twice, the second time from nothing and in other surroundings, and compare the two.")
  var checkReproducible = false

  @Option(help: .hidden)
  var results: String?

  @Flag(help: "Fetch the newest package versions though the recipe did not change.")
  var update = false

  @Flag(help: "Fetch nothing: take what the cache has, or fail.")
  var offline = false

  @Flag(help: "Print what happens as JSON, an object per line, instead of showing it.")
  var json = false

  @Flag(name: [.short, .long], help: "Print nothing but errors.")
  var quiet = false

  @ParentCommand var roost: Roost

  func validate() throws {
    try roost.appliance.refuse(for: "build")
    if let jobs, !(1...64).contains(jobs) {
      throw ValidationError("--jobs takes a number from 1 to 64, not \(jobs).")
    }
    if json, quiet { throw ValidationError("--json prints what --quiet does not; leave one out.") }
    if json, checkReproducible { throw ValidationError("--json is for one build; leave --check-reproducible out.") }
    if offline, update { throw ValidationError("--offline and --update contradict each other.") }
    if lock != nil, noLock { throw ValidationError("--lock and --no-lock contradict each other.") }
  }

  func run() throws {
    Signal.ignorePipe()
    BuildInputs.shareFiles()
    let parsed = try inputs.load(recipe)
    var options = inputs.options(output: output)
    options.jobs = jobs
    options.memory = memory?.bytes
    options.programs = programs
    options.update = update
    options.isOffline = offline
    options.results = results
    do throws(BuildError) {
      options.lock = try chosenLock()
    } catch {
      StandardStream.error.write("roost build: \(error)\n")
      throw ExitCode.failure
    }
    try build(parsed, options)
    if checkReproducible { try compareWithAnother() }
  }

  /// The lock to build by, and its path.
  private func chosenLock() throws(BuildError) -> (RecipeLock, String)? {
    if noLock { return nil }
    let path = lock ?? RecipeLock.path(beside: recipe)
    guard let found = try BuildInputs.lock(at: path) else {
      if lock == nil { return nil }
      throw BuildError(.badFile, "there is no lock \(path)", hint: "make it: roost lock \(recipe)")
    }
    if update {
      throw BuildError(
        .badFile, "--update takes the newest versions, and \(path) says which ones to take",
        hint: "change the lock with `roost lock --update-all`, or build without it: --no-lock")
    }
    return (found, path)
  }

  /// Builds a second image, with nothing taken from the first but the downloaded packages, and compares.
  private func compareWithAnother() throws {
    StandardStream.error.write("again, from nothing and in other surroundings …\n")
    let cancellation = Cancellation()
    let say: @Sendable (String) -> Void = { StandardStream.error.write("  \($0)\n") }
    let watch = try InterruptWatch(cancellation, say: say, tick: {})
    defer { watch.stop() }
    do throws(BuildError) {
      let difference = try SecondBuild(image: output, cache: inputs.options(output: output).cache).run(
        arguments: Array(CommandLine.arguments.dropFirst()), cancellation: cancellation
      ) { if !quiet { say($0) } }
      guard let difference else {
        return StandardStream.output.write("\(output): the second build has the same bytes\n")
      }
      StandardStream.error.write("roost build: the second build has other bytes\n")
      for line in difference { say(line) }
    } catch {
      StandardStream.error.write("roost build: \(error)\n")
    }
    throw ExitCode.failure
  }

  private func build(_ recipe: Recipe, _ options: BuildOptions) throws {
    let cancellation = Cancellation()
    let screen = BuildScreen(isQuiet: quiet || json)
    let isJSON = json
    let say: @Sendable (String) -> Void = { text in
      if isJSON { StandardStream.error.write("\(text)\n") } else { screen.say(text) }
    }
    let watch = try InterruptWatch(cancellation, say: say, tick: screen.tick)
    let outcome: Result<ImageBuild.Image, BuildError>
    var names: [String] = []
    do throws(BuildError) {
      outcome = .success(
        try ImageBuild(recipe, options).run(cancellation: cancellation) { event in
          if case .planned(let steps) = event { names = steps }
          if json { StandardStream.output.write("\(event.json(steps: names))\n") }
          screen.show(event)
        })
    } catch {
      outcome = .failure(error)
    }
    watch.stop()
    screen.finish()
    switch outcome {
    case .success(let image):
      if json { StandardStream.output.write("\(image.json)\n") }
      screen.summarize(image)
    case .failure(let error):
      if json { StandardStream.output.write("\(error.json)\n") }
      StandardStream.error.write("roost build: \(error)\n")
      throw ExitCode(error.code == .cancelled ? 130 : 1)
    }
  }
}
