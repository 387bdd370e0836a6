internal import Binary
internal import Platform

/// One step of a build: a name, everything that decides its result, and how the result is made.
///
/// Two steps with equal `kind`, `version`, `settings` and inputs have equal results, on every machine.
struct Step: Sendable {
  /// A file that an earlier step made.
  struct Input: Sendable, Hashable {
    let step: String
    let file: String
  }

  /// Unique in a plan; what the screen shows.
  let name: String
  /// What is made, whoever it is for.
  let kind: String
  /// Counts up when the way it is made changes.
  let version: Int
  /// Parameters, versions of tools, digests of files from outside: whatever decides the result beside the inputs.
  let settings: [String]
  /// Files of earlier steps that it reads.
  let inputs: [Input]
  /// Files that it makes.
  let outputs: [String]
  /// Bytes of memory that it takes, roughly, with the programs that it runs.
  var memory = BuildMemory.Estimate.plain
  /// Made anew even when its result is in the cache.
  var isForced = false
  /// Makes them.
  let run: @Sendable (borrowing StepContext) throws(BuildError) -> Void

  /// What the result is filed under.
  func key(digests: [String]) -> SHA256.Digest {
    var hash = SHA256()
    for text in ["roost", kind, "\(version)"] + settings + ["inputs"] + inputs.map(\.file) + digests {
      hash.update(Array("\(text.utf8.count):\(text)\n".utf8))
    }
    return hash.finalize()
  }
}

/// Where a running step finds its inputs and leaves its files.
struct StepContext: ~Copyable {
  /// Directory for the files that the step makes.
  let output: String
  /// Directory for anything else; it is removed afterwards.
  let scratch: String
  /// The folder of all scratch of this build.
  var build = ""
  /// What programs print goes here.
  let log: String
  /// Seconds since 1970 that all times are set to.
  let epoch: Int
  /// The whole cache's directory.
  let cache: String
  /// Asked now and then.
  let cancellation: Cancellation
  /// Nothing is fetched.
  var isOffline = false
  let results: [String: String]
  let report: @Sendable (String) -> Void

  /// Path of a file that an earlier step made.
  func input(_ step: String, _ file: String) throws(BuildError) -> String {
    guard let directory = results[step] else {
      throw BuildError(.content, "the step '\(step)' has no result to take \(file) from")
    }
    return "\(directory)/\(file)"
  }

  /// Refuses to fetch `what` where the user said so.
  func refuseOffline(_ what: @autoclosure () -> String) throws(BuildError) {
    if isOffline { throw BuildError.offline(what()) }
  }

  /// Shows what the step is at.
  func progress(_ text: String) {
    report(text)
  }

  /// What programs are told of the build: where temporary files go, and whose they are.
  var environment: [String: String] { ["TMPDIR": scratch, Leftovers.variable: build] }

  /// Runs a program and throws, with its last lines, when it fails.
  @discardableResult
  func run(
    _ arguments: [String], environment: [String: String] = [:], doing: String, directory: String? = nil,
    onLine: (String) -> Void = { _ in }
  ) throws(BuildError) -> String {
    let command = Command(
      arguments, environment: self.environment.merging(environment) { $1 }, directory: directory, epoch: epoch)
    let outcome = try command.run(cancellation: cancellation, log: log, onLine: onLine)
    guard outcome.status.isSuccess else { throw failure(outcome, arguments.first ?? "", doing) }
    return outcome.text
  }

  private func failure(_ outcome: Command.Outcome, _ tool: String, _ doing: String) -> BuildError {
    if BuildError.saysFull(outcome.text) {
      return BuildError(
        .noSpace, "\(doing): \(tool) found no space left in \(cache)", hint: BuildError.spaceHint, log: log)
    }
    let lines = outcome.text.split(separator: "\n").suffix(8).map(String.init)
    return BuildError(
      .toolFailed, "\(doing): \(tool) failed with \(outcome.status)", details: lines, log: log)
  }
}
