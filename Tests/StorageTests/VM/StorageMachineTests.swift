import Platform
import TestMachine
import Testing

/// The volumes in a real kernel: device-mapper, thin pool, external origins, no udev. Each test is a few boots with many
/// checks; the scripts in `GuestScript.swift` say what each does.
@Suite(.serialized, .machines, .enabled(if: StorageMachine.missing == nil, "\(StorageMachine.missing ?? "")"))
struct StorageMachineTests {
  @Test func volumesBehave() throws {
    let machine = try StorageMachine()
    try machine.check(.volumes)
    #expect(GuestScript.volumes.checks.count > 50)
  }

  @Test func aSessionMovesToADiskWhileGuestsWriteAndIsThereAfterAPowerCut() throws {
    let machine = try StorageMachine()
    let home = try machine.makeDisk("home.img", mebibytes: 3072)
    let small = try machine.makeDisk("small.img", mebibytes: 8)
    let second = try machine.makeDisk("second.img", mebibytes: 64)
    let copy = try machine.makeDisk("copy.img", mebibytes: 3072)
    let running = try machine.boot(.persist, disks: [home, small, second])
    let reached = try running.wait(for: "CUT NOW")
    try running.cutPower()
    StorageMachine.expect(GuestScript.persist.checks, in: running.log, .persist)
    try #require(reached)
    let acknowledged = StorageMachine.last("ACK", in: running.log).map { $0 + 1 } ?? 0
    #expect(acknowledged > 0)

    let log = try machine.check(.persisted, disks: [home, small, second, copy])
    #expect(StorageMachine.last("BLOCKS", in: log) ?? 0 >= acknowledged, "of \(acknowledged) flushed blocks")
    try machine.check(.disks, disks: [home, small, second])
    try machine.check(.repair, disks: [home, small, second])
  }

  @Test func aStickBecomesTheHomeOnItsFirstStart() throws {
    let machine = try StorageMachine()
    let stick = try machine.makeStick("stick.img", mebibytes: 192)
    let first = try machine.check(.stick, disks: [stick])
    #expect(first.contains("is the guests' home from now on") && !first.contains("WAS HERE BEFORE"))
    #expect(first.contains("SESSION MARKS 0"))
    // The second time it is found by its tag, and what LVM keeps tells that it was.
    let second = try machine.boot(.stick, disks: [stick]).waitForEnd()
    #expect(second.contains("WAS HERE BEFORE"), "\(second)")
    #expect(second.contains("SESSION MARKS") && !second.contains("SESSION MARKS 0"), "\(second)")
    #expect(second.contains("CHECK changes-are-counted ok"))
    #expect(second.contains("CHECK deactivates ok"))
  }
}

/// Cuts of the power at moments of a seeded generator, in all that storage does. `ROOST_CUTS` says how many, and
/// `ROOST_CUT_SEED` repeats a run; `make soak` does many.
@Suite(.serialized, .machines, .enabled(if: StorageMachine.missing == nil, "\(StorageMachine.missing ?? "")"))
struct PowerCutTests {
  /// What the machine is doing when the power goes.
  enum Phase: String, CaseIterable {
    /// A guest writes and flushes, on the disk that is the home.
    case writes
    /// Disks are made, resized, kept, rolled back and removed.
    case disks
    /// A session moves from memory to an empty disk.
    case persist
    /// A stick is used for the first time.
    case first
  }

