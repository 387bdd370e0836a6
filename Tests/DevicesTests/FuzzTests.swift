import TestMachine
import Testing

@testable import Devices

/// Mostly valid input from a fixed seed. In a debug build arithmetic that overflows and indices that do not exist trap,
/// so that what passes here has shown that a guest cannot bring the monitor down on these paths.
@Suite struct FuzzTests {
  /// Half the time what a driver would write, otherwise something it would not.
  private static func value(_ random: inout SeededNumbers) -> UInt64 {
    switch UInt8.random(in: 0..<8, using: &random) {
    case 0: .max
    case 1: UInt64.random(in: 0...(.max), using: &random)
    case 2: 1 << UInt64.random(in: 0..<64, using: &random)
    case 3: 0
    case 4: UInt64.random(in: 0x7F00..<0x10100, using: &random)
    default: UInt64.random(in: 0..<256, using: &random)
    }
  }

  private static let widths: [AccessWidth] = [.byte, .word, .doubleWord, .quadWord]

  @Test func ports() {
    var random = SeededNumbers(1)
    let uart = UART16550(output: TestSink(), interrupt: TestLine())
    let clock = RealTimeClock(memoryBelow4GiB: 1 << 30, memoryAbove4GiB: 0, now: { 1_795_385_109 })
    let keyboard = KeyboardController.Ports(KeyboardController(onReset: {}))
    let power = PowerManagement(interrupt: TestLine(), nanoseconds: { 5 }, onPowerOff: {})
    for _ in 0..<20_000 {
      let offset = UInt64.random(in: 0..<16, using: &random)
      let width = Self.widths[Int.random(in: 0..<4, using: &random)]
      let value = Self.value(&random) & width.mask
      uart.write(value, at: offset & 7, width: width)
      _ = uart.read(at: UInt64.random(in: 0..<8, using: &random), width: width)
      if value & 7 == 0 { _ = uart.receive([UInt8(truncatingIfNeeded: value)]) }
      clock.write(value, at: offset & 1, width: width)
      _ = clock.read(at: offset & 1, width: width)
      keyboard.write(value, at: offset, width: width)
      _ = keyboard.read(at: offset, width: width)
      power.write(value, at: offset, width: width)
      _ = power.read(at: offset, width: width)
      if value & 15 == 0 { power.pressPowerButton() }
    }
  }

  @Test func configurationSpaceAndWindows() throws {
    var random = SeededNumbers(2)
    let memory = TestMemory()
    let function = VirtioPCI(
      VirtioBlock(TestDisk(memory: memory)), memory: memory, interrupts: TestInterrupts())
    let bus = try makeBus(function)
    for round in 0..<20_000 {
      let width = Self.widths[Int.random(in: 0..<4, using: &random)]
      let value = Self.value(&random)
      let device = UInt64.random(in: 0..<4, using: &random) << 11
      bus.write(0x8000_0000 | device | UInt64.random(in: 0..<256, using: &random), at: 0, width: .doubleWord)
      let port = UInt64.random(in: 0..<8, using: &random)
      if round % 3 == 0 { bus.write(value & width.mask, at: port, width: width) }
      _ = bus.read(at: port, width: width)
      // The windows wherever they are now.
      guard let window = function.windows.randomElement(using: &random) else { continue }
      let limit = window.bar == 4 ? [64, 0x1010, 0x2080, 0x4000].randomElement(using: &random) ?? 64 : window.count
      let address = window.base + UInt64.random(in: 0..<limit, using: &random)
      if window.isIO {
        bus.writePort(value, at: address, width: width)
        _ = bus.readPort(at: address, width: width)
        continue
      }
      bus.writeMemory(value, at: address, width: width)
      _ = bus.readMemory(at: address & ~(width.count - 1), width: width)
      _ = bus.readMemory(at: Self.value(&random), width: width)
    }
  }

