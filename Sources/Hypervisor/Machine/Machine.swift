internal import Devices
internal import Platform

/// A virtual machine, put together and ready to run once.
///
/// Concurrency model: `run` keeps the calling thread as the event loop (consoles, doorbells, taps, signals). Each CPU
/// has a thread, each disk has one for completions, or workers. Devices lock themselves; the order is PCI bus, function,
/// what a function calls. A machine ends through `MachineEnd`, from whatever thread notices.
public final class Machine {
  let configuration: MachineConfiguration
  let memory: GuestRAM
  let owner: VirtualMachineOwner
  let router: InterruptRouter
  let doorbells: Doorbells
  let end: MachineEnd
  let halts: HaltWatch
  let loop: EventLoop

  var functions: [(PCIAddress, PCIFunction)] = []
  var disks: [(disk: FileDisk, complete: @Sendable (UInt64, BlockResult) -> Void)] = []
  var consoles: [ConsoleServer] = []
  private let wires: [SharedInterruptLine<PinLine>]
  private var wireInputs: [Int] = [0, 0, 0, 0]
  private var runners: [CPURunner] = []
  private var power: PowerManagement<PinLine>?
  private let patchingGuard: PatchingGuard?
  private var isAskedToStop = false

  /// The ISA interrupts of PIRQA to PIRQD.
  static let pciInterrupts: [UInt8] = [10, 10, 11, 11]
  /// First port of ACPI's fixed hardware.
  static let powerPorts: UInt16 = 0x600
  static let systemControlInterrupt: UInt32 = 9
  /// CPUs that 8-bit APIC ids can tell apart.
  static let maximumCPUs = 254

  /// Makes the machine, with its kernel loaded and its devices opened.
  public init(_ configuration: MachineConfiguration) throws(HypervisorError) {
    self.configuration = configuration
    let kvm = try KVM()
    let limit = min(kvm.maximumCPUs, Self.maximumCPUs)
    guard (1...limit).contains(configuration.cpus) else {
      throw HypervisorError(
        .configuration, "\(configuration.cpus) CPUs are not possible; this machine allows 1 to \(limit) for a domain")
    }
    patchingGuard = try PatchingGuard.ifNeeded(kvm)
    memory = try GuestRAM(count: configuration.memory, name: "roost-\(configuration.name)")
    owner = VirtualMachineOwner(try kvm.makeVirtualMachine())
    try owner.machine.reserveIntelPages(tss: AddressMap.taskState, identityMap: AddressMap.identityMap)
    try owner.machine.makeInterruptChips()
    try owner.machine.makeTimer()
    try memory.attach(to: owner.machine)
    // KVM_MSR_EXIT_REASON_UNKNOWN: those come to us instead of faulting in the guest.
    // KVM_MSR_EXIT_REASON_FILTER: and those that a filter refuses.
    if kvm.check(.userSpaceMSR) > 0 { try owner.machine.enable(.userSpaceMSR, 2 | 4) }
    try QEMUEmulation.watchExtendedFeatures(owner.machine, kvm)
    let log = configuration.log
    router = try InterruptRouter(owner, log: log)
    doorbells = Doorbells(owner, log: log)
    end = try MachineEnd()
    halts = HaltWatch(cpus: configuration.cpus)
    loop = try EventLoop()
    var wires: [SharedInterruptLine<PinLine>] = []
    // Two of the four wires lead to one pin: they share its level.
    let ten = SharedInterruptLine(router.line(10))
    let eleven = SharedInterruptLine(router.line(11))
    for interrupt in Self.pciInterrupts { wires.append(interrupt == 10 ? ten : eleven) }
    self.wires = wires

    let serial = try Outbox()
    let uart = UART16550(output: serial, interrupt: router.line(4))
    try makeVirtioDevices()
    let bus = try makeBus(uart)
    try makeConsole(configuration.serial, outbox: serial) { uart.receive($0) }

    let state = try load()
    try makeCPUs(kvm, bus: bus, boot: state)
  }

