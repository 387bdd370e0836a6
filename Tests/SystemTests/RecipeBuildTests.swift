import Platform
import Testing

/// The recipes that come with Roost, built: those of which all comes out of Debian's archive. They share what builds keep
/// with the image under test, so that each makes no more than what is its own.
@Suite("Recipes build", .serialized, .enabled(if: Environment.isComplete, Environment.reason))
struct RecipeBuildTests {
  /// What is fetched from elsewhere, as a recipe says so; a test's machine need not reach it.
  private static let foreign = ["url:", "git:"]

  @Test("Each that needs nothing but Debian's archive makes an image that has its domains")
  func recipes() throws {
    let work = try BuildTests.Workplace("recipes")
    for file in try Files.list("recipes").filter({ $0.hasSuffix(".yaml") }).sorted() {
      let path = "recipes/\(file)"
      let lines = try Files.readText(path).split(separator: "\n")
      let keys = lines.map { $0.drop { $0 == " " } }
      if let source = keys.first(where: { key in Self.foreign.contains { key.hasPrefix($0) } }) {
        print("skipped: \(path) needs \(source), which is not Debian's")
        continue
      }
      let name = String(file.dropLast(".yaml".count))
      let image = "\(work.path)/\(name).iso"
      let build = try Machine(
        [try Environment.program("roost"), "build", path, "-o", image], log: "build-recipe-\(name)")
      #expect(try build.waitForExit(seconds: 900) == .exited(0), "\(path): \(build.tail)")
      let report = try Machine([try Environment.program("roost"), "inspect", image], log: "inspect-recipe-\(name)")
      #expect(try report.waitForExit(seconds: 60) == .exited(0), "\(report.tail)")
      for line in lines where line.hasPrefix("  - name: ") {
        let domain = line.dropFirst("  - name: ".count).prefix { $0 != " " }
        #expect(report.text.contains(domain), "\(path): no domain '\(domain)' in \(report.tail)")
      }
      if let size = try Files.status(image)?.size, name == "minimal" {
        print("recipes/minimal.yaml: \(size) bytes")
        #expect(size <= Self.smallest, "the smallest appliance has grown: docs/images.md says what is how big")
        try EmulatorPanic.startingOver { attempt in
          let machine = try Machine(
            [try Environment.program("roost"), "boot", image, "--memory", "1GiB", "--no-net"],
            log: "recipe-minimal-\(attempt)")
          do {
            try useMinimal(machine)
          } catch {
            try EmulatorPanic.check(text: machine.text)
            throw error
          }
        }
      }
      try Files.remove(image)
    }
  }

  /// What is done where the shell and its tools are busybox's, and no library is there that nobody is linked with.
  private func useMinimal(_ machine: Machine) throws {
    try machine.wait(for: "The domain hatchling is ready.", seconds: 300)
    try machine.type("x")
    try machine.wait(for: "#", seconds: 60)
    let commands: [Machine.Command] = [
      ("readlink /proc/$$/exe | tr a-z A-Z", "/BUSYBOX"),
      ("ls -l /bin/sh | sed 's/.*-> //; s/^/links to /'", "links to busybox"),
      ("roost list | awk '$1 == \"hatchling\" { print \"it is \" $3 }'", "it is ready"),
      ("roost disk create notes --size 32MiB && roost disk list | grep -c ^notes | sed 's/^/disks: /'", "disks: 1"),
      ("for program in /usr/sbin/*; do :; done; echo $program | tr a-z A-Z", "/USR/SBIN/"),
      (
        "for file in /bin/* /sbin/*; do [ -e $file ] || echo missing-$file; done; echo looked-at-''all", "looked-at-all"
      ),
      ("roost-vmm --help 2>&1 | head -n 1 | tr a-z A-Z", "ROOST-VMM"),
      ("iscsiadm --version; dnsmasq --version; nft --version; thin_check --version; echo run''s", "runs"),
    ]
    for (line, answer) in commands {
      try machine.type("\(line)\r")
      try machine.wait(for: answer, seconds: 60)
    }
    #expect(!machine.text.contains("cannot open shared object file") && !machine.text.contains("missing-/"))
    try machine.type("poweroff\r")
    #expect(try machine.waitForExit(seconds: 120) == .exited(0))
  }

  /// The most that `recipes/minimal.yaml` may make, in bytes.
  private static let smallest = 59_000_000
}
