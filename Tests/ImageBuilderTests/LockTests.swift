import Binary
import Platform
import Recipe
import Testing

@testable import ImageBuilder

@Suite("Locks of recipes")
struct LockTests {
  private static let digest = String(repeating: "ab", count: 32)

  private static let text = """
    # What `roost build` takes, exactly. Written by `roost lock`; it belongs beside the recipe.
    roost-lock 1

    tool zstd 1.5.7+dfsg-1

    file disc \(digest)

    root control trixie bash linux-image-amd64
    archive deb http://deb.example.org/debian trixie main
    archive deb [signed-by="/usr/share/keyrings/a.gpg"] http://deb.example.org/security trixie-security main
    package bash 5.2.37-2+b10 amd64 1500792 \(digest)
    package linux-image-6.12.48+deb13-amd64 6.12.48-1 amd64 108 \(digest)
    package linux-image-amd64 6.12.48-1 amd64 1480 \(digest)

    root guest bookworm bash
    package bash 1:5.2-1 all 7 \(digest)

    """

  private func lock(_ edit: (inout String) -> Void = { _ in }) throws -> RecipeLock {
    var text = Self.text
    edit(&text)
    return try RecipeLock(text, path: "lab.lock")
  }

  @Test("Its text is read as it is written, sorted")
  func roundTrip() throws {
    var lock = try lock()
    #expect(lock.text == Self.text)
    #expect(lock.roots.count == 2 && lock.roots[0].packages.count == 3 && lock.roots[0].archives.count == 2)
    #expect(lock.roots[1].packages[0].archiveName == "bash_1%3a5.2-1_all.deb")
    #expect(lock.files["disc"]?.description == Self.digest)
    lock.roots.reverse()
    #expect(lock.text == Self.text)
  }

  @Test("It is beside its recipe")
  func place() {
    #expect(RecipeLock.path(beside: "a/lab.yaml") == "a/lab.lock")
    #expect(RecipeLock.path(beside: "lab.yml") == "lab.lock")
    #expect(RecipeLock.path(beside: "lab") == "lab.lock")
    #expect(RecipeLock.path(beside: ".yaml") == ".yaml.lock")
  }

