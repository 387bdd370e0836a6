/// Words of a POSIX shell.
public enum ShellWord {
  /// `word` so that the shell takes it for itself (POSIX.1-2017, Shell Command Language, 2.2.2). A quote is one to the shell
  /// whatever mark is put on it, so it is looked for among scalars and not among characters.
  public static func quoted(_ word: String) -> String {
    var inner = String.UnicodeScalarView()
    for scalar in word.unicodeScalars {
      if scalar == "'" {
        inner.append(contentsOf: "'\\''".unicodeScalars)
      } else {
        inner.append(scalar)
      }
    }
    return "'" + String(inner) + "'"
  }
}
