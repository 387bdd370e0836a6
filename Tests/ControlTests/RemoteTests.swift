import Manifest
import Platform
import TestMachine
import Testing
@testable import Control

@Suite("What comes over the network", .ownThreads, .timeLimit(.minutes(60)))
struct RemoteTests {
  private static let address = "nbd://10.77.0.20:10809/data"
  private let debian = Samples.disk("debian", kind: .domain)
  private let idle = Samples.domain("debian", disk: true, autostart: false)
  private let running = Samples.domain("debian", disk: true, hotplug: true)

  private func remote(_ device: String? = "/dev/nbd0", attachedTo: String? = nil, problem: String? = nil)
    -> RemoteStatus
  {
    RemoteStatus(
      name: "data", address: Self.address, attachedTo: attachedTo, device: device,
      bytes: device == nil ? nil : 64 << 20, problem: problem)
  }

  private func disk(_ device: String? = "/dev/nbd0", attachedTo: String? = nil) -> DiskStatus {
    DiskStatus(
      name: "data", device: device ?? "", bytes: device == nil ? 0 : 64 << 20, usedPercent: 100, kind: .remote,
      attachedTo: attachedTo, isAbsent: device == nil ? true : nil)
  }

  private func fixture(
    _ domains: [ApplianceManifest.Domain], disks: [DiskStatus], remotes: [RemoteStatus], waitingFor: [String] = [],
    connect: String = "exit 1"
  ) throws -> DaemonFixture {
    let fixture = try DaemonFixture()
    try fixture.whenAsked("remotes", connect)
    try fixture.report(disks, remotes: remotes, waitingFor: waitingFor)
    try fixture.start(domains)
    return fixture
  }

  private func failure<T>(_ body: () throws -> T) -> ControlError? {
    #expect(throws: ControlError.self) { _ = try body() }
  }

