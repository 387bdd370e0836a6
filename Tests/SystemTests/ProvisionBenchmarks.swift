import Platform
import Testing

/// Provisioning beside dd: everything written to the medium and read back past the page cache. The image has more than a
/// gigabyte, as those of labs do; the targets are files, new ones each time. Both sides take turns, the medians count.
enum ProvisionBenchmarks {
  private static let rounds = 5
  private static let image = "build/bench-provision.iso"

  static func measure() throws -> [Benchmarks.Row] {
    let bulk = "build/bench-bulk.img"
    defer { for file in [bulk, image] { try? Files.remove(file) } }
    try DamagedImage.run(["sh", "-c", "head -c 1G /dev/urandom > \(bulk)"])
    let recipe = """
      name: bulk
      control-domain: {suite: trixie}
      domains:
        - name: bulk
          memory: 32 MiB
          disk: 1 GiB
          boot: pvh
          source: {kernel: hatchling.elf, image: bench-bulk.img}
          ready: {console: "hatchling> ", timeout: 60 s}

      """
    try Files.write(recipe, to: "build/bench-bulk.yaml")
    try DamagedImage.run([
      try Environment.program("roost"), "build", "build/bench-bulk.yaml", "-o", image, "--quiet",
    ])
    return try [1, 4].map(row)
  }

  private static func row(_ count: Int) throws -> Benchmarks.Row {
    let targets = (1...count).map { "build/bench-stick-\($0).img" }
    defer { for target in targets { try? Files.remove(target) } }
    let bytes = Double(try #require(try Files.status(image)).size * count)
    // The image is in the page cache for both.
    try DamagedImage.run(["dd", "if=\(image)", "of=/dev/null", "bs=4M", "status=none"])
    var ours: [Double] = []
    var theirs: [Double] = []
    for _ in 0..<rounds {
      ours.append(
        try seconds(
          targets, [try Environment.program("roost"), "provision", image, "--json", "--size", "2GiB", "--to"] + targets)
      )
      let copies = targets.map { target in
        "(dd if=\(image) of=\(target) bs=4M oflag=direct conv=fsync status=none "
          + "&& dd if=\(target) of=/dev/null bs=4M iflag=direct status=none) &"
      }
      theirs.append(try seconds(targets, ["sh", "-c", copies.joined(separator: " ") + " wait"]))
    }
    return Benchmarks.Row(
      name: "provision, \(count == 1 ? "one stick" : "\(count) sticks at once"), written and read back", unit: "MB/s",
      value: bytes / 1e6 / median(ours), peer: "dd with fsync, and dd back", peerValue: bytes / 1e6 / median(theirs),
      target: "ratio at least 0.95")
  }

  private static func seconds(_ targets: [String], _ arguments: [String]) throws -> Double {
    for target in targets { try Files.remove(target) }
    let start = MonotonicClock.now()
    _ = try DamagedImage.output(arguments)
    return Double(MonotonicClock.now() - start) / 1e9
  }

  private static func median(_ values: [Double]) -> Double { values.sorted()[values.count / 2] }
}
