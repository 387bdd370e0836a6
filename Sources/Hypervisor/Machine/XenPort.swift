internal import Devices
internal import Platform

/// Where a guest that was made for Xen enters its hypervisor.
///
/// The guest learns from CPUID that it runs on Xen, and from there the number of a register (an MSR). It writes the address
/// of a page there, which is filled with stubs, one a hypercall (Xen, public/arch-x86/cpuid.h). What stubs do is the
/// hypervisor's affair: ours write to a port, for which KVM comes back as for any device's.
final class XenPort: Sendable {
  /// The register.
  static let register: UInt32 = 0x4000_0200
  /// The port; no device of a PC's answers there.
  static let port: UInt16 = 0xEC

  /// CR0's bit for paging.
  private static let paging: UInt64 = 1 << 31
  /// ENOSYS, as Xen counts errors.
  private static let unknownCall: Int32 = -38

  private let memory: GuestRAM
  private let calls: XenHypercalls<GuestRAM, Outbox>
  private let log: @Sendable (String) -> Void

  /// Serves the guest of `machine`, whose console's output goes to `console`.
  init(_ machine: Machine, console: Outbox, tscKHz: UInt32) {
    memory = machine.memory
    log = machine.configuration.log
    let end = machine.end
    let layout = XenLayout(
      consolePage: AddressMap.xenConsole, storePage: AddressMap.xenStore,
      map: memory.xenMap.map { XenLayout.Run(address: $0.address, count: $0.count, kind: $0.kind.rawValue) },
      tscKHz: tscKHz, startTime: UInt32(truncatingIfNeeded: WallClock.nanoseconds() / 1_000_000_000),
      name: machine.configuration.name)
    calls = XenHypercalls(memory: memory, layout: layout, console: console) { reason in
      switch reason {
      case .powerOff: end.end(.poweredOff)
      case .reboot: end.end(.reset)
      case .crash, .watchdog: end.end(.panicked)
      }
    }
  }

  /// Takes what is typed at the console; nil where the guest does not know Xen's.
  func receive(_ bytes: [UInt8]) -> Int? { calls.receive(bytes) }

  /// Fills the page that the guest names. False where no RAM is.
  func fill(page address: UInt64) -> Bool {
    let stubs = XenHypercalls<GuestRAM, Outbox>.stubs(port: UInt8(Self.port))
    do throws(GuestMemoryError) {
      try memory.write(at: GuestAddress(address & ~0xFFF), from: stubs.span)
      return true
    } catch {
      return false
    }
  }

  /// Does the hypercall that `cpu` has stopped for. Its own thread.
  func serve(_ cpu: borrowing VirtualCPU) {
    do throws(HypervisorError) {
      let registers = try cpu.generalRegisters()
      let control = try cpu.controlRegisters()
      var answer = Self.unknownCall
      if control.cr0 & Self.paging == 0 {
        func word(_ value: UInt64) -> UInt32 { UInt32(truncatingIfNeeded: value) }
        answer = calls.call(word(registers.rax), word(registers.rbx), word(registers.rcx), word(registers.rdx))
      }
      try cpu.setAccumulator(UInt64(UInt32(bitPattern: answer)))
    } catch {
      log("a hypercall has no answer: \(error)")
    }
  }
}
