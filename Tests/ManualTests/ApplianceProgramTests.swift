import Platform
import Testing

/// The control domain's programs in one file: which of them it is.
@Suite("roost-appliance")
struct ApplianceProgramTests {
  private static let file = "\(BuiltProgram.folder)/roost-appliance"
  /// How each program's own help begins.
  private static let helps = [
    "roost": "OVERVIEW: Many operating systems", "roostd": "usage: roostd",
    "roost-storage": "roost-storage: the guests'",
    "roost-init": "roost-init: PID 1",
  ]

  @Test("It is the program whose name it is started by", arguments: helps.keys.sorted())
  func name(_ name: String) throws {
    let directory = try Files.makeTemporaryDirectory(prefix: "/tmp/roost-appliance.")
    defer { try? Files.removeTree(directory) }
    try Files.link("\(directory)/\(name)", to: Self.file)
    let (status, text) = try BuiltProgram.run(["\(directory)/\(name)", "--help"])
    #expect(status == .exited(0) && text.hasPrefix(Self.helps[name] ?? "?"), "\(text)")
  }

  @Test("Under any other name its first argument says so", arguments: helps.keys.sorted())
  func argument(_ name: String) throws {
    let (status, text) = try BuiltProgram.run([Self.file, name, "--help"])
    #expect(status == .exited(0) && text.hasPrefix(Self.helps[name] ?? "?"), "\(text)")
  }

  @Test("What is none of them is refused with the names that there are")
  func others() throws {
    for words in [[], ["roost-vmm"], ["poweroff"]] {
      let (status, text) = try BuiltProgram.run([Self.file] + words)
      #expect(status == .exited(2) && text.contains("roost | roostd | roost-init | roost-storage"), "\(text)")
    }
    let help = try BuiltProgram.run([Self.file, "--help"])
    #expect(help.status == .exited(0) && help.text.hasPrefix("roost-appliance: the programs"), "\(help.text)")
  }
}
