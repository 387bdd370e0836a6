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
    // ROOST_BENCH=builds or appliance: only these.
    let wanted = Environment.value("ROOST_BENCH")
    let rows = (wanted == "appliance" ? [] : try builds()) + (wanted == "builds" ? [] : try appliance())
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

  // MARK: The monitor

  /// Runs in the control domain: three rounds of each monitor in turn, from process start to the guest's init, in ms.
  /// All keep off processor 0, where the emulator loses guests (docs/architecture.md, "Known limits of emulators").
  private static let script = """
    d=/run/roost/medium/roost/domains/debian
    line="console=ttyS0 quiet rdinit=/bin/busybox -- echo ROOST-INIT"
    now() { awk '{ printf "%d", $1 * 1000 }' /proc/uptime; }
    once() {
      name=$1; shift
      rm -f /tmp/out; : >/tmp/out; start=$(now)
      taskset -c 1,2 "$@" >/dev/null 2>/tmp/err </dev/null & process=$!
      until grep -q ROOST-INIT /tmp/out; do
        kill -0 $process 2>/dev/null || { grep -q ROOST-INIT /tmp/out || echo "BENCH-FAILED $name $(tail -n 1 /tmp/err)"; break; }
        sleep 0.02
      done
      end=$(now); kill -9 $process 2>/dev/null; wait $process 2>/dev/null
      echo "BENCH $name $((end - start))"
    }
    for round in 1 2 3; do
      once roost roost-vmm --name bench --cpus 1 --memory 256MiB --boot linux --kernel $d/kernel --initrd $d/initrd --cmdline "$line" --serial unix:/tmp/bench.sock,log=/tmp/out
      for machine in microvm q35; do
        once $machine qemu-system-x86_64 -M $machine -accel kvm -cpu host -smp 1 -m 256 -nodefaults -no-user-config -display none -kernel $d/kernel -initrd $d/initrd -append "$line" -serial file:/tmp/out
      done
    done
    process=$(pidof roost-vmm | tr ' ' '\\n' | head -n 1)
    private() {
      awk -v name=$1 '/^[0-9a-f]+-/ { guest = /memfd:roost/ } /^Private_(Clean|Dirty)/ && !guest { sum += $2; if (/Dirty/) dirty += $2 } END { print "BENCH", name, sum; print "BENCH", name "-dirty", dirty }' /proc/$process/smaps
    }
    private alone
    roost start debian
    sleep 3
    private one-of-two
    echo BENCH''-END
    """

  private func appliance() throws -> [Row] {
    try DamagedImage.run([
      try Environment.program("roost"), "build", "Tests/SystemTests/bench.yaml", "-o", "build/bench.iso", "--quiet",
    ])
    let machine = try Appliance.start(Appliance.Options(iso: "build/bench.iso"), log: "bench")
    try machine.wait(for: "hatchling is ready.", seconds: 400)
    try machine.type("x")
    try machine.wait(for: "#", seconds: 60)
    try machine.type("stty -echo; cat >/tmp/bench.sh <<'END-OF-SCRIPT'\r")
    for line in Self.script.split(separator: "\n") {
      try machine.type("\(line)\r")
      MonotonicClock.sleep(milliseconds: 100)
    }
    try machine.type("END-OF-SCRIPT\r")
    try machine.type("sh /tmp/bench.sh\r")
    try machine.wait(for: "BENCH-END", seconds: 1500)

    var values: [String: [Double]] = [:]
    for line in machine.text.split(whereSeparator: \.isNewline) {
      let words = line.split(separator: " ")
      if words.first == "BENCH-FAILED" { Issue.record("\(line)") }
      if words.count == 3, words[0] == "BENCH", let value = Double(words[2]) {
        values[String(words[1]), default: []].append(value)
      }
    }
    func median(_ name: String) throws -> Double {
      let sorted = try #require(values[name], "\(name) was not measured:\n\(machine.tail)").sorted()
      return sorted[sorted.count / 2]
    }
    let roost = try median("roost")
    return [
      Row(
        name: "start to the guest's init", unit: "ms", value: roost, peer: "QEMU microvm",
        peerValue: try median("microvm"), target: "ratio at most 0.8 of the faster peer"),
      Row(name: "start to the guest's init", unit: "ms", value: roost, peer: "QEMU q35", peerValue: try median("q35")),
      Row(
        name: "private memory of a roost-vmm with 128 MiB and 1 CPU, one of two", unit: "KiB",
        value: try median("one-of-two"), target: "at most 4096 KiB"),
      // Alone, a process is charged for the program's own text as well, which the page cache can take back.
      Row(name: "private memory of the only roost-vmm", unit: "KiB", value: try median("alone")),
      Row(name: "of it written to", unit: "KiB", value: try median("alone-dirty")),
    ]
  }

  private static func round(_ value: Double) -> String {
    "\((value * 100).rounded() / 100)"
  }
}
