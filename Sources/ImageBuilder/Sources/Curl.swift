/// curl(1) as all downloads run it.
enum Curl {
  /// Its arguments for fetching `url` to `path`: no configuration of the user's, no protocols but these.
  static func arguments(_ url: String, to path: String, _ options: [String]) -> [String] {
    [
      "curl", "--disable", "--fail", "--location", "--proto", "=https,http,file", "--proto-redir", "=https,http",
      "--retry", "3", "--connect-timeout", "30", "--show-error",
    ] + options + ["--output", path, "--url", url]
  }

  /// The last lines in which it complains.
  static func complaints(_ outcome: Command.Outcome) -> [String] {
    outcome.text.split(separator: "\n").map(String.init).filter { $0.hasPrefix("curl: ") }.suffix(3)
  }
}
