import Platform
import Testing

/// `roost new` as a user runs it.
@Suite("roost new")
struct NewCommandTests {
  private func run(_ words: [String]) throws -> (status: Platform.ExitStatus, text: String) {
    try BuiltProgram.run(["\(BuiltProgram.folder)/roost", "new"] + words)
  }

  @Test("It writes the recipe and says what comes next; a file that is there stays as it is")
  func writes() throws {
    let directory = try Files.makeTemporaryDirectory(prefix: "/tmp/roost-new.")
    defer { try? Files.removeTree(directory) }
    let path = "\(directory)/lab.yaml"
    let (status, text) = try run([path, "--guest", "debian", "--guest", "plan9"])
    #expect(status == .exited(0), "\(text)")
    for words in ["\(path): debian, plan9", "roost build \(path) -o lab.iso", "roost provision lab.iso"] {
      #expect(text.contains(words), "\(text)")
    }
    #expect(try Files.readText(path).contains("name: plan9"))

    try Files.write("mine", to: path)
    let again = try run([path])
    #expect(again.status == .exited(1) && again.text.contains("it is there already"), "\(again.text)")
    #expect(try Files.readText(path) == "mine")
    #expect(try run(["\(directory)/no/lab.yaml"]).status == .exited(1))
  }

  @Test("The list has a line for each guest; an unknown one is refused with those that there are")
  func list() throws {
    let (status, text) = try run(["--list"])
    #expect(status == .exited(0))
    #expect(
      text.split(separator: "\n").map { $0.split(separator: " ").first ?? "" } == [
        "debian", "freebsd", "plan9", "pc", "hatchling",
      ])
    let unknown = try run(["/tmp/roost-none.yaml", "--guest", "windows"])
    #expect(unknown.status == .exited(64) && unknown.text.contains("hatchling"), "\(unknown.text)")
    #expect(try run([]).status == .exited(64))
    #expect(!Files.exists("/tmp/roost-none.yaml"))
  }
}
