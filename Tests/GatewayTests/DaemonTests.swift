import Control
import Manifest
import Platform
import Synchronization
import Testing
@testable import Gateway

/// The gateway and a real domain manager, which has a script in the monitor's place.
@Suite("The gateway and the domain manager")
struct DaemonTests {
  private final class Running: Sendable {
    let stopper = Mutex<Daemon.Stopper?>(nil)
    let isDone = Mutex(false)
  }

  private static func start(in directory: String, api: ApplianceManifest.API?) async throws -> Running {
    let domain = ApplianceManifest.Domain(
      name: "debian", os: "Debian 13", cpus: 1, memoryBytes: 64 << 20,
      boot: .init(method: .linux, kernel: "/k", initrd: nil, commandLine: ""), disk: nil, network: nil,
      autostart: false, ready: .init(consoleText: "login:", timeoutSeconds: 60), onReboot: .restart, onCrash: .preserve)
    let manifest = ApplianceManifest(
      name: "sample", recipeDigest: "00", epoch: 0, controlDomain: .init(hostname: "roost", suite: "trixie"),
      storage: .init(ramBytes: 1 << 30, extentBytes: 4 << 20, mediumUUID: "m", ramUUID: "r"),
      network: .init(address: "10.77.0.1/24"), domains: [domain], api: api)
    try Files.write(try manifest.encoded(), to: "\(directory)/manifest.json")
    try Files.write("#!/bin/sh\ntrap 'exit 0' TERM\nwhile :; do sleep 0.05; done\n", to: "\(directory)/monitor")
    try Files.setPermissions("\(directory)/monitor", 0o755)
    var configuration = DaemonConfiguration()
    configuration.manifest = "\(directory)/manifest.json"
    configuration.medium = directory
    configuration.storage = "\(directory)/storage.json"
    configuration.pool = "\(directory)/pool.json"
    configuration.runtimeDirectory = directory
    configuration.logDirectory = "\(directory)/log"
    configuration.monitor = "\(directory)/monitor"
    configuration.kvm = "/dev/null"
    configuration.network = false
    configuration.port = false
    configuration.storageInterval = 0.05
    configuration.shutdownPatience = 2
    configuration.gatewayGroup = nil
    let running = Running()
    let settings = configuration
    try Thread("daemon") {
      if let daemon = try? Daemon(settings, log: { _ in }) {
        running.stopper.withLock { $0 = daemon.stopHandle }
        try? daemon.run()
      }
      running.isDone.withLock { $0 = true }
    }.detach()
    try await eventually("the daemon serves") { Files.exists("\(directory)/roostd.sock") }
    return running
  }

  private static func stop(_ running: Running) async throws {
    running.stopper.withLock { $0 }?.stop()
    running.stopper.withLock { $0 }?.stop()
    try await eventually("the daemon ends") { running.isDone.withLock { $0 } }
  }

  @Test("A domain is started once: what is under way is a conflict, and events and metrics tell")
  func starting() async throws {
    let gateway = try GatewayFixture()
    let running = try await Self.start(in: gateway.directory, api: .init())
    try await eventually("the gateway reaches the daemon") {
      try await gateway.ask("GET", "/v1/appliance", as: .viewer).status == 200
    }
    let started = try await gateway.ask("POST", "/v1/domains/debian/start", as: .operator)
    #expect(started.status == 200)
    #expect(started.body.contains(#""state":"starting""#) || started.body.contains(#""state":"running""#))
    let again = try await gateway.ask("POST", "/v1/domains/debian/start", as: .operator)
    #expect(again.status == 409)
    #expect(again.code == "wrong-state")
    let unknown = try await gateway.ask("POST", "/v1/domains/nobody/start", as: .operator)
    #expect(unknown.status == 404)
    #expect(unknown.code == "unknown-domain")
    let disk = try await gateway.ask("DELETE", "/v1/disks/nothing", as: .admin)
    #expect(disk.status >= 400 && disk.status < 600, "\(disk.body)")
    #expect(try await gateway.ask("POST", "/v1/domains/debian/destroy", as: .operator).status == 200)
    try await eventually("it is off") {
      try await gateway.ask("GET", "/v1/domains/debian", as: .viewer).body.contains(#""state":"off""#)
    }
    #expect(try await gateway.ask("POST", "/v1/domains/debian/destroy", as: .operator).status == 409)
    try await Self.stop(running)
    #expect(!Files.exists("\(gateway.directory)/gateway.sock"))
  }

  @Test("The gateway's socket is for its group, and only where the recipe has an API; its notice is the appliance's")
  func socket() async throws {
    let with = try Files.makeTemporaryDirectory(prefix: "/tmp/roost-gateway-")
    let without = try Files.makeTemporaryDirectory(prefix: "/tmp/roost-gateway-")
    defer {
      try? Files.removeTree(with)
      try? Files.removeTree(without)
    }
    try Files.write("the HTTP interface has the fingerprint AA:BB\n", to: "\(with)/gateway.notices")
    let first = try await Self.start(in: with, api: .init())
    let second = try await Self.start(in: without, api: nil)
    try await eventually("the socket is there") { Files.exists("\(with)/gateway.sock") }
    try await eventually("the notice is told") {
      try await blocking {
        let client = try ControlClient(path: "\(with)/gateway.sock")
        client.timeout = 120
        return try client.list().appliance.notices
      } == ["the HTTP interface has the fingerprint AA:BB"]
    }
    #expect(!Files.exists("\(without)/gateway.sock"))
    #expect(try Files.status("\(with)/roostd.sock")?.permissions == 0o600)
    try await Self.stop(first)
    try await Self.stop(second)
  }
}
