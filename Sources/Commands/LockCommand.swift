internal import ArgumentParser
internal import ImageBuilder
internal import Platform
internal import Recipe

/// `roost lock`: writes down what a recipe's builds take, exactly.
struct LockCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "lock",
    abstract: "Write down which version of everything a recipe's builds take.",
    discussion: """
      Asks Debian's archive which packages the recipe's systems need today, and writes their versions and digests \
      to NAME.lock beside NAME.yaml: text, sorted, to be kept with the recipe. `roost build` then takes these and no \
      others, and says so when the archive has one of them no longer.

      A lock that is there is kept: what the recipe wants in addition is added, what it wants no longer goes, and \
      everything else stays as far as the archive has it. --update takes the newest version of a package and of what \
      that needs, --update-all of everything. What changed is told.

      EXAMPLES
        roost lock lab.yaml
        roost lock lab.yaml --update openssl --update libssl3t64
        roost lock lab.yaml --update-all && git diff lab.lock
      """)

  @Argument(help: "The recipe, a YAML file.", completion: .file(extensions: ["yaml", "yml"]))
  var recipe: String

  @Option(help: ArgumentHelp("Take the newest version of a package; may be repeated.", valueName: "package"))
  var update: [String] = []

  @Flag(help: "Take the newest version of every package.")
  var updateAll = false

  @OptionGroup var inputs: BuildInputs

  @ParentCommand var roost: Roost

  func validate() throws {
    try roost.appliance.refuse(for: "lock")
    if updateAll, !update.isEmpty { throw ValidationError("--update-all is every package; leave --update out.") }
  }

  func run() throws {
    Signal.ignorePipe()
    BuildInputs.shareFiles()
    let parsed = try inputs.load(recipe)
    let path = RecipeLock.path(beside: recipe)
    let cancellation = Cancellation()
    let watch = try InterruptWatch(cancellation, say: { StandardStream.error.write("\($0)\n") }, tick: {})
    let outcome: Result<(lock: RecipeLock, before: RecipeLock?), BuildError>
    do throws(BuildError) {
      let before = try BuildInputs.lock(at: path)
      let lock = try RecipeLocking(parsed, inputs.options(output: path)).run(
        before: before, update: updateAll ? .all : .packages(Set(update)), cancellation: cancellation
      ) { StandardStream.error.write("asking for \($0) …\n") }
      if lock != before { try lock.write(to: path) }
      outcome = .success((lock, before))
    } catch {
      outcome = .failure(error)
    }
    watch.stop()
    switch outcome {
    case .success(let (lock, before)): report(lock, before, path)
    case .failure(let error):
      StandardStream.error.write("roost lock: \(error)\n")
      throw ExitCode(error.code == .cancelled ? 130 : 1)
    }
  }

  private func report(_ lock: RecipeLock, _ before: RecipeLock?, _ path: String) {
    let count = lock.roots.reduce(0) { $0 + $1.packages.count }
    let what = "\(count) packages of \(lock.roots.count) \(lock.roots.count == 1 ? "system" : "systems")"
    guard let before else { return StandardStream.output.write("\(path): \(what), written\n") }
    for change in lock.changes(since: before) { StandardStream.output.write("\(change)\n") }
    StandardStream.output.write("\(path): \(what), \(lock == before ? "unchanged" : "written")\n")
  }
}
