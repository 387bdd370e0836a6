internal import ArgumentParser
internal import ImageBuilder
internal import Platform

/// `roost cache`: what builds keep.
struct CacheCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "cache",
    abstract: "Show, check and clear what builds keep.",
    discussion: """
      Builds keep the results of their steps, Debian's packages and downloads, for all recipes together, and take them \
      again while they are the right ones. Nothing in there is needed: what is missing is made or fetched anew.
      """,
    subcommands: [CacheListCommand.self, CachePruneCommand.self, CacheVerifyCommand.self],
    defaultSubcommand: CacheListCommand.self)
}

/// The cache that a command is about.
struct CacheOptions: ParsableArguments {
  @Option(help: ArgumentHelp("The cache (default: ~/.cache/roost).", valueName: "directory"))
  var cache: String?

  var contents: BuildCache { BuildCache(cache) }

  /// Runs `body`; what it refuses ends the program.
  func run(_ name: String, _ body: () throws(BuildError) -> Void) throws {
    do throws(BuildError) {
      try body()
    } catch {
      StandardStream.error.write("roost cache \(name): \(error)\n")
      throw ExitCode(error.code == .cancelled ? 130 : 1)
    }
  }

  /// Days since an entry was used.
  static func age(_ entry: BuildCache.Entry) -> Int { max(0, WallClock.now().seconds - entry.used) / 86_400 }
}

/// `roost cache list`.
struct CacheListCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "list",
    abstract: "Show what is in the cache, what was used last first.",
    discussion: """
      EXAMPLES
        roost cache list
        roost cache list --all | grep debian
      """)

  @Flag(help: "Show each package as well.")
  var all = false

  @OptionGroup var options: CacheOptions

  func run() throws {
    Signal.ignorePipe()
    try options.run("list") { () throws(BuildError) in
      let entries = try options.contents.entries()
      let shown = entries.filter { all || $0.kind != .package }
      for entry in shown {
        let days = CacheOptions.age(entry)
        let used = days == 0 ? "today" : days == 1 ? "1 day ago" : "\(days) days ago"
        let words = [(entry.kind.rawValue, -8), (BuildScreen.size(entry.bytes), 9), (used, 13)].map(Self.padded)
        StandardStream.output.write("\(words.joined(separator: " "))  \(entry.name)\n")
      }
      for kind in BuildCache.Entry.Kind.allCases {
        let own = entries.filter { $0.kind == kind }
        let size = BuildScreen.size(own.reduce(0) { $0 + $1.bytes })
        StandardStream.output.write("\(own.count) \(kind.rawValue)\(own.count == 1 ? "" : "s"), \(size)\n")
      }
      StandardStream.output.write("in \(options.contents.directory)\n")
    }
  }

  /// A text with spaces, in front of it or, where `width` is below zero, behind it.
  private static func padded(_ text: String, _ width: Int) -> String {
    let spaces = String(repeating: " ", count: max(0, abs(width) - text.count))
    return width < 0 ? text + spaces : spaces + text
  }
}

/// `roost cache prune`.
struct CachePruneCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "prune",
    abstract: "Remove what no build has used for a while.",
    discussion: """
      Says what it would remove and asks. What is removed is made or fetched anew when a build needs it, as far as the \
      archives still have it.

      EXAMPLES
        roost cache prune
        roost cache prune --days 7 --yes
        roost cache prune --all
      """)

  @Option(help: ArgumentHelp("Keep what was used within so many days.", valueName: "days"))
  var days: Int = 30

  @Flag(help: "Remove everything.")
  var all = false

  @Flag(help: "Do not ask.")
  var yes = false

  @OptionGroup var options: CacheOptions

  func validate() throws {
    guard (0...36_500).contains(days) else { throw ValidationError("--days takes a number from 0 on, not \(days).") }
  }

  func run() throws {
    var entries: [BuildCache.Entry] = []
    try options.run("prune") { () throws(BuildError) in
      entries = try options.contents.entries().filter { all || CacheOptions.age($0) >= days }
    }
    guard !entries.isEmpty else { return StandardStream.output.write("Nothing to remove.\n") }
    let size = BuildScreen.size(entries.reduce(0) { $0 + $1.bytes })
    let what = BuildCache.Entry.Kind.allCases.compactMap { kind in
      let count = entries.count { $0.kind == kind }
      return count == 0 ? nil : "\(count) \(kind.rawValue)\(count == 1 ? "" : "s")"
    }.joined(separator: ", ")
    try Confirmation.ask("Remove \(what), \(size), from \(options.contents.directory)?", unless: yes)
    try options.run("prune") { () throws(BuildError) in try options.contents.remove(entries) }
    StandardStream.output.write("Removed \(what), \(size).\n")
  }
}

/// `roost cache verify`.
struct CacheVerifyCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "verify",
    abstract: "Compare results and downloads with their digests, and remove those that are broken.",
    discussion: """
      Packages are compared by each build that takes them, with the archive's index or with the recipe's lock.

      The exit status is 1 where something was broken.

      EXAMPLES
        roost cache verify
      """)

  @Flag(name: [.short, .long], help: "Do not name what is read.")
  var quiet = false

  @OptionGroup var options: CacheOptions

  func run() throws {
    let cancellation = Cancellation()
    let watch = try InterruptWatch(cancellation, say: { StandardStream.error.write("\($0)\n") }, tick: {})
    defer { watch.stop() }
    var broken: [BuildCache.Entry] = []
    try options.run("verify") { () throws(BuildError) in
      broken = try options.contents.verify(cancellation: cancellation) { name in
        if !quiet { StandardStream.error.write("\(name)\n") }
      }
    }
    for entry in broken {
      StandardStream.output.write("removed, for it was broken: \(entry.kind.rawValue) \(entry.name)\n")
    }
    guard broken.isEmpty else { throw ExitCode.failure }
    StandardStream.output.write("Everything is as it was kept.\n")
  }
}
