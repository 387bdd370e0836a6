internal import ArgumentParser
internal import Platform

/// A question before what cannot be undone.
enum Confirmation {
  /// Exits with failure unless the answer is yes. Where nobody can answer, `--yes` is needed.
  static func ask(_ question: String, unless yes: Bool) throws {
    if yes { return }
    guard Terminal.isTerminal(StandardStream.input.rawValue) else {
      StandardStream.error.write("roost: \(question) There is no terminal to answer on; say --yes.\n")
      throw ExitCode.failure
    }
    StandardStream.output.write("\(question) [y/N] ")
    guard ["y", "yes"].contains(readLine()?.lowercased()) else {
      StandardStream.output.write("Nothing was done.\n")
      throw ExitCode.failure
    }
  }
}
