import Devices
import Platform
import Synchronization
import Testing

@testable import Hypervisor

/// What is asked of a machine that runs, whose guest is a few instructions.
@Suite("Control of a machine", .enabled(if: Host.hasKVM, "there is no usable /dev/kvm on this machine"), .serialized)
struct ControlMachineTests {
  /// A word that the guest counts up, and one that makes it power off.
  private static let counter = 0x9000
  private static let ending = 0x9004

  /// What a test has of a machine that runs.
  private struct Bench: Sendable {
    let directory: String
    let memory: GuestRAM
    let owner: VirtualMachineOwner
    let end: MachineEnd

    var counter: UInt32 { memory.mapping.load(at: ControlMachineTests.counter) }

    /// Whether the guest goes on.
    func isMoving() -> Bool {
      let before = counter
      for _ in 0..<5000 {
        if counter != before { return true }
        MonotonicClock.sleep(milliseconds: 1)
      }
      return false
    }

    /// Has the guest power off.
    func powerOff() { memory.mapping.store(1 as UInt32, at: ControlMachineTests.ending) }

    /// Whether this process has the file `name` of the directory open.
    func isOpen(_ name: String) throws -> Bool {
      try Files.list("/proc/self/fd").contains {
        (try? Files.readLink("/proc/self/fd/\($0)")) == "\(directory)/\(name)"
      }
    }
  }

  /// Runs a machine while `body` controls it; how it ended. Its disks are files of a MiB in the directory.
  private func run(
    _ code: [UInt8], cpus: Int = 1, disks: [(name: String, bus: MachineConfiguration.DiskBus)] = [],
    hasHotplug: Bool = false, hasBalloon: Bool = false, memoryMaximum: UInt64 = 0, maximumCPUs: Int? = nil,
    _ body: @escaping @Sendable (Bench, ControlClient) throws -> Void
  ) throws -> MachineOutcome {
    Signals.ignore(Signals.brokenPipe)
    let directory = try Files.makeTemporaryDirectory(prefix: "/tmp/roost-control-")
    defer { try? Files.removeTree(directory) }
    try Files.write(SampleImages.pvh(code), to: "\(directory)/kernel")
    var configuration = MachineConfiguration(
      name: "micro", cpus: cpus, memory: 4 << 20, kernel: "\(directory)/kernel")
    configuration.control = "\(directory)/control"
    for name in disks.map(\.name) + ["spare"] {
      try Files.write([UInt8](repeating: 0, count: 1 << 20), to: "\(directory)/\(name)")
    }
    configuration.disks = disks.map {
      MachineConfiguration.Disk(path: "\(directory)/\($0.name)", identifier: $0.name, bus: $0.bus)
    }
    configuration.hasHotplug = hasHotplug
    configuration.hasBalloon = hasBalloon
    configuration.memoryMaximum = memoryMaximum
    configuration.maximumCPUs = maximumCPUs
    let machine = try Machine(configuration)
    let bench = Bench(directory: directory, memory: machine.memory, owner: machine.owner, end: machine.end)
    let failure = Mutex<String?>(nil)
    let thread = try Thread("client") {
      do {
        let client = try ControlClient("\(directory)/control")
        try body(bench, client)
      } catch { failure.withLock { $0 = "\(error)" } }
      bench.powerOff()
    }
    let outcome = try machine.run()
    thread.join()
    #expect(failure.withLock { $0 } == nil)
    #expect(!Files.exists("\(directory)/control"))
    return outcome
  }