  @Test("Every verb reaches roost-storage, and its answer the client")
  func verbs() throws {
    let fixture = try fixture([idle], disks: [debian], remotes: [])
    let client = try fixture.client()
    let line = String(decoding: try ControlCoding.encode(remote()), as: UTF8.self)
    for verb in ["connect", "promote", "demote"] { try fixture.whenAsked(verb, "echo '\(line)'") }
    try fixture.whenAsked("disconnect", "echo '{}'")
    #expect(try client.connectRemote("data", to: "nbd://10.77.0.20/data", use: "disk", wipe: false) == remote())
    #expect(try client.connectRemote("more", to: "aoe://1.0", use: "room", wipe: true) == remote())
    try fixture.report([debian, disk()], remotes: [remote()])
    #expect(try client.promoteRemote("data", force: false) == remote())
    #expect(try client.promoteRemote("data", force: true) == remote())
    #expect(try client.demoteRemote("data") == remote())
    #expect(try client.disconnectRemote("data") == DiskResult(disk: nil))
    #expect(
      fixture.storageCalls == [
        "connect data nbd://10.77.0.20:10809/data --use disk --json", "connect more aoe://1.0 --use room --wipe --json",
        "promote data --json", "promote data --force --json", "demote data --json", "disconnect data --json",
      ])
  }

  @Test("What roost-storage says against it is the answer")
  func refusal() throws {
    let fixture = try fixture([idle], disks: [debian], remotes: [])
    try fixture.whenAsked("connect", "echo 'roost-storage: the NBD server does not answer' >&2; exit 1")
    let error = failure { try fixture.client().connectRemote("data", to: Self.address, use: "disk", wipe: false) }
    #expect(error == ControlError(.storage, "the NBD server does not answer"))
  }

  @Test("Bad names, addresses and uses are refused before anything runs")
  func badWords() throws {
    let fixture = try fixture([idle], disks: [debian, disk()], remotes: [remote()])
    let client = try fixture.client()
    for (name, address, use, expected) in [
      ("-x", Self.address, "disk", "the name"), ("new", "ndb://x/y", "disk", "did you mean nbd?"),
      ("new", "", "disk", "is no address"), ("new", Self.address, "tape", "there is no use \"tape\""),
      ("debian", Self.address, "disk", "name of a domain"), ("data", Self.address, "disk", "already"),
    ] {
      let error = failure { try client.connectRemote(name, to: address, use: use, wipe: false) }
      #expect(error?.message.contains(expected) == true, "\(error?.message ?? "")")
    }
    #expect(failure { try client.disconnectRemote("date") }?.message.contains("did you mean data?") == true)
    #expect(failure { try client.createDisk("data", bytes: 16 << 20) }?.message.contains("already") == true)
    #expect(!fixture.storageCalls.contains { !$0.hasPrefix("remotes") })
  }

  @Test("What is done to volumes is not done to a remote")
  func notAVolume() throws {
    let fixture = try fixture([idle], disks: [debian, disk()], remotes: [remote()])
    let client = try fixture.client()
    let failures = [
      failure { try client.resizeDisk("data", bytes: 2 << 30) }, failure { try client.snapshotDisk("data", as: "s") },
      failure { try client.cloneDisk("data", as: "c") }, failure { try client.destroyDisk("data") },
      failure { try client.rollBackDisk("data", to: "debian") },
      failure { try client.rollBackDisk("debian", to: "data") },
    ]
    for error in failures {
      #expect(error?.message.contains("data comes over the network") == true, "\(error?.message ?? "")")
    }
    #expect(fixture.storageCalls.isEmpty)
  }

  @Test("A running domain gets a remote as any disk, and keeps it from being disconnected")
  func attach() throws {
    let fixture = try fixture([running], disks: [debian, disk()], remotes: [remote()])
    try eventually("it starts") { fixture.starts("debian").count == 1 }
    let monitor = try fixture.monitor(of: "debian") { _ in "ok" }
    let attached = disk(attachedTo: "debian")
    try fixture.whenAsked("attach", "echo '\(String(decoding: ControlCoding.encode(attached), as: UTF8.self))'")
    #expect(try fixture.client().attachDisk("data", to: "debian") == DiskResult(disk: attached))
    #expect(monitor.requests == ["attach /dev/nbd0,id=data"])
    // The record says so no more, but the monitor has it.
    let error = failure { try fixture.client().disconnectRemote("data") }
    #expect(error?.message.contains("in use by the domain debian") == true)
    try fixture.report([debian, attached], remotes: [remote(attachedTo: "debian")])
    let other = failure { try fixture.client().disconnectRemote("data") }
    #expect(other?.message.contains("attached to debian; detach it first") == true)
  }

  @Test("What is absent or the other machine's is not attached, with the reason")
  func notAttached() throws {
    let fixture = try fixture(
      [idle], disks: [debian, disk(nil)], remotes: [remote(nil, problem: "no route to host")])
    let absent = failure { try fixture.client().attachDisk("data", to: "debian") }
    #expect(absent?.message.contains("is not connected: no route to host") == true)
    var secondary = disk()
    secondary.isSecondary = true
    try fixture.report([debian, secondary], remotes: [remote()])
    let refused = failure { try fixture.client().attachDisk("data", to: "debian") }
    #expect(refused?.message.contains("roost storage promote data") == true)
  }

  @Test("What is not there is connected again and again, with a notice until it is there")
  func keeping() throws {
    // At the third attempt it is there, which takes until the report of it is prepared.
    let here = "echo x >> \"$here/tries\"; [ $(wc -l < \"$here/tries\") -ge 3 ] || exit 1; "
    let fixture = try fixture(
      [idle], disks: [debian, disk(nil)], remotes: [remote(nil, problem: "no route to host")],
      connect: here + "until [ -e \"$here/ready.json\" ]; do sleep 0.05; done; "
        + "mv \"$here/ready.json\" \"$here/storage.json\"; echo '{\"remotes\":[]}'")
    let missing = try fixture.client().list().appliance.notices
    #expect(missing.contains { $0.contains("data (\(Self.address)) is not connected: no route to host") }, "\(missing)")
    try fixture.report([debian, disk()], remotes: [remote()], as: "ready.json")
    try eventually("it is there") { try fixture.client().list().appliance.notices.isEmpty }
    #expect(fixture.storageCalls == Array(repeating: "remotes connect --json", count: 3))
    MonotonicClock.sleep(milliseconds: 700)
    #expect(fixture.storageCalls.count == 3, "what is there is not connected again")
    #expect(try fixture.client().storage().remotes == [remote()])
  }

  @Test("A connection that is lost is a notice until it is there again")
  func losing() throws {
    let fixture = try fixture([idle], disks: [debian, disk()], remotes: [remote()])
    try fixture.write(#"{"lost":{"data":"the connection is lost"}}"#, to: "remotes.json")
    try eventually("it is said") {
      try fixture.client().list().appliance.notices.contains { $0.contains("has a problem: the connection is lost") }
    }
    #expect(try fixture.client().storage().remotes?.first?.problem == "the connection is lost")
    try fixture.write(#"{"lost":{}}"#, to: "remotes.json")
    try eventually("it is over") { try fixture.client().list().appliance.notices.isEmpty }
    #expect(fixture.storageCalls.isEmpty, "roost-storage's watch mends it")
  }

  @Test("A domain waits for its remote, and starts when it is there")
  func waiting() throws {
    let fixture = try fixture(
      [running], disks: [debian, disk(nil, attachedTo: "debian")], remotes: [remote(nil, attachedTo: "debian")])
    try eventually("it waits") {
      try fixture.status("debian").reason?.contains("waits for its disk data, which comes over the network") == true
    }
    #expect(fixture.starts("debian").isEmpty)
    try fixture.report([debian, disk(attachedTo: "debian")], remotes: [remote(attachedTo: "debian")])
    try eventually("it starts") { fixture.starts("debian").count == 1 }
    #expect(fixture.starts("debian").last?.contains("--disk /dev/nbd0,id=data,bus=scsi") == true)
  }

  @Test("Domains wait while the home waits for its room over the network")
  func waitingHome() throws {
    let fixture = try fixture([running], disks: [debian], remotes: [remote(nil)], waitingFor: ["data"])
    try eventually("it waits") {
      try fixture.status("debian").reason?.contains("the storage, which waits for data over the network") == true
    }
    try eventually("it is tried") { fixture.storageCalls.contains("remotes connect --json") }
    let notices = try fixture.client().list().appliance.notices
    #expect(notices.contains { $0.contains("domains with disks wait: the guests' home waits for data") }, "\(notices)")
    try fixture.report([debian], remotes: [remote()])
    try eventually("it starts") { fixture.starts("debian").count == 1 }
  }

  @Test("The end waits for no server, and begins nothing")
  func shutdown() throws {
    let fixture = try fixture(
      [idle], disks: [debian, disk(nil)], remotes: [remote(nil)],
      connect: "while [ -d \"$here\" ] && [ ! -e \"$here/go\" ]; do sleep 0.02; done; exit 1")
    try eventually("it runs") { fixture.storageCalls.count == 1 }
    fixture.stop()
    try eventually("the daemon ends") { fixture.isDone }
    #expect(fixture.storageCalls.count == 1)
    try fixture.write("", to: "go")
  }

  @Test("Remotes are shown in plain words")
  func table() {
    #expect(RemoteTable.text([]).contains("roost storage connect"))
    let text = RemoteTable.text([remote(), remote(nil, problem: "no\u{1B}route")])
    #expect(text.contains("data: \(Self.address), disk, /dev/nbd0, 64 MiB\n"))
    #expect(text.contains("not connected\n  no") && !text.contains("\u{1B}"))
  }
}
