import Machine

/// Checks of the machine, one line each: `ok NAME`, `skipped NAME: why` or `failed NAME: what`; then a summary
/// `selftest: N ok, N skipped, N failed`. Programs read it.
struct SelfTest {
  private let startInfo: StartInfo
  private let acpi: ACPI?
  private var passed: UInt64 = 0
  private var skipped: UInt64 = 0
  private var failed: UInt64 = 0

  private enum Outcome {
    case ok
    case skipped(StaticString)
    case failed(StaticString)
  }

  init(startInfo: StartInfo, acpi: ACPI?) {
    self.startInfo = startInfo
    self.acpi = acpi
  }

  mutating func run(_ console: inout Console) {
    report("start-info", startInformation(), &console)
    report("memory-map", memoryMap(), &console)
    report("memory", memory(), &console)
    report("serial-port", console.keepsScratch() ? .ok : .failed("the scratch register forgets"), &console)
    report("time-stamp-counter", timestampMoves(), &console)
    report("timer-interrupt", timerTicks(), &console)
    // A handler that does not see it leaves the machine asleep for good.
    machine_sleep_interrupted_early()
    report("interrupted-sleep", .ok, &console)
    report("acpi", power(), &console)
    report("pci-host-bridge", hostBridge(), &console)
    console.write("selftest: ")
    console.write(decimal: passed)
    console.write(" ok, ")
    console.write(decimal: skipped)
    console.write(" skipped, ")
    console.write(decimal: failed)
    console.write(line: " failed")
  }

  private mutating func report(_ name: StaticString, _ outcome: Outcome, _ console: inout Console) {
    switch outcome {
    case .ok:
      passed += 1
      console.write("ok ")
      console.write(line: name)
    case .skipped(let why):
      skipped += 1
      console.write("skipped ")
      console.write(name)
      console.write(": ")
      console.write(line: why)
    case .failed(let why):
      failed += 1
      console.write("failed ")
      console.write(name)
      console.write(": ")
      console.write(line: why)
    }
  }

  private func startInformation() -> Outcome {
    guard startInfo.isValid else { return .failed("EBX does not point to a start info structure") }
    return startInfo.version >= 1 ? .ok : .failed("version 0 has no memory map")
  }

  /// No two regions overlap, and our own image lies in usable memory.
  private func memoryMap() -> Outcome {
    let count = startInfo.memoryMapCount
    guard count > 0 else { return .failed("it is empty") }
    let image = UInt64(machine_image_first())..<UInt64(machine_image_limit())
    var holdsImage = false
    for index in 0..<count {
      let region = startInfo.memoryRegion(index)
      if region.length == 0 { continue }
      guard region.end > region.start else { return .failed("a region wraps") }
      for other in (index + 1)..<max(count, index + 1) {
        let next = startInfo.memoryRegion(other)
        if next.length != 0, next.start < region.end, region.start < next.end {
          return .failed("two regions overlap")
        }
      }
      if region.type == MemoryRegion.usable, region.start <= image.lowerBound, image.upperBound <= region.end {
        holdsImage = true
      }
    }
    return holdsImage ? .ok : .failed("this program does not lie in usable memory")
  }

  /// The first free page after the image keeps what is written, and the last one of its region differs from it.
  private func memory() -> Outcome {
    let limit = UInt64(machine_image_limit())
    let first = (limit &+ 0x1_0000) & ~0xFFF
    var last: UInt64 = 0
    for index in 0..<startInfo.memoryMapCount {
      let region = startInfo.memoryRegion(index)
      guard region.type == MemoryRegion.usable, region.start <= first, first < region.end else { continue }
      last = min(region.end, 0xFFFF_F000) &- 4096
    }
    guard last > first else { return .skipped("no usable memory behind this program") }
    for offset in UInt64(0)..<64 {
      machine_store8(UInt(truncatingIfNeeded: first &+ offset), UInt8(truncatingIfNeeded: offset) ^ 0x5A)
      machine_store8(UInt(truncatingIfNeeded: last &+ offset), UInt8(truncatingIfNeeded: offset) ^ 0xA5)
    }
    for offset in UInt64(0)..<64 {
      let expected = UInt8(truncatingIfNeeded: offset)
      guard PhysicalMemory.byte(first &+ offset) == expected ^ 0x5A,
        PhysicalMemory.byte(last &+ offset) == expected ^ 0xA5
      else { return .failed("it does not keep what is written") }
    }
    return .ok
  }

  private func timestampMoves() -> Outcome {
    let before = machine_timestamp()
    for _ in 0..<1000 { machine_pause() }
    return machine_timestamp() > before ? .ok : .failed("it stands still")
  }

  /// Waits for at most two billion counts: a good half second on any processor of today.
  private func timerTicks() -> Outcome {
    guard IntervalTimer.timestampsPerTenMilliseconds() != nil else { return .skipped("no interval timer") }
    let ticks = machine_ticks()
    let start = machine_timestamp()
    while machine_ticks() == ticks && machine_timestamp() &- start < 2_000_000_000 {
      machine_interrupts_on()
      machine_pause()
      machine_interrupts_off()
    }
    return machine_ticks() != ticks ? .ok : .failed("the interval timer counts but does not interrupt")
  }

  private func power() -> Outcome {
    guard let acpi else { return .skipped("no ACPI tables") }
    guard acpi.hasSoundChecksum else { return .failed("the FADT's checksum is wrong") }
    return acpi.softOffType != nil ? .ok : .failed("the DSDT has no \\_S5")
  }

  private func hostBridge() -> Outcome {
    guard PCI.isPresent else { return .skipped("no PCI configuration ports") }
    guard let bridge = PCI.function(device: 0, function: 0) else { return .failed("nothing at 00:00.0") }
    return bridge.code >> 8 == 0x0600 ? .ok : .failed("00:00.0 is something else")
  }
}
