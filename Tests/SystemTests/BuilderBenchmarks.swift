import Platform
import Testing

/// The builder: cold, unchanged, and with one file touched; its own memory; and beside live-build and mkosi, which make
/// the control domain's packages into an image, each out of its own cache of packages.
enum BuilderBenchmarks {
  private static let cache = "build/bench-cache"
  private static let recipe = "build/bench-builder.yaml"
  private static let image = "build/bench-builder.iso"
  private static let bill = "build/bench-builder.spdx.json"

  static func measure() throws -> [Benchmarks.Row] {
    try? Files.removeTree(cache)
    defer { for path in [recipe, image, bill] { try? Files.remove(path) } }
    return try own() + beside()
  }

  private static func own() throws -> [Benchmarks.Row] {
    let quickstart = try Files.readText("recipes/quickstart.yaml")
    func touched(_ text: String) throws {
      let plain = "{suite: bookworm, packages: [], hostname: bookworm}"
      let own = "{suite: bookworm, packages: [], hostname: bookworm, files: [{path: /etc/motd, text: \(text)}]}"
      let changed = quickstart.replacing(plain, with: own)
      try #require(changed != quickstart)
      try Files.write(changed, to: recipe)
    }
    try touched("one")
    let cold = try coldBuild()
    let warm = try build()
    let size = try bytes(of: image)
    try touched("two")
    let one = try build()
    return [
      .init(name: "build cold, packages cached", unit: "s", value: cold.seconds),
      .init(
        name: "build unchanged", unit: "s", value: warm.seconds, peer: "cold", peerValue: cold.seconds,
        target: "at most 2 s"),
      .init(
        name: "build, one file of a guest touched", unit: "s", value: one.seconds, peer: "cold",
        peerValue: cold.seconds, target: "ratio at most 0.1"),
      .init(name: "memory of the builder, cold", unit: "MiB", value: cold.mebibytes, target: "at most 512 MiB"),
      .init(name: "ISO, quickstart", unit: "MB", value: size / 1e6, target: "at most 350 MB"),
    ]
  }

  /// The control domain alone.
  private static func beside() throws -> [Benchmarks.Row] {
    try Files.write(
      """
      name: control
      control-domain: {suite: trixie}
      domains:
        - {name: hatchling, memory: 32 MiB, boot: pvh, source: {hatchling: {}}}

      """, to: recipe)
    let ours = try coldBuild()
    let size = try bytes(of: image)
    // The same packages: what is only unpacked here is there as the package that has it, so but for the kernel's it is left out.
    let packages = "build/bench-packages"
    try DamagedImage.run([
      "sh", "-euc",
      "\"$1\" inspect \"$2\" --json | jq -r '.roots[0].packages[].name' "
        + "| grep -vE '^(linux-image-.*|drbd-utils|memtest86\\+|open-iscsi)$' > \"$3\"; "
        + "echo linux-image-amd64 >> \"$3\"",
      "sh", try Environment.program("roost"), image, packages,
    ])
    var rows: [Benchmarks.Row] = []
    for name in ["live-build", "mkosi"] {
      guard let peer = try peer(name, packages) else { continue }
      rows += [
        .init(
          name: "control domain, cold", unit: "s", value: ours.seconds, peer: name, peerValue: peer.seconds,
          target: "ratio at most 0.5 to the faster"),
        .init(
          name: "control domain, image", unit: "MB", value: size / 1e6, peer: name, peerValue: peer.bytes / 1e6,
          target: "ratio at most 1.0 to the smaller"),
      ]
    }
    return rows
  }

  /// Runs a peer twice, the first time to fetch; nil, and why, where it does not run here.
  private static func peer(_ name: String, _ packages: String) throws -> (seconds: Double, bytes: Double)? {
    let work = "build/bench-\(name)"
    defer { try? DamagedImage.run(["rm", "-rf", "--one-file-system", work]) }
    for action in ["prepare", "build"] {
      let start = MonotonicClock.now()
      // Its log stays in build.
      let status = try run([
        "sh", "-c", "exec \"$0\" \"$@\" >build/bench-peer.out 2>build/bench-\(action)-\(name).log",
        "Tests/SystemTests/Bench/Builders/\(name).sh", action, work, packages,
      ]).status
      guard status.isSuccess else {
        let last = try Files.readText("build/bench-\(action)-\(name).log").split(separator: "\n").suffix(3)
        print("\(name) does not run here (\(status)): \(last.joined(separator: " / "))")
        return nil
      }
      if action == "build" {
        let seconds = Double(MonotonicClock.now() - start) / 1e9
        let path = try Files.readText("build/bench-peer.out").filter { $0 != "\n" }
        return (seconds, try bytes(of: path))
      }
    }
    return nil
  }

  /// A build with nothing but packages in the cache.
  private static func coldBuild() throws -> (seconds: Double, mebibytes: Double) {
    _ = try build()
    try Files.removeTree("\(cache)/results")
    try Files.remove(image)
    return try build()
  }

  private static func build() throws -> (seconds: Double, mebibytes: Double) {
    let start = MonotonicClock.now()
    let (status, peak) = try run([
      try Environment.program("roost"), "build", recipe, "-o", image, "--cache", cache, "--quiet",
    ])
    try #require(status.isSuccess)
    return (Double(MonotonicClock.now() - start) / 1e9, Double(peak) / 1024)
  }

  /// Runs a program to its end: how it ended, and the most memory that it had itself, in KiB.
  private static func run(_ arguments: [String]) throws -> (status: Platform.ExitStatus, peak: Int) {
    let child = try ChildProcess.start(ChildRequest(arguments))
    var peak = 0
    while true {
      let text = (try? Files.readText("/proc/\(child.pid)/status")) ?? ""
      let line = text.split(separator: "\n").first { $0.hasPrefix("VmHWM:") }
      peak = max(peak, line?.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0)
      if let status = try child.poll() { return (status, peak) }
      MonotonicClock.sleep(milliseconds: 20)
    }
  }

  private static func bytes(of path: String) throws -> Double {
    Double(try #require(try Files.status(path, followingLinks: true)).size)
  }
}
