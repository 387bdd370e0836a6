import Synchronization
import Testing

@testable import Devices

/// A machine of host bridge, ISA bridge and one virtio function at device 2.
func makeBus(
  _ function: PCIFunction, windowsChanged: @escaping @Sendable (PCIFunction, [PCIWindow]) -> Void = { _, _ in },
  resetControl: @escaping @Sendable (UInt8) -> Void = { _ in }
) throws -> PCIBus {
  let bus = try PCIBus(
    functions: [
      (PCIAddress(device: 0), HostBridge()), (PCIAddress(device: 1), ISABridge()),
      (PCIAddress(device: 2), function),
    ], windowsChanged: windowsChanged, resetControl: resetControl)
  try bus.assignResources(memory: 0xC000_0000..<0xFEC0_0000, ports: 0xC000..<0xD000) { _ in 10 }
  return bus
}

func makeEntropy(_ interrupts: TestInterrupts = TestInterrupts(), memory: TestMemory = TestMemory()) -> VirtioPCI<
  VirtioEntropy<TestMemory, TestEntropy>, TestInterrupts
> {
  VirtioPCI(VirtioEntropy(TestEntropy()), memory: memory, interrupts: interrupts)
}

@Suite struct PCITests {
  /// What Linux's `pci_check_type1` and its bus scan do.
  @Test func enumeration() throws {
    let bus = try makeBus(makeEntropy())
    bus.write(0x01, at: 3, width: .byte)  // 0xCFB
    bus.write(0x8000_0000, at: 0, width: .doubleWord)
    #expect(bus.read(at: 0, width: .doubleWord) == 0x8000_0000)
    var found: [UInt64: UInt64] = [:]
    for device in 0..<UInt64(32) {
      bus.write(0x8000_0000 | device << 11, at: 0, width: .doubleWord)
      let id = bus.read(at: 4, width: .doubleWord)
      if id != 0xFFFF_FFFF { found[device] = id }
    }
    #expect(found == [0: 0x1237_8086, 1: 0x7000_8086, 2: 0x1005_1AF4])
  }

  @Test func partialAccesses() throws {
    let bus = try makeBus(makeEntropy())
    bus.write(0x8000_1000, at: 0, width: .doubleWord)
    #expect(bus.read(at: 4, width: .word) == 0x1AF4)
    #expect(bus.read(at: 6, width: .word) == 0x1005)
    #expect(bus.read(at: 7, width: .byte) == 0x10)
    #expect(bus.read(at: 7, width: .word) == 0xFFFF)  // crosses the register
    bus.write(0x8000_103C, at: 0, width: .doubleWord)
    #expect(bus.read(at: 4, width: .byte) == 10)
    #expect(bus.read(at: 5, width: .byte) == 1)  // INTA#
    // Not enabled, and another bus.
    bus.write(0x0000_1000, at: 0, width: .doubleWord)
    #expect(bus.read(at: 4, width: .doubleWord) == 0xFFFF_FFFF)
    bus.write(0x8001_1000, at: 0, width: .doubleWord)
    #expect(bus.read(at: 4, width: .doubleWord) == 0xFFFF_FFFF)
  }

  /// Sizing as in PCI 3.0, 6.2.5.1, implementation note, and a move to another address.
  @Test func barSizingAndMove() throws {
    let seen = Mutex<[[PCIWindow]]>([])
    let function = makeEntropy()
    let bus = try makeBus(function, windowsChanged: { _, windows in seen.withLock { $0.append(windows) } })
    let driver = VirtioDriver(bus: bus, memory: TestMemory())
    let before = driver.readConfiguration(0x20)
    #expect(before == 0xC000_0000)
    driver.writeConfiguration(0, 0x04, .word)
    driver.writeConfiguration(0xFFFF_FFFF, 0x20)
    #expect(driver.readConfiguration(0x20) == 0xFFFF_C000)
    driver.writeConfiguration(0xD000_0000, 0x20)
    #expect(bus.readMemory(at: 0xD000_0000, width: .doubleWord) == nil)
    driver.writeConfiguration(0x0002, 0x04, .word)
    #expect(bus.readMemory(at: 0xD000_0012, width: .word) == 1)  // num_queues
    #expect(bus.readMemory(at: 0xC000_0012, width: .word) == nil)
    let last = seen.withLock { $0.last } ?? []
    #expect(last.contains(PCIWindow(bar: 4, isIO: false, base: 0xD000_0000, count: 0x4000)))
    // A register that is not there.
    driver.writeConfiguration(0xFFFF_FFFF, 0x18)
    #expect(driver.readConfiguration(0x18) == 0)
  }

