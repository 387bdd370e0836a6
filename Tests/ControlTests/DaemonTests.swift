import Manifest
import Platform
import TestMachine
import Testing
@testable import Control

@Suite("The domain manager", .ownThreads, .timeLimit(.minutes(60)))
struct DaemonTests {
  @Test("A domain starts, becomes ready, is stopped and started again; subscribers are told")
  func lifeCycle() throws {
    let fixture = try DaemonFixture()
    try fixture.start([Samples.domain("debian", ready: "debian login:"), Samples.domain("idle", autostart: false)])
    let subscriber = try fixture.client()
    #expect(try subscriber.hello().appliance == "sample")
    let overview = try subscriber.subscribe()
    #expect(overview.domains.map(\.name) == ["debian", "idle"])
    try eventually("the monitor starts") { fixture.starts("debian").count == 1 }
    #expect(fixture.starts("debian").first?.contains("--name debian --cpus 1 --memory 64MiB --boot linux") == true)
    #expect(try fixture.status("idle").state == .defined)

    try fixture.show("Debian GNU/Linux 13 debian lo", on: "debian")
    try fixture.await(.running, of: "debian")
    try fixture.show("…\r\ndebian login: ", on: "debian")
    let ready = try fixture.await(.ready, of: "debian")
    #expect((ready.readySeconds ?? -1) > 0)
    var states: [DomainState] = []
    while states.last != .ready, let event = try subscriber.nextEvent(within: 120) {
      if case .domain(let status) = event, status.name == "debian" { states.append(status.state) }
    }
    #expect(states.last == .ready && states.contains(.running))

    try fixture.write("from the guest\n", to: "log/debian.log")
    #expect(try fixture.client().tail("debian", bytes: 6) == "guest\n")
    #expect(try fixture.client().tail("idle") == "")

    #expect(try fixture.client().perform(.stop, on: "debian").state == .shuttingDown)
    try fixture.await(.off, of: "debian")
    #expect(try fixture.client().perform(.start, on: "debian").state == .starting)
    try eventually("the monitor starts again") { fixture.starts("debian").count == 2 }
    #expect(throws: ControlError.self) { try fixture.client().perform(.start, on: "debian") }
    #expect(try fixture.client().perform(.destroy, on: "debian").state == .shuttingDown)
    #expect(try fixture.await(.off, of: "debian").reason == "destroyed")
  }

  @Test("Exit codes follow the policy, with what the monitor said")
  func exitCodes() throws {
    let fixture = try DaemonFixture()
    try fixture.start([Samples.domain("a"), Samples.domain("b", onCrash: .restart), Samples.domain("c")])
    for name in ["a", "b", "c"] { try eventually("\(name) starts") { fixture.starts(name).count == 1 } }

    try fixture.exit("a", 10)
    try eventually("a restarts") { fixture.starts("a").count == 2 }
    #expect(try fixture.status("a").restarts == 1)
    try fixture.exit("a", 11, saying: "triple fault at 0x1000")
    #expect(try fixture.await(.crashed, of: "a").reason == "the guest crashed: triple fault at 0x1000")

    try fixture.exit("b", 12, saying: "disk")
    try eventually("b restarts") { fixture.starts("b").count == 2 }
    try fixture.exit("b", 0)
    #expect(try fixture.await(.off, of: "b").reason == nil)

    try fixture.exit("c", 2, saying: "no such kernel: /x")
    #expect(try fixture.await(.failed, of: "c").reason == "no such kernel: /x")
  }

