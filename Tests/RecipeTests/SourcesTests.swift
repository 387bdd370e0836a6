import Manifest
import Testing

@testable import Recipe

/// The recipe's `sources`, and how domains name them.
@Suite struct SourcesTests {
  private static let digest = String(repeating: "ab", count: 32)
  private static let commit = String(repeating: "0f", count: 20)

  /// A recipe whose sources begin in line 3 and whose domain in line 8.
  private func text(_ change: (String, String) = ("", ""), domain: String = "{from: tree, path: 386/9pcf}") -> String {
    let sources = """
      sources:
        base: {url: "https://example.org/a/base.txz", sha256: \(Self.digest)}
        tree: {git: "https://example.org/plan9", commit: \(Self.commit)}
        disc: {file: disc.iso}

      """
    let text = recipe(
      top: sources, domain: "  - {name: d, memory: 64 MiB, ready: {console: x}, source: {kernel: \(domain)}}\n")
    return change.0.isEmpty ? text : text.replacing(change.0, with: change.1)
  }

  @Test func sourcesAreReadAndNamed() throws {
    let recipe = try Recipe.parse(text(), file: "r.yaml")
    #expect(recipe.sources.keys.sorted() == ["base", "disc", "tree"])
    guard case .download(let url, let sha256)? = recipe.sources["base"] else {
      Issue.record("no download")
      return
    }
    #expect(url == "https://example.org/a/base.txz")
    #expect("\(sha256)" == Self.digest)
    #expect(recipe.sources["tree"] == .repository(url: "https://example.org/plan9", commit: Self.commit))
    #expect(recipe.sources["disc"] == .file(path: "disc.iso", sha256: nil))
    guard case .files(let files)? = recipe.domains.first?.source else { return }
    #expect(files.kernel == .source("tree", path: "386/9pcf"))
  }

  /// The kernel as a file of Debian's, from line 6 on.
  private static let debian = (
    "{file: disc.iso}", "{debian-file: {package: memtest86+, path: boot/memtest86+x64.bin, suite: bookworm}}"
  )

