import Machine

extension Probe {
  /// TSC, 8254 and ACPI's timer, each against another.
  mutating func testTimers() {
    test("tsc: it moves") { (_) throws(Verdict) in
      let before = machine_timestamp()
      for _ in 0..<100 { machine_pause() }
      try require(machine_timestamp() > before, "a later reading is larger")
    }
    test("8254: a channel keeps its mode and counts down") { (_) throws(Verdict) in
      machine_out8(0x43, 0x34)  // channel 0, both bytes, mode 2
      machine_out8(0x40, 0)
      machine_out8(0x40, 0)
      machine_out8(0x43, 0xE2)  // read back the status of channel 0
      try require(machine_in8(0x40) & 0x3F, equals: 0x34, "status of channel 0")
      let first = Self.latchedCount()
      let differs = wait { Self.latchedCount() != first }
      try require(differs, "the count changes")
    }
    test("8254: channel 2 runs at 1.193182 MHz by the TSC") { (_) throws(Verdict) in
      let kilohertz = try Self.tscKilohertz()
      let before = machine_timestamp()
      guard IntervalTimer.timestampsPerTenMilliseconds() != nil else { throw .failed("channel 2 counts") }
      // A busy host makes it late, never early.
      let elapsed = machine_timestamp() &- before
      try require(elapsed &* 100 >= UInt64(kilohertz) &* 10 &* 99, "counting 10 ms does not take less")
    }
    test("pm timer: monotonic, and 3.579545 MHz by the TSC") { (probe) throws(Verdict) in
      let port = try probe.powerTimerPort()
      let kilohertz = try Self.tscKilohertz()
      // Each reading lies between two of the TSC, so the host's pauses widen the bounds and fail nothing.
      let before = Self.sample(port)
      var last = before
      for _ in 0..<2000 where Self.ticks(before.count, last.count) < 72_000 {
        let now = Self.sample(port)
        try require(Self.ticks(last.count, now.count) < 1 << 23, "it does not go back")
        last = now
      }
      let ticks = Self.ticks(before.count, last.count)
      try require(ticks > 1000, "it moves")
      var rest: UInt32 = 0
      // SAFETY: the remainder is written to a local variable.
      let wanted = unsafe machine_divide(UInt64(ticks) &* UInt64(kilohertz) &* 1000, 3_579_545, &rest)
      let least = last.earliest &- before.latest
      let most = last.latest &- before.earliest
      try require(wanted &* 100 >= least &* 98, "it is not slow")
      try require(wanted &* 98 <= most &* 100, "it is not fast")
    }
    test("local APIC timer: counts at the rate that CPUID tells, by the TSC") { (_) throws(Verdict) in
      let kilohertz = try Self.tscKilohertz()
      let rate = machine_cpuid(0x4000_0010).ebx
      guard rate != 0 else { throw .skip("the hypervisor does not tell the timer's frequency") }
      LocalAPIC.enable()
      LocalAPIC.startTimer()
      let before = Self.sampleLocalTimer()
      var last = before
      // 20 ms of it: as many cycles as the rate has in 20 times its thousandth.
      for _ in 0..<2000 where before.count &- last.count < rate &* 20 { last = Self.sampleLocalTimer() }
      let cycles = before.count &- last.count
      try require(last.count <= before.count && cycles > 0, "it counts down")
      var rest: UInt32 = 0
      // SAFETY: the remainder is written to a local variable.
      let wanted = unsafe machine_divide(UInt64(cycles) &* UInt64(kilohertz), rate, &rest)
      try require(wanted &* 100 >= (last.earliest &- before.latest) &* 98, "it is not slow")
      try require(wanted &* 98 <= (last.latest &- before.earliest) &* 100, "it is not fast")
    }
  }

  private static func sampleLocalTimer() -> (earliest: UInt64, count: UInt32, latest: UInt64) {
    let earliest = machine_timestamp()
    let count = LocalAPIC.timerCount
    return (earliest, count, machine_timestamp())
  }

  private static func latchedCount() -> UInt16 {
    machine_out8(0x43, 0x00)
    let low = machine_in8(0x40)
    return UInt16(low) | UInt16(machine_in8(0x40)) << 8
  }

  private static func tscKilohertz() throws(Verdict) -> UInt32 {
    guard machine_cpuid(1).ecx >> 31 == 1, machine_cpuid(0x4000_0000).eax >= 0x4000_0010,
      machine_cpuid(0x4000_0010).eax != 0
    else { throw .skip("the hypervisor does not tell the TSC's frequency") }
    return machine_cpuid(0x4000_0010).eax
  }

  /// PM_TMR_BLK of the FADT (ACPI 6.5, 5.2.9).
  private func powerTimerPort() throws(Verdict) -> UInt16 {
    guard let acpi, let port = UInt16(exactly: PhysicalMemory.word32(acpi.fixedTable &+ 76)), port != 0 else {
      throw .skip("no ACPI timer")
    }
    return port
  }

  /// From `first` to `second`; the counter wraps at 24 bits.
  private static func ticks(_ first: UInt32, _ second: UInt32) -> UInt32 { (second &- first) & 0xFF_FFFF }

  private static func sample(_ port: UInt16) -> (earliest: UInt64, count: UInt32, latest: UInt64) {
    let earliest = machine_timestamp()
    // Only 24 bits are sure to be there (4.8.2.1).
    let count = machine_in32(port) & 0xFF_FFFF
    return (earliest, count, machine_timestamp())
  }
}
