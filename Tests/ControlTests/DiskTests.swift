import Glibc
import Manifest
import Platform
import TestMachine
import Testing
@testable import Control

@Suite("Disks on the fly", .ownThreads, .timeLimit(.minutes(60)))
struct DiskTests {
  private static let debian = Samples.disk("debian", kind: .domain)

  /// A domain manager with these domains and disks, its autostarted monitors running.
  private func fixture(
    _ domains: [ApplianceManifest.Domain], disks: [DiskStatus] = [debian],
    configure: (inout DaemonConfiguration) -> Void = { _ in }
  ) throws -> DaemonFixture {
    let fixture = try DaemonFixture()
    fixture.configure(configure)
    try fixture.report(disks)
    try fixture.start(domains)
    for domain in domains where domain.autostart {
      try eventually("\(domain.name) starts") { fixture.starts(domain.name).count == 1 }
    }
    return fixture
  }

  private func failure(_ body: () throws -> DiskResult) -> ControlError? {
    #expect(throws: ControlError.self) { _ = try body() }
  }

  private let idle = Samples.domain("debian", disk: true, autostart: false)
  private let running = Samples.domain("debian", disk: true, hotplug: true)
  private let data = Samples.disk("data")
  private let attached = Samples.disk("data", attachedTo: "debian")

  @Test("Every verb reaches roost-storage, and its answer the client")
  func verbs() throws {
    let fixture = try fixture([idle], disks: [Self.debian, data])
    let client = try fixture.client()
    let snapshot = Samples.disk("before", kind: .snapshot, origin: "debian")
    try fixture.whenAsked("list", #"echo '{"disks":[]}'"#)
    #expect(try client.disks() == [])
    let new = Samples.disk("new", bytes: 16 << 20)
    try fixture.whenAsked("create", answer: new, then: [Self.debian, data, new])
    #expect(try client.createDisk("new", bytes: 16 << 20) == DiskResult(disk: new))
    let larger = Samples.disk("new", bytes: 20 << 20)
    try fixture.whenAsked("resize", answer: larger, then: [Self.debian, data, larger])
    #expect(try client.resizeDisk("new", bytes: 20 << 20).disk == larger)
    try fixture.whenAsked("snapshot", answer: snapshot, then: [Self.debian, data, snapshot])
    #expect(try client.snapshotDisk("debian", as: "before").disk == snapshot)
    try fixture.whenAsked("rollback", answer: Self.debian, then: [Self.debian, data, snapshot])
    #expect(try client.rollBackDisk("debian", to: "before").disk == Self.debian)
    let clone = Samples.disk("trial", kind: .clone, origin: "debian")
    try fixture.whenAsked("clone", answer: clone, then: [Self.debian, data, clone])
    #expect(try client.cloneDisk("debian", as: "trial").disk == clone)
    try fixture.whenAsked("attach", answer: attached, then: [Self.debian, attached])
    #expect(try client.attachDisk("data", to: "debian").note == "debian has it from its next start")
    try fixture.whenAsked("detach", answer: data, then: [Self.debian, data])
    #expect(try client.detachDisk("data") == DiskResult(disk: data))
    try fixture.whenAsked("destroy", answer: nil, then: [Self.debian])
    #expect(try client.destroyDisk("data") == DiskResult(disk: nil))
    #expect(
      fixture.storageCalls == [
        "disk list --json", "disk create new --size 16MiB --json", "disk resize new --size 20MiB --json",
        "disk snapshot debian before --json", "disk rollback debian before --json", "disk clone debian trial --json",
        "disk attach data debian --json", "disk detach data --json", "disk destroy data --json",
      ])
  }

  @Test("What the program says against it is the answer, without its name in front")
  func refusal() throws {
    let fixture = try fixture([idle])
    try fixture.whenAsked(
      "create", "printf 'roost-storage: the pool is full\\nroost-storage: grow it\\n' >&2; exit 1")
    let error = failure { try fixture.client().createDisk("data", bytes: 16 << 20) }
    #expect(error == ControlError(.storage, "the pool is full\ngrow it"))
  }