  @Test func aFileOfDebiansIsNamedByItsPackage() throws {
    let recipe = try Recipe.parse(text(Self.debian, domain: "{from: disc}"), file: "r")
    #expect(
      recipe.sources["disc"]
        == .debianFile(suite: "bookworm", package: "memtest86+", path: "boot/memtest86+x64.bin"))
    for (word, other) in [("bookworm", "trixie"), ("package: memtest86+", "package: memtest"), ("x64.bin", "ia32.bin")]
    {
      let change = (Self.debian.0, Self.debian.1.replacing(word, with: other))
      #expect(try Recipe.parse(text(change, domain: "{from: disc}"), file: "r").digest != recipe.digest)
    }
    for (word, other, expected) in [
      ("suite: bookworm", "suit: bookworm", "6:75: error: unknown key 'suit' in a file of Debian's; did you mean"),
      (", suite: bookworm", "", "6:23: error: a file of Debian's needs the key 'suite'"),
      (
        "memtest86+,", "Memtest,", "6:33: error: 'package' in a file of Debian's: 'Memtest' is not the name of a Debian"
      ),
      (
        "boot/mem", "/boot/mem",
        "6:51: error: 'path' in a file of Debian's: '/boot/memtest86+x64.bin' is no path inside"
      ),
      (
        "{debian-file", "{sha256: a, debian-file", "6:10: error: 'sha256' does not pin a source with 'debian-file'; its"
      ),
    ] {
      let found = problems(text((Self.debian.0, Self.debian.1.replacing(word, with: other)), domain: "{from: disc}"))
      #expect(found.contains { $0.contains(expected) }, "\(found)")
    }
  }

  @Test func thePinIsInTheDigestAndTheAddressIsNot() throws {
    let digest = try Recipe.parse(text(), file: "r").digest
    #expect(try Recipe.parse(text(("example.org/a", "mirror.example/b")), file: "r").digest == digest)
    #expect(try Recipe.parse(text(("0f0f", "0f0e")), file: "r").digest != digest)
    #expect(try Recipe.parse(text(("abab", "abac")), file: "r").digest != digest)
  }

  @Test(arguments: [
    ("sha256: abab", "sha: abab", "4:49: error: unknown key 'sha' in a source; it may have url, sha256"),
    ("sha256: abab", "sha256: ABab", "4:57: error: 'sha256' in a source: 'ABab"),
    ("sha256: abab", "commit: abab", "4:49: error: 'commit' does not pin a source with 'url'; 'sha256' does"),
    ("https://example.org/a/", "ftp//", "4:15: error: 'url' in a source: 'ftp//base.txz' is not a URL"),
    ("https://example.org/a/", "ext::sh -c /", "is not a URL that can be fetched; write one as https://"),
    ("https://example.org/a/", "-oops://a/", "is not a URL"),
    ("https://example.org/plan9", "ssh://example.org/p", "5:15: error: 'git' in a source"),
    ("0f0f", "0f", "5:52: error: 'commit' in a source: '0f"),
    ("commit: 0f", "branch: 0f", "5:44: error: unknown key 'branch' in a source"),
    ("file: disc.iso", "git: disc.iso, file: a", "6:9: error: a source must have exactly one of the keys 'url', 'git'"),
    ("disc: {", "Disc: {", "6:3: error: the source's name 'Disc' may only have lower-case letters"),
    ("disc: {", "base: {", "6:3: error: the sources has the key 'base' twice; the first is in line 4"),
    ("{from: tree,", "{from: tre,", "8:76: error: there is no source 'tre'; did you mean 'tree'?"),
    (
      "{from: tree,", "{from: nothing-like-it,",
      "8:76: error: there is no source 'nothing-like-it'; add it to the recipe's"
    ),
    (", path: 386/9pcf", "", "8:69: error: the source 'tree' is a repository; add 'path: FILE'"),
    ("386/9pcf", "../etc", "8:88: error: 'path' in the file 'kernel': '../etc' is no path inside of a source"),
    ("386/9pcf", "/etc", "is no path inside of a source"),
    ("from: tree", "form: tree", "8:70: error: unknown key 'form' in the file 'kernel'; did you mean 'from'?"),
  ])
  func mistakesAreNamedWithTheirPlace(from: String, to: String, expected: String) {
    #expect(problems(text()) == [])
    let found = problems(text((from, to)))
    #expect(found.contains { $0.contains(expected) }, "\(found)")
  }

  @Test func freebsdComesOutOfItsArchives() throws {
    let change = ("{kernel: {from: tree, path: 386/9pcf}}", "{freebsd: {base: base, kernel: disc}}, disk: 2 GiB")
    let domain = try #require(try Recipe.parse(text(change), file: "r").domains.first)
    #expect(domain.source == .freebsd(base: "base", kernel: "disc", hostname: "d"))
    #expect(domain.boot == .freebsd)
    #expect(domain.ready.consoleText == "x")
    let firmware = try Recipe.parse(text((change.0, change.1 + ", boot: uefi")), file: "r").domains.first
    #expect(firmware?.boot == .uefi)
    for (source, expected) in [
      ("{freebsd: {base: base, kernel: disc}}", "a domain needs the key 'disk'"),
      ("{freebsd: {base: tree, kernel: disc}}", "the source 'tree' is a repository; 'base' is the release's base.txz"),
      ("{freebsd: {base: base}}", "a FreeBSD source needs the key 'kernel'"),
      ("{freebsd: {base: base, kernel: disc}}, boot: linux, a: b", "a FreeBSD domain boots with 'boot: freebsd'"),
    ] {
      let found = problems(text((change.0, source)))
      #expect(found.contains { $0.contains(expected) }, "\(found)")
    }
  }

  @Test func plan9ComesOutOfARepository() throws {
    let recipe = try Recipe.parse(
      text(("{kernel: {from: tree, path: 386/9pcf}}", "{plan9: {tree: tree, kernel: 9k10f}}, disk: 128 MiB")), file: "r"
    )
    let domain = try #require(recipe.domains.first)
    #expect(domain.source == .plan9(tree: "tree", kernel: .fossil64, hostname: "d"))
    #expect(domain.boot == .plan9)
    #expect(domain.os == "Plan 9")
  }

  @Test(arguments: [
    ("{tree: base}", "8:75: error: the source 'base' is no repository; pin one with 'git' and 'commit'"),
    ("{tree: tre}", "8:75: error: there is no source 'tre'; did you mean 'tree'?"),
    ("{}", "8:68: error: a Plan 9 source needs the key 'tree'"),
    (
      "{tree: tree, kernel: 9pc}",
      "8:89: error: 'kernel' in a Plan 9 source must be one of 9pcgz, 9pcf, 9k10f, not '9pc'"
    ),
    ("{tree: tree}}, disk: 64 MiB, a: {", "9pcgz has its root in RAM; leave 'disk' out, or take 9pcf or 9k10f"),
    ("{tree: tree}}, boot: bios, a: {", "a Plan 9 domain boots with 'boot: plan9'"),
    ("{tree: tree}}, disk-bus: ide, a: {", "a Plan 9 domain's root is a virtio disk; leave 'disk-bus' out"),
  ])
  func plan9Mistakes(source: String, expected: String) {
    let found = problems(text(("{kernel: {from: tree, path: 386/9pcf}}", "{plan9: \(source)}")))
    #expect(found.contains { $0.contains(expected) }, "\(found)")
  }

  @Test func aSourceWhoseTextIsWrongIsNotMissingToo() {
    #expect(problems(text(("commit: 0f", "commit: zz"))).count == 1)
  }
}
