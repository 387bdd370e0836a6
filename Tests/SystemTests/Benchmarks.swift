import Platform
import Testing

/// What `make bench` measures: figures and ratios, no verdicts. Nothing here fails because something was slow.
@Suite("Benchmarks", .serialized, .enabled(if: Environment.value("ROOST_BENCH") != nil, "skipped: make bench runs it"))
struct Benchmarks {
  /// One row of the table and of `build/bench.json`.
  struct Row {
    let name: String
    let unit: String
    let value: Double
    var peer: String?
    var peerValue: Double?
    var target: String = ""

    var ratio: Double? { peerValue.map { value / $0 } }

    var json: String {
      "  {\"name\": \"\(name)\", \"unit\": \"\(unit)\", \"value\": \(value), "
        + "\"peer\": \(peer.map { "\"\($0)\"" } ?? "null"), \"peerValue\": \(peerValue.map { "\($0)" } ?? "null"), "
        + "\"ratio\": \(ratio.map { "\($0)" } ?? "null")}"
    }
  }

  @Test("Builds, sizes, memory, and starts beside QEMU's")
  func measure() throws {
    // ROOST_BENCH=builds, provision, api, starts, rates, network, memory, storage, domains, families: only this part.
    let wanted = Environment.value("ROOST_BENCH") ?? "1"
    var rows = wanted == "1" || wanted == "builds" ? try builds() : []
    if wanted == "1" || wanted == "provision" { rows += try ProvisionBenchmarks.measure() }
    if wanted == "1" || wanted == "api" { rows += try APIBenchmarks.measure() }
    if !["builds", "provision", "api"].contains(wanted) {
      let parts = ApplianceBenchmarks.Part.allCases.filter { wanted == "1" || wanted == $0.rawValue }
      try #require(!parts.isEmpty, "ROOST_BENCH=\(wanted) is no part of the benchmarks")
      rows += try ApplianceBenchmarks.measure(parts)
    }
    try Files.write("[\n" + rows.map(\.json).joined(separator: ",\n") + "\n]\n", to: "build/bench.json")
    let text = rows.map { row in
      let peer = row.peer.map { "  \($0) \(Self.round(row.peerValue ?? 0)), ratio \(Self.round(row.ratio ?? 0))" } ?? ""
      return
        "  \(row.name): \(Self.round(row.value)) \(row.unit)\(peer)\(row.target.isEmpty ? "" : "  [\(row.target)]")"
    }
    print("\nbenchmarks (also in build/bench.json)\n" + text.joined(separator: "\n") + "\n")
  }

  // MARK: The builder

  private func builds() throws -> [Row] {
    let cache = "build/bench-cache"
    try? Files.removeTree(cache)
    let recipe = try Files.readText("recipes/quickstart.yaml")
    let changed = recipe.split(separator: "\n", omittingEmptySubsequences: false).map { line in
      line.contains("suite: bookworm, packages: []")
        ? "      debian: {suite: bookworm, packages: [less], hostname: bookworm}" : String(line)
    }.joined(separator: "\n")
    try #require(changed != recipe)
    try Files.write(recipe, to: "build/bench-quickstart.yaml")

    // The first build fetches the packages; the results of it are then forgotten.
    _ = try build("build/bench-quickstart.yaml", cache)
    try Files.removeTree("\(cache)/results")
    try Files.remove("build/bench-quickstart.iso")
    let cold = try build("build/bench-quickstart.yaml", cache)
    let warm = try build("build/bench-quickstart.yaml", cache)
    let size = try #require(try Files.status("build/bench-quickstart.iso")).size
    try Files.write(changed, to: "build/bench-quickstart.yaml")
    let one = try build("build/bench-quickstart.yaml", cache)
    return [
      Row(name: "build cold, packages cached", unit: "s", value: cold),
      Row(
        name: "build unchanged", unit: "s", value: warm, peer: "cold", peerValue: cold, target: "at most 2 s"),
      Row(name: "build, one guest changed", unit: "s", value: one, peer: "cold", peerValue: cold),
      Row(name: "ISO, quickstart", unit: "MB", value: Double(size) / 1e6, target: "at most 350 MB"),
    ]
  }

  private func build(_ recipe: String, _ cache: String) throws -> Double {
    let start = MonotonicClock.now()
    try DamagedImage.run([
      try Environment.program("roost"), "build", recipe, "-o", "build/bench-quickstart.iso", "--cache", cache,
      "--quiet",
    ])
    return Double(MonotonicClock.now() - start) / 1e9
  }

  private static func round(_ value: Double) -> String {
    "\((value * 100).rounded() / 100)"
  }
}
