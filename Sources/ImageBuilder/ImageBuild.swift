internal import Binary
internal import Platform
public import Recipe

/// Makes a bootable image out of a recipe.
public struct ImageBuild: Sendable {
  /// What was made.
  public struct Image: Sendable, Hashable {
    /// Its path as it was given.
    public let path: String
    /// Bytes.
    public let size: Int
    /// True when the file was there already, made from the same inputs.
    public let reused: Bool
    /// Seconds that it took.
    public let seconds: Double
    /// The largest files on it, the largest first.
    public let largest: [File]
  }

  /// A file on an image.
  public struct File: Encodable, Sendable, Hashable {
    /// From the medium's root.
    public let path: String
    /// Bytes.
    public let bytes: Int
  }

  /// How many files are told of.
  private static let told = 5

  private let recipe: Recipe
  private let options: BuildOptions

  /// A build that is to be run.
  public init(_ recipe: Recipe, _ options: BuildOptions) {
    self.recipe = recipe
    self.options = options
  }

  /// Runs the build on this thread and threads of its own. `events` is called on this thread.
  public func run(
    cancellation: Cancellation, events: (BuildEvent) -> Void
  ) throws(BuildError) -> Image {
    let started = MonotonicClock.now()
    try Tool.checkHost(also: Tool.needed(by: recipe, copies: options.sources))
    try checkOutput()
    let versions = try Tool.versions(cancellation)
    let plan = try BuildPlan(recipe, options, versions: versions)
    Leftovers.sweepParts(of: options.output)
    Leftovers.sweepParts(of: BillOfMaterials.sidecar(of: options.output))
    let cache = try ResultCache(options.cache ?? ResultCache.standardDirectory, results: options.results)
    for remark in options.lock?.lock.otherTools(versions) ?? [] { events(.remark(remark)) }
    events(.planned(plan.steps.map(\.name) + [Medium.stepName]))
    do throws(BuildError) {
      let executor = Executor(
        cache: cache, epoch: plan.epoch, jobs: max(1, options.jobs ?? Processors.online),
        memory: options.memory ?? BuildMemory.available, isOffline: options.isOffline,
        cancellation: cancellation)
      let results = try executor.run(plan.steps, events: events)
      let medium = Medium(plan: plan, results: results)
      let reused = try deliver(medium, plan.steps.count, cache, cancellation, events)
      let largest = try medium.largest(Self.told)
      try cache.removeScratch()
      let output = options.output
      let size = try attempt("cannot read the image") { () throws(SystemError) in try Files.status(output)?.size ?? 0 }
      return Image(
        path: output, size: size, reused: reused, seconds: Double(MonotonicClock.now() - started) / 1e9,
        largest: largest)
    } catch {
      try? cache.removeScratch()
      throw error
    }
  }

  /// Refuses at once what would fail after minutes.
  private func checkOutput() throws(BuildError) {
    let parts = options.output.split(separator: "/").dropLast().joined(separator: "/")
    let directory = options.output.hasPrefix("/") ? "/\(parts)" : parts.isEmpty ? "." : parts
    if (try? Files.status(options.output, followingLinks: true))?.kind == .directory {
      throw BuildError(.badFile, "\(options.output) is a directory", hint: "name a file with -o")
    }
    try attempt("cannot write \(options.output)") { () throws(SystemError) in try Files.makeDirectories(directory) }
  }

  /// Writes the image unless it is there already; true when it is.
  private func deliver(
    _ medium: Medium, _ index: Int, _ cache: ResultCache, _ cancellation: Cancellation, _ events: (BuildEvent) -> Void
  ) throws(BuildError) -> Bool {
    let started = MonotonicClock.now()
    let record = try OutputRecord(options.output, cache)
    let key = try medium.key()
    if let size = record.size(ifMadeFrom: key) {
      try medium.writeBillOfMaterials(beside: options.output)
      events(.finished(index, reused: true, seconds: 0, bytes: size))
      return true
    }
    events(.started(index))
    do throws(BuildError) {
      try medium.write(to: options.output, cancellation: cancellation) { progress in
        guard progress.total > 0 else { return }
        events(.progress(index, "\(progress.done * 100 / progress.total) %"))
      }
      // Beside an image that is there, and no other.
      try medium.writeBillOfMaterials(beside: options.output)
      let size = try record.store(key)
      events(
        .finished(index, reused: false, seconds: Double(MonotonicClock.now() - started) / 1e9, bytes: size))
      return false
    } catch {
      events(.failed(index))
      throw error
    }
  }
}

/// Remembers, for one output file, what it was made from and what it looked like then, so that an image that nobody
/// touched need not be read to know that it is current.
private struct OutputRecord {
  private let output: String
  private let path: String

  init(_ output: String, _ cache: ResultCache) throws(BuildError) {
    self.output = output
    let parts = output.split(separator: "/")
    let directory = (output.hasPrefix("/") ? "/" : "./") + parts.dropLast().joined(separator: "/")
    let resolved = try attempt("cannot write \(output)") { () throws(SystemError) in try Files.resolve(directory) }
    path = "\(cache.directory)/logs/output-\(SHA256.hash("\(resolved)/\(parts.last ?? "")"))"
  }

  /// The image's size when it is the one that was made from `key`.
  func size(ifMadeFrom key: SHA256.Digest) -> Int? {
    guard let stored = try? Files.readText(path), let status = try? Files.status(output), status.kind == .regular
    else { return nil }
    return stored == text(key, status) ? status.size : nil
  }

  /// Remembers the image as made from `key`; returns its size.
  func store(_ key: SHA256.Digest) throws(BuildError) -> Int {
    try attempt("cannot note what the image was made from") { () throws(SystemError) in
      guard let status = try Files.status(output) else { return 0 }
      try Files.replace(path, with: Array(text(key, status).utf8))
      return status.size
    }
  }

  private func text(_ key: SHA256.Digest, _ status: FileStatus) -> String {
    "\(key) \(status.size) \(status.modified) \(status.inode)\n"
  }
}
