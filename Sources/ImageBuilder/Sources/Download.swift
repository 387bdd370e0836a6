internal import Binary
internal import Platform

/// A file from elsewhere, kept in the cache by its digest and fetched by curl when it is not there.
///
/// ```
/// CACHE/sources/<sha256>        the whole file, checked
/// CACHE/sources/<sha256>.part   what came so far; the next build goes on from there
/// ```
struct Download: Sendable {
  /// The source's name in the recipe.
  let source: String
  let url: String
  let sha256: SHA256.Digest

  private var fileName: String { url.split(separator: "/").last.map(String.init) ?? url }

  func make(_ context: borrowing StepContext) throws(BuildError) {
    let kept = "\(context.cache)/sources/\(sha256)"
    try Self.withLock("\(kept).lock", context) { (context) throws(BuildError) in
      if Files.exists(kept), try digest(kept) == sha256 {
        try? Files.touch(kept)
        return
      }
      try fetch(to: kept, context)
    }
    // One file under two names: a result is never written to.
    try context.run(
      ["cp", "--link", "--force", kept, "\(context.output)/\(SourceSet.contentFile)"],
      doing: "cannot take \(fileName) out of the cache")
  }

  private func fetch(to kept: String, _ context: borrowing StepContext) throws(BuildError) {
    try context.refuseOffline("the source '\(source)' (\(fileName)) is")
    let part = "\(kept).part"
    var isResumed = size(part) > 0
    if isResumed, try digest(part) == sha256 { return try keep(part, as: kept) }
    while true {
      let outcome = try run(to: part, context)
      if outcome.status.isSuccess {
        context.progress("checking \(fileName)")
        let found = try digest(part)
        if found == sha256 { return try keep(part, as: kept) }
        try attempt("cannot remove \(part)") { () throws(SystemError) in try Files.remove(part) }
        // What was continued may have been another file's beginning.
        if !isResumed { throw SourceSet.wrongDigest(source, file: url, found: found, pinned: sha256) }
      } else {
        // The server has no such part of it, or none at all.
        guard isResumed, [22, 33, 36].contains(where: { outcome.status == .exited($0) }) else {
          throw failure(outcome, context.log)
        }
        try attempt("cannot remove \(part)") { () throws(SystemError) in try Files.remove(part) }
      }
      isResumed = false
    }
  }

  private func run(to part: String, _ context: borrowing StepContext) throws(BuildError) -> Command.Outcome {
    context.progress("downloading \(fileName)")
    let command = Command(
      Curl.arguments(
        url, to: part, ["--speed-limit", "1", "--speed-time", "60", "--progress-bar", "--continue-at", "-"]),
      environment: context.environment)
    let report = context.report
    let name = fileName
    return try command.run(cancellation: context.cancellation, log: context.log) { line in
      if let last = line.split(separator: " ").last, last.hasSuffix("%") { report("downloading \(name): \(last)") }
    }
  }

  private func failure(_ outcome: Command.Outcome, _ log: String) -> BuildError {
    if outcome.text.contains("No space left on device") || outcome.status == .exited(23) {
      return BuildError(
        .noSpace, "no space is left for \(fileName)", hint: "free some space, or name another place with --cache",
        log: log)
    }
    return BuildError(
      .downloadFailed, "the source '\(source)' (\(fileName)) cannot be downloaded from \(url)",
      hint: "check the network (and https_proxy), or give a copy that you have: --source \(source)=PATH",
      details: Curl.complaints(outcome), log: log)
  }

  private func size(_ path: String) -> Int { (try? Files.status(path))?.size ?? 0 }

  private func digest(_ path: String) throws(BuildError) -> SHA256.Digest {
    try attempt("cannot read \(path)") { () throws(SystemError) in try FileDigest.plain(path) }
  }

  private func keep(_ part: String, as kept: String) throws(BuildError) {
    try attempt("cannot keep \(fileName) in the cache") { () throws(SystemError) in
      try FileDescriptor(opening: part).synchronize()
      try Files.rename(part, to: kept)
    }
  }

  /// Runs `body` while no other build has the lock at `path`.
  static func withLock(
    _ path: String, _ context: borrowing StepContext, _ body: (borrowing StepContext) throws(BuildError) -> Void
  ) throws(BuildError) {
    let directory = path.split(separator: "/").dropLast().joined(separator: "/")
    let file = try attempt("cannot use the cache \(context.cache)") { () throws(SystemError) in
      try Files.makeDirectories("/\(directory)")
      return try FileDescriptor(opening: path, [.writeOnly, .create])
    }
    while true {
      let isOurs = try attempt("cannot use the cache \(path)") { () throws(SystemError) in
        try file.lock(waiting: false)
      }
      if isOurs { break }
      context.progress("waiting for another build")
      try context.cancellation.check()
      MonotonicClock.sleep(milliseconds: 100)
    }
    try body(context)
    // The lock goes with the descriptor, which must not go before.
    _ = file.rawValue
  }
}
