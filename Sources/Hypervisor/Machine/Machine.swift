internal import Devices
internal import Jail
internal import Platform

/// A virtual machine, put together and ready to run once.
///
/// Concurrency model: `run` keeps the calling thread as the event loop (consoles, doorbells, taps, signals, requests of
/// the control socket). Each CPU has a thread, each disk has one, or workers. Devices lock themselves; the order is PCI
/// bus, function, what a function calls. A machine ends through `MachineEnd`, from whatever thread notices.
public final class Machine {
  let configuration: MachineConfiguration
  let memory: GuestRAM
  /// What its guest is to have of memory, and has.
  let memoryService: MachineMemory
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
  /// The networks that the kernel serves.
  var vhosts: [VhostPort] = []
  /// Where disks get their rings.
  let rings = RingSupply()
  /// The SCSI controller, where disks come and go.
  var hotplug: VirtioPCI<VirtioSCSI<GuestRAM, FileDisk>, FunctionInterrupts>?
  var consoles: [ConsoleServer] = []
  var screens: [ScreenServer] = []
  var regions: [MemoryRegion] = []
  var power: PowerManagement<PinLine>?
  /// Where CPUs come and go.
  var processors: ProcessorHotplug?
  /// Where a guest made for Xen finds it.
  var xen: XenPort?

  /// What firmware may boot from. It tries a floppy disk first, as it is there for nothing else, and disks before CD-ROMs,
  /// which are for what has no system yet.
  struct Bootable {
    var floppies: [BootOrder.Device] = []
    var disks: [BootOrder.Device] = []
    var discs: [BootOrder.Device] = []
    var networks: [BootOrder.Device] = []

    var order: [BootOrder.Device] { floppies + disks + discs + networks }
  }

  private let signals: SignalSource?
  private let halts: HaltWatch
  /// Holds the CPUs of a machine that can be paused.
  private let gate: CPUGate?
  private var control: MachineControl?
  private(set) var runners: [CPURunner] = []
  private var threads: [ThreadBox] = []
  private let patchingGuard: PatchingGuard?
  private var isAskedToStop = false

  /// CPUs that 8-bit APIC ids can tell apart.
  static let maximumCPUs = 254

  /// Makes the machine, with its kernel or firmware loaded and its devices opened.
  public init(_ configuration: MachineConfiguration) throws(HypervisorError) {
    self.configuration = configuration
    // Before the rest: the first process of a namespace does not see signals that it does not wait for. Blocked in the
    // threads that follow, too.
    signals = configuration.handlesSignals ? try Self.makeSignals() : nil
    let kvm = try KVM()
    let limit = min(kvm.maximumCPUs, Self.maximumCPUs)
    let cpus = configuration.maximumCPUs ?? configuration.cpus
    guard configuration.cpus > 0, configuration.cpus <= cpus, cpus <= limit else {
      throw HypervisorError(
        .configuration, "\(cpus) CPUs are not possible; this machine allows 1 to \(limit) for a domain")
    }
    patchingGuard = try PatchingGuard.ifNeeded(kvm)
    let growth =
      configuration.memoryMaximum <= configuration.memory
      ? 0..<0
      : AddressMap.growth(
        by: configuration.memoryMaximum - configuration.memory, above: configuration.memory,
        isFirmware: configuration.bootMethod.isFirmware)
    memory = try GuestRAM(count: configuration.memory, growth: growth, name: "roost-\(configuration.name)")
    memoryService = MachineMemory(start: configuration.memory, most: configuration.memoryMaximum)
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
    halts = HaltWatch(cpus: cpus)
    gate = configuration.control == nil ? nil : try CPUGate(cpus: cpus)
    loop = try EventLoop()

    let board = try Board(self)
    let state = configuration.bootMethod.isFirmware ? nil : try loadKernel(board)
    let cycle = configuration.bootMethod == .uefi ? try QEMUEmulation.slowLocalTimer(owner.machine, kvm) : 1
    try makeCPUs(kvm, board: board, boot: state, localAPICCycle: cycle)
    if let path = configuration.control, let gate { control = try MachineControl(self, gate: gate, at: path) }
  }

