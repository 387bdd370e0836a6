import Binary
import Platform
import Recipe
import Testing

@testable import ImageBuilder

/// Services that are switched by systemctl(1), in a root that has this machine's and little else.
@Suite(
  "Services of guests",
  .enabled(if: Files.exists("/usr/bin/systemctl"), "skipped: there is no systemctl to have in a root"))
struct ServiceLinksTests {
  private static let system = "etc/systemd/system"
  private static let packaged = "usr/lib/systemd/system"

  private static func unit(_ path: String) -> TreeEntry {
    .text(path, "[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n")
  }

  /// systemctl with what it is linked to.
  private static func programs() throws -> [TreeEntry] {
    let text = try Command(["ldd", "/usr/bin/systemctl"]).run(cancellation: Cancellation()).text
    let libraries = text.split(separator: "\n").compactMap { line in
      line.split(whereSeparator: { $0 == " " || $0 == "\t" }).first { $0.hasPrefix("/") }.map(String.init)
    }
    return (libraries + ["/usr/bin/systemctl"]).map { .file(String($0.dropFirst()), from: $0, permissions: 0o755) }
  }

  /// Switches services on in a root with `more`; the links that this makes, by their names.
  private static func switched(_ names: [String], _ more: [TreeEntry], files: String = "[]") throws -> [String] {
    let directory = try TemporaryDirectory()
    try Files.makeDirectories("\(directory.path)/root")
    let writer = try ArchiveWriter("\(directory.path)/root/\(DebianRoot.archive)", .tar, epoch: 1_000_000)
    for folder in ["etc", "proc", "mnt"] { try writer.add(.directory(folder)) }
    for entry in try programs() + more { try writer.add(entry) }
    try writer.finish()
    let recipe = try Recipe.parse(
      """
      name: test
      control-domain: {suite: trixie}
      domains:
        - name: web
          memory: 384 MiB
          disk: 2 GiB
          source: {debian: {suite: trixie, files: \(files)}}

      """, file: "r.yaml", directory: directory.path)
    let domain = try #require(recipe.domains.first)
    var system = GuestSystem(hostname: "web", nameServer: nil)
    system.customization.enabledServices = names.map { "\($0).service" }
    let changes = try SystemChanges(domain.customization, owner: "web", recipe: recipe)
    let links = try #require(ServiceLinks(domain: "web", root: "root", system: system, changes: changes))
    let context = try SquashfsTests.context(directory, "links")
    do throws(BuildError) {
      try links.step(epoch: 1_000_000, versions: [:]).run(context)
    } catch {
      Issue.record("\(error) \((try? directory.text("log")) ?? "")")
      return []
    }
    let words = try directory.text("links/\(ServiceLinks.file)").split(
      separator: "\0", omittingEmptySubsequences: false)
    let middle = try #require(words.indices.first { $0 % 2 == 0 && words[$0].isEmpty })
    let before = Set(stride(from: 0, to: middle, by: 2).map { words[$0] })
    return stride(from: middle + 1, to: words.count - 1, by: 2).map { words[$0] }.filter { !before.contains($0) }
      .map(String.init).sorted()
  }

  private static func wanted(_ names: [String]) -> [String] {
    names.map { "\(system)/multi-user.target.wants/\($0).service" }
  }

  @Test("A unit may be a link to somewhere else, over other links and folders too")
  func links() throws {
    let made = try Self.switched(
      ["far", "linked", "near", "shared"],
      [
        Self.unit("\(Self.packaged)/near.service"),
        .link("\(Self.system)/far.service", to: "/opt/far/current/far.service"),
        .link("opt/far/current", to: "1.2"), Self.unit("opt/far/1.2/far.service"),
        .link("\(Self.packaged)/shared.service", to: "../../../share/shared/shared.service"),
        Self.unit("usr/share/shared/shared.service"),
        .link("usr/local/lib/systemd/system", to: "../../../../srv/units"), Self.unit("srv/units/linked.service"),
      ])
    #expect(made == Self.wanted(["far", "linked", "near", "shared"]) + ["\(Self.system)/shared.service"])
  }

  @Test("A unit that the recipe has may be what a link of the packages leads to")
  func own() throws {
    let made = try Self.switched(
      ["own"], [.link("\(Self.system)/own.service", to: "/srv/own.service")],
      files: "[{path: /srv/own.service, text: \"[Install]\\nWantedBy=multi-user.target\\n\"}]")
    #expect(made == Self.wanted(["own"]))
  }

  @Test("A unit may be another name of a file elsewhere, and of one that the recipe replaces")
  func names() throws {
    let made = try Self.switched(
      ["hard", "one", "two"],
      [
        .text("bin/same", "x"), TreeEntry(path: "etc/same", content: .hardLink(to: "bin/same"), permissions: 0o644),
        Self.unit("opt/hard.service"),
        TreeEntry(
          path: "\(Self.packaged)/hard.service", content: .hardLink(to: "opt/hard.service"), permissions: 0o644),
        Self.unit("\(Self.packaged)/one.service"),
        TreeEntry(
          path: "\(Self.packaged)/two.service", content: .hardLink(to: "\(Self.packaged)/one.service"),
          permissions: 0o644),
      ], files: "[{path: /\(Self.packaged)/one.service, text: \"[Install]\\nWantedBy=basic.target\\n\"}]")
    #expect(made == ["\(Self.system)/basic.target.wants/one.service"] + Self.wanted(["hard", "two"]))
  }
}
