import Synchronization
import TestMachine
import Testing

@testable import Devices

/// Interrupts of the MC146818A: periodic (table 5), alarm and update-ended; registers A to C.
@Suite struct ClockInterruptTests {
  /// 2026-11-22 22:05:09 UTC, a Sunday.
  private static let start: Int64 = 1_795_385_109 * second
  private static let second: Int64 = 1_000_000_000

  private final class Harness: Sendable {
    let time = Mutex(ClockInterruptTests.start)
    let line = TestLine()
    let deadline = Mutex<Int64?>(nil)
    let arms = Mutex(0)

    func make() -> RealTimeClock {
      RealTimeClock(
        memoryBelow4GiB: 512 << 20, memoryAbove4GiB: 0, nanoseconds: { self.time.withLock { $0 } },
        interrupt: { self.line.set($0) },
        rearm: { deadline in
          self.deadline.withLock { $0 = deadline }
          self.arms.withLock { $0 += 1 }
        })
    }

    /// The timer: time passes to the deadline, and the clock is called. False without a deadline.
    func expire(_ clock: RealTimeClock) -> Bool {
      guard let deadline = deadline.withLock({ $0 }) else { return false }
      time.withLock { $0 = max($0, deadline) }
      clock.tick()
      return true
    }

    func pass(_ nanoseconds: Int64) { time.withLock { $0 += nanoseconds } }
    var elapsed: Int64 { time.withLock { $0 } - ClockInterruptTests.start }
  }

  private let harness = Harness()

  private func read(_ clock: RealTimeClock, _ index: UInt64) -> UInt64 {
    clock.write(index, at: 0, width: .byte)
    return clock.read(at: 1, width: .byte)
  }

  private func write(_ clock: RealTimeClock, _ index: UInt64, _ value: UInt64) {
    clock.write(index, at: 0, width: .byte)
    clock.write(value, at: 1, width: .byte)
  }

  /// Table 5 of the data sheet, 32.768 kHz time base: nanoseconds by rate selection.
  @Test(arguments: [
    (1, 3_906_250), (2, 7_812_500), (3, 122_070), (6, 976_562), (9, 7_812_500), (15, 500_000_000),
  ])
  func periodicRates(rate: UInt64, period: Int64) {
    let clock = harness.make()
    #expect(harness.deadline.withLock { $0 } == nil)
    write(clock, 0x0A, 0x20 | rate)
    write(clock, 0x0B, 0x42)
    for round in 1...8 as ClosedRange<Int64> {
      #expect(harness.expire(clock))
      #expect(abs(harness.elapsed - round * period) <= round)
      #expect(harness.line.isHigh)
      // No further interrupt, and no timer, before the guest has looked.
      #expect(harness.deadline.withLock { $0 } == nil)
      #expect(read(clock, 0x0C) & 0xC0 == 0xC0)
      #expect(!harness.line.isHigh)
    }
    #expect(read(clock, 0x0C) == 0)
  }

  @Test func updateEnded() {
    let clock = harness.make()
    harness.pass(400_000_000)
    write(clock, 0x0B, 0x12)
    #expect(harness.expire(clock))
    #expect(harness.elapsed == Self.second)
    #expect(read(clock, 0x0C) & 0xB0 == 0x90)
    #expect(read(clock, 0) == 0x10)
    // SET stops updates and clears the enable bit.
    write(clock, 0x0B, 0x92)
    #expect(read(clock, 0x0B) == 0x82)
    #expect(harness.deadline.withLock { $0 } == nil)
    harness.pass(5 * Self.second)
    #expect(read(clock, 0x0C) & 0xB0 == 0)
    #expect(read(clock, 0) == 0x10)
  }

  @Test func flagsComeWithoutInterrupts() {
    let clock = harness.make()
    harness.pass(1_500_000_000)
    #expect(read(clock, 0x0C) == 0x50)  // periodic and update-ended, nobody asked
    #expect(harness.line.edges == 0)
    // An event that has happened interrupts when it is enabled.
    harness.pass(Self.second)
    write(clock, 0x0B, 0x12)
    #expect(harness.line.isHigh)
    #expect(harness.arms.withLock { $0 } == 0)
  }

