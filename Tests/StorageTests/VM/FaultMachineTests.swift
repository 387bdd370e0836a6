import Platform
import TestMachine
import Testing

/// Disks and media that return errors, in a real kernel: behind device-mapper's targets `flakey` and `error` where a disk
/// fails in the middle of something, and by the emulator's own hand where it fails from the start.
@Suite(.serialized, .machines, .enabled(if: StorageMachine.missing == nil, "\(StorageMachine.missing ?? "")"))
struct FaultMachineTests {
  @Test func aSessionOutlivesDisksThatFailAndAnUnreadableHomeIsLeftAlone() throws {
    let machine = try StorageMachine()
    let bad = try machine.makeDisk("bad.img", mebibytes: 64)
    let home = try machine.makeDisk("good.img", mebibytes: 192)
    let moved = try machine.check(.faultyTarget, disks: [bad, home])
    let acknowledged = StorageMachine.last("ACK", in: moved).map { $0 + 1 } ?? 0
    #expect(acknowledged > 0)
    #expect(StorageMachine.last("BLOCKS", in: moved) ?? 0 >= acknowledged)

    // All of the disk, the head of LVM's metadata, and a block of the pool's bookkeeping.
    let tree = try #require(StorageMachine.last("TREE", in: moved))
    let digest = try machine.digest(home)
    for fault in [StorageMachine.Fault.reads, .readsOf(sector: 8), .readsOf(sector: tree)] {
      try machine.check(.unreadable, disks: [home], fault: fault)
      #expect(try machine.digest(home) == digest, "after \(fault) something was written to it")
    }
    let log = try machine.check(.healed, disks: [home])
    #expect(StorageMachine.last("BLOCKS", in: log) ?? 0 >= acknowledged)
  }

  @Test func aHomeThatFailsWhileGuestsWriteIsToldAndRepaired() throws {
    let machine = try StorageMachine()
    let home = try machine.makeDisk("home.img", mebibytes: 192)
    let failing = try machine.check(.faultyHome, disks: [home])
    let acknowledged = StorageMachine.last("ACK", in: failing).map { $0 + 1 } ?? 0
    #expect(acknowledged > 0)
    let log = try machine.check(.healed, disks: [home])
    #expect(log.contains("met with errors of its disk"), "\(log)")
    #expect(StorageMachine.last("BLOCKS", in: log) ?? 0 >= acknowledged)
    // It is told once.
    #expect(try !machine.check(.healed, disks: [home]).contains("met with errors of its disk"))
  }

  @Test func aMediumsBadBlocksAreErrorsAndNeverWrongData() throws {
    let machine = try StorageMachine()
    try machine.check(.faultyMedium, disks: [try machine.makeStick("stick.img", mebibytes: 96)])
  }

  @Test func whatAnInterruptedExchangeOfMediaLeftIsNotTakenForTheCopy() throws {
    let machine = try StorageMachine()
    let disc = try machine.makeDisc()
    let stick = try machine.makeStick("standalone.img", mebibytes: 192, content: disc)
    try machine.check(.mediumSwitch, disks: [disc, stick])
  }
}
