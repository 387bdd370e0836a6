internal import Platform

/// Debian's archive as apt sees it through mmdebstrap, in a root in which nothing is: with the release's own keys and
/// lists, and without rights.
struct DebianArchive: Sendable {
  let suite: String
  /// URL of the packages' archive; nil leaves the choice to mmdebstrap.
  let mirror: String?
  /// What errors name.
  let owner: String

  /// Where `run` gets its surroundings from.
  struct Place: Sendable {
    let scratch: String
    let log: String
    let epoch: Int
    let cancellation: Cancellation
    /// Nothing is fetched.
    var isOffline = false
  }

  /// Runs a script of the shell's: `$1` is the root, `apt-get` and its like work in it. `preferences` are apt's
  /// (apt_preferences(5)). `hooks` are mmdebstrap's, that come after.
  @discardableResult
  func run(
    _ script: String, preferences: String = "", hooks: [String] = [], in place: Place
  ) throws(BuildError) -> String {
    if place.isOffline { throw BuildError.offline("\(owner): packages of Debian \(suite) are") }
    let file = "\(place.scratch)/archive.sh"
    let pins = "\(place.scratch)/pins"
    try attempt("cannot prepare to ask Debian's archive") { () throws(SystemError) in
      try Files.write(
        "#!/bin/sh\nset -eu\nexport APT_CONFIG=\"$MMDEBSTRAP_APT_CONFIG\"\ncd \"$1\"\n\(script)\n", to: file,
        permissions: 0o755)
      try Files.write(preferences, to: pins)
    }
    var arguments = [
      "mmdebstrap", "--mode=\(ProcessEnvironment.isSuperuser ? "root" : "unshare")", "--format=null",
      "--variant=custom", "--components=main", "--aptopt=Acquire::Languages \"none\"",
      "--setup-hook=echo 'APT::Sandbox::User \"root\";' >>\"$MMDEBSTRAP_APT_CONFIG\"",
    ]
    if !preferences.isEmpty { arguments.append("--setup-hook=copy-in \(pins) /etc/apt/preferences.d") }
    arguments += ["--customize-hook=\(file) \"$1\""] + hooks.map { "--customize-hook=\($0)" } + [suite, "/dev/null"]
    if let mirror { arguments.append(mirror) }
    let command = Command(arguments, environment: ["TMPDIR": place.scratch], epoch: place.epoch)
    let outcome = try command.run(cancellation: place.cancellation, log: place.log)
    guard outcome.status.isSuccess else {
      throw DebianFailure(text: outcome.text, owner: owner, suite: suite, mirror: mirror, log: place.log).error
    }
    return outcome.text
  }
}

extension StepContext {
  /// Where this step asks Debian's archive.
  var archivePlace: DebianArchive.Place {
    DebianArchive.Place(
      scratch: scratch, log: log, epoch: epoch, cancellation: cancellation, isOffline: isOffline)
  }
}
