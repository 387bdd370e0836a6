import Binary
import Platform
import Testing

/// What a person at the serial line does.
@Suite("The screen and the consoles", .serialized, .enabled(if: Environment.isComplete, Environment.reason))
struct ConsoleTests {
  /// A disk that is an archive with the attacks on monitors' jails and a disk image, and what the image is.
  private func archive() throws -> (path: String, image: (digest: String, bytes: Int)) {
    let (path, folder) = ("build/console-session.tar", "build/console-session")
    try Files.makeDirectories(folder)
    defer { try? Files.removeTree(folder) }
    let bytes = (0..<(1 << 20)).map { UInt8(truncatingIfNeeded: $0 * $0 >> 9) }
    try Files.write(bytes, to: "\(folder)/disk.raw")
    try DamagedImage.run([
      "qemu-img", "convert", "-f", "raw", "-O", "qcow2", "\(folder)/disk.raw", "\(folder)/disk.qcow2",
    ])
    try DamagedImage.run([
      "tar", "-cf", path, "-C", folder, "disk.qcow2", "-C", "../../Tests/SystemTests/Attack", "attack.sh", "torn.sh",
      "-C",
      try #require(Environment.programs), "jail-attack",
    ])
    return (path, ("\(SHA256.hash(bytes))", bytes.count))
  }

  @Test("From the table to each guest's console, its log, and back; then power off, guests first")
  func drive() throws {
    let (archive, image) = try archive()
    defer { try? Files.remove(archive) }
    try EmulatorPanic.startingOver { attempt in
      let control = "build/consoles.qmp"
      try Files.remove(control)
      defer { try? Files.remove(control) }
      let machine = try Appliance.start(
        Appliance.Options(iso: try Environment.image(), control: control, display: true, disk: archive),
        log: "consoles-\(attempt)")
      do {
        try session(machine, EmulatorControl(control), image)
      } catch {
        try EmulatorPanic.check(text: machine.text)
        throw error
      }
    }
  }

  /// The appliance's own display has all consoles side by side, and keys for them.
  private func look(at control: EmulatorControl) throws {
    let reader = try ScreenReader()
    let picture = "build/logs/mosaic.ppm"
    func wait(_ what: String, _ isThere: ([String]) -> Bool) throws {
      let deadline = MonotonicClock.now() + 120_000_000_000
      var lines: [String] = []
      repeat {
        try control.execute("screendump", #"{"filename":"\#(picture)"}"#)
        lines = try reader.lines(picture)
        if isThere(lines) {
          print("\(what):\n\(lines.joined(separator: "\n"))")
          return
        }
        MonotonicClock.sleep(milliseconds: 500)
      } while MonotonicClock.now() < deadline
      Issue.record("\(what) is not on the screen (\(picture)):\n\(lines.joined(separator: "\n"))")
    }
    func press(_ key: String) throws {
      try control.execute("send-key", #"{"keys":[{"type":"qcode","data":"\#(key)"}]}"#)
    }
    try wait("three systems on one screen") { lines in
      ["1 debian  ready", "2 bookworm  ready", "3 hatchling  ready", "hatchling>", "debian login:", "bookworm login:"]
        .allSatisfy { wanted in lines.contains { $0.contains(wanted) } }
    }
    try press("3")
    try press("z")
    try wait("hatchling alone") { lines in
      lines.contains { $0.contains("3 hatchling  ready") } && !lines.contains { $0.contains("bookworm login:") }
    }
    try press("t")
    try wait("the table") { lines in lines.contains { $0.contains("All 3 domains are ready.") } }
  }

  private func session(
    _ machine: Machine, _ control: EmulatorControl, _ image: (digest: String, bytes: Int)
  ) throws {
    try machine.wait(for: "All 3 domains are ready.", seconds: 600)
    try look(at: control)

    // hatchling: our own guest, told what memory it has.
    try machine.type("3")
    try machine.wait(for: "hatchling> ", seconds: 240)
    try machine.type("mem\r")
    try machine.wait(for: "MiB", seconds: 240)
    try machine.type("pci\r")
    try machine.wait(for: "8086:1237", seconds: 240)
    try machine.type("\u{1D}")
    try machine.wait(for: "All 3 domains are ready.", seconds: 240)

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
    try machine.wait(for: "All 3 domains are ready.", seconds: 240)

    // Disks of its own and others change while it runs.
    try DiskSession(machine: machine).run()
    // And its memory.
    try MemorySession(machine: machine).run()

    // Cables are spoiled, and networks made and removed.
    try NetworkSession(machine: machine).run()

    // Domains are made, paused, and removed.
    try DomainSession(machine: machine, image: image).run()

    // Whoever takes a monitor over is in its jail.
    try machine.type("x")
    try machine.wait(for: "#", seconds: 60)
    try machine.type(
      "mkdir /tmp/attack && tar -C /tmp/attack -xf /dev/vda && cd /tmp/attack && ./attack.sh; ./torn.sh; exit\r")
    try machine.wait(for: "monitors jailed: 3 of 3", seconds: 60)
    try machine.wait(for: "unfiltered: stopped 13 of 13", seconds: 120)
    try machine.wait(for: "filtered: stopped 17 of 17", seconds: 120)
    try machine.wait(for: "attacked: all there", seconds: 60)
    try machine.wait(for: "torn 9 times: nothing is left", seconds: 600)
    try machine.wait(for: "All 3 domains are ready.", seconds: 60)

    // The log of the chosen domain.
    try machine.type("l")
    try machine.wait(for: "Log of debian", seconds: 240)
    try machine.type("q")
    try machine.wait(for: "All 3 domains are ready.", seconds: 240)

    try machine.type("p")
    try machine.wait(for: "asked to power off first", seconds: 240)
    try machine.type("o")
    #expect(try machine.waitForExit(seconds: 180) == .exited(0))
    #expect(!machine.text.contains("Kernel panic"))
    #expect(!machine.text.contains("guest crashed"))
  }
}
