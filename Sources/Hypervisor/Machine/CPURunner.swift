internal import Devices
internal import Platform
internal import Synchronization

/// How and whether the machine ends; every CPU looks here after each exit.
final class MachineEnd: Sendable {
  private let outcome = Mutex<MachineOutcome?>(nil)
  private let isOver = Atomic<Bool>(false)
  /// Wakes the event loop.
  let event: EventDescriptor

  init() throws(HypervisorError) {
    event = try refusal(.system, "no event can be made") { () throws(SystemError) in try EventDescriptor() }
  }

  /// Ends the machine; the first reason counts. Any thread.
  func end(_ reason: MachineOutcome) {
    outcome.withLock { if $0 == nil { $0 = reason } }
    isOver.store(true, ordering: .releasing)
    try? event.signal()
  }

  @inline(__always)
  var hasCome: Bool { isOver.load(ordering: .acquiring) }

  var reason: MachineOutcome? { outcome.withLock { $0 } }
}

/// A CPU and its thread's work. `run` is for that thread alone.
final class CPURunner: Sendable {
  let cpu: VirtualCPU
  private let bus: MachineBus
  private let end: MachineEnd
  private let halts: HaltWatch
  private let gate: CPUGate?
  /// Where its guest finds Xen; nil: it finds KVM.
  private let xen: XenPort?
  private let log: @Sendable (String) -> Void
  private let unknownMSRs = Mutex<Set<UInt32>>([])
  /// What it came back for so far.
  let exits = ExitCounters()
  /// What KVM counts of it.
  let kernelCounters: KernelCounters?

  init(
    _ cpu: consuming VirtualCPU, bus: MachineBus, end: MachineEnd, halts: HaltWatch, gate: CPUGate?, xen: XenPort?,
    log: @escaping @Sendable (String) -> Void
  ) {
    kernelCounters = cpu.makeCounters()
    self.cpu = cpu
    self.bus = bus
    self.end = end
    self.halts = halts
    self.gate = gate
    self.xen = xen
    self.log = log
  }

  /// Runs the guest until the machine ends.
  func run() {
    do throws(SystemError) {
      // Whoever started the machine may have blocked it, and threads inherit that.
      try Signals.unblock(Signals.user1)
    } catch {
      log("CPU \(cpu.id) cannot be interrupted: \(error)")
    }
    do throws(SystemError) {
      try QEMUEmulation.leaveUnsafeProcessor()
    } catch {
      log("CPU \(cpu.id) runs on any processor of the emulator, which can lose it: \(error)")
    }
    var look = halts.current
    while !end.hasCome {
      switch cpu.run() {
      case .port(XenPort.port, 4, 1, true, _) where xen != nil:
        exits.port.add()
        xen?.serve(cpu)
      case .port(let port, let size, let count, let isWrite, let data):
        exits.port.add()
        servePort(port, size, count, isWrite, data)
      case .memory(let address, let size, let isWrite):
        exits.memory.add()
        serveMemory(address, size, isWrite)
      case .readMSR(let index):
        exits.register.add()
        noteMSR(index)
        cpu.answerMSR(0)
      case .writeMSR(QEMUEmulation.extendedFeatures, let value):
        exits.register.add()
        writeExtendedFeatures(value)
      case .writeMSR(XenPort.register, let address) where xen != nil:
        exits.register.add()
        cpu.answerMSR(0, fault: xen?.fill(page: address) != true)
      case .writeMSR(let index, _):
        exits.register.add()
        noteMSR(index)
        cpu.answerMSR(0)
      case .interrupted:
        exits.signal.add()
        cpu.clearExitRequest()
        // Whoever ends the machine asks for the exit after it is over: it is seen at the loop's head.
        if look != halts.current {
          look = halts.current
          halts.answer(cpu.id, isHaltedForGood: cpu.isHaltedForGood)
        }
        gate?.pass(cpu.id) { cpu.announcePause() }
      case .again, .halted:
        exits.other.add()
      case .shutdown:
        // A triple fault is how some kernels reset; without any other reset it is a crash.
        crash("its CPU shut down (triple fault)")
      case .internalError(let code):
        crash("KVM cannot go on with its CPU (internal error, suberror \(code))")
      case .entryFailed(let reason):
        crash("the CPU refuses to enter the guest (hardware reason \(hex(reason)))")
      case .failed(let code):
        crash("KVM_RUN: \(code)")
      case .unknown(let reason):
        crash("KVM stopped with exit reason \(reason), which this program does not know")
      }
    }
  }

  /// A write of EFER that KVM was told to leave to us.
  private func writeExtendedFeatures(_ value: UInt64) {
    do throws(HypervisorError) {
      try cpu.setEFER(value)
      cpu.answerMSR(0)
    } catch {
      // The processor has no such bits: the guest's fault, as on the metal.
      cpu.answerMSR(0, fault: true)
    }
  }

  @inline(__always)
  private func servePort(_ port: UInt16, _ size: Int, _ count: Int, _ isWrite: Bool, _ data: Int) {
    guard let width = AccessWidth(rawValue: size) else { return }
    guard count == 1 else { return servePortRun(port, width, count, isWrite, data) }
    if isWrite {
      bus.writePort(cpu.portData(at: data, size: size), port, width)
    } else {
      cpu.setPortData(bus.readPort(port, width), at: data, size: size)
    }
  }

  /// A string instruction.
  private func servePortRun(_ port: UInt16, _ width: AccessWidth, _ count: Int, _ isWrite: Bool, _ data: Int) {
    cpu.withPortData(at: data, count: count &* width.rawValue) { bytes in
      if isWrite {
        bus.writePorts(bytes.span, port, width)
      } else {
        bus.readPorts(into: &bytes, port, width)
      }
    }
  }

  @inline(__always)
  private func serveMemory(_ address: UInt64, _ size: Int, _ isWrite: Bool) {
    guard let width = AccessWidth(rawValue: size) else {
      if !isWrite { cpu.memoryData = .max }
      return
    }
    if isWrite {
      // One that nobody takes may have come because KVM's ring has no room for more of its kind.
      if !bus.writeMemory(cpu.memoryData & width.mask, address, width) { cpu.discardCoalescedWrites() }
    } else {
      cpu.memoryData = bus.readMemory(address, width)
    }
  }

  /// An MSR that KVM does not know reads 0 and takes what is written; it is worth one line.
  private func noteMSR(_ index: UInt32) {
    let isNew = unknownMSRs.withLock { $0.count < 64 && $0.insert(index).inserted }
    if isNew { log("CPU \(cpu.id) uses the unknown MSR \(hex(index)): it reads 0") }
  }

  private func crash(_ what: String) {
    var text = "CPU \(cpu.id): \(what)"
    if let general = try? cpu.generalRegisters(), let control = try? cpu.controlRegisters() {
      text += "; rip \(hex(general.rip)) rsp \(hex(general.rsp)) cr0 \(hex(control.cr0)) cr3 \(hex(control.cr3))"
      text += " cr4 \(hex(control.cr4)) efer \(hex(control.efer))"
    }
    end.end(.crashed(text))
  }
}
