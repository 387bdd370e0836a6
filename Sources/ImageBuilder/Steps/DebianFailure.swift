/// Why mmdebstrap failed, read from what it printed.
struct DebianFailure {
  let text: String
  /// The domain that the system is for.
  let owner: String
  let suite: String
  let mirror: String?
  let log: String

  private static let unreachable = [
    "Could not connect", "Unable to connect", "Could not resolve", "Temporary failure resolving",
    "Cannot initiate the connection", "Connection refused", "Connection timed out", "Connection failed",
    "No route to host", "Network is unreachable", "Could not handshake",
  ]

  var error: BuildError {
    let lines = text.split(separator: "\n").map(String.init)
    if let package = missingPackage(lines) {
      return BuildError(
        .unknownPackage, "\(owner): Debian \(suite) has no package '\(package)'",
        hint: "look for its name in that release at packages.debian.org, and correct the recipe", log: log)
    }
    let place = mirror.map { "the mirror \($0)" } ?? "the Debian mirror"
    if text.contains("No space left on device") {
      return BuildError(
        .noSpace, "\(owner): no space is left for the packages and the root file system",
        hint: "free some space, or name another place with --cache", log: log)
    }
    let refused = lines.filter { line in Self.unreachable.contains { line.contains($0) } }
    if !refused.isEmpty {
      return BuildError(
        .mirrorUnreachable, "\(owner): \(place) cannot be reached",
        hint: "check the network (and http_proxy), or name another mirror with --mirror URL",
        details: relevant(refused), log: log)
    }
    if let missing = lines.first(where: { $0.contains("does not have a Release file") || $0.contains("404  Not Found") }
    ) {
      return BuildError(
        .mirrorUnreachable, "\(owner): \(place) has no Debian release '\(suite)'",
        hint: "check the suite in the recipe, or name another mirror with --mirror URL", details: relevant([missing]),
        log: log)
    }
    if let signature = lines.first(where: { $0.contains("NO_PUBKEY") || $0.contains("is not signed") }) {
      return BuildError(
        .toolFailed, "\(owner): the signature of Debian \(suite) cannot be checked",
        hint: "install the keys: apt-get install debian-archive-keyring", details: relevant([signature]), log: log)
    }
    let errors = lines.filter { $0.hasPrefix("E:") || $0.hasPrefix("W:") || $0.contains("rror:") }
    return BuildError(
      .toolFailed, "\(owner): mmdebstrap could not make Debian \(suite)",
      details: relevant(errors.isEmpty ? lines : errors), log: log)
  }

  private func missingPackage(_ lines: [String]) -> String? {
    for line in lines {
      if let range = line.firstRange(of: "Unable to locate package ") { return String(line[range.upperBound...]) }
      if line.contains("has no installation candidate") || line.contains("Couldn't find any package by") {
        // The name is the last word in quotes; "Couldn't" has one of its own.
        let parts = line.split(whereSeparator: { "'\"‘’".contains($0) })
        return parts.count > 1 ? parts[line.hasSuffix("'") ? parts.count - 1 : parts.count - 2].description : nil
      }
    }
    return nil
  }

  /// The last few lines, each once and not endless.
  private func relevant(_ lines: [String]) -> [String] {
    var seen: Set<String> = []
    return Array(lines.filter { seen.insert($0).inserted }.suffix(4)).map { String($0.prefix(200)) }
  }
}
