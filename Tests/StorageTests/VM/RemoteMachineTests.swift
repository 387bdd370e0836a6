import Platform
import TestMachine
import Testing

/// Disks over a network, from Debian's own servers, in a real kernel.
@Suite(
  .serialized, .machines, .enabled(if: StorageMachine.missing == nil, "\(StorageMachine.missing ?? "")"),
  .enabled(if: StorageMachine.missingServer == nil, "\(StorageMachine.missingServer ?? "")"))
struct RemoteMachineTests {
  /// The checks of `guest_disk` in a script.
  private static func guestDisk(_ scheme: String) -> [String] {
    [
      "writes-reach-the-server", "is-told", "is-listed", "is-no-room-by-accident", "is-no-home-by-accident",
      "name-is-taken", "attaches", "attached-is-told", "one-domain-only", "attached-stays", "detaches", "open-stays",
      "open-keeps-storage-up",
    ].map { "\(scheme)-\($0)" }
  }

  @Test func nbdDisksAreUsedAndLost() throws {
    let log = try StorageMachine().check(.nbd)
    StorageMachine.expect(Self.guestDisk("nbd"), in: log, .nbd)
  }

  @Test func iscsiDisksAreUsedAndLost() throws {
    let log = try StorageMachine().check(.iscsi)
    StorageMachine.expect(Self.guestDisk("iscsi"), in: log, .iscsi)
  }

  @Test func aoeDisksAreUsedAndLost() throws {
    let log = try StorageMachine().check(.aoe)
    StorageMachine.expect(Self.guestDisk("aoe"), in: log, .aoe)
  }

  @Test func aHomeWaitsForItsRoomOverTheNetwork() throws {
    let machine = try StorageMachine()
    let home = try machine.makeDisk("home.img", mebibytes: 192)
    let servers = try machine.makeDisk("servers.img", mebibytes: 256)
    try machine.check(.remoteHome, disks: [home, servers])
    try machine.check(.remoteHomeAgain, disks: [home, servers])
  }

  /// Whether somebody listens at a socket. Its file is there before, and the emulator connects only once. Those that
  /// listen have the flag 0x10000 (Linux, net/unix/af_unix.c, unix_seq_show).
  private static func isListening(at path: String) -> Bool {
    let sockets = (try? Files.readText("/proc/net/unix")) ?? ""
    return sockets.split(separator: "\n").contains { $0.hasSuffix(" \(path)") && $0.contains(" 00010000 ") }
  }

  @Test func twoMachinesKeepAVolumeAlike() throws {
    let machine = try StorageMachine()
    let cable = "\(machine.directory)/cable"
    func boot(_ own: Int, _ other: Int, _ network: String) throws -> StorageMachine.Running {
      try machine.boot(.drbd, words: "own=10.98.0.\(own) other=10.98.0.\(other)", network: network)
    }
    let first = try boot(1, 2, "stream,server=on,addr.type=unix,addr.path=\(cable)")
    let deadline = MonotonicClock.now() + 120_000_000_000
    while !Self.isListening(at: cable), MonotonicClock.now() < deadline { MonotonicClock.sleep(milliseconds: 50) }
    try #require(Self.isListening(at: cable), "the first machine does not listen: \(first.log)")
    let second = try boot(2, 1, "stream,server=off,addr.type=unix,addr.path=\(cable)")
    // The first outlives the second, and sees it go.
    let handedOver = try first.wait(for: "HANDED OVER")
    let secondLog = try second.waitForEnd()
    let firstLog = try first.waitForEnd()
    #expect(handedOver)
    for (log, isFirst) in [(firstLog, true), (secondLog, false)] {
      let failed = log.split(whereSeparator: \.isNewline).filter { $0.hasPrefix("CHECK ") && !$0.hasSuffix(" ok") }
      #expect(failed.isEmpty && log.contains("CHECKS DONE"), "\(isFirst ? "first" : "second"): \(log)")
      let wanted = isFirst ? "the-other-hands-back" : "two-primaries-are-refused"
      #expect(log.contains("CHECK \(wanted) ok"))
    }
    #expect(firstLog.split(separator: "CHECK ").count > 20 && secondLog.split(separator: "CHECK ").count > 15)
  }
}
