import Platform
import Testing

/// Firmware, shim and GRUB start what is signed by whom they trust, and nothing else. That they start it by Debian's
/// signatures is shown by `BootTests`.
@Suite("Secure Boot", .serialized, .enabled(if: Environment.isComplete, Environment.reason))
struct SecureBootTests {
  /// Debian's firmware comes with variables for tests, whose key everybody has.
  private static let share = "/usr/share"
  private static let variables = "\(share)/OVMF/OVMF_VARS_4M.snakeoil.fd"
  private static let key = "\(share)/ovmf/PkKek-1-snakeoil.key"
  private static let certificate = "\(share)/ovmf/PkKek-1-snakeoil.pem"

  @Test(
    "The owner's firmware starts it; others refuse it, and so does the owner's what was changed",
    .enabled(if: Files.exists(variables), "skipped: ovmf has no variables for tests here"))
  func ownKey() throws {
    let work = try BuildTests.Workplace("secure-boot")
    try DamagedImage.run([
      "openssl", "pkey", "-in", Self.key, "-passin", "pass:snakeoil", "-out", "\(work.path)/db.key",
    ])
    try DamagedImage.run(["cp", Self.certificate, "\(work.path)/db.pem"])
    let recipe =
      BuildTests.smallRecipe.replacing(", packages: [PACKAGES]", with: "")
      + "image: {secure-boot: {key: db.key, certificate: db.pem}}\n"
    try Files.write(recipe, to: "\(work.path)/small.yaml")
    let image = "\(work.path)/small.iso"
    try DamagedImage.run([try Environment.program("roost"), "build", "\(work.path)/small.yaml", "-o", image])

    let started = try boot(image, "secure-own", "--uefi-variables", Self.variables)
    #expect(try started.waitForExit(seconds: 660) == .exited(0), "\(started.tail)")
    // Microsoft's signatures are all that this firmware takes.
    try refuses(image, "secure-other")

    // The kernel's command line, which says what the root's digest is.
    let words = "roost.root=verity:"
    let found = try DamagedImage.output(["grep", "-abo", words, image]).split(separator: "\n")
    // GRUB's menu has it as well, for BIOS; the partition of what UEFI starts comes last.
    let place = try #require(found.last?.split(separator: ":").first.flatMap { Int($0) })
    #expect(found.count > 1)
    let file = try FileDescriptor(opening: image, .readWrite)
    try file.writeAll(Array("0123456789abcdef".utf8), at: place + words.utf8.count)
    try refuses(image, "secure-changed", "--uefi-variables", Self.variables)
  }

  @Test("A kernel that was changed is refused by GRUB, and named")
  func changedKernel() throws {
    let image = try DamagedImage(of: try Environment.image(), file: "/roost/vmlinuz")
    try refuses(image.path, "secure-kernel", words: ["bad shim signature"])
  }

  private func refuses(
    _ image: String, _ name: String, _ options: String...,
    words: [String] = ["Access Denied"]
  ) throws {
    let machine = try boot(image, name, options)
    defer { machine.cutPower() }
    for _ in 0..<180 {
      let text = (try? Files.readText(Self.log(name))) ?? ""
      #expect(!text.contains("Roost: looking"), "it was started:\n\(text.suffix(2000))")
      if words.contains(where: text.contains) { return }
      MonotonicClock.sleep(milliseconds: 1000)
    }
    Issue.record("nothing is said of it:\n\((try? Files.readText(Self.log(name)))?.suffix(2000) ?? "")")
  }

  private static func log(_ name: String) -> String { "build/logs/\(name)-serial.log" }

  private func boot(_ image: String, _ name: String, _ options: String...) throws -> Machine {
    try boot(image, name, options)
  }

  private func boot(_ image: String, _ name: String, _ options: [String]) throws -> Machine {
    try? Files.remove(Self.log(name))
    return try Machine(
      [
        try Environment.program("roost"), "boot", image, "--headless", "--until-ready", "--timeout", "600",
        "--secure-boot", "--log", Self.log(name),
      ] + options, log: name)
  }
}
