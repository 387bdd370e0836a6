import Fuzzing
import Synchronization

@testable import Devices

/// Nanoseconds since 1970 that an input turns forward and back.
private final class Clock: Sendable {
  private let time = Mutex(1_795_385_109_000_000_000 as Int64)
  var now: Int64 { time.withLock { $0 } }

  /// By up to some years.
  func turn(_ input: inout Input) {
    let step = Int64(input.integer(3)) << Int64(input.byte() & 31)
    let isBack = input.bool()
    time.withLock { $0 = max(0, isBack ? $0 &- step : $0 &+ step) & (1 << 62 - 1) }
  }
}

/// What a board without PCI has. Ranges: UART, clock, keyboard controller, power management, ports 0x92, 0x505, 0x402,
/// processors.
private func ports(_ input: inout Input) throws {
  let clock = Clock()
  let uart = UART16550(output: TestSink(), interrupt: TestLine())
  let keyboard = KeyboardController(keyboardInterrupt: TestLine(), mouseInterrupt: TestLine(), onReset: {})
  let power = PowerManagement(
    interrupt: TestLine(), nanoseconds: { UInt64(truncatingIfNeeded: clock.now) }, onPowerOff: {})
  let processors = ProcessorHotplug(count: 2, maximum: 40) { power.raise(event: ProcessorHotplugPort.event) }
  let time = RealTimeClock(
    memoryBelow4GiB: 1 << 30, memoryAbove4GiB: 1 << 30, nanoseconds: { clock.now }, interrupt: { _ in },
    rearm: { _ in })
  time.describe(cpus: 2, floppies: (.threeInch1440, .none))
  let rig = try Rig(
    ranges: [
      (uart, 8), (time, 2), (KeyboardController.Ports(keyboard), 8), (power, PowerManagementLayout.portCount),
      (SystemControlPort(keyboard), 1), (PanicPort { _ in }, 1), (DebugPort(TestSink()), 1),
      (processors, ProcessorHotplugPort.count),
    ],
    events: [
      { _ = uart.receive($0.run()) },
      { input in
        clock.turn(&input)
        time.tick()
      },
      { input in
        let key = input.byte()
        if let key = Keycode(rawValue: key) { keyboard.press(key, isDown: input.bool()) }
      },
      { input in
        let (x, y) = (
          Int(Int16(truncatingIfNeeded: input.integer(2))), Int(Int16(truncatingIfNeeded: input.integer(2)))
        )
        let wheel = Int(Int8(truncatingIfNeeded: input.integer(1)))
        keyboard.movePointer(
          PointerMovement(x: x, y: y, wheel: wheel, buttons: PointerButtons(rawValue: input.byte())))
      },
      { _ in power.pressPowerButton() },
      { _ in uart.receiveBreak() },
      { processors.set(Int($0.byte())) },
    ])
  rig.run(&input)
}

private func portSeeds() -> [[UInt8]] {
  // What Linux's 8250 driver does: probe, divisor, FIFO, interrupts, text; then input.
  var serial = Script()
  for (offset, value) in [(1, 0), (3, 0x80), (0, 1), (1, 0), (3, 3), (2, 7), (4, 0x0B), (1, 0x0F)] as [(UInt8, UInt64)]
  {
    serial.write(0, offset, value)
  }
  serial.event(0, [3, 0x61, 0x62, 0x63])
  for offset in [2, 0, 5, 6, 7] as [UInt8] { serial.read(0, offset) }
  serial.writeRun(0, 0, Array("text".utf8), .byte)
  serial.write(0, 4, 0x1F)
  serial.event(5)
  // The clock: alarm at every second, periodic interrupts, time set while it stands.
  var clock = Script()
  for (index, value) in [
    (0x0A, 0x26), (0x0B, 0x72), (1, 0xC0), (3, 0xC0), (5, 0xC0), (0x0B, 0x82), (9, 0x26), (0x0B, 2),
  ]
    as [(UInt64, UInt64)]
  {
    clock.write(1, 0, index)
    clock.write(1, 1, value)
    clock.event(1, [0xFF, 0xFF, 0xFF, 8, 0])
    clock.write(1, 0, 0x0C)
    clock.read(1, 1)
  }
  // SeaBIOS's ps2port: self test, keyboard reset, scan codes; then a mouse with a wheel.
  var keyboard = Script()
  for (offset, value) in [
    (4, 0xAA), (4, 0x60), (0, 0x47), (0, 0xFF), (0, 0xF0), (0, 2), (0, 0xF4), (4, 0xD4), (0, 0xF3), (4, 0xD4), (0, 200),
    (4, 0xD4), (0, 0xF3), (4, 0xD4), (0, 100), (4, 0xD4), (0, 0xF3), (4, 0xD4), (0, 80), (4, 0xD4), (0, 0xF4),
  ] as [(UInt8, UInt64)] {
    keyboard.write(2, offset, value)
    keyboard.read(2, 4)
    keyboard.read(2, 0)
  }
  keyboard.event(2, [0x1E, 1])
  keyboard.event(3, [5, 0, 0xFB, 0xFF, 1, 1])
  for _ in 0..<6 { keyboard.read(2, 0) }
  // ACPI: enable the button, press it, acknowledge, power off; ports of their own.
  var power = Script()
  power.write(3, 2, 0x0100, .word)
  power.event(4)
  power.read(3, 0, .word)
  power.write(3, 0, 0x0100, .word)
  power.read(3, 8, .doubleWord)
  power.write(3, 4, 0x3401, .word)
  power.write(4, 0, 2)
  power.write(5, 0, 1)
  power.write(6, 0, 0x41)
  // Processors: one comes, is looked at, and goes again.
  var processors = Script()
  processors.event(6, [3])
  processors.read(7, 2)
  processors.write(7, 2, 2)
  processors.event(6, [2])
  processors.write(7, 2, 4)
  processors.write(7, 2, 8)
  return [serial, clock, keyboard, power, processors].map(\.bytes)
}

