internal import Binary
internal import Platform

/// Finds out which packages a root takes of Debian's archive today.
struct PackageResolver: Sendable {
  /// What is asked for.
  let want: RecipeLock.Want
  /// Of these, what is installed with all that it depends on; the others are only unpacked.
  let installed: [String]
  let archive: DebianArchive

  /// The packages and their digests. Those of `before` stay as they are, but for `updated` and what it needs, as far as
  /// the archive still has them.
  func resolve(
    keeping before: [RecipeLock.Package], but updated: Set<String>, in place: DebianArchive.Place
  ) throws(BuildError) -> RecipeLock.Root {
    let output = "\(place.scratch)/answer"
    try attempt("cannot prepare to ask Debian's archive") { () throws(SystemError) in
      try Files.makeDirectories(output)
    }
    let kept = before.filter { !updated.contains($0.name) }
    try archive.run(
      script, preferences: Self.preferences(kept), hooks: ["copy-out /roost-archives /roost-packages \(output)"],
      in: place)
    let (archives, stanzas) = try attempt("cannot read what Debian's archive has") { () throws(SystemError) in
      (try Files.readText("\(output)/roost-archives"), try Files.read("\(output)/roost-packages"))
    }
    return RecipeLock.Root(
      want: want, archives: archives.split(separator: "\n").map(String.init).filter { !$0.hasPrefix("#") },
      packages: try Self.packages(stanzas, archive.owner))
  }

  /// Where that file is in the root.
  private static let pins = "etc/apt/preferences.d/pins"

  /// A file of apt's that says which versions to take, even where others are newer (apt_preferences(5)).
  static func preferences(_ packages: [RecipeLock.Package]) -> String {
    packages.map { "Package: \($0.name)\nPin: version \($0.version)\nPin-Priority: 1001\n" }.joined(separator: "\n")
  }

  /// Simulates what mmdebstrap will do in one go; the solution has all that it needs, and perhaps more.
  private var script: String {
    var lines = [
      "cat etc/apt/sources.list etc/apt/sources.list.d/*.list 2>/dev/null | grep '^deb ' >roost-archives || true",
      ": >roost-names",
    ]
    if !installed.isEmpty {
      let essential = want.role == "guest" ? "'?essential' apt" : "'?essential'"
      lines += [
        "solve() {",
        "  apt-get -q -s -y -o APT::Install-Recommends=false install \(essential) \(installed.joined(separator: " ")) \\",
        "    >roost-solution 2>roost-refusal",
        "}",
        "until solve; do",
        // What stays cannot all stay where something new wants it newer: that much gives way.
        "  names=$(sed -n 's/.*Depends: \\([a-z0-9][a-z0-9.+-]*\\).*/\\1/p' roost-solution roost-refusal | sort -u)",
        "  for name in $names; do",
        "    awk -v RS= -v ORS='\\n\\n' -v name=\"$name\" '$2 != name' \(Self.pins) >roost-pins 2>/dev/null || true",
        "    if [ -s \(Self.pins) ] && ! cmp -s roost-pins \(Self.pins); then cat roost-pins >\(Self.pins); again=yes; fi",
        "  done",
        "  [ -n \"${again-}\" ] || { cat roost-solution roost-refusal >&2; exit 1; }",
        "  again=",
        "done",
        "sed -n 's/^Inst \\([^ :]*\\)[^ ]* (\\([^ ]*\\) .*/\\1=\\2/p' roost-solution >>roost-names",
      ]
    }
    for package in want.packages where !installed.contains(package) {
      lines += [
        "candidate() { apt-cache policy \"$1\" | sed -n \"s/^ *Candidate: /$1=/p\" | grep -v '=(none)$' \\",
        "  || { echo \"E: Unable to locate package $1\" >&2; exit 1; }; }",
        "candidate \(package) >>roost-names",
      ]
      // A kernel's package is a name for the newest one.
      if package.hasPrefix("linux-image-") {
        lines += [
          "image=$(apt-cache depends --important \(package) \\",
          "  | sed -n 's/^ *Depends: \\(linux-image-[0-9].*\\)$/\\1/p' | head -n 1)",
          "candidate \"$image\" >>roost-names",
        ]
      }
    }
    lines.append("sort -u roost-names | xargs apt-cache show >roost-packages")
    return lines.joined(separator: "\n")
  }

  /// Packages out of their entries in apt's index, sorted by name.
  static func packages(_ stanzas: [UInt8], _ owner: String) throws(BuildError) -> [RecipeLock.Package] {
    var packages: [String: RecipeLock.Package] = [:]
    for stanza in ControlFile.paragraphs(stanzas) {
      guard let name = stanza["package"], RecipeLock.Package.isName(name), let version = stanza["version"],
        RecipeLock.Package.isVersion(version), let architecture = stanza["architecture"],
        ["amd64", "all"].contains(architecture), let size = stanza["size"].flatMap({ Int($0) }),
        let digest = stanza["sha256"].flatMap({ SHA256.Digest(hex: $0) })
      else {
        throw BuildError(
          .content, "\(owner): the archive's entry of '\(stanza["package"] ?? "")' cannot be understood")
      }
      packages[name] = RecipeLock.Package(
        name: name, version: version, architecture: architecture, size: size, sha256: digest)
    }
    guard !packages.isEmpty else { throw BuildError(.content, "\(owner): the archive has told no package") }
    return packages.values.sorted { $0.name < $1.name }
  }
}