  /// Chains that are mostly right, on a disk, with the occasional field that is not.
  @Test func virtqueues() throws {
    var random = SeededNumbers(3)
    let memory = TestMemory(count: 1 << 18)
    let disk = TestDisk(memory: memory, deferred: true)
    let function = VirtioPCI(VirtioBlock(disk), memory: memory, interrupts: TestInterrupts())
    let bus = try makeBus(function)
    var driver = VirtioDriver(bus: bus, memory: memory)
    var (served, failed) = (0, 0)
    #expect(driver.start(queueSize: 8))
    let buffer: UInt64 = 0x30000
    for _ in 0..<15_000 {
      if function.failure != nil {
        failed += 1
        for operation in disk.takeWaiting() { function.complete(operation.id, with: disk.perform(operation)) }
        driver = VirtioDriver(bus: bus, memory: memory)
        try #require(driver.start(queueSize: 8))
      }
      func odd(_ range: ClosedRange<Int>) -> Bool { Int.random(in: range, using: &random) == 0 }
      try memory.storeUInt32(
        [0, 0, 1, 4, 8, 11, 13, 99].randomElement(using: &random) ?? 0, at: GuestAddress(buffer))
      try memory.storeUInt64(
        odd(0...15) ? Self.value(&random) : UInt64.random(in: 0..<64, using: &random), at: GuestAddress(buffer + 8))
      let writable = Bool.random(using: &random)
      var parts = [
        VirtioDriver.Part(address: buffer, count: 16),
        VirtioDriver.Part(
          address: buffer + 0x100, count: odd(0...7) ? UInt32(truncatingIfNeeded: Self.value(&random)) : 512,
          writable: writable),
        VirtioDriver.Part(address: buffer + 0x400, count: 1, writable: true),
      ]
      if odd(0...31) {
        let index = Int.random(in: 0..<3, using: &random)
        switch Int.random(in: 0..<4, using: &random) {
        case 0: parts[index].address = Self.value(&random)
        case 1: parts[index].flags = UInt16(truncatingIfNeeded: Self.value(&random))
        case 2: parts[index].next = UInt16(truncatingIfNeeded: Self.value(&random))
        default: parts[index].count = UInt32(truncatingIfNeeded: Self.value(&random))
        }
      }
      if odd(0...3) {
        let table: UInt64 = 0x38000
        _ = try driver.chain(parts, table: table)
        try driver.send([.init(address: table, count: odd(0...31) ? 17 : 48, flags: 4)])
      } else {
        try driver.send(parts)
      }
      if odd(0...63) {
        try memory.storeUInt16(
          UInt16(truncatingIfNeeded: Self.value(&random)), at: GuestAddress(driver.rings[0].available + 2))
        driver.kick()
      }
      if Bool.random(using: &random) || disk.kinds.count % 2 == 0 {
        for operation in disk.takeWaiting() { function.complete(operation.id, with: disk.perform(operation)) }
      }
      for _ in 0..<8 where try driver.takeUsed() != nil { served += 1 }
      if odd(0...255) {
        // A reset in the middle of things: it is over when the disk is done.
        driver.status = 0
        for operation in disk.takeWaiting() { function.complete(operation.id, with: disk.perform(operation)) }
        driver = VirtioDriver(bus: bus, memory: memory)
        try #require(driver.start(queueSize: 8))
      }
    }
    // Both kinds must have happened, or the fuzzer is blind.
    #expect(served > 10_000)
    #expect(failed > 400)
  }

  /// The other devices: random chains on every queue.
  @Test func streams() throws {
    var random = SeededNumbers(4)
    let memory = TestMemory(count: 1 << 18)
    let port = TestPort(memory: memory)
    let network = VirtioPCI(
      VirtioNetwork(port, mac: []), memory: memory, interrupts: TestInterrupts())
    let console = VirtioPCI(VirtioConsole(TestSink()), memory: memory, interrupts: TestInterrupts())
    let entropy = makeEntropy(memory: memory)
    for function in [network, console, entropy] as [PCIFunction] {
      let bus = try makeBus(function)
      var driver = VirtioDriver(bus: bus, memory: memory)
      for _ in 0..<3_000 {
        if driver.rings.isEmpty || driver.status != 15 {
          driver = VirtioDriver(bus: bus, memory: memory)
          try #require(driver.start(queueSize: 16))
        }
        let ring = Int.random(in: 0..<driver.rings.count, using: &random)
        let parts = (0..<Int.random(in: 1...3, using: &random)).map { _ in
          VirtioDriver.Part(
            address: 0x30000 + UInt64.random(in: 0..<0x8000, using: &random),
            count: UInt8.random(in: 0..<40, using: &random) == 0
              ? UInt32(truncatingIfNeeded: Self.value(&random)) : UInt32.random(in: 0..<2000, using: &random),
            writable: ring == 0 || UInt8.random(in: 0..<20, using: &random) == 0)
        }
        if function === network { port.offer([UInt8](repeating: 1, count: Int.random(in: 12...1600, using: &random))) }
        if function === console { _ = console.receive([1, 2, 3, 4]) }
        try driver.send(parts, ring: ring)
        _ = try driver.takeUsed(ring: ring)
      }
    }
  }
}