  @Test func wideAndPortRegisters() {
    var configuration = PCIConfiguration(
      PCIConfiguration.Identity(vendor: 1, device: 2, revision: 0, classCode: 0x010203))
    configuration.addBar(0, .io, count: 64)
    configuration.addBar(2, .memory64(prefetchable: true), count: 1 << 33)
    configuration.write(0xFFFF_FFFF, at: 0x10, width: .doubleWord)
    configuration.write(0xFFFF_FFFF, at: 0x18, width: .doubleWord)
    configuration.write(0xFFFF_FFFF, at: 0x1C, width: .doubleWord)
    #expect(configuration.read(at: 0x10, width: .doubleWord) == 0xFFFF_FFC1)
    #expect(configuration.read(at: 0x18, width: .doubleWord) == 0x0000_000C)
    #expect(configuration.read(at: 0x1C, width: .doubleWord) == 0xFFFF_FFFE)
    configuration.setBarAddress(0x1_0000_0000 * 6, at: 2)
    configuration.setBarAddress(0xC040, at: 0)
    configuration.command = 3
    #expect(
      configuration.windows == [
        PCIWindow(bar: 0, isIO: true, base: 0xC040, count: 64),
        PCIWindow(bar: 2, isIO: false, base: 0x6_0000_0000, count: 1 << 33),
      ])
  }

  @Test func noRoomIsAnError() throws {
    let bus = try PCIBus(functions: [(PCIAddress(device: 2), makeEntropy())])
    #expect(throws: PCIAssignmentError.noSpace(PCIAddress(device: 2), bar: 1, count: 0x1000)) {
      try bus.assignResources(memory: 0xC000_0000..<0xC000_4000, ports: 0..<0) { _ in 0 }
    }
    #expect(throws: PCIAssignmentError.duplicate(PCIAddress(device: 2))) {
      _ = try PCIBus(functions: [(PCIAddress(device: 2), makeEntropy()), (PCIAddress(device: 2), makeEntropy())])
    }
  }

  @Test func resetControlRegister() throws {
    let writes = Mutex<[UInt8]>([])
    let bus = try makeBus(makeEntropy(), resetControl: { value in writes.withLock { $0.append(value) } })
    bus.write(0x02, at: 1, width: .byte)
    bus.write(0x06, at: 1, width: .byte)
    #expect(writes.withLock { $0 } == [2, 6])
    #expect(bus.read(at: 1, width: .byte) == 2)
  }

  @Test func swizzle() {
    // The i440FX board: device 1's INTA# is PIRQA.
    #expect(PCIBus.wire(device: 1) == 0)
    #expect(PCIBus.wire(device: 2) == 1)
    #expect(PCIBus.wire(device: 5, pin: 2) == 1)
    #expect(PCIBus.wire(device: 0) == 3)
  }

  @Test func sharedLineIsWiredOr() {
    let lines = (0..<16).map { _ in TestLine() }
    let wires = PCIWires(routes: [10, 10, 11, 11]) { lines[Int($0)] }
    // Two on one wire, and one on another wire that leads to the same interrupt.
    let (first, second, third) = (wires.input(0), wires.input(0), wires.input(1))
    first.set(true)
    second.set(true)
    third.set(true)
    first.set(false)
    second.set(false)
    #expect(lines[10].isHigh)
    third.set(false)
    #expect(!lines[10].isHigh)
    #expect(lines[10].edges == 2 && lines[11].edges == 0)
  }

  /// PCI 3.0, 6.8.2.9 and 6.8.3.4: mask, pending, unmask.
  @Test func msixMaskingAndPending() {
    let interrupts = TestInterrupts()
    var msix = MSIX(vectors: 3)
    msix.signal(0, interrupts)
    #expect(interrupts.takeSignals() == [])  // not enabled, and not remembered
    msix.writeTable(0xFEE0_1000, at: 16, width: .doubleWord, interrupts)
    msix.writeTable(0x41, at: 24, width: .doubleWord, interrupts)
    msix.setControl(0xC000, interrupts)  // enabled, function masked
    msix.writeTable(0, at: 28, width: .doubleWord, interrupts)
    msix.signal(1, interrupts)
    #expect(interrupts.takeSignals() == [])
    #expect(msix.readPending(at: 0, width: .quadWord) == 2)
    #expect(interrupts.routes.isEmpty)
    msix.setControl(0x8000, interrupts)
    #expect(interrupts.takeSignals() == [1])
    #expect(interrupts.routes == [1: InterruptMessage(address: 0xFEE0_1000, data: 0x41)])
    #expect(msix.readPending(at: 0, width: .quadWord) == 0)
    msix.writeTable(1, at: 28, width: .doubleWord, interrupts)
    #expect(interrupts.routes.isEmpty)
    msix.signal(1, interrupts)
    msix.signal(1, interrupts)
    msix.writeTable(0, at: 28, width: .doubleWord, interrupts)
    #expect(interrupts.takeSignals() == [1])  // pending is one bit
    #expect(msix.readTable(at: 16, width: .quadWord) == 0xFEE0_1000)
    #expect(msix.readTable(at: 48, width: .doubleWord) == 0)
    msix.reset(interrupts)
    #expect(!msix.isEnabled)
  }
}
