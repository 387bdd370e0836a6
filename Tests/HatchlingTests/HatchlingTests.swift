import Platform
import TestMachine
import Testing

/// The bare-metal guest, built by its script, under QEMU's software emulation.
@Suite(.serialized, .machines) struct HatchlingTests {
  private static let kernel = Result { try build() }

  private static let root = String(#filePath.dropLast("/Tests/HatchlingTests/HatchlingTests.swift".count))

  private static func build(to name: String = "hatchling.elf") throws -> String {
    let directory = try Files.makeTemporaryDirectory(prefix: "/tmp/roost-hatchling-")
    let path = "\(directory)/\(name)"
    let status = try ChildProcess.start(ChildRequest(["\(root)/Sources/Hatchling/build.sh", path])).wait()
    try #require(status.isSuccess, "Sources/Hatchling/build.sh ended with \(status)")
    return path
  }

  private func boot(_ machine: String, _ more: [String] = []) throws -> QEMU {
    try QEMU(["-M", machine, "-m", "64", "-nic", "none", "-kernel", try Self.kernel.get()] + more)
  }

  @Test func twoBuildsAreEqual() throws {
    let first = try Files.read(try Self.kernel.get())
    #expect(try Files.read(try Self.build(to: "another.elf")) == first)
    #expect(first.count < 32 << 10)
    let text = String(decoding: first, as: UTF8.self)
    #expect(!text.contains("/tmp/") && !text.contains(Self.root))
  }

  @Test(.enabled(if: QEMU.missing == nil, "\(QEMU.missing ?? "")"), arguments: ["q35", "pc", "microvm"])
  func promptOn(_ machine: String) throws {
    let qemu = try boot(machine)
    let banner = try qemu.expect("hatchling> ", within: 300)
    #expect(banner.contains("Hatchling: a bare-metal guest"))
    #expect(banner.contains("63 MiB usable"))
    #expect(banner.contains("0x0000100000 - "))

    try qemu.send("help\r")
    #expect(try qemu.expect("hatchling> ", within: 120).contains("switch the machine off"))
    try qemu.send("echx\u{7F}o one  two\r")
    #expect(try qemu.expect("hatchling> ", within: 120).contains("\none  two\n"))
    try qemu.send("nonsense\r")
    #expect(try qemu.expect("hatchling> ", within: 120).contains("no such command: nonsense"))
    try qemu.send("uptime\r")
    #expect(try qemu.expect("hatchling> ", within: 120).contains("\nup "))
    try qemu.send("pci\r")
    let devices = try qemu.expect("hatchling> ", within: 120)
    #expect(devices.contains(machine == "microvm" ? "no PCI here" : "00:00.0 8086:"))
    try qemu.send("selftest\r")
    let tests = try qemu.expect("hatchling> ", within: 120)
    #expect(tests.contains(" 0 failed"), "\(tests)")
    #expect(tests.contains(machine == "microvm" ? "7 ok" : "9 ok"), "\(tests)")

    try qemu.send("off\r")
    #expect(try qemu.waitForExit(within: 120) == .exited(0))
    #expect(!qemu.transcript.contains("no ACPI power switch"))
  }

  @Test(.enabled(if: QEMU.missing == nil, "\(QEMU.missing ?? "")"))
  func obeysItsCommandLine() throws {
    let qemu = try boot("q35", ["-append", "console=ttyS0 selftest off"])
    #expect(try qemu.waitForExit(within: 300) == .exited(0))
    #expect(qemu.transcript.contains("selftest: 9 ok, 0 skipped, 0 failed"))
    #expect(!qemu.transcript.contains("hatchling> "))
  }

  /// With `-no-reboot` QEMU ends where the machine would start anew.
  @Test(.enabled(if: QEMU.missing == nil, "\(QEMU.missing ?? "")"), arguments: ["reboot", "crash"])
  func resetsBy(_ command: String) throws {
    let qemu = try boot("q35")
    try qemu.expect("hatchling> ", within: 300)
    try qemu.send("\(command)\r")
    #expect(try qemu.waitForExit(within: 120) == .exited(0))
    #expect(!qemu.transcript.contains("none of the known resets"))
    #expect(!qemu.transcript.contains("exception"))
  }
}