  @Test func nothingThatWasFlushedIsLost() throws {
    let cuts = ProcessEnvironment.value("ROOST_CUTS").flatMap(Int.init) ?? 12
    let seed = ProcessEnvironment.value("ROOST_CUT_SEED").flatMap(UInt64.init) ?? MonotonicClock.now()
    print("power cuts: \(cuts), seed \(seed) (ROOST_CUT_SEED=\(seed) repeats them)")
    var random = SeededNumbers(seed)
    let machine = try StorageMachine()
    var counts: [Phase: Int] = [:]
    var homes = 0

    // The home that all phases but the last two work on.
    let home = try machine.makeDisk("home.img", mebibytes: 192)
    let made = try machine.boot(.chaos, disks: [home], words: "phase=persist")
    try #require(try made.wait(for: "PERSISTED"), "\(made.log)")
    try made.cutPower()
    var flushed = StorageMachine.last("ACK", in: made.log).map { $0 + 1 } ?? 0

    for cut in 0..<cuts {
      let phase = Phase.allCases[cut % Phase.allCases.count]
      counts[phase, default: 0] += 1
      switch phase {
      case .writes, .disks:
        let log = try cutDuring(machine, phase, home, after: "LOOKED", &random)
        Self.expectWhole(log, atLeast: flushed, "cut \(cut) before \(phase)")
        flushed = max(flushed, StorageMachine.last("ACK", in: log).map { $0 + 1 } ?? 0)
      case .persist, .first:
        let disk =
          phase == .first
          ? try machine.makeStick("stick.img", mebibytes: 160) : try machine.reuseDisk("new.img", mebibytes: 160)
        let log = try cutDuring(machine, phase, disk, after: phase == .first ? "STARTS" : "CHECKPOINT", &random)
        #expect(!log.contains("BROKEN"), "\(log)")
        let after = try machine.boot(.chaos, disks: [disk], words: "phase=\(phase == .first ? "first" : "writes")")
        try #require(try after.wait(for: "LOOKED"), "cut \(cut), \(phase): \(log)\n\(after.log)")
        try after.cutPower()
        // Either the session is gone as ever, or the disk is complete.
        let isHome = after.log.contains("ACTIVE disk")
        homes += isHome ? 1 : 0
        #expect(isHome || phase == .persist, "\(after.log)")
        #expect(isHome || !log.contains("PERSISTED"), "\(after.log)")
        // What an earlier move made a home may be there still: then this session's writes are not in it.
        let isWhole = phase == .first || log.contains("PERSISTED")
        let least = isWhole ? StorageMachine.last("ACK", in: log).map { $0 + 1 } ?? 0 : 0
        Self.expectWhole(after.log, atLeast: least, "cut \(cut) in \(phase)")
      }
    }
    let last = try machine.boot(.chaos, disks: [home], words: "phase=writes")
    try last.wait(for: "LOOKED")
    try last.cutPower()
    Self.expectWhole(last.log, atLeast: flushed, "the last start")
    let told = Phase.allCases.map { "\($0.rawValue) \(counts[$0] ?? 0)" }.joined(separator: ", ")
    print("power cuts: \(cuts) (\(told)); \(flushed) flushed blocks are all there; \(homes) new homes were complete")
  }

  /// Boots, waits for a text and a random while, and cuts the power. What the console showed.
  private func cutDuring(
    _ machine: StorageMachine, _ phase: Phase, _ disk: String, after text: String, _ random: inout SeededNumbers
  ) throws -> String {
    let running = try machine.boot(.chaos, disks: [disk], words: "phase=\(phase.rawValue)")
    try #require(try running.wait(for: text), "\(running.log)")
    MonotonicClock.sleep(milliseconds: UInt32(random.next() % 5000))
    try running.cutPower()
    return running.log
  }

  private static func expectWhole(_ log: String, atLeast flushed: Int, _ what: String) {
    let blocks = StorageMachine.last("BLOCKS", in: log)
    #expect(log.contains("ACTIVE") && log.contains("LOOKED") && !log.contains("BROKEN"), "\(what): \(log)")
    #expect(blocks ?? -1 >= flushed, "\(what): of \(flushed) flushed blocks \(blocks ?? 0) are there\n\(log)")
  }
}

extension StorageMachine {
  /// Boots with a script that ends by itself, and looks at each of its checks. What the console showed.
  @discardableResult
  func check(_ script: GuestScript, disks: [String] = [], fault: Fault? = nil) throws -> String {
    let log = try boot(script, disks: disks, fault: fault).waitForEnd()
    Self.expect(script.checks + ["DONE"], in: log, script)
    return log
  }

  /// Looks at checks in what a console showed.
  static func expect(_ checks: [String], in log: String, _ script: GuestScript) {
    let lines = log.split { $0.isNewline }
    var held = 0
    for check in checks {
      let ok = lines.contains { $0.hasSuffix("CHECK \(check) ok") || (check == "DONE" && $0 == "CHECKS DONE") }
      if ok { held += 1 }
      #expect(ok, "\(script.rawValue): \(check)")
    }
    if held < checks.count { Issue.record("the console's log of \(script.rawValue):\n\(log)") }
  }

  /// The last number that a console showed after a word at a line's beginning.
  static func last(_ word: String, in log: String) -> Int? {
    log.split { $0.isNewline }.compactMap { line -> Int? in
      let words = line.split(separator: " ")
      return words.count == 2 && words[0] == word ? Int(words[1]) : nil
    }.last
  }
}
