import Platform
import Testing

/// The HTTP interface of a real appliance, asked by curl from outside.
@Suite("The HTTP interface", .serialized, .enabled(if: Environment.isComplete, Environment.reason))
struct HTTPTests {
  /// A domain that starts when the other is ready, and a network that the machine's card is in.
  private static let second = """
      - name: late
        os: Hatchling
        memory: 32 MiB
        boot: pvh
        source: {hatchling: {}}
        autostart: {after: [hatchling]}
        ready: {console: "hatchling> ", timeout: 60 s}
    networks:
      outside: {mode: bridged}

    """

  @Test("Over TLS, with the certificate that the appliance says is its own, who has a token sees and does what he may")
  func overTLS() throws {
    let folder = "build/http"
    try Files.removeTree(folder)
    try Files.makeDirectories(folder)
    defer { try? Files.removeTree(folder) }
    let program = try Environment.program("roost")
    var secrets: [String: String] = [:]
    var lines = ""
    for role in ["viewer", "admin"] {
      let words = try DamagedImage.output([program, "token", "the-\(role)", "--role", role]).split(separator: "\n")
      try #require(words.count == 2)
      secrets[role] = String(words[0].dropFirst("secret: ".count))
      lines += words[1].dropFirst("recipe: ".count) + "\n"
    }
    let recipe =
      BuildTests.smallRecipe.split(separator: "PACKAGES").joined() + Self.second
      + "api:\n  listen: 0.0.0.0:8443\n  tokens:\n\(lines)"
    try Files.write(recipe, to: "\(folder)/http.yaml")
    try DamagedImage.run([program, "build", "\(folder)/http.yaml", "-o", "\(folder)/http.iso", "--quiet"])
    let port = 20_000 + Int(ProcessEnvironment.processID) % 20_000
    try EmulatorPanic.startingOver { attempt in
      let machine = try Appliance.start(
        .init(iso: "\(folder)/http.iso", memory: 2048, httpPort: port), log: "http-\(attempt)")
      do {
        try machine.wait(for: "All 2 domains are ready.", seconds: 400)
      } catch {
        try EmulatorPanic.check(text: machine.text)
        throw error
      }
      func ask(_ path: String, _ more: [String], _ log: String) throws -> String {
        let curl = try Machine(
          ["curl", "-sS", "-k", "-m", "60", "--noproxy", "*", "-w", " %{http_code}"] + more
            + ["https://127.0.0.1:\(port)\(path)"], log: "http-\(log)-\(attempt)")
        _ = try curl.waitForExit(seconds: 90)
        return curl.text
      }
      func bearer(_ role: String) -> [String] { ["-H", "Authorization: Bearer \(secrets[role] ?? "")"] }
      // The machine may get its address after its guest is ready.
      let deadline = MonotonicClock.now() + 180_000_000_000
      var domains = ""
      repeat {
        domains = try ask("/v1/domains", bearer("viewer"), "domains")
        if domains.hasSuffix(" 200") { break }
        MonotonicClock.sleep(milliseconds: 1000)
      } while MonotonicClock.now() < deadline
      #expect(domains.hasSuffix(" 200"), "\(domains)")
      #expect(domains.contains(#""name":"hatchling""#) && domains.contains(#""state":"ready""#), "\(domains)")
      let first = try DomainTimes(of: "hatchling", in: domains)
      let second = try DomainTimes(of: "late", in: domains)
      #expect(first.started + first.untilReady <= second.started, "\(domains)")
      let shown = try DamagedImage.output([
        "sh", "-c",
        "openssl s_client -connect 127.0.0.1:\(port) </dev/null | openssl x509 -noout -fingerprint -sha256",
      ])
      let fingerprint = try #require(shown.split(separator: "=").last).prefix { $0 != "\n" }
      // The domain manager looks for what is to be told every few seconds.
      var appliance = ""
      for _ in 0..<30 {
        appliance = try ask("/v1/appliance", bearer("viewer"), "appliance")
        if appliance.contains("fingerprint") { break }
        MonotonicClock.sleep(milliseconds: 1000)
      }
      #expect(appliance.contains("SHA-256 fingerprint \(fingerprint)"), "\(appliance) \(shown)")
      #expect(try ask("/v1/domains", [], "bare").hasSuffix(" 401"))
      #expect(try ask("/v1/appliance/poweroff", bearer("viewer") + ["-X", "POST"], "viewer").hasSuffix(" 403"))
      try machine.type("x")
      try machine.wait(for: "#", seconds: 60)
      // A recipe without disks has room for those that are made.
      #expect(!appliance.contains("storage is not there"), "\(appliance)")
      try machine.type("roost disk create data --size '64 MiB'\r")
      try machine.wait(for: "data: 64 MiB, empty", seconds: 60)
      try machine.type("grep ^Uid /proc/$(busybox pidof roost-gateway)/status | tr '\\t' ' '\r")
      try machine.wait(for: "Uid: 970 970 970 970", seconds: 60)
      // PID 1 keeps KVM's switch in the scheduler on, and has started every processor after that.
      try machine.type("echo held $(ls -l /proc/1/fd | grep -c kvm-vm) of $(grep -c ^processor /proc/cpuinfo)\r")
      try machine.wait(for: "held 1 of 3", seconds: 60)
      // All of this came through a bridge, which has asked for the machine's address outside.
      try machine.type("ip -4 -o addr show | sed -n 's/.*net-outside *inet/out''side at/p'\r")
      try machine.wait(for: "outside at 10.0.2.", seconds: 60)
      let metrics = try ask("/metrics", bearer("viewer"), "metrics")
      #expect(metrics.contains(#"roost_domain_resident_bytes{domain="hatchling"} "#), "\(metrics)")
      #expect(try ask("/v1/appliance/poweroff", bearer("admin") + ["-X", "POST"], "admin").hasSuffix(" 200"))
      #expect(try machine.waitForExit(seconds: 120) == .exited(0), "\(machine.tail)")
    }
  }
}

/// When a domain started and was ready, in seconds, as `GET /v1/domains` tells.
private struct DomainTimes {
  let started: Double
  let untilReady: Double

  init(of name: String, in answer: String) throws {
    let object = try #require(answer.split(separator: "},{").first { $0.contains("\"name\":\"\(name)\"") }, "\(answer)")
    func number(_ key: String) throws -> Double {
      let rest = try #require(object.split(separator: "\"\(key)\":").dropFirst().first, "no \(key): \(answer)")
      return try #require(Double(rest.prefix { $0.isNumber || $0 == "." }))
    }
    started = try number("startedAt")
    untilReady = try number("readySeconds")
  }
}
