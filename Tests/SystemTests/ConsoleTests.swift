import Platform
import Testing

/// What a person at the serial line does.
@Suite("The screen and the consoles", .serialized, .enabled(if: Environment.isComplete, Environment.reason))
struct ConsoleTests {
  @Test("From the table to each guest's console, its log, and back; then power off, guests first")
  func drive() throws {
    try EmulatorPanic.startingOver { attempt in
      let machine = try Appliance.start(
        Appliance.Options(iso: try Environment.image()), log: "consoles-\(attempt)")
      do {
        try session(machine)
      } catch {
        try EmulatorPanic.check(text: machine.text)
        throw error
      }
    }
  }

  private func session(_ machine: Machine) throws {
    try machine.wait(for: "All 3 domains are ready.", seconds: 600)

    // hatchling: our own guest, told what memory it has.
    try machine.type("3")
    try machine.wait(for: "hatchling> ", seconds: 30)
    try machine.type("mem\r")
    try machine.wait(for: "MiB", seconds: 30)
    try machine.type("pci\r")
    try machine.wait(for: "8086:1237", seconds: 30)
    try machine.type("\u{1D}")
    try machine.wait(for: "All 3 domains are ready.", seconds: 30)

    // debian: its disk is writable, and it reaches the other guest by name.
    try machine.type("1")
    try machine.wait(for: "debian login:", seconds: 60)
    try machine.type("root\r")
    try machine.wait(for: "root@debian:~#", seconds: 120)
    try machine.type("echo ke''pt >/file && sync && cat /file\r")
    try machine.wait(for: "kept", seconds: 60)
    try machine.wait(for: "root@debian:~#", seconds: 60)
    try machine.type("getent hosts bookworm && echo by-na''me\r")
    try machine.wait(for: "10.77.0.", seconds: 60)
    try machine.wait(for: "by-name", seconds: 60)
    try machine.type("\u{1D}")
    try machine.wait(for: "All 3 domains are ready.", seconds: 30)

    // Disks of its own and others change while it runs.
    try DiskSession(machine: machine).run()

    // The log of the chosen domain.
    try machine.type("l")
    try machine.wait(for: "Log of debian", seconds: 30)
    try machine.type("q")
    try machine.wait(for: "All 3 domains are ready.", seconds: 30)

    try machine.type("p")
    try machine.wait(for: "asked to power off first", seconds: 30)
    try machine.type("o")
    #expect(try machine.waitForExit(seconds: 180) == .exited(0))
    #expect(!machine.text.contains("Kernel panic"))
    #expect(!machine.text.contains("guest crashed"))
  }
}
