import Platform
import Testing

@testable import ImageBuilder

@Suite("OCI: layers")
struct LayerTests {
  private func refusal(_ layers: [[TarFile.Entry]], limits: ArchiveLimits = .standard) throws -> BuildError? {
    let fixture = try OCIFixture()
    let error = #expect(throws: BuildError.self) { try fixture.tree(layers, limits: limits) }
    #expect(error?.code == .badFile, "\(String(describing: error))")
    return error
  }

  @Test("A layer adds, replaces and hides; a folder keeps what it has, and takes the new layer's permissions")
  func whiteouts() throws {
    var changed = TarFile.Entry.directory("etc")
    changed.permissions = 0o700
    let fixture = try OCIFixture()
    let tree = try fixture.tree([
      [.directory("etc"), .init("etc/a", "1"), .init("etc/b", "1"), .init("lib/x/y", "1"), .init("gone/z", "1")],
      [changed, .init("etc/b", "2"), .init("etc/.wh.a"), .init(".wh.gone"), .init("new/n", "2")],
    ])
    #expect(tree == ["etc": "/", "etc/b": "2", "lib": "/", "lib/x": "/", "lib/x/y": "1", "new": "/", "new/n": "2"])
    let first = try ArchiveReader("\(fixture.directory.path)/root.tar", .tar).next()
    #expect(first?.path == "etc" && first?.permissions == 0o700)
  }

