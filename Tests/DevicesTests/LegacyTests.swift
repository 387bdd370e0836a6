import Synchronization
import Testing

@testable import Devices

@Suite struct RealTimeClockTests {
  /// 2026-11-22 22:05:09 UTC, a Sunday.
  private static let instant: Int64 = 1_795_385_109

  private func make(below: UInt64 = 512 << 20, above: UInt64 = 0, _ now: Int64 = instant) -> RealTimeClock {
    RealTimeClock(memoryBelow4GiB: below, memoryAbove4GiB: above, now: { now })
  }

  private func read(_ clock: RealTimeClock, _ index: UInt64) -> UInt64 {
    clock.write(index, at: 0, width: .byte)
    return clock.read(at: 1, width: .byte)
  }

  private func write(_ clock: RealTimeClock, _ index: UInt64, _ value: UInt64) {
    clock.write(index, at: 0, width: .byte)
    clock.write(value, at: 1, width: .byte)
  }

  @Test func timeInBCD() {
    let clock = make()
    #expect([0x32, 9, 8, 7, 6, 4, 2, 0].map { read(clock, $0) } == [0x20, 0x26, 0x11, 0x22, 1, 0x22, 0x05, 0x09])
    #expect(read(clock, 0x0A) & 0x80 == 0)
    #expect(read(clock, 0x0D) == 0x80)
  }

  @Test func twelveHoursInBinary() {
    let clock = make()
    write(clock, 0x0B, 0x04)
    #expect(read(clock, 4) == 10 | 0x80)
    #expect(read(clock, 9) == 26)
  }

  @Test func settingTheTime() {
    let clock = make()
    write(clock, 0x0B, 0x82)
    write(clock, 9, 0x30)
    write(clock, 8, 0x02)
    write(clock, 7, 0x28)
    write(clock, 4, 0x77)  // no hour
    write(clock, 0x0B, 0x02)
    #expect([9, 8, 7, 4].map { read(clock, $0) } == [0x30, 0x02, 0x28, 0x22])
  }

  @Test func memorySizes() {
    let clock = make(below: 3 << 30, above: 5 << 30)
    #expect(read(clock, 0x15) | read(clock, 0x16) << 8 == 640)
    #expect(read(clock, 0x30) | read(clock, 0x31) << 8 == 0xFFFF)
    #expect(read(clock, 0x34) | read(clock, 0x35) << 8 == (3 << 30 - 16 << 20) >> 16)
    #expect(read(clock, 0x5B) | read(clock, 0x5C) << 8 | read(clock, 0x5D) << 16 == 5 << 14)
    let small = make(below: 24 << 20)
    #expect(read(small, 0x17) | read(small, 0x18) << 8 == 23 << 10)
    #expect(read(small, 0x34) == 128)
  }

  @Test func calendar() {
    for (seconds, expected) in [
      (Int64(0), [1970, 1, 1, 0, 0, 0, 5]), (951_782_400, [2000, 2, 29, 0, 0, 0, 3]),
      (4_107_542_399, [2100, 2, 28, 23, 59, 59, 1]), (-1, [1969, 12, 31, 23, 59, 59, 4]),
    ] {
      let time = ClockTime(seconds: seconds)
      #expect([time.year, time.month, time.day, time.hour, time.minute, time.second, time.weekday] == expected)
      #expect(time.seconds == seconds)
    }
    #expect(ClockTime(seconds: .max).year == 9999)
    #expect(ClockTime(seconds: .min).year == 1900)
  }
}

@Suite struct KeyboardControllerTests {
  private func make() -> (KeyboardController, @Sendable () -> Int) {
    let count = Counter()
    return (KeyboardController(onReset: { count.add() }), { count.value })
  }

  final class Counter: Sendable {
    private let count = Mutex(0)
    func add() { count.withLock { $0 += 1 } }
    var value: Int { count.withLock { $0 } }
  }