  /// Runs the machine to its end. Once only.
  public func run() throws(HypervisorError) -> MachineOutcome {
    try refusal(.system, "the event loop cannot be set up") { () throws(SystemError) in
      try Signals.makeInterrupting(Signals.user1)
      _ = try loop.add(end.event.file.rawValue, .readable) { [unowned self] _ in self.loop.stop() }
      if let signals {
        _ = try loop.add(signals.descriptor.file.rawValue, .readable) { [unowned self] _ in
          while (try? signals.descriptor.take()) != nil { self.handleSignal() }
        }
      }
    }
    let haltTimer = try LoopTimer(loop) { [unowned self] in
      // CPUs that are held have nothing new to say.
      if self.gate?.isClosed == true { return }
      if self.halts.tick() { return self.end.end(.halted) }
      self.interruptCPUs()
    }
    // Everything is open; no thread runs yet, nor the guest.
    if let user = configuration.jailUser { try enterJail(as: user) }
    for entry in disks { try start(entry.disk, bell: entry.bell, complete: entry.complete) }
    for port in vhosts { try port.own() }
    for runner in runners {
      let thread = try refusal(.system, "no thread for a CPU can be started") { () throws(SystemError) in
        try Thread("cpu-\(runner.cpu.id)") { runner.run() }
      }
      threads.append(ThreadBox(thread))
    }
    haltTimer.start(after: HaltWatch.interval, every: HaltWatch.interval)
    defer {
      end.end(.stopped)
      gate?.open()
      interruptCPUs()
      for thread in threads { thread.join() }
      let leavesPaths = configuration.jailUser != nil
      control?.finish(leavesPath: leavesPaths)
      for entry in disks { entry.disk.stop() }
      for console in consoles { console.finish(leavesPath: leavesPaths) }
      for screen in screens { screen.finish(leavesPath: leavesPaths) }
    }
    try loop.run()
    return end.reason ?? .stopped
  }

  /// Rings that a machine in a jail has for disks that come. A ring serves one disk; what comes later is served by threads.
  private static let spareRings = 4

  /// Takes from this process whatever the machine does not need any more.
  private func enterJail(as user: UInt32) throws(HypervisorError) {
    rings.prepare(disks.count + (hotplug == nil ? 0 : Self.spareRings))
    var jail = Jail.monitor(named: configuration.name, user: user)
    // Logs are shorter, and volumes are no files; what a disk in a file may become is not known.
    if disks.allSatisfy(\.disk.isBlockDevice), configuration.disks.allSatisfy({ $0.bus != .ide }) {
      jail.fileSize = 64 << 20
    }
    do throws(JailError) {
      for remark in try jail.enter() { configuration.log(remark) }
    } catch {
      throw HypervisorError(.jail, "\(error)")
    }
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

  private static func makeSignals() throws(HypervisorError) -> SignalSource {
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
    _ kvm: borrowing KVM, board: Board, boot: BootState?, localAPICCycle: UInt32
  ) throws(HypervisorError) {
    let host = try kvm.supportedCPUID()
    let hasDeadline = kvm.check(.tscDeadlineTimer) > 0
    var model: CPUModel?
    // Those that come later wait, as every CPU but the first does, until the guest starts them.
    let cpus = configuration.maximumCPUs ?? configuration.cpus
    for id in 0..<UInt32(cpus) {
      let cpu = try owner.machine.makeCPU(id: id)
      let shared =
        model
        ?? CPUModel(
          host: host, cpus: cpus, tscKHz: cpu.tscKHz ?? 0, localAPICCycle: localAPICCycle,
          hasDeadlineTimer: hasDeadline, name: configuration.cpuModel,
          isXen: configuration.bootMethod == .xenPVH)
      if model == nil, configuration.bootMethod == .xenPVH {
        xen = XenPort(self, console: board.serial, tscKHz: cpu.tscKHz ?? 0)
      }
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
      runners.append(
        CPURunner(
          cpu, bus: board.bus, end: end, halts: halts, gate: gate, xen: xen, log: configuration.log))
    }
  }
}
