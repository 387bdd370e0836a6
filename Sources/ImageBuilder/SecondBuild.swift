internal import Platform

/// Builds an image once more, from nothing and in other surroundings, to see whether its bytes depend on them.
public struct SecondBuild: Sendable {
  private let image: String

  /// A second build of `image`, which is there.
  public init(image: String) {
    self.image = image
  }

  /// What differs around it: none of these may reach an image (https://reproducible-builds.org/docs/test-bench/).
  private static let surroundings = ["LC_ALL": "tr_TR.UTF-8", "LANG": "tr_TR.UTF-8", "TZ": "Pacific/Kiritimati"]
  private static let mask = "077"

  /// Runs this program again with the `arguments` of the first build, and others that send its results elsewhere. In what
  /// the images differ, in words; nil when they are equal to the bit. Downloaded packages are the one thing that both
  /// take from the same place.
  public func run(
    arguments: [String], cancellation: Cancellation, progress: (String) -> Void
  ) throws(BuildError) -> [String]? {
    let folder = "\(image).second"
    let other = "\(folder)/image.iso"
    defer { try? ResultCache.removeTree(folder) }
    let program = try attempt("cannot build a second time") { () throws(SystemError) in
      try ResultCache.removeTree(folder)
      try Files.makeDirectories(folder)
      return try Files.resolve("/proc/self/exe")
    }
    let again = arguments.filter { $0 != "--check-reproducible" }
    let command = Command(
      ["sh", "-c", "umask \(Self.mask); exec \"$0\" \"$@\"", program] + again
        + ["--output", other, "--results", "\(folder)/results", "--jobs", "1"], environment: Self.surroundings)
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
