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
  /// The version to take; nil for the newest.
  var locked: RecipeLock.Root?

  /// What the lock's package is for.
  var want: RecipeLock.Want { .init(role: "file", suite: suite, packages: [package]) }

  /// Who finds out today's version for a lock.
  var resolver: PackageResolver { PackageResolver(want: want, installed: [], archive: debian) }

  private var debian: DebianArchive { .init(suite: suite, mirror: mirror, owner: "the source '\(source)'") }

  func step(versions: [String: String], isForced: Bool) -> Step {
    Step(
      name: "source \(source)", kind: "debian-file", version: 1,
      settings: [suite, package, path]
        + (locked.map { $0.packages.map(\.line) } ?? [mirror ?? "default", versions["mmdebstrap"] ?? ""]), inputs: [],
      outputs: [SourceSet.contentFile], isForced: isForced, run: make)
  }

  private func make(_ context: borrowing StepContext) throws(BuildError) {
    let archive = try fetched(context)
    let tar = "\(context.scratch)/package.tar"
    try context.run(
      ["sh", "-c", "exec dpkg-deb --fsys-tarfile \"$1\" >\"$2\"", "sh", archive, tar],
      doing: "cannot unpack \(package)")
    try Tree.extract(
      path, of: tar, called: "the package \(package) of the source '\(source)'",
      to: "\(context.output)/\(SourceSet.contentFile)", cancellation: context.cancellation)
  }

  /// The package's file.
  private func fetched(_ context: borrowing StepContext) throws(BuildError) -> String {
    let place = context.archivePlace
    if let locked {
      let directory = "\(context.scratch)/locked"
      try LockedPackages(root: locked, archive: debian, kept: "\(context.cache)/packages/\(suite)")
        .gather(into: directory, in: place, progress: context.report)
      guard let found = locked.packages.first(where: { $0.name == package }) else {
        throw BuildError(.content, "the lock has no package '\(package)' for the source '\(source)'")
      }
      return "\(directory)/\(found.archiveName)"
    }
    context.progress("downloading \(package)")
    let file = "package.deb"
    try debian.run(
      "apt-get -q download \(package)\nmv -- *.deb \(file)", hooks: ["copy-out /\(file) \(context.scratch)"], in: place)
    return "\(context.scratch)/\(file)"
  }
}