  /// Runs the machine to its end. Once only.
  public func run() throws(HypervisorError) -> MachineOutcome {
    // Blocked in the threads that follow, too.
    let signals = configuration.handlesSignals ? try makeSignals() : nil
    for entry in disks {
      if case .workers(_, let refusal?) = try entry.disk.start(complete: entry.complete) {
        configuration.log("the disk \(entry.disk.path) is served by threads: there is no io_uring (\(refusal))")
      }
    }
    try refusal(.system, "the event loop cannot be set up") { () throws(SystemError) in
      try Signals.makeInterrupting(Signals.user1)
      _ = try loop.add(end.event.file.rawValue, .readable) { [unowned self] _ in self.loop.stop() }
      if let signals {
        _ = try loop.add(signals.descriptor.file.rawValue, .readable) { [unowned self] _ in
          while (try? signals.descriptor.take()) != nil { self.handleSignal() }
        }
      }
    }
    let haltTimer = try makeHaltTimer()
    var threads: [ThreadBox] = []
    for runner in runners {
      let thread = try refusal(.system, "no thread for a CPU can be started") { () throws(SystemError) in
        try Thread("cpu-\(runner.cpu.id)") { runner.run() }
      }
      threads.append(ThreadBox(thread))
    }
    try refusal(.system, "the CPUs cannot be looked after") { () throws(SystemError) in
      _ = try loop.add(haltTimer.file.rawValue, .readable) { [unowned self] _ in
        _ = try? haltTimer.take()
        if self.halts.tick() { return self.end.end(.halted) }
        for (runner, thread) in zip(self.runners, threads) {
          runner.cpu.requestExit()
          thread.signal(Signals.user1)
        }
      }
    }
    defer {
      end.end(.stopped)
      for (runner, thread) in zip(runners, threads) {
        runner.cpu.requestExit()
        thread.signal(Signals.user1)
      }
      for thread in threads { thread.join() }
      for entry in disks { entry.disk.stop() }
      for console in consoles { console.finish() }
    }
    try loop.run()
    return end.reason ?? .stopped
  }

  private func makeHaltTimer() throws(HypervisorError) -> TimerDescriptor {
    try refusal(.system, "no timer can be made") { () throws(SystemError) in
      let timer = try TimerDescriptor()
      try timer.set(after: HaltWatch.interval, every: HaltWatch.interval)
      return timer
    }
  }

  /// Asks the guest to power off; the second time, or when it does not listen, ends it at once.
  private func handleSignal() {
    if !isAskedToStop, power?.pressPowerButton() == true {
      isAskedToStop = true
      configuration.log("the power button was pressed; a second signal ends the domain at once")
    } else {
      end.end(.stopped)
    }
  }

  /// Whether a signal asked the guest to go.
  public var wasAskedToStop: Bool { isAskedToStop }

  private final class SignalSource {
    let descriptor: SignalDescriptor

    init(_ descriptor: consuming SignalDescriptor) {
      self.descriptor = descriptor
    }
  }

  private func makeSignals() throws(HypervisorError) -> SignalSource {
    let descriptor = try refusal(.system, "signals cannot be awaited") { () throws(SystemError) in
      try SignalDescriptor([Signals.terminate, Signals.interrupt, Signals.hangUp])
    }
    return SignalSource(descriptor)
  }

  // MARK: Putting it together

  /// A driver's end of the wire that INTA# of `device` is on.
  func wire(device: UInt8) -> SharedInterruptLine<PinLine>.Input {
    let wire = PCIBus.wire(device: device)
    let shared = Self.pciInterrupts[wire] == 10 ? 0 : 1
    defer { wireInputs[shared] += 1 }
    return wires[wire].input(wireInputs[shared])
  }

