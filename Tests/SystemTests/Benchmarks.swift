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
    var rows = wanted == "1" || wanted == "builds" ? try BuilderBenchmarks.measure() : []
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

  private static func round(_ value: Double) -> String {
    "\((value * 100).rounded() / 100)"
  }
}