  @Test("Unknown domains, unknown operations and garbage are refused, and nobody else notices")
  func garbage() throws {
    let fixture = try DaemonFixture()
    try fixture.start([Samples.domain("debian")])
    let error = #expect(throws: ControlError.self) { try fixture.client().perform(.stop, on: "debain") }
    #expect(error?.code == .unknownDomain && error?.message.contains("did you mean debian?") == true)

    // A subscriber that never reads, half lines, binary, and a line without an end.
    let deaf = try fixture.client()
    _ = try deaf.subscribe()
    let half = try UnixSocket.connect(fixture.configuration.socket)
    try half.writeAll(Array(#"{"id":1,"op":"li"#.utf8))
    let noise = try UnixSocket.connect(fixture.configuration.socket)
    try noise.writeAll((0..<100_000).map { _ in UInt8.random(in: 0...255) } + [0x0A])
    let endless = try UnixSocket.connect(fixture.configuration.socket)
    try endless.writeAll([UInt8](repeating: 0x41, count: 3 << 20))
    try endless.writeAll(Array("\n{\"id\":9,\"op\":\"list\"}\n".utf8))
    var framer = LineFramer()
    var replies: [String] = []
    while replies.count < 2 {
      for case .line(let line) in framer.append(try endless.read(upTo: 1 << 16)) {
        replies.append(String(decoding: line, as: UTF8.self))
      }
    }
    #expect(replies[0].contains("line-too-long"))
    #expect(replies[1].contains(#""id":9,"ok":true"#))

    let raw = try UnixSocket.connect(fixture.configuration.socket)
    try raw.writeAll(Array("{\"id\":7,\"op\":\"dance\"}\n".utf8))
    #expect(String(decoding: try raw.read(upTo: 4096), as: UTF8.self).contains("unknown-operation"))
    #expect(try fixture.client().list().domains.count == 1)
  }

  @Test("Many clients at once")
  func manyClients() throws {
    let fixture = try DaemonFixture()
    try fixture.start([Samples.domain("debian", autostart: false)])
    let clients = try (0..<60).map { _ in try fixture.client() }
    for client in clients { #expect(try client.subscribe().domains.count == 1) }
    try fixture.client().perform(.start, on: "debian")
    for client in clients {
      guard case .domain(let status)? = try client.nextEvent(within: 120) else {
        Issue.record("a client was not told")
        return
      }
      #expect(status.name == "debian")
    }
  }

  @Test("Shutting down ends what does not answer its power button in time")
  func patience() throws {
    let fixture = try DaemonFixture()
    try fixture.write("", to: "stubborn.stubborn")
    try fixture.start([Samples.domain("stubborn")])
    try eventually("it starts") { fixture.starts("stubborn").count == 1 }
    fixture.stop()
    try eventually("the daemon ends") { fixture.isDone }
    #expect(fixture.failure == nil)
    #expect(fixture.log.contains("stubborn: did not power off in time and is ended"))
    #expect(!Files.exists(fixture.configuration.socket))
  }

  @Test("Shutting down presses all power buttons and starts nothing; a second stop does not wait")
  func shutdown() throws {
    let fixture = try DaemonFixture()
    fixture.configure { $0.shutdownPatience = 3600 }
    try fixture.write("", to: "stubborn.stubborn")
    try fixture.start([Samples.domain("polite"), Samples.domain("stubborn")])
    for name in ["polite", "stubborn"] { try eventually("\(name) starts") { fixture.starts(name).count == 1 } }
    fixture.stop()
    try eventually("polite is off") { fixture.log.contains("polite: off") }
    #expect(!fixture.isDone)
    let error = #expect(throws: ControlError.self) { try fixture.client().perform(.start, on: "polite") }
    #expect(error?.code == .wrongState && error?.message.contains("shutting down") == true)
    fixture.stop()
    try eventually("the daemon ends") { fixture.isDone }
    #expect(fixture.failure == nil)
  }

  @Test("Without hardware virtualisation the appliance is up and says so")
  func noKVM() throws {
    let fixture = try DaemonFixture()
    fixture.configure { $0.kvm = "/nonexistent/kvm" }
    try fixture.start([Samples.domain("debian")])
    let status = try fixture.await(.failed, of: "debian")
    #expect(status.reason?.contains("no hardware virtualisation") == true)
    #expect(status.reason?.contains("firmware setup") == true)
    #expect(try fixture.client().list().appliance.notices == [HardwareVirtualisation.missing])
  }

  @Test("A failed storage fails the domains with disks only")
  func failedStorage() throws {
    let fixture = try DaemonFixture()
    try fixture.write(#"{"state":"failed","error":"no device-mapper"}"#, to: "storage.json")
    try fixture.start([Samples.domain("disk", disk: true), Samples.domain("diskless")])
    #expect(try fixture.await(.failed, of: "disk").reason == "the storage failed: no device-mapper")
    try eventually("diskless starts") { fixture.starts("diskless").count == 1 }
  }

  @Test("A domain with a disk waits for the storage")
  func lateStorage() throws {
    let fixture = try DaemonFixture()
    try fixture.start([Samples.domain("disk", disk: true)])
    #expect(try fixture.await(.starting, of: "disk").reason == "waits for the storage")
    try fixture.write(#"{"state":"ready","domains":{"disk":{"device":"/dev/roost/disk"}}}"#, to: "storage.json")
    try eventually("it starts") { fixture.starts("disk").first?.contains("--disk /dev/roost/disk,id=disk") == true }
  }

  @Test("More memory than the machine has: failed, with both numbers")
  func memory() throws {
    let fixture = try DaemonFixture()
    try fixture.start([Samples.domain("giant", memory: 1 << 40)])
    let reason = try fixture.await(.failed, of: "giant").reason ?? ""
    #expect(reason.contains("1048576 MiB") && reason.contains("the machine has"))
  }

  @Test("A monitor that does not exist fails its domain")
  func missingMonitor() throws {
    let fixture = try DaemonFixture()
    fixture.configure { $0.monitor = "/nonexistent/roost-vmm" }
    try fixture.start([Samples.domain("debian")])
    #expect(try fixture.await(.failed, of: "debian").reason?.contains("/nonexistent/roost-vmm") == true)
  }

  @Test("Monitors of a domain manager before this one are taken over")
  func adoption() throws {
    let fixture = try DaemonFixture()
    // Started by a shell that ends: not a child of this process.
    let shell = try ChildProcess.start(
      ChildRequest(["/bin/sh", "-c", "\(fixture.configuration.monitor) --name debian </dev/null >/dev/null 2>&1 &"]))
    #expect(try shell.wait().isSuccess)
    try eventually("it runs") { fixture.starts("debian").count == 1 }
    let pid = try #require(fixture.starts("debian").first.flatMap { Int32($0.prefix { $0 != " " }) })
    let ticks = try #require(ChildProcess.startTicks(of: pid))
    try Files.makeDirectories("\(fixture.directory)/run/domains/debian")
    try fixture.write(
      #"{"pid":\#(pid),"startTicks":\#(ticks),"startedAt":1.5,"readySeconds":2.5}"#,
      to: "run/domains/debian/monitor.json")
    try fixture.start([Samples.domain("debian")])
    let status = try fixture.await(.ready, of: "debian")
    #expect(status.pid == pid && status.startedAt == 1.5 && status.readySeconds == 2.5)
    #expect(fixture.starts("debian").count == 1)
    try fixture.exit("debian", 0)
    #expect(try fixture.await(.off, of: "debian").reason?.contains("ended while") == true)
  }

  @Test("A process that only has the id of a monitor is not taken over")
  func staleRecord() throws {
    let stranger = try ChildProcess.start(ChildRequest(["/bin/sleep", "600"]))
    defer {
      try? stranger.signal(Signal.kill)
      _ = try? stranger.wait()
    }
    let fixture = try DaemonFixture()
    try Files.makeDirectories("\(fixture.directory)/run/domains/debian")
    try fixture.write(
      #"{"pid":\#(stranger.pid),"startTicks":99999999999,"startedAt":1.5}"#, to: "run/domains/debian/monitor.json")
    try fixture.start([Samples.domain("debian")])
    try eventually("its own starts") { fixture.starts("debian").count == 1 }
  }

  @Test("Power off and restart reach init, and a failure is told")
  func power() throws {
    let fixture = try DaemonFixture()
    try fixture.start([Samples.domain("debian", autostart: false)])
    try fixture.client().powerOff()
    #expect(Files.exists("\(fixture.directory)/poweroff"))
    #expect(throws: ControlError.self) { try fixture.client().rebootHost() }
  }

  @Test("A manifest that is none is named")
  func badManifest() throws {
    let fixture = try DaemonFixture()
    try fixture.write("{", to: "manifest.json")
    let configuration = fixture.configuration
    let error = #expect(throws: ControlError.self) { _ = try Daemon(configuration) { _ in } }
    #expect(error?.message.contains("manifest.json") == true)
  }
}

@Suite("The virtio-serial port", .ownThreads, .timeLimit(.minutes(60)))
struct PortTests {
  @Test("Served when it appears, across hang-ups of the host's side")
  func port() throws {
    let directory = try Files.makeTemporaryDirectory(prefix: "/tmp/roost-port-")
    defer { try? Files.removeTree(directory) }
    let loop = try EventLoop()
    let server = try ControlServer(path: "\(directory)/sock", loop: loop) { request, reply in
      reply(Array("{\"id\":\(request.id),\"ok\":true}".utf8), false)
    }
    defer { server.close() }
    server.servePort(
      named: "org.roost.control",
      devices: VirtioPorts(classDirectory: "\(directory)/class", deviceDirectory: "\(directory)/dev"), log: { _ in })
    try Files.makeDirectories("\(directory)/class/vport0p1")
    try Files.makeDirectories("\(directory)/class/vport0p2")
    try Files.makeDirectories("\(directory)/dev")
    try Files.write("com.redhat.spice.0\n", to: "\(directory)/class/vport0p1/name")
    try Files.write("org.roost.control\n", to: "\(directory)/class/vport0p2/name")

    for id in [1, 2] {
      let host = try Terminal.makePseudoTerminal()
      _ = try Terminal.makeRaw(host.driver.rawValue)
      try Files.remove("\(directory)/dev/vport0p2")
      try Files.link("\(directory)/dev/vport0p2", to: host.path)
      try host.driver.setNonBlocking(true)
      try host.driver.writeAll(Array("\n{\"id\":\(id),\"op\":\"list\"}\n".utf8))
      var answer: [UInt8] = []
      let end = loop.now + 120
      // The timer bounds the wait when no answer comes.
      func look() {
        answer += (try? host.driver.read(upTo: 4096)) ?? []
        if !answer.contains(0x0A) { loop.after(0.02) { look() } }
      }
      look()
      try loop.run { answer.contains(0x0A) || loop.now > end }
      #expect(String(decoding: answer, as: UTF8.self) == "{\"id\":\(id),\"ok\":true}\n")
    }
  }
}

@Suite("A console session", .ownThreads, .timeLimit(.minutes(60)))
struct ConsoleSessionTests {
  @Test("Bytes go both ways until Ctrl-]")
  func session() throws {
    try Samples.withDirectory { directory in
      let listener = try UnixSocket.listen("\(directory)/console.sock")
      let typed = try Pipe()
      let shown = try Pipe()
      let session = try ConsoleSession(
        Samples.console("\(directory)/console.sock"), input: typed.reader.rawValue, output: shown.writer.rawValue)
      let guest = try UnixSocket.accept(listener)
      try guest.writeAll(Array("login: ".utf8))
      try typed.writer.writeAll(Array("root\r".utf8) + [ConsoleSession.leaveByte] + Array("lost".utf8))
      #expect(try session.run() == .left)
      #expect(try guest.read(upTo: 100) == Array("root\r".utf8))
    }
  }

  @Test("The end of the console ends the session, after what it still showed")
  func closed() throws {
    try Samples.withDirectory { directory in
      let listener = try UnixSocket.listen("\(directory)/console.sock")
      let typed = try Pipe()
      let shown = try Pipe()
      let session = try ConsoleSession(
        Samples.console("\(directory)/console.sock"), input: typed.reader.rawValue, output: shown.writer.rawValue)
      do {
        let guest = try UnixSocket.accept(listener)
        try guest.writeAll(Array("bye".utf8))
      }
      #expect(try session.run() == .closed)
      #expect(try shown.reader.read(upTo: 100) == Array("bye".utf8))
    }
  }

  @Test("A console that is not there is an error")
  func missing() {
    #expect(throws: ControlError.self) { try ConsoleSession(Samples.console("/nonexistent"), input: 0, output: 1) }
  }
}