  private func bytes<T: FixedWidthInteger>(_ value: T) -> [UInt8] {
    (0..<(T.bitWidth / 8)).map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) }
  }

  /// mov $0x3400, %ax; mov $0x604, %dx; out %ax, %dx; hlt.
  private var powerOff: [UInt8] { [0x66, 0xB8, 0x00, 0x34, 0x66, 0xBA, 0x04, 0x06, 0x66, 0xEF, 0xF4] }

  /// incl counter; cmpl $0, ending; je to the first; power off.
  private var counting: [UInt8] {
    [0xFF, 0x05] + bytes(UInt32(Self.counter)) + [0x83, 0x3D] + bytes(UInt32(Self.ending)) + [0x00, 0x74, 0xF1]
      + powerOff
  }

  @Test("pause holds all CPUs, those that were never started too; resume lets them go on; both may be asked again")
  func pauses() throws {
    let outcome = try run(counting, cpus: 2) { bench, client throws in
      #expect(try client.ask("status") == "ok running")
      #expect(bench.isMoving())
      #expect(try client.ask("resume") == "ok")
      for _ in 0..<3 {
        #expect(try client.ask("pause") == "ok")
        let held = bench.counter
        #expect(try client.ask("pause") == "ok")
        #expect(try client.ask("status") == "ok paused")
        MonotonicClock.sleep(milliseconds: 50)
        #expect(bench.counter == held)
        #expect(try client.ask("resume") == "ok")
        #expect(try client.ask("status") == "ok running")
        #expect(bench.isMoving())
      }
      #expect(try client.ask("nonsense", begins: "error "))
    }
    #expect(outcome == .poweredOff)
  }

  @Test("a guest finds the processors that it is given at their ports, and machines without any to give say so")
  func processors() throws {
    // mov $0xAE01, %dx; in %dx, %al; test $2, %al; je to the in; movb %al, counter; then as `counting`.
    let looking: [UInt8] =
      [0x66, 0xBA, 0x01, 0xAE, 0xEC, 0xA8, 0x02, 0x74, 0xFB, 0xA2] + bytes(UInt32(Self.counter)) + counting
    let outcome = try run(looking, maximumCPUs: 3) { bench, client throws in
      MonotonicClock.sleep(milliseconds: 100)
      #expect(bench.counter == 0)
      #expect(try client.ask("cpus 4") == "error the domain can have 1 to 3 CPUs, not 4")
      #expect(try client.ask("cpus 0", begins: "error cpus 0"))
      #expect(try client.ask("cpus 2") == "ok")
      #expect(bench.isMoving())
      #expect(try client.ask("pause") == "ok" && client.ask("resume") == "ok")
      #expect(try client.ask("cpus 1") == "ok")
    }
    #expect(outcome == .poweredOff)
    _ = try run(counting) { _, client throws in
      #expect(try client.ask("cpus 1", begins: "error the domain was started with 1 CPUs for good"))
    }
  }

  @Test("a guest that halted for good is held as well, and found out when it goes on")
  func pausesHalted() throws {
    let outcome = try run([0xFA, 0xF4], cpus: 2) { _, client throws in
      #expect(try client.ask("pause") == "ok")
      #expect(try client.ask("status") == "ok paused")
      // As long as it takes to find out about a guest that runs.
      MonotonicClock.sleep(milliseconds: UInt32(4 * HaltWatch.interval / 1_000_000))
      #expect(try client.ask("status") == "ok paused")
      #expect(try client.ask("resume") == "ok")
    }
    #expect(outcome == .halted)
  }

  @Test("a machine that is paused can be ended")
  func endsPaused() throws {
    let outcome = try run(counting, cpus: 2) { bench, client throws in
      #expect(try client.ask("pause") == "ok")
      bench.end.end(.stopped)
    }
    #expect(outcome == .stopped)
  }

  @Test("a guest with KVM's clock is told that it was held")
  func announcesPauses() throws {
    let kvm = try KVM()
    let machine = try kvm.makeVirtualMachine()
    try machine.makeInterruptChips()
    let memory = try GuestRAM(count: 2 << 20)
    try memory.attach(to: machine)
    let cpu = try machine.makeCPU(id: 0)
    try cpu.setCPUID(try kvm.supportedCPUID())
    // out %al, $0x80; jmp to the first.
    memory.mapping.write(at: 0x1000, from: ([0xE6, 0x80, 0xEB, 0xFC] as [UInt8]).span)
    let state = BootState.protectedMode(GeneralRegisters(rip: 0x1000), in: memory)
    try cpu.set(state.system)
    try cpu.set(state.general)
    // MSR_KVM_SYSTEM_TIME_NEW; the flags are byte 29 of struct pvclock_vcpu_time_info, of which bit 1 says it.
    try #require(try cpu.setMSRs([(0x4B56_4D01, 0x3001)]) == 1)
    func wasHeld() -> Bool {
      guard case .port(0x80, size: 1, count: 1, isWrite: true, data: _) = cpu.run() else { return false }
      let word: UInt32 = memory.mapping.load(at: 0x301C)
      return word & 0x200 != 0
    }
    #expect(!wasHeld())
    cpu.announcePause()
    #expect(wasHeld())
  }

  @Test("resize: the guest finds a disk's new size in the device; a smaller one is refused")
  func resizes() throws {
    // Where is register 4 of 00:02.0? Count while the disk's capacity, at 0x2000 there, is 2048 sectors; power off.
    var code: [UInt8] = [0xB8] + bytes(0x8000_1020 as UInt32) + [0x66, 0xBA, 0xF8, 0x0C, 0xEF]
    code += [0x66, 0xBA, 0xFC, 0x0C, 0xED, 0x24, 0xF0]
    code += [0xFF, 0x05] + bytes(UInt32(Self.counter)) + [0x81, 0xB8] + bytes(0x2000 as UInt32)
    code += bytes(2048 as UInt32) + [0x74, 0xEE] + powerOff
    let outcome = try run(code, disks: [("debian", .virtio), ("old", .ide)]) { bench, client throws in
      #expect(try client.ask("resize debian") == "ok 1048576")
      #expect(bench.isMoving())
      let file = try FileDescriptor(opening: "\(bench.directory)/debian", .readWrite)
      try file.truncate(to: 1 << 19)
      #expect(try client.ask("resize debian", begins: "error "))
      #expect(bench.isMoving())
      #expect(try client.ask("resize other") == "error no disk has the id other")
      #expect(try client.ask("resize old", begins: "error the disk old is an IDE disk"))
      try file.truncate(to: 3 << 20)
      #expect(try client.ask("resize debian") == "ok 3145728")
    }
    #expect(outcome == .poweredOff)
  }

  @Test("attach and detach: a file is opened, and closed when nobody needs it any more")
  func comesAndGoes() throws {
    let outcome = try run(counting, disks: [("debian", .virtio), ("scsi", .scsi)], hasHotplug: true) {
      bench, client throws in
      let spare = "\(bench.directory)/spare"
      #expect(try client.ask("resize spare") == "error no disk has the id spare")
      #expect(try client.ask("attach \(spare),id=spare") == "ok")
      #expect(try bench.isOpen("spare"))
      #expect(try client.ask("attach \(spare),id=spare") == "error a disk has the id spare already")
      #expect(try client.ask("attach \(spare),id=debian") == "error a disk has the id debian already")
      #expect(try client.ask("resize spare") == "ok 1048576")
      try FileDescriptor(opening: spare, .readWrite).truncate(to: 2 << 20)
      #expect(try client.ask("resize spare") == "ok 2097152")
      #expect(try client.ask("detach spare") == "ok")
      #expect(try !bench.isOpen("spare"))
      #expect(try client.ask("detach spare") == "error no disk has the id spare")
      // Disks that were there from the beginning go too, where they are on the controller.
      #expect(try bench.isOpen("scsi"))
      #expect(try client.ask("detach scsi") == "ok")
      #expect(try !bench.isOpen("scsi"))
      #expect(try client.ask("detach debian", begins: "error the disk debian cannot be detached"))
      #expect(try client.ask("attach /nonexistent,id=x", begins: "error "))
      #expect(try client.ask("attach \(bench.directory),id=x", begins: "error the disk \(bench.directory) is neither"))
      // Again, on a machine that is paused, until there is no place; the machine ends with them.
      #expect(try client.ask("pause") == "ok")
      for index in 0..<16 { #expect(try client.ask("attach \(spare),id=s\(index)") == "ok") }
      #expect(try client.ask("attach \(spare),id=more", begins: "error the SCSI controller has no place"))
      #expect(try client.ask("detach s7") == "ok")
      #expect(try client.ask("attach \(spare),id=more,ro") == "ok")
      #expect(try client.ask("resume") == "ok")
      #expect(try client.ask("detach s1") == "ok")
      // Whoever goes does not wait for the answer.
      try client.send("detach s2\n")
    }
    #expect(outcome == .poweredOff)
  }

  /// Where the counting guest counts too: the first byte that may be plugged, of a machine of 4 MiB.
  private static let plugged: UInt64 = 128 << 20

  @Test("memory: what is wanted is asked of the balloon and of the blocks, and what the balloon says is told")
  func shrinks() throws {
    // Where is register 4 of 00:03.0? Write the balloon's num_pages to its actual, at 0x2000 and 0x2004 there; count.
    var code: [UInt8] = [0xB8] + bytes(0x8000_1820 as UInt32) + [0x66, 0xBA, 0xF8, 0x0C, 0xEF]
    code += [0x66, 0xBA, 0xFC, 0x0C, 0xED, 0x24, 0xF0]
    code += [0x8B, 0x98] + bytes(0x2000 as UInt32) + [0x89, 0x98] + bytes(0x2004 as UInt32)
    code += [0xFF, 0x05] + bytes(UInt32(Self.counter)) + [0x83, 0x3D] + bytes(UInt32(Self.ending))
    code += [0x00, 0x74, 0xE5] + powerOff
    let outcome = try run(code, hasBalloon: true, memoryMaximum: 12 << 20) { _, client throws in
      /// Asks until the guest has come to it.
      func comes(to wanted: UInt64, actual: UInt64) throws -> Bool {
        let words = "ok wanted=\(wanted) actual=\(actual) start=4194304 max=12582912 balloon=idle growth=idle"
        for _ in 0..<5000 {
          if try client.ask("memory") == words { return true }
          MonotonicClock.sleep(milliseconds: 1)
        }
        return false
      }
      #expect(try comes(to: 4 << 20, actual: 4 << 20))
      #expect(try client.ask("memory 2097152") == "ok 2097152")
      #expect(try comes(to: 2 << 20, actual: 2 << 20))
      #expect(try client.ask("memory 3145728") == "ok 3145728")
      #expect(try comes(to: 3 << 20, actual: 3 << 20))
      // Nobody plugs the blocks; the balloon is let go of, and a block is 2 MiB.
      #expect(try client.ask("memory 9437184") == "ok 8388608")
      #expect(try comes(to: 8 << 20, actual: 4 << 20))
      #expect(try client.ask("memory 13631488") == "error the domain can have 12 MiB at most")
      #expect(try client.ask("memory 1048575", begins: "error memory 1048575: give a number"))
      #expect(try comes(to: 8 << 20, actual: 4 << 20))
    }
    #expect(outcome == .poweredOff)
  }

  @Test("statistics: exits by cause, what KVM counts, and what each disk did")
  func statistics() throws {
    // 1000 writes to a port that nothing is behind, then counting.
    let code: [UInt8] = [0xB9] + bytes(1000 as UInt32) + [0x66, 0xBA, 0xE0, 0x01, 0xEE, 0xE2, 0xFD] + counting
    let outcome = try run(code, disks: [("own", .virtio)]) { _, client throws in
      var words: [Substring] = []
      for _ in 0..<5000 {
        words = try client.ask("statistics").split(separator: " ")
        if words.contains(where: { $0.hasPrefix("exits=io:1000,mmio:0,msr:") }) { break }
        MonotonicClock.sleep(milliseconds: 1)
      }
      #expect(words.first == "ok" && words.count >= 3)
      #expect(words.dropFirst().first?.hasPrefix("exits=io:1000,mmio:0,msr:") == true, "\(words)")
      #expect(words.last == "disk=own:0,0,0,0,0,0,0,0,0:0,0,0,0,0,0,0,0,0,0")
      if let kernel = words.first(where: { $0.hasPrefix("kernel=all:") }) {
        let all = kernel.dropFirst("kernel=all:".count).prefix { $0 != "," }
        #expect((Int(all) ?? 0) >= 1000, "\(kernel)")
      }
    }
    #expect(outcome == .poweredOff)
  }

  @Test("KVM's counters are found by their names, and a file that is none of them is not read")
  func kernelCounters() {
    func word(_ value: UInt32) -> [UInt8] { bytes(value) }
    func entry(_ name: String, flags: UInt32, offset: UInt32) -> [UInt8] {
      word(flags) + [0, 0, 1, 0] + word(offset) + word(0) + Array(name.utf8)
        + [UInt8](repeating: 0, count: 16 - name.utf8.count)
    }
    let head = word(0) + word(16) + word(4) + word(24) + word(24) + word(500)
    let entries =
      entry("halt_exits", flags: 0, offset: 8) + entry("exits", flags: 0, offset: 16)
      + entry("hypercalls", flags: 0x20, offset: 24) + entry("exits_of_old", flags: 0, offset: 32)
    #expect(KernelCounters.places(in: head + entries) == [516, 508, nil, nil])
    #expect(KernelCounters.places(in: head + entries.dropLast(20)) == nil)
    #expect(KernelCounters.places(in: word(0) + word(1 << 20) + word(4) + word(24) + word(24) + word(0)) == nil)
    #expect(KernelCounters.places(in: []) == nil)
  }

  @Test("what a guest says of its memory is told by name, and what it does not say is not")
  func says() {
    var said = BalloonStatistics()
    #expect(MachineMemory.words(of: said, age: 999_999_999) == ["age=0"])
    (said.total, said.free, said.available, said.caches, said.majorFaults) = (5, 4, 3, 2, 1)
    #expect(
      MachineMemory.words(of: said, age: 2_000_000_000)
        == ["total=5", "free=4", "available=3", "caches=2", "faults=1", "age=2"])
  }

  @Test("a machine without a balloon and room to grow has the memory that it has")
  func stays() throws {
    let outcome = try run(counting) { _, client throws in
      #expect(
        try client.ask("memory")
          == "ok wanted=4194304 actual=4194304 start=4194304 max=4194304 balloon=none growth=none")
      #expect(try client.ask("memory 4194304") == "ok 4194304")
      #expect(try client.ask("memory 3145728", begins: "error the domain cannot have less than the 4 MiB"))
      #expect(
        try client.ask("memory 5242880")
          == "error the domain can have 4 MiB at most; it was started without --memory-max")
    }
    #expect(outcome == .poweredOff)
  }

  @Test("blocks that are plugged are the CPUs' and the host's, and gone when they are unplugged")
  func plugs() throws {
    // As the counting guest, which begins by counting at the first block.
    var code: [UInt8] = [0xFF, 0x05] + bytes(UInt32(Self.plugged))
    code += [0xFF, 0x05] + bytes(UInt32(Self.counter)) + [0x83, 0x3D] + bytes(UInt32(Self.ending))
    code += [0x00, 0x74, 0xEB] + powerOff
    let outcome = try run(code, memoryMaximum: 300 << 20) { bench, _ throws in
      let blocks = RAMBlocks(bench.memory, bench.owner)
      let size = Int(GuestRAM.blockBytes)
      func segment(_ first: Int, _ count: Int) -> GuestSegment {
        GuestSegment(address: GuestAddress(Self.plugged + UInt64(first * size)), count: count * size)
      }
      func word() -> UInt32 { bench.memory.mapping.load(at: bench.memory.placeInGrowth(Self.plugged)) }
      func moves(_ isMoving: Bool) -> Bool {
        let before = word()
        for _ in 0..<(isMoving ? 5000 : 50) {
          if word() != before { return isMoving }
          MonotonicClock.sleep(milliseconds: 1)
        }
        return !isMoving
      }
      #expect(bench.isMoving() && word() == 0)
      for _ in 0..<2 {
        // Over the border of two sections.
        #expect(blocks.plug(segment(0, 65)))
        #expect(moves(true))
        #expect(blocks.unplug(segment(0, 1)))
        // The CPUs reach it as long as there are others beside it; what they write then is thrown away as well.
        #expect(moves(true))
        #expect(blocks.unplug(segment(1, 64)))
        #expect(word() == 0)
        #expect(bench.isMoving() && moves(false))
      }
      // What somebody else who serves the guest cannot be shown, or made to forget, stays as it was.
      let refusing = RAMBlocks(bench.memory, bench.owner) { false }
      #expect(!refusing.plug(segment(0, 65)) && !bench.memory.contains(segment(0, 1)))
      #expect(bench.isMoving() && moves(false))
      #expect(blocks.plug(segment(0, 1)) && !refusing.unplug(segment(0, 1)))
      #expect(bench.memory.contains(segment(0, 1)) && moves(true))
      #expect(blocks.unplug(segment(0, 1)) && word() == 0)
    }
    #expect(outcome == .poweredOff)
  }

  @Test("without a controller for it, no disk is attached")
  func cannotCome() throws {
    let outcome = try run(counting) { bench, client throws in
      #expect(
        try client.ask(
          "attach \(bench.directory)/spare,id=spare", begins: "error the domain was started without --hotplug"))
      #expect(try !bench.isOpen("spare"))
    }
    #expect(outcome == .poweredOff)
  }
}
