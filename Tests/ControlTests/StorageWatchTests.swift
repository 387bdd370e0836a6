import Platform
import TestMachine
import Testing
@testable import Control

@Suite("What the storage reports", .ownThreads, .timeLimit(.minutes(60)))
struct StorageWatchTests {
  private func pool(
    _ percent: Double, full: Bool = false, home: String = "memory", degraded: String? = nil
  ) -> PoolStatus {
    PoolStatus(poolBytes: 1 << 30, dataPercent: percent, isFull: full, home: home, degraded: degraded)
  }

  @Test("Filling up, full, and room again: a notice while it lasts, a line in the log for each state")
  func states() {
    var watch = PoolWatch()
    #expect(watch.take(nil) == PoolWatch.Change())
    #expect(watch.take(pool(79.9)) == PoolWatch.Change())
    let filling = watch.take(pool(80))
    #expect(filling.room?.hasPrefix("the guests' storage is 80 % full: ") == true)
    #expect(filling.room?.contains("roost storage grow") == true)
    #expect(filling.log == [filling.room])
    let more = watch.take(pool(91.7))
    #expect(more.room?.contains("91 %") == true && more.log.isEmpty)
    #expect(watch.take(pool(79)).room != nil)
    let full = watch.take(pool(99.99, full: true))
    #expect(
      full.room == "the guests' storage is full: guests wait with their writes until it grows "
        + "(roost storage grow /dev/sdX)")
    #expect(full.log == [full.room])
    #expect(watch.take(pool(99.99, full: true)).log.isEmpty)
    let rested = watch.take(pool(40))
    #expect(rested.room == nil && rested.log == ["the guests' storage has room again: 40 % of 1 GiB is in use"])
    #expect(watch.take(pool(41)) == PoolWatch.Change())
    #expect(watch.take(pool(100)).room?.contains("is full") == true)
  }

  @Test("On a disk of its own it is not advised to move there")
  func home() {
    var watch = PoolWatch()
    #expect(watch.take(pool(85)).room?.contains("persist") == true)
    #expect(watch.take(pool(85, home: "disk")).room?.contains("persist") == false)
  }

  @Test("What is missing is said until it is back, in one line")
  func degraded() {
    var watch = PoolWatch()
    let gone = watch.take(pool(1, degraded: "the disk is gone:\n\u{1B}[31mplug it in again"))
    #expect(gone.degraded == "the disk is gone: plug it in again" && gone.log == [gone.degraded])
    #expect(watch.take(pool(2, degraded: "the disk is gone:\nplug it in again")).log.isEmpty)
    #expect(watch.take(pool(2)) == PoolWatch.Change(log: ["the guests' storage is whole again"]))
    #expect(watch.take(pool(2, degraded: "")) == PoolWatch.Change())
  }

  @Test("Garbage is no report of the room", arguments: ["", "{", "[]", #"{"dataPercent":"1"}"#, "null"])
  func garbage(text: String) {
    #expect(PoolStatus.decode(Array(text.utf8)) == nil)
  }

  @Test("There is one notice about a subject, and none when it is over")
  func notices() {
    var notices = Notices()
    func news(_ subject: Notices.Subject, _ text: String?) -> Bool { notices.set(subject, text) }
    #expect(news(.room, "80 %"))
    #expect(!news(.room, "80 %"))
    #expect(news(.hardware, "no KVM"))
    #expect(news(.room, "81 %"))
    #expect(notices.texts == ["81 %", "no KVM"])
    #expect(news(.room, nil))
    #expect(!news(.room, nil))
    #expect(!news(.degraded, nil))
    #expect(notices.texts == ["no KVM"])
  }

  private func write(_ pool: PoolStatus, to fixture: DaemonFixture) throws {
    try fixture.write(String(decoding: try ControlCoding.encode(pool), as: UTF8.self), to: "pool.json")
  }

  @Test("Clients are told of the room, and that there is some again")
  func notice() throws {
    let fixture = try DaemonFixture()
    try fixture.report([])
    try fixture.start([Samples.domain("idle", autostart: false)])
    let subscriber = try fixture.client()
    #expect(try subscriber.subscribe().appliance.notices.isEmpty)
    try write(pool(83), to: fixture)
    guard case .appliance(let status)? = try subscriber.nextEvent(within: 120) else {
      Issue.record("nobody was told")
      return
    }
    #expect(status.notices.count == 1 && status.notices.first?.contains("83 % full") == true)
    #expect(try fixture.client().list().appliance.notices == status.notices)
    #expect(try fixture.client().storage().pool == pool(83))

    try write(pool(84), to: fixture)
    try eventually("its number follows") {
      try fixture.client().list().appliance.notices.first?.contains("84 % full") == true
    }
    try fixture.write("garbage", to: "pool.json")
    try eventually("garbage is told") { fixture.log.contains { $0.hasSuffix("pool.json is not understood") } }
    #expect(try fixture.client().list().appliance.notices.first?.contains("84 % full") == true)
    try write(pool(100, full: true, degraded: "the stick is gone"), to: fixture)
    try eventually("it is full") { try fixture.client().list().appliance.notices.count == 2 }
    try write(pool(10), to: fixture)
    try eventually("it is over") { try fixture.client().list().appliance.notices.isEmpty }
    let lines = fixture.log.filter { $0.contains("the guests' storage") || $0.contains("stick") }
    #expect(lines.count == 5, "\(lines)")
  }

  @Test("A storage that comes back is noticed by itself, and at once when asked")
  func reload() throws {
    let fixture = try DaemonFixture()
    fixture.configure { $0.storageInterval = 3600 }
    try fixture.write(#"{"state":"failed","error":"no disk"}"#, to: "storage.json")
    try fixture.start([Samples.domain("disk", disk: true, autostart: false)])
    #expect(try fixture.client().list().appliance.notices.first?.contains("the storage failed") == true)
    #expect(try fixture.client().storage() == StorageStatus(state: .failed, error: "no disk"))
    try fixture.write(#"{"state":"ready","domains":{},"warnings":["small"]}"#, to: "storage.json")
    #expect(try fixture.client().reloadStorage() == StorageStatus(state: .ready, warnings: ["small"]))
    #expect(try fixture.client().list().appliance.notices.isEmpty)
  }

  @Test("Volumes that moved or were attached elsewhere are found at the next start")
  func follows() throws {
    let fixture = try DaemonFixture()
    try fixture.report([Samples.disk("debian", kind: .domain)])
    try fixture.start([Samples.domain("debian", disk: true)])
    try eventually("it starts") { fixture.starts("debian").count == 1 }
    try fixture.report([Samples.disk("debian", kind: .domain), Samples.disk("data", attachedTo: "debian")])
    _ = try fixture.client().reloadStorage()
    try fixture.exit("debian", 10)
    try eventually("it starts again") { fixture.starts("debian").count == 2 }
    #expect(fixture.starts("debian").last?.contains("--disk /dev/roost/data,id=data") == true)
  }
}
