internal import Binary
internal import Platform

/// The packages of a lock as files, and as an archive that has no others.
struct LockedPackages: Sendable {
  let root: RecipeLock.Root
  let archive: DebianArchive
  /// The cache's folder of packages of this release.
  let kept: String

  /// Where a root finds the archive while it is made.
  static let indexDirectory = "/var/lib/roost-index"

  /// Puts the packages' files into `directory`, each checked; those that the cache has not are fetched. `directory` and
  /// the cache are on one file system.
  func gather(
    into directory: String, in place: DebianArchive.Place, progress: (String) -> Void
  ) throws(BuildError) {
    try attempt("cannot prepare the packages") { () throws(SystemError) in
      for path in [directory, kept] { try Files.makeDirectories(path) }
    }
    var missing: [RecipeLock.Package] = []
    for package in root.packages {
      try place.cancellation.check()
      if try !take(package, into: directory) { missing.append(package) }
    }
    guard !missing.isEmpty else { return }
    if place.isOffline {
      let names = missing.prefix(5).map { "\($0.name) \($0.version)" }.joined(separator: ", ")
      throw BuildError.offline(
        "\(archive.owner): \(missing.count) of the lock's packages (\(names)\(missing.count > 5 ? ", …" : "")) are")
    }
    progress("downloading \(missing.count) packages")
    try fetch(missing, in: place)
    for package in missing where try !take(package, into: directory) {
      throw BuildError(
        .content, "\(archive.owner): \(package.name) \(package.version) was fetched and is not there", log: place.log)
    }
  }

  /// Links the cache's file of a package; false where it has none. One of another content is removed from it: the archive
  /// had another package of that version, or the file is broken.
  private func take(_ package: RecipeLock.Package, into directory: String) throws(BuildError) -> Bool {
    let file = "\(kept)/\(package.archiveName)"
    return try attempt("cannot take \(package.archiveName) out of the cache") { () throws(SystemError) in
      guard let status = try Files.status(file), status.kind == .regular else { return false }
      guard status.size == package.size, try FileDigest.plain(file) == package.sha256 else {
        try Files.remove(file)
        return false
      }
      try? Files.touch(file)
      try Files.hardLink(file, as: "\(directory)/\(package.archiveName)")
      return true
    }
  }

  /// Brings packages into the cache, or says which ones the archive has not, or not any more.
  private func fetch(_ packages: [RecipeLock.Package], in place: DebianArchive.Place) throws(BuildError) {
    let fetched = "\(place.scratch)/fetched"
    let list = packages.map { "\($0.name)=\($0.version)" }.joined(separator: " ")
    try attempt("cannot prepare the packages") { () throws(SystemError) in try Files.makeDirectories(fetched) }
    let text = try archive.run(
      """
      mkdir roost-fetched
      lost=
      for package in \(list); do
        # It does not fail for a version that is not there: it shows nothing, or another one.
        apt-cache show "$package" 2>/dev/null | grep -qxF "Version: ${package#*=}" \\
          || { lost=yes; echo "ROOST-LOST $package"; }
      done
      cd roost-fetched
      [ -n "$lost" ] || apt-get -q download \(list)
      """, hooks: ["sync-out /roost-fetched \(fetched)"], in: place)
    let lost = text.split(separator: "\n").filter { $0.hasPrefix("ROOST-LOST ") }.map { $0.dropFirst(11) }
    guard lost.isEmpty else { throw Self.gone(lost.map(String.init), owner: archive.owner) }
    for package in packages {
      let file = "\(fetched)/\(package.archiveName)"
      let found = try attempt("cannot read \(package.archiveName)") { () throws(SystemError) in
        try FileDigest.plain(file)
      }
      guard found == package.sha256 else {
        throw BuildError(
          .wrongDigest,
          "\(archive.owner): the archive's \(package.name) \(package.version) is not the one that the lock has",
          hint: "the archive has another file of that version: find out why before you take it with `roost lock`",
          details: ["SHA-256 in the lock:  \(package.sha256)", "SHA-256 of the file:  \(found)"], log: place.log)
      }
      let target = "\(kept)/\(package.archiveName)"
      try attempt("cannot keep \(package.archiveName)") { () throws(SystemError) in
        try Files.rename(file, to: target)
      }
    }
  }

  /// What to say of versions that the archive has not any more: `name=version`.
  static func gone(_ packages: [String], owner: String) -> BuildError {
    let names = packages.map { String($0.prefix { $0 != "=" }) }
    return BuildError(
      .unknownPackage,
      "\(owner): the archive no longer has what the lock says: "
        + packages.map { $0.replacing("=", with: " ") }.joined(separator: ", "),
      hint: "take the versions that it has: roost lock RECIPE "
        + names.map { "--update \($0)" }.joined(separator: " ")
        + "; or name an archive that keeps old ones with --mirror")
  }

  /// Writes an archive's index of the packages in `directory`, with the release's name, as apt reads it
  /// (https://wiki.debian.org/DebianRepository/Format).
  func writeIndex(of directory: String, into index: String, in place: DebianArchive.Place) throws(BuildError) {
    var text = ""
    for package in root.packages {
      let outcome = try Command(["dpkg-deb", "-f", "\(directory)/\(package.archiveName)"]).run(
        cancellation: place.cancellation, log: place.log)
      guard outcome.status.isSuccess else {
        throw BuildError(.toolFailed, "\(archive.owner): \(package.archiveName) is no package", log: place.log)
      }
      text += outcome.text
      text += "Filename: ./\(package.archiveName)\nSize: \(package.size)\nSHA256: \(package.sha256)\n\n"
    }
    let suite = root.want.suite
    let release = """
      Suite: \(suite)
      Codename: \(suite)
      SHA256:
       \(SHA256.hash(text)) \(text.utf8.count) Packages

      """
    try attempt("cannot write the index of the lock's packages") { () throws(SystemError) in
      try Files.makeDirectories(index)
      try Files.write(text, to: "\(index)/Packages")
      try Files.write(release, to: "\(index)/Release")
    }
  }

  /// Hooks of mmdebstrap's that have apt know the packages in `directory`, whose index is in `index`, and no others.
  func setupHooks(directory: String, index: String) -> [String] {
    [
      "mkdir -p \"$1/var/cache/apt/archives\" \"$1\(Self.indexDirectory)\"",
      "sync-in \(directory) /var/cache/apt/archives", "sync-in \(index) \(Self.indexDirectory)",
      "rm -f \"$1\"/etc/apt/sources.list.d/*; "
        + "echo \"deb [trusted=yes] copy:$1\(Self.indexDirectory) ./\" >\"$1/etc/apt/sources.list\"",
    ]
  }

  /// Lines of a script that leave the root, `$root`, asking the archives of its lock.
  static func finishing(_ root: RecipeLock.Root) -> [String] {
    ["rm -rf \"$root\(indexDirectory)\"", "cat >\"$root/etc/apt/sources.list\" <<'END'"] + root.archives + ["END"]
  }
}
