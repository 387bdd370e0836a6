import Devices
import Platform
import Synchronization
import Testing

@testable import Hypervisor

/// Guests of a few instructions, in 32-bit protected mode as PVH enters them, on the machine's /dev/kvm.
@Suite("Micro-guests", .enabled(if: Host.hasKVM, "there is no usable /dev/kvm on this machine"), .serialized)
struct MicroGuestTests {
  /// Runs `code` as a PVH kernel; how it ended and what it printed on the serial port.
  private func run(
    _ code: [UInt8], cpus: Int = 1, memory: UInt64 = 4 << 20, _ change: (inout MachineConfiguration) -> Void = { _ in }
  ) throws -> (outcome: MachineOutcome, output: String) {
    let directory = "/tmp/roost-test-\(MonotonicClock.now())"
    try Files.makeDirectories(directory)
    defer { try? Files.removeTree(directory) }
    try Files.write(SampleImages.pvh(code), to: "\(directory)/kernel")
    var configuration = MachineConfiguration(name: "micro", cpus: cpus, memory: memory, kernel: "\(directory)/kernel")
    configuration.serial = .socket(path: "\(directory)/serial", log: "\(directory)/log")
    change(&configuration)
    let outcome = try Machine(configuration).run()
    return (outcome, try Files.readText("\(directory)/log"))
  }

  /// out %al, %dx after setting both.
  private func out(_ port: UInt16, _ value: UInt8) -> [UInt8] {
    [0x66, 0xBA] + bytes(port) + [0xB0, value, 0xEE]
  }