  @Test(
    "A program that fails in other ways fails its request, and the next is served",
    arguments: [
      ("exit 1", "roost-storage ended with exit code 1"),
      ("echo 'roost-storage: no such option' >&2; exit 2", "exit code 2: no such option"),
      ("kill -KILL $$", "killed by signal 9"),
      ("echo garbage", "is not understood"),
      ("true", "is not understood"),
      (#"echo '{"name":"data"}'"#, "is not understood"),
      ("head -c 5000000 /dev/zero", "is not understood"),
      ("sleep 600", "took too long"),
      (
        "trap '' TERM; echo 'waiting for a lock' >&2; while :; do sleep 0.1; done",
        "took too long and was ended: waiting"
      ),
    ])
  func failures(script: String, expected: String) throws {
    // What is asked afterwards has as much time.
    let fixture = try fixture([idle]) { $0.storageDeadline = script.contains("sleep") ? 10 : 120 }
    try fixture.whenAsked("create", script)
    let error = failure { try fixture.client().createDisk("data", bytes: 16 << 20) }
    #expect(error?.message.contains(expected) == true, "\(error?.message ?? "")")
    #expect(error?.message.contains("roost disk create data --size 16MiB") == true)
    try fixture.whenAsked("list", #"echo '{"disks":[]}'"#)
    #expect(try fixture.client().disks() == [])
  }

  @Test("Without the program that is said")
  func missingProgram() throws {
    let fixture = try fixture([idle]) { $0.storageProgram = "/nonexistent/roost-storage" }
    let error = failure { try fixture.client().createDisk("data", bytes: 16 << 20) }
    #expect(error?.code == .system && error?.message.contains("/nonexistent/roost-storage") == true)
  }

  @Test("A program whose helpers stay behind with its output does not keep its request waiting")
  func helpersOfTheProgram() throws {
    let fixture = try fixture([idle])
    try fixture.whenAsked("list", #"sleep 600 & echo $! > "$here/helper"; echo '{"disks":[]}'"#)
    #expect(try fixture.client().disks() == [])
    // This throws unless it is there still.
    let helper = try Files.readText("\(fixture.directory)/helper").split(separator: "\n").first.flatMap { Int32($0) }
    try ChildProcess(pid: try #require(helper)).signal(Signal.kill)
  }

  @Test("Bad names, sizes and unknown domains and disks are refused before anything runs")
  func badWords() throws {
    let fixture = try fixture([idle])
    let client = try fixture.client()
    for name in ["-rf", "--help", "", "Data", "a/b", "a b", "image-x", "pvmove0", String(repeating: "x", count: 49)] {
      #expect(failure { try client.createDisk(name, bytes: 16 << 20) }?.code == .malformedRequest, "\(name)")
      #expect(failure { try client.snapshotDisk("debian", as: name) }?.code == .malformedRequest, "\(name)")
      #expect(failure { try client.cloneDisk("debian", as: name) }?.code == .malformedRequest, "\(name)")
      #expect(failure { try client.rollBackDisk("debian", to: name) }?.code == .malformedRequest, "\(name)")
    }
    for bytes in [0, -16 << 20, 8 << 20, 21 << 20, Int.max] {
      #expect(failure { try client.createDisk("data", bytes: bytes) }?.code == .malformedRequest, "\(bytes)")
    }
    #expect(failure { try client.attachDisk("data", to: "-x") }?.code == .unknownDomain)
    #expect(failure { try client.attachDisk("data", to: "debain") }?.message.contains("did you mean debian?") == true)
    let unknown = failure { try client.destroyDisk("debain") }
    #expect(unknown?.code == .unknownDisk && unknown?.message.contains("did you mean debian?") == true)
    #expect(fixture.storageCalls.isEmpty)
  }

  @Test("Without storage there are no disks")
  func noStorage() throws {
    let fixture = try DaemonFixture()
    try fixture.start([idle])
    let early = failure { try fixture.client().createDisk("data", bytes: 16 << 20) }
    #expect(early?.message.contains("not up yet") == true)
    #expect(try fixture.client().storage().state == .waiting)
    try fixture.write(#"{"state":"failed","error":"no device-mapper"}"#, to: "storage.json")
    #expect(
      failure { try fixture.client().createDisk("data", bytes: 16 << 20) }?.message
        == "the guests' storage failed: no device-mapper")
    #expect(fixture.storageCalls.isEmpty)
  }

  // MARK: Running domains

  @Test("A domain that runs with hotplug gets a disk, keeps it over restarts, and loses it")
  func attachAndDetach() throws {
    let fixture = try fixture([running], disks: [Self.debian, data])
    #expect(fixture.starts("debian").first?.contains("--hotplug") == true)
    let monitor = try fixture.monitor(of: "debian") { _ in "ok" }
    try fixture.whenAsked("attach", answer: attached, then: [Self.debian, attached])
    #expect(try fixture.client().attachDisk("data", to: "debian") == DiskResult(disk: attached))
    #expect(monitor.requests == ["attach /dev/roost/data,id=data"])
    #expect(failure { try fixture.client().destroyDisk("data") }?.message.contains("attached to debian") == true)
    #expect(failure { try fixture.client().attachDisk("data", to: "debian") }?.message.contains("already") == true)

    try fixture.exit("debian", 10)
    try eventually("it starts again") { fixture.starts("debian").count == 2 }
    #expect(fixture.starts("debian").last?.contains("--disk /dev/roost/data,id=data,bus=scsi") == true)
    let second = try fixture.monitor(of: "debian") { _ in "ok" }
    try fixture.whenAsked("detach", answer: data, then: [Self.debian, data])
    #expect(try fixture.client().detachDisk("data") == DiskResult(disk: data))
    #expect(second.requests == ["detach data"])
    #expect(fixture.storageCalls == ["disk attach data debian --json", "disk detach data --json"])
  }

  @Test("A monitor in a jail gets disks open, and is the first process of a namespace of its own")
  func jailedAttach() throws {
    let fixture = try fixture([running], disks: [Self.debian]) { $0.jail = true }
    #expect(try #require(fixture.starts("debian").first).hasPrefix("1 "))
    #expect(fixture.starts("debian").first?.contains("--jail uid=1900000000") == true)
    let monitor = try fixture.monitor(of: "debian") { _ in "ok" }
    var snapshot = Samples.disk("early", kind: .snapshot, origin: "data")
    var (data, attached) = (data, attached)
    data.device = "\(fixture.directory)/data"
    (attached.device, snapshot.device) = (data.device, data.device)
    try fixture.write(String(repeating: "d", count: 4096), to: "data")
    try fixture.report([Self.debian, data, snapshot])
    try fixture.whenAsked("attach", answer: attached, then: [Self.debian, attached, snapshot])
    #expect(try fixture.client().attachDisk("data", to: "debian") == DiskResult(disk: attached))
    #expect(monitor.requests == ["attach fd,id=data"])
    // Twice, the second time past the page cache, where the file system can do that.
    #expect((1...2).contains(monitor.files.count))
    let box = try #require(monitor.files.first)
    #expect(try box.file.status().inode == Files.status(data.device)?.inode)
    try box.file.writeAll([0x65], at: 0)

    snapshot.attachedTo = "debian"
    try fixture.whenAsked("attach", answer: snapshot, then: [Self.debian, attached, snapshot])
    #expect(try fixture.client().attachDisk("early", to: "debian").disk == snapshot)
    #expect(monitor.requests.last == "attach fd,id=early,ro")
    #expect(throws: SystemError.self) { try monitor.files.last?.file.writeAll([0x65], at: 0) }

    // What is not there is not given, and the record is taken back.
    var gone = Samples.disk("gone")
    gone.device = "\(fixture.directory)/gone"
    var goneAttached = gone
    goneAttached.attachedTo = "debian"
    try fixture.report([Self.debian, attached, snapshot, gone])
    try fixture.whenAsked("attach", answer: goneAttached, then: [Self.debian, attached, snapshot, goneAttached])
    try fixture.whenAsked("detach", answer: gone, then: [Self.debian, attached, snapshot, gone])
    let error = failure { try fixture.client().attachDisk("gone", to: "debian") }
    #expect(error?.message.contains("it was not given to it: open \(gone.device)") == true, "\(error?.message ?? "")")
    #expect(fixture.storageCalls.last == "disk detach gone --json" && monitor.requests.count == 2)
    try fixture.exit("debian", 0)
    try fixture.await(.off, of: "debian")
  }

  @Test("What the monitor refuses is taken back")
  func refusedAttach() throws {
    let fixture = try fixture([running], disks: [Self.debian, data])
    let monitor = try fixture.monitor(of: "debian") { _ in "error there is no room for more disks" }
    try fixture.whenAsked("attach", answer: attached, then: [Self.debian, attached])
    try fixture.whenAsked("detach", answer: data, then: [Self.debian, data])
    let error = failure { try fixture.client().attachDisk("data", to: "debian") }
    #expect(
      error?.message == "data is not attached: the monitor of debian refuses it: there is no room for more disks")
    #expect(fixture.storageCalls == ["disk attach data debian --json", "disk detach data --json"])
    try fixture.whenAsked("detach", "echo 'roost-storage: a lock is taken' >&2; exit 1")
    try fixture.whenAsked("attach", answer: attached, then: [Self.debian, attached])
    let other = failure { try fixture.client().attachDisk("data", to: "debian") }
    #expect(other?.message.contains("stays recorded as attached (a lock is taken)") == true)
    #expect(monitor.requests.count == 2)
  }

  @Test("A monitor that hangs up may have the disk: it is nobody else's until the domain is off")
  func unansweredAttach() throws {
    let fixture = try fixture(
      [running, Samples.domain("other", autostart: false)], disks: [Self.debian, data])
    let monitor = try fixture.monitor(of: "debian") { _ in nil }
    try fixture.whenAsked("attach", answer: attached, then: [Self.debian, attached])
    try fixture.whenAsked("detach", answer: data, then: [Self.debian, data])
    let error = failure { try fixture.client().attachDisk("data", to: "debian") }
    #expect(error?.message.contains("did not say whether it has it") == true)
    #expect(failure { try fixture.client().attachDisk("data", to: "other") }?.message.contains("in use by") == true)
    #expect(failure { try fixture.client().destroyDisk("data") }?.message.contains("in use by") == true)
    try fixture.exit("debian", 0)
    try fixture.await(.off, of: "debian")
    try fixture.whenAsked("destroy", answer: nil, then: [Self.debian])
    #expect(try fixture.client().destroyDisk("data") == DiskResult(disk: nil))
    #expect(monitor.requests.count == 1)
  }

  @Test("A monitor that ends meanwhile leaves the disk to its successor")
  func attachWhileRestarting() throws {
    let fixture = try fixture([running], disks: [Self.debian, data])
    try fixture.whenAsked("attach", answer: attached, then: [Self.debian, attached])
    // Nobody listens at the control socket, so the request is under way until the monitor ends.
    let waiting = try UnixSocket.connect(fixture.configuration.socket)
    try waiting.writeAll(Array("{\"id\":1,\"op\":\"disk-attach\",\"disk\":\"data\",\"domain\":\"debian\"}\n".utf8))
    try eventually("it is recorded") { fixture.storageCalls.count == 1 }
    try fixture.exit("debian", 10)
    let answer = String(decoding: try waiting.read(upTo: 4096), as: UTF8.self)
    #expect(answer.contains("\"ok\":true") && answer.contains("debian has it from its next start"), "\(answer)")
    try eventually("it starts again") { fixture.starts("debian").count == 2 }
    #expect(fixture.starts("debian").last?.contains("id=data,bus=scsi") == true)
    #expect(fixture.storageCalls.count == 1)
  }

  @Test("Without hotplug a running domain has a disk from its next start, and until it is off")
  func withoutHotplug() throws {
    let fixture = try fixture(
      [Samples.domain("debian", disk: true), Samples.domain("other", autostart: false)], disks: [Self.debian, data])
    try fixture.whenAsked("attach", answer: attached, then: [Self.debian, attached])
    #expect(try fixture.client().attachDisk("data", to: "debian").note?.contains("next start") == true)
    try fixture.exit("debian", 10)
    try eventually("it starts again") { fixture.starts("debian").count == 2 }
    #expect(fixture.starts("debian").last?.contains("--disk /dev/roost/data,id=data --serial") == true)

    try fixture.whenAsked("detach", answer: data, then: [Self.debian, data])
    #expect(try fixture.client().detachDisk("data").note?.contains("until it is off") == true)
    #expect(
      failure { try fixture.client().attachDisk("data", to: "other") }?.message.contains("until that is off") == true)
    #expect(failure { try fixture.client().detachDisk("data") }?.message.contains("detached already") == true)
    try fixture.exit("debian", 0)
    try fixture.await(.off, of: "debian")
    try fixture.whenAsked("attach", answer: Samples.disk("data", attachedTo: "other"), then: [Self.debian])
    #expect(try fixture.client().attachDisk("data", to: "other").note == "other has it from its next start")
  }

  @Test("A disk that the monitor does not let go stays recorded, and one whose record stays is given back")
  func failedDetach() throws {
    let fixture = try fixture([running], disks: [Self.debian, attached])
    do {
      let monitor = try fixture.monitor(of: "debian") { _ in "error the guest uses it" }
      let error = failure { try fixture.client().detachDisk("data") }
      #expect(error?.message == "data stays attached: the monitor of debian says: the guest uses it")
      #expect(monitor.requests == ["detach data"])
    }
    #expect(fixture.storageCalls.isEmpty)
    let monitor = try fixture.monitor(of: "debian") { _ in "ok" }
    try fixture.whenAsked("detach", "echo 'roost-storage: a lock is taken' >&2; exit 1")
    #expect(failure { try fixture.client().detachDisk("data") } == ControlError(.storage, "a lock is taken"))
    #expect(monitor.requests == ["detach data", "attach /dev/roost/data,id=data"])
  }

  @Test("A running domain is told that its disks grew; what it does not take is a note")
  func resize() throws {
    let fixture = try fixture([running], disks: [Self.debian, attached, Samples.disk("free")])
    let monitor = try fixture.monitor(of: "debian") { $0 == "resize debian" ? "ok 2147483648" : "error no such disk" }
    for (name, note) in [
      ("debian", nil), ("data", "debian sees the new size from its next start: its monitor says: no such disk"),
      ("free", nil),
    ] as [(String, String?)] {
      let larger = Samples.disk(name, bytes: 2 << 30)
      try fixture.whenAsked("resize", answer: larger, then: [Self.debian, attached, Samples.disk("free")])
      #expect(try fixture.client().resizeDisk(name, bytes: 2 << 30) == DiskResult(disk: larger, note: note))
    }
    #expect(monitor.requests == ["resize debian", "resize data"])
  }

  @Test("What a running domain uses is neither rolled back nor destroyed, and the domain is named")
  func inUse() throws {
    let fixture = try fixture([running], disks: [Self.debian, attached, Samples.disk("before", kind: .snapshot)])
    let own = failure { try fixture.client().rollBackDisk("debian", to: "before") }
    #expect(own?.message.contains("in use by the domain debian, which is running: stop it first") == true)
    let other = failure { try fixture.client().rollBackDisk("data", to: "before") }
    #expect(other?.message.contains("in use by the domain debian") == true)
    #expect(other?.message.contains("roost disk detach data") == true)
    #expect(failure { try fixture.client().destroyDisk("debian") }?.message.contains("cannot be without it") == true)
    #expect(failure { try fixture.client().attachDisk("debian", to: "debian") }?.message.contains("clone") == true)
    #expect(fixture.storageCalls.isEmpty)
    try fixture.exit("debian", 0)
    try fixture.await(.off, of: "debian")
    try fixture.whenAsked("rollback", answer: Self.debian, then: [Self.debian, attached])
    #expect(try fixture.client().rollBackDisk("debian", to: "before").disk == Self.debian)
  }

  @Test("A domain does not start while its disk is rolled back")
  func startDuringRollback() throws {
    let fixture = try fixture([idle], disks: [Self.debian, Samples.disk("before", kind: .snapshot)])
    try fixture.whenAsked("rollback", "while [ ! -e \"$here/go\" ]; do sleep 0.02; done; exit 1")
    let client = try UnixSocket.connect(fixture.configuration.socket)
    try client.writeAll(
      Array("{\"id\":1,\"op\":\"disk-rollback\",\"disk\":\"debian\",\"snapshot\":\"before\"}\n".utf8))
    try eventually("it runs") { fixture.storageCalls.count == 1 }
    let status = try fixture.client().perform(.start, on: "debian")
    #expect(status.state == .starting)
    #expect(status.reason == "waits until `roost disk rollback debian before` is done")
    #expect(fixture.starts("debian").isEmpty)
    try fixture.write("", to: "go")
    try eventually("it starts") { fixture.starts("debian").count == 1 }
  }

  @Test("A domain manager that is started anew knows which disks a running monitor has")
  func adoption() throws {
    let fixture = try DaemonFixture()
    let shell = try ChildProcess.start(
      ChildRequest(["/bin/sh", "-c", "\(fixture.configuration.monitor) --name debian </dev/null >/dev/null 2>&1 &"]))
    #expect(try shell.wait().isSuccess)
    try eventually("it runs") { fixture.starts("debian").count == 1 }
    let pid = try #require(fixture.starts("debian").first.flatMap { Int32($0.prefix { $0 != " " }) })
    let ticks = try #require(ChildProcess.startTicks(of: pid))
    try Files.makeDirectories("\(fixture.directory)/run/domains/debian")
    try fixture.write(
      #"{"pid":\#(pid),"startTicks":\#(ticks),"startedAt":1.5,"disks":["data"]}"#, to: "run/domains/debian/monitor.json"
    )
    try fixture.report([Self.debian, attached])
    try fixture.start([running])
    let monitor = try fixture.monitor(of: "debian") { _ in "ok" }
    try fixture.whenAsked("detach", answer: data, then: [Self.debian, data])
    #expect(try fixture.client().detachDisk("data").note == nil)
    #expect(monitor.requests == ["detach data"])
    #expect(try Files.readText("\(fixture.directory)/run/domains/debian/monitor.json").contains("data") == false)
    try fixture.exit("debian", 0)
    try fixture.await(.off, of: "debian")
  }

  // MARK: Several at once

  @Test("Two requests at once are carried out one after the other, in order; others are answered meanwhile")
  func order() throws {
    let fixture = try fixture([idle])
    let slow = "echo begin $3 >> \"$here/order\"; while [ ! -e \"$here/go-$3\" ]; do sleep 0.02; done; "
    try fixture.whenAsked(
      "create",
      slow + "echo end $3 >> \"$here/order\"; "
        + #"echo "{\"name\":\"$3\",\"device\":\"/d\",\"bytes\":1,\"kind\":\"disk\",\"isOpen\":false}""#)
    let first = try UnixSocket.connect(fixture.configuration.socket)
    try first.writeAll(Array("{\"id\":1,\"op\":\"disk-create\",\"disk\":\"one\",\"bytes\":16777216}\n".utf8))
    try eventually("the first runs") { fixture.storageCalls.count == 1 }
    let second = try UnixSocket.connect(fixture.configuration.socket)
    try second.writeAll(Array("{\"id\":2,\"op\":\"disk-create\",\"disk\":\"two\",\"bytes\":16777216}\n".utf8))
    #expect(try fixture.client().list().domains.count == 1)
    try fixture.write("", to: "go-two")
    MonotonicClock.sleep(milliseconds: 300)
    #expect(fixture.storageCalls.count == 1)
    try fixture.write("", to: "go-one")
    #expect(String(decoding: try second.read(upTo: 4096), as: UTF8.self).contains(#""id":2,"ok":true"#))
    #expect(String(decoding: try first.read(upTo: 4096), as: UTF8.self).contains(#""id":1,"ok":true"#))
    #expect(try Files.readText("\(fixture.directory)/order") == "begin one\nend one\nbegin two\nend two\n")
  }

  @Test("A client that goes away is missed by nobody, and one that only says no more is answered")
  func clientsThatGo() throws {
    let fixture = try fixture([idle])
    try fixture.whenAsked("list", "while [ ! -e \"$here/go\" ]; do sleep 0.02; done; echo '{\"disks\":[]}'")
    do {
      let gone = try UnixSocket.connect(fixture.configuration.socket)
      try gone.writeAll(Array("{\"id\":1,\"op\":\"disk-list\"}\n".utf8))
      try eventually("it runs") { fixture.storageCalls.count == 1 }
    }
    let silent = try UnixSocket.connect(fixture.configuration.socket)
    try silent.writeAll(Array("{\"id\":2,\"op\":\"disk-list\"}\n".utf8))
    #expect(Glibc.shutdown(silent.rawValue, Int32(SHUT_WR)) == 0)
    // The daemon idles meanwhile: a connection that has ended is not looked at again and again.
    MonotonicClock.sleep(milliseconds: 200)
    #expect(try fixture.client().list().domains.count == 1)
    try fixture.write("", to: "go")
    #expect(String(decoding: try silent.read(upTo: 4096), as: UTF8.self).contains(#""id":2,"ok":true"#))
    #expect(try silent.read(upTo: 4096).isEmpty)
    #expect(fixture.storageCalls.count == 2)
  }

  @Test("More requests than wait reasonably are refused")
  func queueLimit() throws {
    let fixture = try fixture([idle])
    try fixture.whenAsked("list", "while [ ! -e \"$here/go\" ]; do sleep 0.02; done; echo '{\"disks\":[]}'")
    let many = try UnixSocket.connect(fixture.configuration.socket)
    let count = DiskManager.queueLimit + 2
    try many.writeAll((1...count).flatMap { Array("{\"id\":\($0),\"op\":\"disk-list\"}\n".utf8) })
    let refusal = String(decoding: try many.read(upTo: 4096), as: UTF8.self)
    #expect(refusal.contains("\"id\":\(count)") && refusal.contains("too many requests"), "\(refusal)")
    try fixture.write("", to: "go")
    try eventually("all that were taken are carried out") { fixture.storageCalls.count == count - 1 }
  }

  @Test("The end waits for the change that is being made, and makes no other")
  func shutdown() throws {
    let fixture = try fixture([idle])
    try fixture.whenAsked(
      "create", "while [ ! -e \"$here/go\" ]; do sleep 0.02; done; echo done > \"$here/made\"; exit 1")
    let client = try UnixSocket.connect(fixture.configuration.socket)
    try client.writeAll(Array("{\"id\":1,\"op\":\"disk-create\",\"disk\":\"one\",\"bytes\":16777216}\n".utf8))
    try eventually("it runs") { fixture.storageCalls.count == 1 }
    try client.writeAll(Array("{\"id\":2,\"op\":\"disk-list\"}\n".utf8))
    fixture.stop()
    #expect(String(decoding: try client.read(upTo: 4096), as: UTF8.self).contains("shutting down"))
    #expect(failure { try fixture.client().destroyDisk("data") }?.message.contains("shutting down") == true)
    #expect(!fixture.isDone)
    try fixture.write("", to: "go")
    try eventually("the daemon ends") { fixture.isDone }
    #expect(Files.exists("\(fixture.directory)/made"))
  }
}
