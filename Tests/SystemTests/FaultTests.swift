import Platform
import Testing

/// What a person sees when something is wrong: a clear screen, and nothing lost.
@Suite("Faults", .serialized, .enabled(if: Environment.isComplete, Environment.reason))
struct FaultTests {
  @Test("A damaged medium is named, and a rescue shell answers")
  func damagedMedium() throws {
    let image = try DamagedImage(of: try Environment.image())
    let machine = try Appliance.start(Appliance.Options(iso: image.path), log: "damaged-medium")
    try machine.wait(for: "Roost cannot start:", seconds: 180)
    try machine.wait(for: "root.squashfs", seconds: 240)
    try rescueShellAnswers(machine)
  }

  @Test("A medium that is not there is named, and a rescue shell answers")
  func missingMedium() throws {
    let iso = try Environment.image()
    try DamagedImage.run([
      "xorriso", "-osirrox", "on", "-indev", iso, "-extract", "/roost/vmlinuz", "build/vmlinuz", "-extract",
      "/roost/initrd.img", "build/initrd.img",
    ])
    defer {
      try? Files.remove("build/vmlinuz")
      try? Files.remove("build/initrd.img")
    }
    var options = Appliance.Options()
    options.kernel = (
      "build/vmlinuz", "build/initrd.img",
      "roost.medium=2001-01-01-00-00-00-00 roost.root=verity:\(String(repeating: "0", count: 64)) console=ttyS0 quiet maxcpus=1"
    )
    let machine = try Appliance.start(options, log: "missing-medium")
    try machine.wait(for: "Roost cannot start:", seconds: 180)
    try machine.wait(for: "2001-01-01-00-00-00-00", seconds: 240)
    try rescueShellAnswers(machine)
  }

  @Test("Without hardware virtualisation the appliance is up and says why no guest runs")
  func noVirtualisation() throws {
    var options = Appliance.Options(iso: try Environment.image())
    options.virtualisation = false
    let machine = try Appliance.start(options, log: "no-virtualisation")
    try machine.wait(for: "no hardware virtualisation", seconds: 240)
    try machine.type("p")
    try machine.wait(for: "switch the appliance off", seconds: 240)
    try machine.type("o")
    #expect(try machine.waitForExit(seconds: 120) == .exited(0))
  }

  @Test("A domain that asks for more memory than there is says so, and the others run")
  func tooLittleMemory() throws {
    var options = Appliance.Options(iso: try Environment.image())
    options.memory = 1024
    let machine = try Appliance.start(options, log: "too-little-memory")
    try machine.wait(for: "384 MiB", seconds: 240)
    try machine.wait(for: "hatchling", seconds: 240)
    try machine.wait(for: "failed", seconds: 240)
    try machine.type("p")
    try machine.wait(for: "switch the appliance off", seconds: 240)
    try machine.type("o")
    #expect(try machine.waitForExit(seconds: 180) == .exited(0))
  }

  private func rescueShellAnswers(_ machine: Machine) throws {
    try machine.wait(for: "rescue# ", seconds: 240)
    try machine.type("echo the shell ans''wers\r")
    try machine.wait(for: "the shell answers", seconds: 240)
    #expect(!machine.text.contains("Kernel panic"))
  }
}