  @Test(
    "What is none is refused with its place",
    arguments: [
      ("roost-lock 1", "roost-lock 2", "lab.lock:2: this is no lock of a recipe, or one of another version"),
      ("tool zstd 1.5.7+dfsg-1", "tool zstd", "lab.lock:4: not understood"),
      ("tool zstd 1.5.7+dfsg-1", "tool zstd 1\ntool zstd 2", "lab.lock:5: a second time"),
      ("tool zstd 1.5.7+dfsg-1", "tool zstd 1\u{1B}[2J", "lab.lock:4: not understood: tool zstd 1?[2J"),
      ("file disc ab", "file disc xy", "lab.lock:6: no digest"),
      ("root guest bookworm", "root host bookworm", "lab.lock:15: no root"),
      ("root guest bookworm", "root guest ../x", "lab.lock:15: no root"),
      ("root guest bookworm bash", "root guest bookworm ba$sh", "lab.lock:15: no root"),
      ("root guest bookworm bash", "root control trixie bash linux-image-amd64", "lab.lock:15: a second time"),
      ("archive deb http", "archive rm http", "lab.lock:9: not understood"),
      ("package bash 5.2.37-2+b10", "package ../bash 5.2.37-2+b10", "lab.lock:11: no package"),
      ("package bash 5.2.37-2+b10", "package bash 5/2", "lab.lock:11: no package"),
      ("b10 amd64 1500792", "b10 arm64 1500792", "lab.lock:11: no package"),
      ("b10 amd64 1500792", "b10 amd64 0", "lab.lock:11: no package"),
      ("package bash 5.2.37-2+b10", "package zsh 5.2.37-2+b10", "lab.lock:12: a package out of order"),
      ("roost-lock 1\n", "roost-lock 1\npackage a 1 all 1 \(digest)\n", "lab.lock:3: out of place"),
      ("tool zstd 1.5.7+dfsg-1", "\u{1B}[31mred", "lab.lock:4: not understood: ?[31mred"),
    ])
  func refused(from: String, to: String, expected: String) throws {
    #expect {
      try lock { $0.replace(from, with: to, maxReplacements: 1) }
    } throws: { "\($0)".hasPrefix(expected) }
    #expect(throws: LockError.self) { try RecipeLock("", path: "lab.lock") }
  }

  @Test("A file that is no text, or a folder, is no lock; none is none")
  func files() throws {
    let directory = try TemporaryDirectory()
    #expect(try RecipeLock(file: "\(directory.path)/none") == nil)
    #expect(throws: LockError.self) { try RecipeLock(file: directory.path) }
    try Files.write([0xFF, 0xFE, 0], to: "\(directory.path)/binary")
    #expect(throws: LockError.self) { try RecipeLock(file: "\(directory.path)/binary") }
    let lock = try lock()
    try lock.write(to: "\(directory.path)/lab.lock")
    #expect(try RecipeLock(file: "\(directory.path)/lab.lock") == lock)
  }

  private static let recipe = """
    name: test
    control-domain: {suite: trixie}
    sources:
      disc: {file: disc.iso}
      seabios: {debian-file: {suite: bookworm, package: seabios, path: usr/share/seabios/bios.bin}}
    domains:
      - name: one
        os: Debian 12
        disk: 2 GiB
        memory: 256 MiB
        source: {debian: {suite: bookworm, packages: [vim]}}
        ready: {console: "one login:", timeout: 60 s}

    """

  /// A recipe in `directory`, and the lock that fits it, with one package in each root.
  private func made(in directory: TemporaryDirectory) throws -> (Recipe, RecipeLock) {
    try directory.write("recipe.yaml", Self.recipe)
    try directory.write("disc.iso", "a disc")
    let recipe = try Recipe.load("\(directory.path)/recipe.yaml")
    let wanted = try LockedWants(recipe, BuildOptions(output: ""))
    let package = RecipeLock.Package(
      name: "linux-image-6.1-cloud-amd64", version: "6.1-1", architecture: "amd64", size: 3,
      sha256: SHA256.hash("abc"))
    let roots = wanted.resolvers.map {
      RecipeLock.Root(want: $0.want, archives: ["deb http://example.org/debian x main"], packages: [package])
    }
    return (recipe, RecipeLock(roots: roots, files: wanted.files, tools: [:]))
  }

  @Test("A recipe wants its control domain, each guest's release, package files, and what it does not pin")
  func wants() throws {
    let directory = try TemporaryDirectory()
    let (_, lock) = try made(in: directory)
    let roots = lock.roots.map { "\($0.want.role) \($0.want.suite)" }
    #expect(roots == ["control trixie", "guest bookworm", "file bookworm"])
    #expect(lock.roots[1].want.packages.contains("vim"))
    #expect(lock.roots[1].want.packages.contains("linux-image-cloud-amd64"))
    #expect(lock.roots[2].want.packages == ["seabios"])
    #expect(lock.files == ["disc": SHA256.hash("a disc")])
  }

  @Test("A lock that contradicts its recipe is refused, and says in what")
  func contradictions() throws {
    let directory = try TemporaryDirectory()
    let (_, lock) = try made(in: directory)
    func refusal(_ from: String, _ to: String) throws -> String {
      try directory.write("recipe.yaml", Self.recipe.replacing(from, with: to))
      let recipe = try Recipe.load("\(directory.path)/recipe.yaml")
      do {
        try lock.check(try LockedWants(recipe, BuildOptions(output: "")), path: "recipe.lock")
        return "accepted"
      } catch { return "\(error)" }
    }
    #expect(try refusal("[vim]", "[vim]") == "accepted")
    #expect(try refusal("[vim]", "[vim, zsh]").contains("recipe.lock is not the lock of this recipe as it is now"))
    #expect(try refusal("[vim]", "[vim, zsh]").contains("it was made without zsh"))
    #expect(try refusal("[vim]", "[]").contains("it was made with vim"))
    #expect(try refusal("suite: bookworm, packages", "suite: sid, packages").contains("nothing of Debian sid"))
    try directory.write("disc.iso", "another disc")
    let changed = try refusal("[vim]", "[vim]")
    #expect(changed.contains("the source 'disc' is not the one that recipe.lock has"))
    #expect(changed.contains("\(SHA256.hash("a disc"))") && changed.contains("\(SHA256.hash("another disc"))"))
  }

  @Test("Versions of the lock decide the steps; the mirror does not")
  func plan() throws {
    let directory = try TemporaryDirectory()
    let (recipe, lock) = try made(in: directory)
    for name in Programs.names { try directory.write(name, "a program") }
    try directory.write(Programs.bootMenu, "@TITLE@ @COMMAND_LINE@")
    func settings(_ lock: RecipeLock?, mirror: String? = nil) throws -> [[String]] {
      var options = BuildOptions(output: "\(directory.path)/out.iso")
      options.programs = directory.path
      options.lock = lock.map { ($0, "recipe.lock") }
      options.mirror = mirror
      let plan = try BuildPlan(recipe, options, versions: [:])
      #expect(plan.lockText == lock?.text)
      return plan.steps.filter { ["debian-root", "debian-file"].contains($0.kind) }.map(\.settings)
    }
    let locked = try settings(lock)
    #expect(locked.count == 2, "the source is used by nobody")
    #expect(try settings(lock, mirror: "http://mirror.example.org") == locked)
    #expect(try settings(nil, mirror: "http://mirror.example.org") != settings(nil))
    var other = lock
    other.roots[1].packages[0].version = "6.1-2"
    let changed = try settings(other)
    #expect(changed[0] == locked[0] && changed[1] != locked[1])
    // What is unpacked is named by its file, not looked for.
    #expect(locked[1].contains { $0.contains("newest=linux-image-6.1-cloud-amd64_6.1-1_amd64.deb") })
    #expect(!locked[1].contains { $0.contains("apt-get -q download") })
  }

  @Test("Other versions of tools are told, not refused")
  func tools() throws {
    let remarks = try lock().otherTools(["zstd": "1.6", "tar": "1"])
    #expect(
      remarks == ["zstd is 1.6 here, and was 1.5.7+dfsg-1 where the lock was made: the image may have other bytes"])
    #expect(try lock().otherTools(["zstd": "1.5.7+dfsg-1"]).isEmpty)
  }

  @Test("What changed from one lock to the next")
  func changes() throws {
    let before = try lock()
    var after = before
    after.roots[0].packages[0].version = "5.3-1"
    after.roots[0].packages.remove(at: 1)
    after.roots[1].packages.append(
      .init(name: "vim", version: "9", architecture: "all", size: 1, sha256: SHA256.hash("")))
    #expect(
      after.changes(since: before).map(\.description) == [
        "control trixie: bash 5.2.37-2+b10 → 5.3-1",
        "control trixie: linux-image-6.12.48+deb13-amd64 6.12.48-1 is gone", "guest bookworm: vim 9 is new",
      ])
    #expect(before.changes(since: before).isEmpty)
  }

  // MARK: Asking the archive

  @Test("apt's entries become packages; one without a digest, or with a name that is none, is refused")
  func stanzas() throws {
    let stanza = """
      Package: bash
      Version: 1:5.2-1
      Architecture: amd64
      Size: 12
      SHA256: \(Self.digest)
      Description: x
       y

      """
    let packages = try PackageResolver.packages(Array("\(stanza)\nPackage: acl\n\(stanza.dropFirst(14))".utf8), "one")
    #expect(packages.map(\.name) == ["acl", "bash"] && packages[1].version == "1:5.2-1" && packages[1].size == 12)
    for (from, to) in [("bash", "ba/sh"), ("SHA256", "MD5sum"), ("amd64", "arm64"), ("12", "x"), ("1:5.2-1", "$(x)")] {
      let broken = stanza.replacing(from, with: to, maxReplacements: 1)
      #expect(throws: BuildError.self, "\(to)") { try PackageResolver.packages(Array(broken.utf8), "one") }
    }
    #expect(throws: BuildError.self) { try PackageResolver.packages([], "one") }
  }

  @Test("What stays is pinned")
  func pins() throws {
    let packages = try lock().roots[0].packages
    #expect(
      PackageResolver.preferences([packages[0]])
        == "Package: bash\nPin: version 5.2.37-2+b10\nPin-Priority: 1001\n")
    #expect(PackageResolver.preferences(packages).split(separator: "\n").count == 9)
  }

  @Test("Versions that are gone are named, with the command that takes others")
  func gone() {
    let error = "\(LockedPackages.gone(["bash=1:5.2-1", "vim=9"], owner: "one"))"
    #expect(error.contains("the archive no longer has what the lock says: bash 1:5.2-1, vim 9"))
    #expect(error.contains("roost lock RECIPE --update bash --update vim"))
  }

  @Test("Packages come out of the cache when their digest is right, and a broken one is removed from it")
  func cache() throws {
    let directory = try TemporaryDirectory()
    let kept = "\(directory.path)/kept"
    try Files.makeDirectories(kept)
    let (_, lock) = try made(in: directory)
    let package = lock.roots[1].packages[0]
    let packages = LockedPackages(
      root: lock.roots[1], archive: DebianArchive(suite: "bookworm", mirror: nil, owner: "one"), kept: kept)
    let cancellation = Cancellation()
    let place = DebianArchive.Place(
      scratch: directory.path, log: "\(directory.path)/log", epoch: 1, cancellation: cancellation)
    try Files.write("abc", to: "\(kept)/\(package.archiveName)")
    try packages.gather(into: "\(directory.path)/locked", in: place) { _ in Issue.record("nothing is fetched") }
    #expect(try Files.readText("\(directory.path)/locked/\(package.archiveName)") == "abc")
    // Of the right size: only the digest tells. What is not there is fetched, which a cancelled build does not.
    try Files.write("abd", to: "\(kept)/\(package.archiveName)")
    cancellation.cancel()
    #expect(throws: BuildError.self) {
      try packages.gather(into: "\(directory.path)/again", in: place) { _ in }
    }
  }
}