  private func bytes<T: FixedWidthInteger>(_ value: T) -> [UInt8] {
    (0..<(T.bitWidth / 8)).map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) }
  }

  /// mov $0x3400, %ax; mov $0x604, %dx; out %ax, %dx: S5 is type 5, enabled.
  private var powerOff: [UInt8] { [0x66, 0xB8, 0x00, 0x34, 0x66, 0xBA, 0x04, 0x06, 0x66, 0xEF, 0xF4] }

  @Test("prints on the serial port and powers off by ACPI")
  func prints() throws {
    let (outcome, output) = try run(Array("hello\n".utf8).flatMap { out(0x3F8, $0) } + powerOff)
    #expect(outcome == .poweredOff)
    #expect(output == "hello\n")
  }

  @Test("resets by 0xCF9, by the keyboard controller and by port 0x92")
  func resets() throws {
    #expect(try run(out(0xCF9, 6) + [0xF4]).outcome == .reset)
    #expect(try run(out(0x64, 0xFE) + [0xF4]).outcome == .reset)
    #expect(try run(out(0x92, 1) + [0xF4]).outcome == .reset)
  }

  @Test("a triple fault is a crash with registers, not an end of the monitor")
  func crashes() throws {
    // lidt of an empty table, then a breakpoint.
    let code: [UInt8] = [0x0F, 0x01, 0x1D] + bytes(0x10_0020 as UInt32) + [0xCC] + [UInt8](repeating: 0x90, count: 64)
    let outcome = try run(code.prefix(32) + [UInt8](repeating: 0, count: 16)).outcome
    guard case .crashed(let text) = outcome else {
      Issue.record("it ended as \(outcome)")
      return
    }
    // KVM without hardware assistance may report it as an emulation failure.
    #expect(text.contains("triple fault") || text.contains("internal error"), "\(text)")
    #expect(text.contains("rip 0x"), "\(text)")
  }

  @Test("CPUs that halt with interrupts off end the machine, and it is told apart from power-off")
  func halts() throws {
    #expect(try run([0xFA, 0xF4], cpus: 2).outcome == .halted)
  }

  @Test("a kernel says through its port that it panicked")
  func panics() throws {
    #expect(try run(out(PanicPort.port, 1) + [0xF4]).outcome == .panicked)
    // What it cannot mean says nothing: it goes on and powers off.
    #expect(try run(out(PanicPort.port, 0x80) + powerOff).outcome == .poweredOff)
  }

  @Test("EFER is written as asked; long mode brings address extensions where a write is ours to carry out")
  func extendedFeatures() throws {
    let kvm = try KVM()
    let machine = try kvm.makeVirtualMachine()
    let cpu = try machine.makeCPU(id: 0)
    try cpu.setCPUID(try kvm.supportedCPUID())
    try cpu.setEFER(1 << 8)
    let control = try cpu.controlRegisters()
    #expect(control.efer == 1 << 8 && control.cr4 & 1 << 5 != 0)
    try cpu.setEFER(1)
    #expect(try cpu.controlRegisters().efer == 1)
    #expect(throws: HypervisorError.self) { try cpu.setEFER(1 << 63) }
  }

  @Test("PCI configuration space: the host bridge and a virtio function are there, an empty slot reads ones")
  func pci() throws {
    // For each address: write it to 0xCF8, read 0xCFC, print its four bytes as they are plus 0x20 folded in.
    func readAndPrint(_ address: UInt32) -> [UInt8] {
      var code: [UInt8] = [0xB8] + bytes(address) + [0x66, 0xBA, 0xF8, 0x0C, 0xEF]
      code += [0x66, 0xBA, 0xFC, 0x0C, 0xED, 0x89, 0xC3]  // in; mov %eax, %ebx
      for _ in 0..<8 {
        // rol $4, %ebx; mov %bl, %al; and $15, %al; add $'a', %al; out
        code += [0xC1, 0xC3, 0x04, 0x88, 0xD8, 0x24, 0x0F, 0x04, 0x61, 0x66, 0xBA, 0xF8, 0x03, 0xEE]
      }
      return code
    }
    let code = [0x8000_0000, 0x8000_1000, 0x8000_F800].flatMap { readAndPrint($0) } + powerOff
    let (outcome, output) = try run(code)
    #expect(outcome == .poweredOff)
    // 1237 8086, 1005 1AF4 (entropy), ffff ffff; a is 0.
    #expect(output == "bcdh" + "iaig" + "baaf" + "bkpe" + "pppppppp")
  }

  @Test("absent ports and memory read ones; writes go nowhere")
  func absent() throws {
    // in 0x300 -> bl; mov 0xE8000000 -> cl; and both; print (al & 0x7F) which is DEL - 0x3F = '@'.
    var code: [UInt8] = [0x66, 0xBA, 0x00, 0x03, 0xEC, 0x88, 0xC3]
    code += [0xA0] + bytes(0xE800_0000 as UInt32) + [0x20, 0xD8, 0x24, 0x7F, 0x2C, 0x3F]
    code += [0x66, 0xBA, 0xF8, 0x03, 0xEE, 0xA2] + bytes(0xE800_0000 as UInt32) + powerOff
    let (outcome, output) = try run(code)
    #expect(outcome == .poweredOff && output == "@")
  }

  @Test("without a display, text goes nowhere, a screenful of it, and ones are read back")
  func absentText() throws {
    // mov $0xB8000, %edi; mov $2000, %ecx; rep stosl; not (0xB8000); print its low half: DEL - 0x3F = '@'.
    var code: [UInt8] = [0xBF] + bytes(0xB_8000 as UInt32) + [0xB9] + bytes(2000 as UInt32) + [0x31, 0xC0, 0xF3, 0xAB]
    code += [0xA0] + bytes(0xB_8123 as UInt32) + [0x24, 0x7F, 0x2C, 0x3F, 0x66, 0xBA, 0xF8, 0x03, 0xEE]
    let (outcome, output) = try run(code + powerOff)
    #expect(outcome == .poweredOff && output == "@")
  }

  @Test("coalesced writes do not leave the guest until there is no room for them")
  func coalescedWrites() throws {
    let kvm = try KVM()
    let machine = try kvm.makeVirtualMachine()
    let memory = try GuestRAM(count: 2 << 20)
    try memory.attach(to: machine)
    try machine.coalesceWrites(to: AddressMap.textWindow)
    let cpu = try machine.makeCPU(id: 0)
    try cpu.setCPUID(try kvm.supportedCPUID())
    // mov %ecx, 0xB8000; dec %ecx; jnz to the first; out %al, $0x80; jmp to the first.
    let code: [UInt8] = [0x89, 0x0D] + bytes(0xB_8000 as UInt32) + [0x49, 0x75, 0xF7, 0xE6, 0x80, 0xEB, 0xF3]
    memory.mapping.write(at: 0x1000, from: code.span)
    let state = BootState.protectedMode(GeneralRegisters(rcx: 3, rip: 0x1000), in: memory)
    try cpu.set(state.system)
    try cpu.set(state.general)
    /// Exits until the port's.
    func writes() -> Int? {
      for count in 0..<500 {
        switch cpu.run() {
        case .memory(0xB_8000, size: 4, isWrite: true): continue
        case .port(0x80, size: 1, count: 1, isWrite: true, data: _): return count
        default: return nil
        }
      }
      return nil
    }
    let isThere = kvm.check(.coalescedMMIO) > 0
    #expect(writes() == (isThere ? 0 : 3))
    // After the port, ecx is 0 and would go round; a page holds less than 256 writes of 24 bytes.
    try cpu.set(GeneralRegisters(rcx: 256, rip: 0x1000))
    let left = try #require(writes())
    #expect(left > 256 - 4096 / 24)
    guard isThere else { return }
    cpu.discardCoalescedWrites()
    try cpu.set(GeneralRegisters(rcx: 160, rip: 0x1000))
    #expect(writes() == 0)
  }

  @Test("the I/O APIC's own register shows the id that the tables give it")
  func interruptController() throws {
    // Select register 0, read it, print '0' + its bits 24 to 27.
    var code: [UInt8] = [0xC7, 0x05] + bytes(0xFEC0_0000 as UInt32) + bytes(0 as UInt32)
    code += [0xA1] + bytes(0xFEC0_0010 as UInt32) + [0xC1, 0xE8, 0x18, 0x04, 0x30, 0x66, 0xBA, 0xF8, 0x03, 0xEE]
    #expect(try run(code + powerOff, cpus: 3).output == "3")
    #expect(try run(code + powerOff, cpus: 17).output == "1")
  }

  @Test("the BARs that the monitor assigned answer: virtio's queue count by memory-mapped read")
  func bar() throws {
    // Read BAR 4 of 00:02.0, follow it to num_queues (offset 0x12), print '0' + it.
    var code: [UInt8] = [0xB8] + bytes(0x8000_1020 as UInt32) + [0x66, 0xBA, 0xF8, 0x0C, 0xEF]
    code += [0x66, 0xBA, 0xFC, 0x0C, 0xED, 0x24, 0xF0]
    code += [0x8A, 0x40, 0x12, 0x04, 0x30, 0x66, 0xBA, 0xF8, 0x03, 0xEE] + powerOff
    #expect(try run(code).output == "1")
  }

  @Test("a disk that is not there, memory that makes no sense: errors, no machine")
  func refusals() throws {
    #expect(throws: HypervisorError.self) {
      try run(powerOff) { $0.disks = [MachineConfiguration.Disk(path: "/nonexistent")] }
    }
    #expect(throws: HypervisorError.self) { try run(powerOff, memory: 1) }
    #expect(throws: HypervisorError.self) { try run(powerOff, cpus: 0) }
    #expect(throws: HypervisorError.self) { try run(powerOff, cpus: 100_000) }
    #expect(throws: HypervisorError.self) { try run(powerOff) { $0.kernel = "/etc/passwd" } }
  }

  @Test("hatchling boots, checks the machine and switches off")
  func hatchling() throws {
    guard let path = ProcessEnvironment.value("ROOST_HATCHLING") else {
      // `make hatchling` builds it and sets the variable.
      print("skipped: ROOST_HATCHLING names no hatchling.elf (make unit sets it)")
      return
    }
    let directory = "/tmp/roost-test-\(MonotonicClock.now())"
    try Files.makeDirectories(directory)
    defer { try? Files.removeTree(directory) }
    var configuration = MachineConfiguration(name: "hatchling", memory: 16 << 20, kernel: path)
    configuration.serial = .socket(path: "\(directory)/serial", log: "\(directory)/log")
    let machine = try Machine(configuration)
    let typist = try Thread("typist") {
      guard let client = try? UnixSocket.connect("\(directory)/serial") else { return }
      for line in ["mem\r", "selftest\r", "off\r"] {
        MonotonicClock.sleep(milliseconds: 1500)
        try? client.writeAll(Array(line.utf8))
      }
      MonotonicClock.sleep(milliseconds: 500)
    }
    let outcome = try machine.run()
    typist.join()
    let output = try Files.readText("\(directory)/log")
    #expect(outcome == .poweredOff)
    #expect(output.contains("hatchling> ") && output.contains("15 MiB usable"))
    #expect(!output.contains("failed:"), "\(output)")
  }
}