  @Test func resetCommand() {
    let (controller, resets) = make()
    controller.writeCommand(0xFF)
    #expect(resets() == 0)
    controller.writeCommand(0xFE)
    #expect(resets() == 1)
    controller.writeCommand(0xD1)
    controller.writeData(0x02)
    #expect(resets() == 2)
    controller.writeSystemControl(0x03)
    #expect(resets() == 3)
  }

  @Test func selfTestAndCommandByte() {
    let ports = KeyboardController.Ports(make().0)
    ports.write(0xAA, at: 4, width: .byte)
    #expect(ports.read(at: 4, width: .byte) & 1 == 1)
    #expect(ports.read(at: 0, width: .byte) == 0x55)
    ports.write(0x60, at: 4, width: .byte)
    #expect(ports.read(at: 4, width: .byte) & 0x08 != 0)
    ports.write(0x65, at: 0, width: .byte)
    ports.write(0x20, at: 4, width: .byte)
    #expect(ports.read(at: 0, width: .byte) == 0x65)
    #expect(ports.read(at: 4, width: .byte) & 0x03 == 0)
  }

  @Test func a20() {
    let (controller, _) = make()
    #expect(controller.readSystemControl() == 0x02)
    controller.writeSystemControl(0)
    controller.writeCommand(0xD0)
    #expect(controller.readData() & 0x02 == 0)
    controller.writeCommand(0xD1)
    controller.writeData(0xDF)
    #expect(controller.readSystemControl() == 0x02)
  }

  @Test func floodOfRepliesIsBounded() {
    let (controller, _) = make()
    for _ in 0..<1000 { controller.writeData(0xFF) }
    var count = 0
    while controller.readStatus() & 1 != 0 {
      _ = controller.readData()
      count += 1
    }
    #expect(count == 16)
  }
}

@Suite struct PowerManagementTests {
  private let line = TestLine()
  private let off = KeyboardControllerTests.Counter()

  private func make(nanoseconds: UInt64 = 0) -> PowerManagement<TestLine> {
    let off = off
    return PowerManagement(interrupt: line, nanoseconds: { nanoseconds }, onPowerOff: { off.add() })
  }

  @Test func powerButton() {
    let device = make()
    #expect(!device.pressPowerButton())
    #expect(!line.isHigh)
    device.write(0xFFFF, at: 0, width: .word)
    device.write(0x0100, at: 2, width: .word)
    #expect(!line.isHigh)
    #expect(device.pressPowerButton())
    #expect(line.isHigh)
    #expect(device.read(at: 0, width: .word) == 0x0100)
    device.write(0x0100, at: 0, width: .word)
    #expect(!line.isHigh)
  }

  @Test func sleep() {
    let device = make()
    #expect(device.read(at: 4, width: .word) == 1)
    device.write(UInt64(1 << 13 | 1 << 10), at: 4, width: .word)  // another type
    #expect(off.value == 0)
    device.write(UInt64(1 << 13 | PowerManagementLayout.sleepTypeOff << 10), at: 4, width: .word)
    #expect(off.value == 1)
    #expect(device.read(at: 4, width: .word) & 0x2000 == 0)
  }

  @Test func timer() {
    #expect(make(nanoseconds: 1_000_000_000).read(at: 8, width: .doubleWord) == 3_579_545)
    #expect(make(nanoseconds: 500_000_000).read(at: 8, width: .doubleWord) == 1_789_772)
    #expect(make(nanoseconds: .max).read(at: 8, width: .doubleWord) <= 0xFFFF_FFFF)
  }

  @Test func generalPurposeEventStub() {
    let device = make()
    device.write(0xFFFF, at: 14, width: .word)
    #expect(device.read(at: 12, width: .doubleWord) == 0xFFFF_0000)
    #expect(!line.isHigh)
  }

  @Test func debugPort() {
    let sink = TestSink()
    let port = DebugPort(sink)
    #expect(port.read(at: 0, width: .byte) == 0xE9)
    port.write(0x41, at: 0, width: .byte)
    #expect(sink.text == "A")
  }
}
