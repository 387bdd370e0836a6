import Manifest
import Platform
import Testing

@testable import Recipe

@Suite("Roots that are images or folders")
struct LaunchTests {
  private func text(_ source: String, more: String = "disk: 128 MiB") -> String {
    """
    name: test
    control-domain: {suite: trixie}
    sources: {it: {file: image.tar}}
    domains:
      - name: app
        memory: 64 MiB
        \(more)
        source:
          \(source)

    """
  }

  private func problems(_ text: String, directory: String = "") -> String {
    do {
      _ = try Recipe.parse(text, file: "r.yaml", directory: directory)
      return ""
    } catch {
      return "\(error)"
    }
  }

  @Test("An image by path and by source, with what is run")
  func image() throws {
    let plain = try Recipe.parse(text("oci: {image: a.tar, suite: trixie}"), file: "r.yaml").domains[0]
    #expect(
      plain.source
        == .image(.init(image: .path("a.tar"), reference: nil, launch: .init(suite: "trixie", hostname: "app"))))
    #expect(plain.boot == .linux && plain.ready.consoleText == "app starts ")
    let source = """
      oci: {image: {from: it}, reference: "app:1", suite: trixie, command: [a, b c], environment: {A: 1}, restart: always}
      """
    let full = try Recipe.parse(text(source), file: "r.yaml").domains[0]
    guard case .image(let root) = full.source else { return #expect(Bool(false), "\(full.source)") }
    #expect(root.image == .source("it", path: nil) && root.reference == "app:1")
    #expect(root.launch.command == ["a", "b c"] && root.launch.environment == ["A": "1"])
    #expect(root.launch.restart == .always && root.launch.start == .automatic)
    #expect(full.sourceDigest != plain.sourceDigest)
  }

  @Test("What cannot be is told with its place")
  func wrong() {
    #expect(problems(text("oci: {image: a.tar}")).contains("suite"))
    #expect(problems(text("oci: {suite: trixie}")).contains("image"))
    #expect(problems(text("oci: {image: a, suite: trixie}", more: "os: x")).contains("disk"))
    #expect(
      problems(text("oci: {image: a, suite: trixie}", more: "disk: 1 GiB\n    boot: bios")).contains("boot: linux"))
    #expect(problems(text("oci: {image: a, suite: trixie, reference: \"a b\"}")).contains("app:1.2"))
    #expect(problems(text("oci: {image: a, suite: trixie, command: x}")).contains("must be a list"))
    #expect(problems(text("oci: {image: a, suite: trixie, command: [\"\"]}")).contains("no program"))
    #expect(problems(text("oci: {image: a, suite: trixie, environment: {A=B: 1}}")).contains("no name of a variable"))
    #expect(problems(text("oci: {image: a, suite: trixie, start: init, restart: always}")).contains("no use for"))
    #expect(problems(text("oci: {image: {from: other}, suite: trixie}")).contains("no source 'other'"))
  }

  @Test("A folder lies in the recipe's own or below, by whatever way")
  func folder() throws {
    let directory = try Files.makeTemporaryDirectory(prefix: "/tmp/roost-test.")
    defer { try? Files.removeTree(directory) }
    try Files.makeDirectories("\(directory)/recipe/tree")
    try Files.makeDirectories("\(directory)/other")
    try Files.write("x", to: "\(directory)/recipe/file")
    try Files.link("\(directory)/recipe/out", to: "../other")
    let recipe = "\(directory)/recipe"
    func source(_ path: String) -> String { text("directory: {path: \(path), suite: trixie, owner: \"1:2\"}") }
    let domain = try Recipe.parse(source("tree"), file: "r.yaml", directory: recipe).domains[0]
    guard case .folder(let root) = domain.source else { return #expect(Bool(false), "\(domain.source)") }
    #expect(root.path == "tree" && root.owner == "1:2")
    for (path, words) in [
      ("out", "leads out of the recipe's folder"), ("../other", "no file's path"), ("/etc", "absolute"),
      ("file", "is no folder"), ("nothing", "is not there"),
    ] {
      #expect(problems(source(path), directory: recipe).contains(words), "\(path)")
    }
    #expect(problems(text("directory: {suite: trixie}"), directory: recipe).contains("path"))
  }
}
