internal import Devices
internal import Platform

/// A virtual machine, put together and ready to run once.
///
/// Concurrency model: `run` keeps the calling thread as the event loop (consoles, doorbells, taps, signals, requests of
/// the control socket). Each CPU has a thread, each disk has one, or workers. Devices lock themselves; the order is PCI
/// bus, function, what a function calls. A machine ends through `MachineEnd`, from whatever thread notices.
public final class Machine {
  let configuration: MachineConfiguration
  let memory: GuestRAM
  let owner: VirtualMachineOwner
  let router: InterruptRouter
  let wires: PCIWires<PinLine>
  let doorbells: Doorbells
  let end: MachineEnd
  let loop: EventLoop
  /// PCI functions beside the chipset's.
  var functions: [(PCIAddress, PCIFunction)] = []
  /// What firmware may boot from.
  var bootable = Bootable()
  var disks: [DiskService] = []
  /// The SCSI controller, where disks come and go.
  var hotplug: VirtioPCI<VirtioSCSI<GuestRAM, FileDisk>, FunctionInterrupts>?
  var consoles: [ConsoleServer] = []
  var screens: [ScreenServer] = []
  var regions: [MemoryRegion] = []
  var power: PowerManagement<PinLine>?

  /// What firmware may boot from. It tries a floppy disk first, as it is there for nothing else, and disks before CD-ROMs,
  /// which are for what has no system yet.
  struct Bootable {
    var floppies: [BootOrder.Device] = []
    var disks: [BootOrder.Device] = []
    var discs: [BootOrder.Device] = []
    var networks: [BootOrder.Device] = []

    var order: [BootOrder.Device] { floppies + disks + discs + networks }
  }

  private let halts: HaltWatch
  /// Holds the CPUs of a machine that can be paused.
  private let gate: CPUGate?
  private var control: MachineControl?
  private var runners: [CPURunner] = []
  private var threads: [ThreadBox] = []
  private let patchingGuard: PatchingGuard?
  private var isAskedToStop = false

  /// CPUs that 8-bit APIC ids can tell apart.
  static let maximumCPUs = 254

  /// Makes the machine, with its kernel or firmware loaded and its devices opened.
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
    let router = try InterruptRouter(owner, log: log)
    self.router = router
    wires = PCIWires(routes: Board.pciInterrupts) { router.line(UInt32($0)) }
    doorbells = Doorbells(owner, log: log)
    end = try MachineEnd()
    halts = HaltWatch(cpus: configuration.cpus)
    gate = configuration.control == nil ? nil : try CPUGate(cpus: configuration.cpus)
    loop = try EventLoop()

    let board = try Board(self)
    let state = configuration.bootMethod.isFirmware ? nil : try loadKernel(board)
    let cycle = configuration.bootMethod == .uefi ? try QEMUEmulation.slowLocalTimer(owner.machine, kvm) : 1
    try makeCPUs(kvm, bus: board.bus, boot: state, localAPICCycle: cycle)
    if let path = configuration.control, let gate { control = try MachineControl(self, gate: gate, at: path) }
  }

  /// Runs the machine to its end. Once only.
  public func run() throws(HypervisorError) -> MachineOutcome {
    // Blocked in the threads that follow, too.
    let signals = configuration.handlesSignals ? try makeSignals() : nil
    for entry in disks { try start(entry.disk, bell: entry.bell, complete: entry.complete) }
    try refusal(.system, "the event loop cannot be set up") { () throws(SystemError) in
      try Signals.makeInterrupting(Signals.user1)
      _ = try loop.add(end.event.file.rawValue, .readable) { [unowned self] _ in self.loop.stop() }
      if let signals {
        _ = try loop.add(signals.descriptor.file.rawValue, .readable) { [unowned self] _ in
          while (try? signals.descriptor.take()) != nil { self.handleSignal() }
        }
      }
    }
    for runner in runners {
      let thread = try refusal(.system, "no thread for a CPU can be started") { () throws(SystemError) in
        try Thread("cpu-\(runner.cpu.id)") { runner.run() }
      }
      threads.append(ThreadBox(thread))
    }
    let haltTimer = try LoopTimer(loop) { [unowned self] in
      // CPUs that are held have nothing new to say.
      if self.gate?.isClosed == true { return }
      if self.halts.tick() { return self.end.end(.halted) }
      self.interruptCPUs()
    }
    haltTimer.start(after: HaltWatch.interval, every: HaltWatch.interval)
    defer {
      end.end(.stopped)
      gate?.open()
      interruptCPUs()
      for thread in threads { thread.join() }
      control?.finish()
      for entry in disks { entry.disk.stop() }
      for console in consoles { console.finish() }
      for screen in screens { screen.finish() }
    }
    try loop.run()
    return end.reason ?? .stopped
  }

  /// Calls the CPUs out of the guest.
  func interruptCPUs() {
    for (runner, thread) in zip(runners, threads) {
      runner.cpu.requestExit()
      thread.signal(Signals.user1)
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

  private func makeCPUs(
    _ kvm: borrowing KVM, bus: MachineBus, boot: BootState?, localAPICCycle: UInt32
  ) throws(HypervisorError) {
    let host = try kvm.supportedCPUID()
    let hasDeadline = kvm.check(.tscDeadlineTimer) > 0
    var model: CPUModel?
    for id in 0..<UInt32(configuration.cpus) {
      let cpu = try owner.machine.makeCPU(id: id)
      let shared =
        model
        ?? CPUModel(
          host: host, cpus: configuration.cpus, tscKHz: cpu.tscKHz ?? 0, localAPICCycle: localAPICCycle,
          hasDeadlineTimer: hasDeadline, name: configuration.cpuModel)
      model = shared
      try cpu.setCPUID(shared.entries(for: id))
      // What firmware would do is for firmware to do, where there is one: the CPU starts in it as after a reset.
      if let boot {
        try cpu.setMSRs(CPUModel.resetMSRs)
        try cpu.setLocalInterrupts()
        if id == 0 {
          try cpu.set(boot.system)
          try cpu.set(boot.general)
        }
      }
      runners.append(CPURunner(cpu, bus: bus, end: end, halts: halts, gate: gate, log: configuration.log))
    }
  }
}
