internal import Platform

/// A file out of a package of Debian's archive: the package is downloaded and checked as those of root file systems
/// are, and neither installed nor anything of it run.
struct DebianFile: Sendable {
  /// The source's name in the recipe.
  let source: String
  /// Debian release, such as `bookworm`.
  let suite: String
  let package: String
  /// Where the file is in the package, without a leading slash.
  let path: String
  /// URL of the packages' archive; nil leaves the choice to mmdebstrap.
  let mirror: String?

  func step(versions: [String: String], isForced: Bool) -> Step {
    Step(
      name: "source \(source)", kind: "debian-file", version: 1,
      settings: [suite, package, path, mirror ?? "default", versions["mmdebstrap"] ?? ""], inputs: [],
      outputs: [SourceSet.contentFile], isForced: isForced, run: make)
  }

  private func make(_ context: borrowing StepContext) throws(BuildError) {
    context.progress("downloading \(package)")
    let archive = "package.deb"
    // apt with the release's own keys and lists, in a root in which nothing is.
    var arguments = [
      "mmdebstrap", "--mode=\(ProcessEnvironment.isSuperuser ? "root" : "unshare")", "--format=null",
      "--variant=custom", "--components=main", "--aptopt=Acquire::Languages \"none\"",
      "--setup-hook=echo 'APT::Sandbox::User \"root\";' >>\"$MMDEBSTRAP_APT_CONFIG\"",
      "--customize-hook=cd \"$1\"; APT_CONFIG=\"$MMDEBSTRAP_APT_CONFIG\" apt-get -q download \(package) "
        + "&& mv -- *.deb \(archive)",
      "--customize-hook=copy-out /\(archive) \(context.scratch)", suite, "/dev/null",
    ]
    if let mirror { arguments.append(mirror) }
    let command = Command(arguments, environment: ["TMPDIR": context.scratch], epoch: context.epoch)
    let outcome = try command.run(cancellation: context.cancellation, log: context.log)
    guard outcome.status.isSuccess else {
      throw DebianFailure(
        text: outcome.text, owner: "the source '\(source)'", suite: suite, mirror: mirror, log: context.log
      ).error
    }
    let tar = "\(context.scratch)/package.tar"
    try context.run(
      ["sh", "-c", "exec dpkg-deb --fsys-tarfile \"$1\" >\"$2\"", "sh", "\(context.scratch)/\(archive)", tar],
      doing: "cannot unpack \(package)")
    try Tree.extract(
      path, of: tar, called: "the package \(package) of the source '\(source)'",
      to: "\(context.output)/\(SourceSet.contentFile)", cancellation: context.cancellation)
  }
}