  @Test("A whiteout hides what is below, and nothing of its own layer, before it or after it")
  func sameLayer() throws {
    #expect(
      try OCIFixture().tree([
        [.init("a", "1"), .init("d/old", "1")],
        [.init("a", "2"), .init(".wh.a"), .init("d/new", "2"), .init("d/.wh..wh..opq"), .init("d/newer", "2")],
      ]) == ["a": "2", "d": "/", "d/new": "2", "d/newer": "2"])
    // What is not there may be hidden, and AUFS's own files are nobody's.
    #expect(
      try OCIFixture().tree([[.init(".wh.nothing"), .init("x/.wh.y"), .init(".wh..wh.plnk/1.2"), .init("a", "1")]])
        == ["a": "1"])
  }

  @Test("Names are bytes: two ways to write a letter are two names, and a slash with a mark on it leads on")
  func bytes() throws {
    let fixture = try OCIFixture()
    let letters = try fixture.list([[.init("caf\u{E9}", "1")], [.init("cafe\u{301}", "2")]])
    #expect(letters.count == 2)
    #expect(
      try OCIFixture().tree([[.directory("b"), .init("a", kind: .link, target: "b")], [.init("a/\u{301}c", "2")]])
        == ["b": "/", "a": "-> b", "b/\u{301}c": "2"])
  }

  @Test("Links that lead around for ever are given up")
  func endless() throws {
    // Each name of the path leads through forty links of many names.
    let target = Array(repeating: "d", count: 30).joined(separator: "/../") + "/.."
    let links = (0..<38).map { number in
      TarFile.Entry("l\(number)", kind: .link, target: "\(target)/l\(number + 1)")
    }
    let files = (0..<200).map { TarFile.Entry("l0/f\($0)", "") }
    let error = try refusal(
      [[.directory("d")] + links + [.init("l38", kind: .link, target: "d")], files], limits: ArchiveLimits(entries: 300)
    )
    #expect(error?.message.contains("lead around without an end") == true, "\(String(describing: error))")
  }

  @Test("A file in the place of a folder, and a folder in the place of a file or a link")
  func kinds() throws {
    #expect(
      try OCIFixture().tree([
        [.init("a/b/c", "1"), .init("f", "1"), .init("l", kind: .link, target: "a")],
        [.init("a", "2"), .directory("f"), .init("f/g", "2"), .directory("l"), .init("l/m", "2")],
      ]) == ["a": "2", "f": "/", "f/g": "2", "l": "/", "l/m": "2"])
  }

  @Test("Links on the way lead where they do in the tree, and never out of it")
  func links() throws {
    #expect(
      try OCIFixture().tree([
        [
          .directory("usr"), .directory("usr/lib"), .init("lib", kind: .link, target: "usr/lib"),
          .init("out", kind: .link, target: "/../../../etc"), .init("up", kind: .link, target: "../../.."),
        ],
        [.init("lib/a", "2"), .init("out/passwd", "2"), .init("up/b", "2"), .init("lib/.wh.none")],
      ]) == [
        "usr": "/", "usr/lib": "/", "usr/lib/a": "2", "lib": "-> usr/lib", "out": "-> /../../../etc", "etc": "/",
        "etc/passwd": "2", "up": "-> ../../..", "b": "2",
      ])
  }

  @Test("Names of one file stay names of one file, and outlive the one that had its content")
  func hardLinks() throws {
    #expect(
      try OCIFixture().tree([
        [
          .init("b", "1"), .init("c", kind: .hardLink, target: "b"), .init("a", kind: .hardLink, target: "/c"),
          .init("l", kind: .link, target: "b"), .init("m", kind: .hardLink, target: "l"),
        ]
      ]) == ["a": "1", "b": "= a", "c": "= a", "l": "-> b", "m": "-> b"])
    #expect(
      try OCIFixture().tree([
        [.init("b", "1"), .init("c", kind: .hardLink, target: "b")], [.init("b", "2"), .init(".wh.none")],
        [.init(".wh.b"), .init("d", kind: .hardLink, target: "c")],
      ]) == ["c": "1", "d": "= c"])
  }

  @Test("Owners and set-id bits stay; devices and pipes are left out")
  func attributes() throws {
    var program = TarFile.Entry("su", "x")
    (program.permissions, program.owner) = (0o4755, 1234)
    let fixture = try OCIFixture()
    let tree = try fixture.tree([[program, .init("dev/sda", kind: .device), .init("pipe", kind: .pipe)]])
    #expect(tree == ["su": "x"])
    let entry = try ArchiveReader("\(fixture.directory.path)/root.tar", .tar).next()
    #expect(entry?.permissions == 0o4755 && entry?.owner == 1234 && entry?.group == 1234)
  }

  @Test("Hostile layers are refused in words")
  func hostile() throws {
    let cases: [([TarFile.Entry], String)] = [
      ([.init("../x", "1")], "'../x'"), ([.init("a/../../x", "1")], "leads out of it"),
      ([.init("f", "1"), .init("f/x", "1")], "is a file"),
      ([.init("a", kind: .hardLink, target: "etc/shadow")], "hard link to etc/shadow"),
      ([.directory("d"), .init("a", kind: .hardLink, target: "d")], "no file of it"),
      ([.init("a", kind: .link, target: "b"), .init("b", kind: .link, target: "a"), .init("a/x", "1")], "circles"),
      ([.init(".wh..", "1")], "whiteout of nothing"), ([.init("x/.wh...", "1")], "whiteout of nothing"),
    ]
    for (entries, words) in cases {
      #expect(try refusal([entries])?.message.contains(words) == true, "\(words)")
    }
    // Folders in folders, by links: deeper than a path can be.
    let deep = Array(repeating: "d", count: 1000).joined(separator: "/")
    let links: [TarFile.Entry] = [.init("l", kind: .link, target: deep), .init("l/\(deep)/x", "1")]
    #expect(try refusal([links])?.message.contains("folders in each other") == true)
  }

  @Test("The bounds are those of all layers together")
  func bounds() throws {
    let layers: [[TarFile.Entry]] = (0..<3).map { number in (0..<10).map { .init("\(number)/\($0)", "") } }
    #expect(try OCIFixture().tree(layers, limits: ArchiveLimits(entries: 33)).count == 33)
    #expect(try refusal(layers, limits: ArchiveLimits(entries: 29))?.message.contains("files and folders") == true)
    // One member may make many folders.
    let path = Array(repeating: "d", count: 50).joined(separator: "/")
    #expect(try refusal([[.init(path, "")]], limits: ArchiveLimits(entries: 40))?.message.contains("40 files") == true)
    let large: [[TarFile.Entry]] = (0..<3).map { [.init("f\($0)", String(repeating: "x", count: 40_000))] }
    let error = try refusal(large, limits: ArchiveLimits(bytes: 100_000))
    #expect(error?.message == "layer 3 of the image unpacks to more than 0 MiB")
  }
}
