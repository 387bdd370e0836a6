internal import ArgumentParser

extension ExitCode {
  /// A recipe, or a file of domains, is wrong.
  static let wrongFile = ExitCode(2)

  /// All that commands of this program end with, for people.
  static let table = """
    EXIT STATUS:
      0        done
      1        refused or failed; the reason is on standard error
      2        a recipe or a file of domains is wrong; it says where
      64       wrong usage: an option or an argument
      128 + N  ended by signal N, as 130 by Ctrl-C
    """
}
