import Binary
import Platform
import Testing

/// `roost build` as a user runs it. These tests use the mirror that made the image under test, or none.
@Suite("Builds", .serialized, .enabled(if: Environment.isComplete, Environment.reason))
struct BuildTests {
  /// A directory below `build/` that is gone after the test: images are large, and /tmp may be small.
  struct Workplace: ~Copyable {
    let path: String

    init(_ name: String) throws {
      path = "build/\(name)"
      try Files.removeTree(path)
      try Files.makeDirectories(path)
    }

    deinit {
      try? Files.removeTree(path)
    }
  }

  static let smallRecipe = """
    name: small
    control-domain: {suite: trixie, hostname: small, packages: [PACKAGES]}
    domains:
      - name: hatchling
        os: Hatchling
        memory: 32 MiB
        boot: pvh
        source: {hatchling: {}}
        ready: {console: "hatchling> ", timeout: 60 s}

    """

  @Test("Two builds with the same package versions are equal to the bit")
  func reproducible() throws {
    let home = try #require(Environment.value("HOME"))
    let cache = Environment.value("XDG_CACHE_HOME") ?? "\(home)/.cache"
    let image = try Environment.image()
    var second = try rebuild("reproducible", packages: "\(cache)/roost/packages")
    if second.downloaded.isEmpty {
      #expect(
        try FileDigest.chunked(image) == second.digest,
        "the images differ: build/quickstart.iso and a second build of the same recipe")
      return
    }
    // The archive has published other versions since the image under test was built: two builds with the new ones.
    for attempt in 3...5 {
      let versions = second.downloaded.joined(separator: ", ")
      print("reproducible: the archive has new versions, build \(attempt): \(versions)")
      let next = try rebuild("reproducible-\(attempt)", packages: "\(cache)/roost/packages")
      if next.downloaded == second.downloaded {
        #expect(next.digest == second.digest, "the images differ: two builds of the same recipe, one after the other")
        return
      }
      second = next
    }
    Issue.record("the archive's versions changed between any two of five builds")
  }

  /// Builds the quickstart with a cache of its own that holds only the packages of `packages`: the image's digest, and
  /// the packages that had to be downloaded.
  private func rebuild(_ name: String, packages: String) throws -> (digest: SHA256.Digest, downloaded: [String]) {
    let work = try Workplace(name)
    try Files.makeDirectories("\(work.path)/cache")
    try DamagedImage.run(["cp", "-r", packages, "\(work.path)/cache/packages"])
    let before = try Self.packages("\(work.path)/cache/packages")
    let build = try start(["recipes/quickstart.yaml"], in: work, log: "build-\(name)")
    #expect(try build.waitForExit(seconds: 1200) == .exited(0), "\(build.tail)")
    let downloaded = try Self.packages("\(work.path)/cache/packages").subtracting(before)
    return (try FileDigest.chunked("\(work.path)/out.iso"), downloaded.sorted())
  }

  private static func packages(_ directory: String) throws -> Set<String> {
    var names: Set<String> = []
    for suite in try Files.list(directory) {
      for file in try Files.list("\(directory)/\(suite)") { names.insert("\(suite)/\(file)") }
    }
    return names
  }

  @Test("With a lock, a second build in other surroundings has the same bytes; what the archive has not is named")
  func locked() throws {
    let home = try #require(Environment.value("HOME"))
    let cache = Environment.value("XDG_CACHE_HOME") ?? "\(home)/.cache"
    let work = try Workplace("locked")
    let recipe = "\(work.path)/recipe.yaml"
    let file = "\(work.path)/recipe.lock"
    try Files.makeDirectories("\(work.path)/cache")
    try DamagedImage.run(["cp", "-r", "\(cache)/roost/packages", "\(work.path)/cache/packages"])
    try Files.write(Self.smallRecipe.replacing("PACKAGES", with: ""), to: recipe)
    func lock(_ name: String) throws -> String {
      let lock = try Machine(
        [try Environment.program("roost"), "lock", recipe, "--cache", "\(work.path)/cache"], log: "lock-\(name)")
      #expect(try lock.waitForExit(seconds: 200) == .exited(0), "\(lock.tail)")
      return lock.text
    }
    #expect(try lock("new").contains("recipe.lock: "))
    let text = try Files.readText(file)
    #expect(text.contains("\nroot control trixie bash ") && text.contains("\npackage bash "))
    #expect(try lock("again").contains("unchanged"))
    #expect(try Files.readText(file) == text)

    let build = try start([recipe, "--check-reproducible"], in: work, log: "build-locked")
    #expect(try build.waitForExit(seconds: 1200) == .exited(0), "\(build.tail)")
    #expect(build.text.contains("the second build has the same bytes"), "\(build.tail)")
    #expect(try Files.list(work.path).filter { $0.contains("second") }.isEmpty)

    // A package that the recipe did not want when the lock was made.
    try Files.write(Self.smallRecipe.replacing("PACKAGES", with: "hello"), to: recipe)
    let contradicted = try start([recipe], in: work, log: "build-contradicted")
    #expect(try contradicted.waitForExit(seconds: 60) == .exited(1))
    #expect(contradicted.text.contains("it was made without hello"), "\(contradicted.tail)")
    try Files.write(Self.smallRecipe.replacing("PACKAGES", with: ""), to: recipe)

    // A version that no archive has.
    let lines = text.split(separator: "\n", omittingEmptySubsequences: false).map { line in
      line.hasPrefix("package bash ") ? "package bash 0.1-1 amd64 1 " + String(repeating: "0", count: 64) : String(line)
    }
    try Files.write(lines.joined(separator: "\n"), to: file)
    let gone = try start([recipe], in: work, log: "build-gone")
    #expect(try gone.waitForExit(seconds: 300) == .exited(1))
    #expect(gone.text.contains("the archive no longer has what the lock says: bash 0.1-1"), "\(gone.tail)")
    #expect(gone.text.contains("--update bash"), "\(gone.tail)")
  }

  @Test("A misspelt key is refused with its place and the nearest valid one")
  func misspelt() throws {
    let work = try Workplace("misspelt")
    try Files.write(
      Self.smallRecipe.split(separator: "\n").map { $0.contains("memory:") ? "    memmory: 32 MiB" : String($0) }
        .joined(separator: "\n"), to: "\(work.path)/recipe.yaml")
    let build = try start(["\(work.path)/recipe.yaml"], in: work, log: "build-misspelt")
    #expect(try build.waitForExit(seconds: 30) != .exited(0))
    #expect(build.text.contains("recipe.yaml:6:5: error: unknown key 'memmory'"), "\(build.tail)")
    #expect(build.text.contains("'memory'"), "\(build.tail)")
    #expect(!Files.exists("\(work.path)/out.iso"))
  }

  @Test("A mirror that cannot be reached is named")
  func unreachableMirror() throws {
    let work = try Workplace("unreachable")
    try Files.write(Self.smallRecipe.replacing("PACKAGES", with: ""), to: "\(work.path)/recipe.yaml")
    let build = try start(
      ["\(work.path)/recipe.yaml", "--mirror", "http://127.0.0.1:9/debian"], in: work, log: "build-unreachable")
    #expect(try build.waitForExit(seconds: 180) != .exited(0))
    #expect(build.text.contains("127.0.0.1:9"), "\(build.tail)")
    #expect(!Files.exists("\(work.path)/out.iso"))
  }

  @Test("A package that does not exist is named, with its domain")
  func missingPackage() throws {
    let work = try Workplace("missing-package")
    try Files.write(
      Self.smallRecipe.replacing("PACKAGES", with: "no-such-package-anywhere"), to: "\(work.path)/recipe.yaml")
    let build = try start(["\(work.path)/recipe.yaml"], in: work, log: "build-missing-package")
    #expect(try build.waitForExit(seconds: 300) != .exited(0))
    #expect(build.text.contains("no-such-package-anywhere"), "\(build.tail)")
    #expect(build.text.contains("control domain"), "\(build.tail)")
  }

  @Test("An interrupted build leaves no image, no process, no mount and no scratch")
  func interrupted() throws {
    let work = try Workplace("interrupted")
    try Files.write(Self.smallRecipe.replacing("PACKAGES", with: ""), to: "\(work.path)/recipe.yaml")
    let build = try start(["\(work.path)/recipe.yaml"], in: work, log: "build-interrupted")
    try build.wait(for: "control domain", seconds: 60)
    MonotonicClock.sleep(milliseconds: 6000)
    try build.interrupt()
    #expect(try build.waitForExit(seconds: 60) == .exited(130), "\(build.tail)")
    #expect(!Files.exists("\(work.path)/out.iso"))
    #expect(try !Files.readText("/proc/mounts").contains("interrupted"))
    let scratch = try? Files.list("\(work.path)/cache/scratch")
    #expect(scratch?.isEmpty ?? true)
    for process in try Files.list("/proc") where Int(process) != nil {
      let command = (try? Files.readText("/proc/\(process)/cmdline")) ?? ""
      #expect(!command.contains("build/interrupted"), "process \(process) is left: \(command)")
    }
  }

  @Test(
    "When the disk is full the old image stays as it was", .enabled(if: isRoot, "skipped: a small tmpfs needs root"))
  func noSpace() throws {
    let work = try Workplace("no-space")
    let small = "\(work.path)/small"
    try Files.makeDirectories(small)
    try DamagedImage.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", small])
    defer { try? DamagedImage.run(["umount", small]) }
    try Files.write("the old image", to: "\(small)/out.iso")
    let build = try Machine(
      [try Environment.program("roost"), "build", "recipes/quickstart.yaml", "-o", "\(small)/out.iso"],
      log: "build-no-space")
    #expect(try build.waitForExit(seconds: 300) != .exited(0))
    #expect(build.text.contains("space"), "\(build.tail)")
    #expect(try Files.readText("\(small)/out.iso") == "the old image")
    #expect(try Files.list(small) == ["out.iso"])
  }

  static var isRoot: Bool { (try? Files.readText("/proc/self/status").contains("\nUid:\t0\t")) ?? false }

  private func start(_ arguments: [String], in work: borrowing Workplace, log: String) throws -> Machine {
    try Machine(
      [try Environment.program("roost"), "build"] + arguments + [
        "-o", "\(work.path)/out.iso", "--cache", "\(work.path)/cache",
      ], log: log)
  }
}

extension String {
  /// This text with every `old` replaced.
  func replacing(_ old: String, with new: String) -> String {
    var result = ""
    var rest = self[...]
    while let range = rest.firstRange(of: old) {
      result += rest[..<range.lowerBound] + new
      rest = rest[range.upperBound...]
    }
    return result + rest
  }
}