/// Functions: host bridge, ISA bridge, PIIX4, and an entropy source, which has message-signaled interrupts.
private func chipset(_ input: inout Input) throws {
  let memory = TestMemory(count: 1 << 16)
  let power = PIIX4PowerManagement(PowerManagement(interrupt: TestLine(), nanoseconds: { 5 }, onPowerOff: {}))
  let entropy = VirtioPCI(VirtioEntropy(TestEntropy()), memory: memory, interrupts: TestInterrupts())
  let functions: [(address: PCIAddress, function: PCIFunction)] = [
    (PCIAddress(device: 0), HostBridge()), (PCIAddress(device: 1), ISABridge(routes: [10, 10, 11, 11])),
    (PCIAddress(device: 1, function: 3), power), (PCIAddress(device: 2), entropy),
  ]
  let bus = try makeBus(functions)
  let rig = try Rig(
    memory: memory, pci: bus, functions: functions, ranges: [(bus, 8)],
    events: [
      { _ in _ = power.powerBase }, { _ in entropy.serve(queue: 0) },
    ])
  rig.run(&input)
}

/// A bus with everything where firmware would put it.
func makeBus(_ functions: [(address: PCIAddress, function: PCIFunction)]) throws -> PCIBus {
  let bus = try PCIBus(functions: functions.map { ($0.address, $0.function) })
  try assign(bus)
  return bus
}

/// The bus that `E1000Driver` finds its function on.
func makeBus(_ function: PCIFunction) throws -> PCIBus {
  try makeBus([(PCIAddress(device: 2), function)])
}

/// Does, or does again, what firmware would.
func assign(_ bus: PCIBus) throws {
  try bus.assignResources(memory: 0xC000_0000..<0xFEC0_0000, ports: 0xC000..<0xD000) { _ in 10 }
}

private func chipsetSeeds() -> [[UInt8]] {
  // SeaBIOS: shadow RAM, interrupt routes, the ports of PIIX4, sizing of a register; then MSI-X.
  var script = Script()
  for register in UInt8(0x59)...0x5F { script.configure(0, register, 0x33, .byte) }
  for register in UInt8(0x60)...0x63 { script.configure(1, register, 10, .byte) }
  script.configure(2, 0x40, 0x601, .doubleWord)
  script.configure(2, 0x80, 1, .byte)
  script.configure(2, 0x90, 0x701, .doubleWord)
  script.configure(2, 0xD2, 9, .byte)
  script.readWindow(2, 0, 8)
  script.configure(3, 0x20, 0xFFFF_FFFF, .doubleWord)
  script.readConfiguration(3, 0x20, .doubleWord)
  script.configure(3, 0x20, 0xC000_0000, .doubleWord)
  script.configure(3, 0x42, 0x8000, .word)
  for offset in [0x4000, 0x4004, 0x4008, 0x400C] as [UInt64] {
    script.writeWindow(3, 0, offset, offset == 0x4000 ? 0xFEE0_0000 : 0)
  }
  script.readWindow(3, 0, 0x4800)
  for event in UInt8(0)..<2 { script.event(event) }
  script.write(0, 1, 6)
  return [script.bytes]
}

let boardTargets: [FuzzTarget] = [
  FuzzTarget("ports", seeds: portSeeds, run: ports), FuzzTarget("chipset", seeds: chipsetSeeds, run: chipset),
]
