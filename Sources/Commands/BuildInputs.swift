internal import ArgumentParser
internal import ImageBuilder
internal import Platform
internal import Recipe

/// Where what a recipe asks for comes from: the options that `roost build` and `roost lock` have in common.
struct BuildInputs: ParsableArguments {
  @Option(help: ArgumentHelp("Where Debian packages come from.", valueName: "url"))
  var mirror: String?

  @Option(
    help: ArgumentHelp("Where results and packages are kept (default: ~/.cache/roost).", valueName: "directory"))
  var cache: String?

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

  func validate() throws {
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

  /// Files that a build makes are for others too: the superuser of a user namespace, who makes root file systems, is one.
  static func shareFiles() { ProcessEnvironment.setFileMask(0o022) }

  /// The recipe at `path`, with its variables; a mistake in it ends the program.
  func load(_ path: String) throws -> Recipe {
    do throws(RecipeError) {
      return try Recipe.load(path, variables: values)
    } catch {
      StandardStream.error.write("\(error)\n")
      throw ExitCode.wrongFile
    }
  }

  /// These as options of a build of `output`.
  func options(output: String) -> BuildOptions {
    var options = BuildOptions(output: output)
    options.mirror = mirror
    options.cache = cache.map(Self.absolute)
    for source in sources {
      let parts = source.split(separator: "=", maxSplits: 1)
      if let name = parts.first, let path = parts.last { options.sources[String(name)] = Self.absolute(String(path)) }
    }
    return options
  }

  /// What `--set` says, by name.
  private var values: [String: String] {
    let pairs = variables.map { variable in
      let name = variable.prefix { $0 != "=" }
      return (String(name), String(variable.dropFirst(name.count + 1)))
    }
    return Dictionary(pairs) { _, last in last }
  }

  private static func absolute(_ path: String) -> String {
    path.hasPrefix("/") ? path : "\((try? Files.resolve(".")) ?? ".")/\(path)"
  }

  /// The lock at `path`; nil where there is none.
  static func lock(at path: String) throws(BuildError) -> RecipeLock? {
    do throws(LockError) {
      guard let lock = try RecipeLock(file: path) else { return nil }
      return lock
    } catch {
      throw BuildError(
        .badFile, "\(error)", hint: "bring it back as it was, or remove it and make it anew with `roost lock`")
    }
  }
}
