import Platform
import Testing

/// The real image, booted in each form it promises. These tests need no network.
@Suite("The image boots", .serialized, .enabled(if: Environment.isComplete, Environment.reason))
struct BootTests {
  /// The form of a medium, as options of `roost boot`.
  struct Form: CustomTestStringConvertible, Sendable {
    let name: String
    let options: [String]

    var testDescription: String { name }
  }

  static let forms = [
    Form(name: "bios-cd", options: ["--bios"]),
    // The firmware starts what Microsoft signed: shim, which starts what Debian signed.
    Form(name: "secure-cd", options: ["--secure-boot"]),
    // By BIOS from USB start the sticks of `ProvisionTests`.
    Form(name: "secure-usb", options: ["--secure-boot", "--usb"]),
  ]

  @Test("Three domains are ready at the same time", arguments: forms)
  func threeDomains(form: Form) throws {
    try EmulatorPanic.startingOver { attempt in
      let machine = try Machine(
        [
          try Environment.program("roost"), "boot", try Environment.image(), "--headless", "--until-ready",
          "--timeout", "600", "--log", "build/logs/\(form.name)-serial-\(attempt).log",
        ] + form.options, log: "\(form.name)-\(attempt)")
      let status = try machine.waitForExit(seconds: 660)
      try EmulatorPanic.check(serialLog: "build/logs/\(form.name)-serial-\(attempt).log")
      let serial = (try? Files.readText("build/logs/\(form.name)-serial-\(attempt).log")) ?? ""
      #expect(!serial.contains("Kernel panic"), "the control domain's kernel panicked:\n\(serial.suffix(4000))")
      let crashes = machine.text.split(separator: "\n").filter { $0.contains("guest crashed") }
      // The recipe restarts what crashes; that is a service to users, not an excuse here.
      #expect(crashes.isEmpty, "guests crashed: \(crashes.joined(separator: "; "))")
      #expect(status == .exited(0), "\(machine.tail)")
      for domain in ["debian", "bookworm", "hatchling"] {
        #expect(
          machine.text.split(separator: "\n").contains { $0.contains(domain) && $0.contains("ready after") },
          "no line says that \(domain) is ready:\n\(machine.tail)")
      }
    }
  }
}

/// The one fault of the emulator that a test may start over for: kernel text patching on two emulated CPUs can
/// panic the control domain's kernel with `Oops: int3`. It is counted and printed; nothing else is retried.
enum EmulatorPanic {
  struct Seen: Error {}

  static func check(serialLog path: String) throws {
    if let text = try? Files.readText(path) { try check(text: text) }
  }

  static func check(text: String) throws {
    if text.contains("Oops: int3") { throw Seen() }
  }

  static func startingOver(_ body: (_ attempt: Int) throws -> Void) throws {
    for attempt in 1...3 {
      do {
        return try body(attempt)
      } catch is Seen where attempt < 3 {
        print("emulator panic (Oops: int3) seen, start \(attempt) of 3: starting over")
      }
    }
  }
}