  /// The alarm at 22:06:00; with "don't care" bytes every minute and every second.
  @Test func alarms() {
    let clock = harness.make()
    write(clock, 1, 0x00)
    write(clock, 3, 0x06)
    write(clock, 5, 0x22)
    write(clock, 0x0B, 0x22)
    #expect(harness.expire(clock))
    #expect(harness.elapsed == 51 * Self.second)
    #expect(read(clock, 0x0C) & 0xA0 == 0xA0)
    // The next one is tomorrow.
    #expect(harness.deadline.withLock { $0 } == Self.start + (51 + 86400) * Self.second)
    write(clock, 3, 0xFF)
    write(clock, 5, 0xC0)
    #expect(harness.deadline.withLock { $0 } == Self.start + (51 + 60) * Self.second)
    write(clock, 1, 0xFF)
    #expect(harness.deadline.withLock { $0 } == Self.start + 52 * Self.second)
    // No such time, ever.
    write(clock, 1, 0x77)
    #expect(harness.deadline.withLock { $0 } == nil)
    // Twelve hours: 11 p.m.
    write(clock, 0x0B, 0x20)
    write(clock, 5, 0x91)
    write(clock, 3, 0x00)
    write(clock, 1, 0x00)
    #expect(harness.deadline.withLock { $0 } == Self.start + (51 + 54 * 60) * Self.second)
  }

  @Test func alarmFollowsTheGuestsTime() {
    let clock = harness.make()
    write(clock, 0x0B, 0xA2)
    write(clock, 4, 0x03)
    write(clock, 2, 0x59)
    write(clock, 0, 0x58)
    write(clock, 1, 0x00)
    write(clock, 3, 0x00)
    write(clock, 5, 0x04)
    #expect(harness.deadline.withLock { $0 } == nil)
    write(clock, 0x0B, 0x22)
    #expect(harness.expire(clock))
    #expect(harness.elapsed == 2 * Self.second)
    #expect(read(clock, 4) == 0x04)
  }

  /// UIP shows 244 us before an update, and not while updates are stopped.
  @Test func updateInProgress() {
    let clock = harness.make()
    #expect(read(clock, 0x0A) == 0x26)
    harness.pass(Self.second - 250_000)
    #expect(read(clock, 0x0A) == 0x26)
    harness.pass(10_000)
    #expect(read(clock, 0x0A) == 0xA6)
    write(clock, 0x0B, 0x82)
    #expect(read(clock, 0x0A) == 0x26)
    write(clock, 0x0B, 0x02)
    write(clock, 0x0A, 0x76)  // divider reset
    #expect(read(clock, 0x0A) == 0x76)
    _ = read(clock, 0x0C)
    harness.pass(5 * Self.second)
    #expect(read(clock, 0x0C) == 0)
  }

  /// What SeaBIOS reads: CPUs less one, floppy drives, boot order, translations.
  @Test func description() {
    let clock = harness.make()
    clock.describe(
      cpus: 4, floppies: (.threeInch1440, .none), bootOrder: [.cd, .disk, .network],
      translations: [.lba, .none, .large])
    #expect(read(clock, 0x5F) == 3)
    #expect(read(clock, 0x10) == 0x40)
    #expect(read(clock, 0x14) == 0x07)
    #expect(read(clock, 0x3D) == 0x23)
    #expect(read(clock, 0x38) == 0x41)
    #expect(read(clock, 0x39) == 0x21)
    write(clock, 0x0F, 0x05)
    #expect(read(clock, 0x0F) == 0x05)  // shutdown status
    #expect(read(clock, 0x32) == 0x20)
    clock.describe(cpus: 300)
    #expect(read(clock, 0x5F) == 255 && read(clock, 0x14) == 0x06)
  }

  @Test func fuzz() {
    var random = SeededNumbers(24)
    let clock = harness.make()
    for round in 0..<30_000 {
      let index = UInt64.random(in: 0..<16, using: &random)
      write(clock, index, UInt64.random(in: 0..<256, using: &random))
      _ = read(clock, UInt64.random(in: 0..<128, using: &random))
      if round % 3 == 0 { harness.pass(Int64.random(in: -1000...3_000_000_000, using: &random)) }
      if round % 5 == 0 { _ = harness.expire(clock) }
      // A deadline is never in the past of what was checked.
      if let deadline = harness.deadline.withLock({ $0 }) {
        #expect(deadline > harness.time.withLock { $0 } - 3_000_001_000)
      }
    }
  }
}
