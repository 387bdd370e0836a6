internal import Platform

/// Builds an image once more, from nothing and in other surroundings, to see whether its bytes depend on them.
public struct SecondBuild: Sendable {
  private let image: String
  private let cache: String

  /// A second build of `image`, which is there, with the packages of `cache`; nil for the user's own.
  public init(image: String, cache: String?) {
    self.image = image
    self.cache = cache ?? ResultCache.standardDirectory
  }

  /// What differs around it: none of these may reach an image (https://reproducible-builds.org/docs/test-bench/).
  private static let surroundings = ["LC_ALL": "tr_TR.UTF-8", "LANG": "tr_TR.UTF-8", "TZ": "Pacific/Kiritimati"]
  private static let mask = "077"
  /// What is said of the image and of where packages are.
  private static let kept = ["SOURCE_DATE_EPOCH", "XDG_CACHE_HOME"]

  /// Runs this program again with the `arguments` of the first build, and others that send its results elsewhere. In what
  /// the images differ, in words; nil when they are equal to the bit. Downloaded packages are the one thing that both
  /// take from the same place.
  public func run(
    arguments: [String], cancellation: Cancellation, progress: (String) -> Void
  ) throws(BuildError) -> [String]? {
    let folder = "\(image).second"
    let other = "\(folder)/image.iso"
    // On the cache's file system, where results are renamed to.
    let results = "\(cache)/second-\(ProcessEnvironment.processID)"
    defer {
      for path in [folder, results] { try? ResultCache.removeTree(path) }
    }
    let program = try attempt("cannot build a second time") { () throws(SystemError) in
      try ResultCache.removeTree(folder)
      try Files.makeDirectories(folder)
      return try Files.resolve("/proc/self/exe")
    }
    let again = arguments.filter { $0 != "--check-reproducible" }
    let end = again.firstIndex(of: "--") ?? again.endIndex
    var environment = Self.surroundings
    for name in Self.kept { environment[name] = ProcessEnvironment.value(name) }
    let command = Command(
      ["sh", "-c", "umask \(Self.mask); exec \"$0\" \"$@\"", program] + again[..<end]
        + ["--output", other, "--results", results, "--jobs", "1"] + again[end...], environment: environment)
    let outcome = try command.run(cancellation: cancellation, onLine: progress)
    guard outcome.status.isSuccess else {
      throw BuildError(
        .toolFailed, "the second build failed with \(outcome.status)",
        details: outcome.text.split(separator: "\n").suffix(8).map(String.init))
    }
    let (first, second) = try attempt("cannot compare the images") { () throws(SystemError) in
      (try FileDigest.plain(image), try FileDigest.plain(other))
    }
    guard first != second else { return nil }
    let words = try ImageDifference(between: image, and: other, cancellation: cancellation).lines
    return words.isEmpty ? ["all files are the same; something between them is not"] : words
  }
}