  private func makeBus(_ uart: UART16550<Outbox, PinLine>) throws(HypervisorError) -> MachineBus {
    let end = end
    let doorbells = doorbells
    let all: [(PCIAddress, PCIFunction)] =
      [
        (PCIAddress(device: 0), PCIStaticFunction.hostBridge()),
        (PCIAddress(device: 1), PCIStaticFunction.isaBridge(routes: Self.pciInterrupts)),
      ] + functions
    do {
      let pci = try PCIBus(
        functions: all,
        windowsChanged: { doorbells.move($0, $1) },
        resetControl: { if $0 & 4 != 0 { end.end(.reset) } })
      try pci.assignResources(memory: AddressMap.pciWindow, ports: 0xC000..<0x1_0000) { address in
        Self.pciInterrupts[PCIBus.wire(device: address.device)]
      }
      let keyboard = KeyboardController { end.end(.reset) }
      let power = PowerManagement(
        interrupt: router.line(Self.systemControlInterrupt), nanoseconds: { MonotonicClock.now() },
        onPowerOff: { end.end(.poweredOff) })
      self.power = power
      let clock = RealTimeClock(memoryBelow4GiB: memory.lowCount, memoryAbove4GiB: memory.highCount) {
        Int64(WallClock.now().seconds)
      }
      var ports = Bus<PortTarget>()
      try ports.attach(.serial(uart), at: 0x3F8, count: 8)
      try ports.attach(.clock(clock), at: 0x70, count: 2)
      try ports.attach(.keyboard(KeyboardController.Ports(keyboard)), at: 0x60, count: 1)
      try ports.attach(.keyboardCommand(KeyboardController.Ports(keyboard)), at: 0x64, count: 1)
      try ports.attach(.systemControl(SystemControlPort(keyboard)), at: 0x92, count: 1)
      let log = configuration.log
      try ports.attach(
        .panic(
          PanicPort { event in
            switch event {
            case .panicked: end.end(.panicked)
            case .dumping: log("the guest's kernel panicked and starts another one to save what is left")
            }
          }), at: UInt64(PanicPort.port), count: 1)
      try ports.attach(.power(power), at: UInt64(Self.powerPorts), count: PowerManagementLayout.portCount)
      try ports.attach(.pci(pci), at: 0xCF8, count: 8)
      return MachineBus(ports: ports, pci: pci)
    } catch let error as PCIAssignmentError {
      throw HypervisorError(.configuration, "\(error)")
    } catch {
      throw HypervisorError(.configuration, "\(error)")
    }
  }

  /// Shows a port somewhere.
  func makeConsole(
    _ console: MachineConfiguration.Console, outbox: Outbox, input: @escaping ([UInt8]) -> Int
  ) throws(HypervisorError) {
    switch console {
    case .none: break
    case .terminal:
      let end = end
      consoles.append(try .terminal(loop, outbox: outbox, input: input) { end.end(.stopped) })
    case .socket(let path, let log):
      consoles.append(try .listening(at: path, log: log, loop, outbox: outbox, input: input))
    }
  }

  /// Puts tables and kernel into memory.
  private func load() throws(HypervisorError) -> BootState {
    let description = ACPIDescription(
      cpus: configuration.cpus, powerManagement: Self.powerPorts,
      powerOffType: UInt8(PowerManagementLayout.sleepTypeOff),
      systemControlInterrupt: UInt8(Self.systemControlInterrupt), memoryWindow: AddressMap.pciWindow,
      pciInterrupts: Self.pciInterrupts, wire: { PCIBus.wire(device: $0, pin: $1) })
    let tables = ACPITables(description)
    try tables.write(to: memory)
    try MPTable(description, at: tables.rootPointer + UInt64(tables.bytes.count)).write(to: memory)
    guard let path = configuration.kernel else { throw HypervisorError(.configuration, "there is no kernel to boot") }
    let kernel = try FileImage(path)
    var modules: [BootModule<FileImage>] = []
    if let initrd = configuration.initrd { modules.append(BootModule(try FileImage(initrd))) }
    for module in configuration.modules {
      modules.append(BootModule(try FileImage(module.path), commandLine: module.commandLine))
    }
    do throws(HypervisorError) {
      return try BootLoader.load(
        method: configuration.bootMethod, kernel: kernel, modules: modules, commandLine: configuration.commandLine,
        rsdp: tables.rootPointer, framebuffer: nil, into: memory
      ).state
    } catch {
      throw error.about(path)
    }
  }

  private func makeCPUs(
    _ kvm: borrowing KVM, bus: MachineBus, boot: BootState?
  ) throws(HypervisorError) {
    let host = try kvm.supportedCPUID()
    let hasDeadline = kvm.check(.tscDeadlineTimer) > 0
    var model: CPUModel?
    for id in 0..<UInt32(configuration.cpus) {
      let cpu = try owner.machine.makeCPU(id: id)
      let shared =
        model
        ?? CPUModel(
          host: host, cpus: configuration.cpus, tscKHz: cpu.tscKHz ?? 0, hasDeadlineTimer: hasDeadline,
          name: configuration.cpuModel)
      model = shared
      try cpu.setCPUID(shared.entries(for: id))
      try cpu.setMSRs(CPUModel.resetMSRs)
      try cpu.setLocalInterrupts()
      // Without a boot state the CPU starts as after a reset: in the firmware.
      if id == 0, let boot {
        try cpu.set(boot.system)
        try cpu.set(boot.general)
      }
      runners.append(CPURunner(cpu, bus: bus, end: end, halts: halts, log: configuration.log))
    }
  }
}
