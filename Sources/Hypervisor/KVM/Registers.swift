internal import CKVM
internal import Platform

/// The general registers of an x86 CPU.
struct GeneralRegisters: Hashable {
  var rax: UInt64 = 0
  var rbx: UInt64 = 0
  var rcx: UInt64 = 0
  var rdx: UInt64 = 0
  var rsi: UInt64 = 0
  var rdi: UInt64 = 0
  var rsp: UInt64 = 0
  var rbp: UInt64 = 0
  var rip: UInt64 = 0
  /// Bit 1 is always set.
  var rflags: UInt64 = 2
}

/// A segment register with its hidden part. Intel SDM volume 3, 3.4.3.
struct Segment: Hashable {
  var base: UInt64 = 0
  var limit: UInt32 = 0
  var selector: UInt16 = 0
  /// Type field of the descriptor, 4 bits.
  var type: UInt8 = 0
  var present = true
  var privilege: UInt8 = 0
  /// 32-bit default operand size.
  var big = false
  /// Code or data, not a system segment.
  var codeOrData = true
  /// 64-bit code.
  var long = false
  /// The limit counts pages.
  var granular = false
}

/// What changes to the system registers a boot protocol asks for. What is not named keeps KVM's reset value.
struct SystemRegisters: Hashable {
  var code = Segment()
  var data = Segment()
  var task = Segment(limit: 0x67, selector: 0x20, type: 11, codeOrData: false)
  var gdtBase: UInt64 = 0
  var gdtLimit: UInt16 = 0
  var cr0: UInt64 = 0
  var cr3: UInt64 = 0
  var cr4: UInt64 = 0
  var efer: UInt64 = 0
}

extension VirtualCPU {
  /// Replaces the general registers.
  func set(_ registers: GeneralRegisters) throws(HypervisorError) {
    var raw = kvm_regs()
    raw.rax = registers.rax
    raw.rbx = registers.rbx
    raw.rcx = registers.rcx
    raw.rdx = registers.rdx
    raw.rsi = registers.rsi
    raw.rdi = registers.rdi
    raw.rsp = registers.rsp
    raw.rbp = registers.rbp
    raw.rip = registers.rip
    raw.rflags = registers.rflags | 2
    try control(CKVM_SET_REGS, &raw, "KVM_SET_REGS")
  }

  /// The general registers, for a call's arguments, or a report on why the CPU stopped.
  func generalRegisters() throws(HypervisorError) -> GeneralRegisters {
    var raw = kvm_regs()
    try control(CKVM_GET_REGS, &raw, "KVM_GET_REGS")
    return GeneralRegisters(
      rax: raw.rax, rbx: raw.rbx, rcx: raw.rcx, rdx: raw.rdx, rsi: raw.rsi, rdi: raw.rdi, rsp: raw.rsp,
      rbp: raw.rbp, rip: raw.rip, rflags: raw.rflags)
  }

  /// Puts the answer of a call into RAX; every other register keeps its value.
  func setAccumulator(_ value: UInt64) throws(HypervisorError) {
    var raw = kvm_regs()
    try control(CKVM_GET_REGS, &raw, "KVM_GET_REGS")
    raw.rax = value
    try control(CKVM_SET_REGS, &raw, "KVM_SET_REGS")
  }

  /// Sets segments, control registers and EFER; the interrupt table is empty afterwards.
  func set(_ registers: SystemRegisters) throws(HypervisorError) {
    var raw = kvm_sregs()
    try control(CKVM_GET_SREGS, &raw, "KVM_GET_SREGS")
    raw.cs = registers.code.raw
    raw.ds = registers.data.raw
    raw.es = registers.data.raw
    raw.fs = registers.data.raw
    raw.gs = registers.data.raw
    raw.ss = registers.data.raw
    raw.tr = registers.task.raw
    raw.gdt.base = registers.gdtBase
    raw.gdt.limit = registers.gdtLimit
    raw.idt.base = 0
    raw.idt.limit = 0
    raw.cr0 = registers.cr0
    raw.cr3 = registers.cr3
    raw.cr4 = registers.cr4
    raw.efer = registers.efer
    try control(CKVM_SET_SREGS, &raw, "KVM_SET_SREGS")
  }

  /// CR0, CR3, CR4 and EFER, for a report on why the CPU stopped.
  func controlRegisters() throws(HypervisorError) -> (cr0: UInt64, cr3: UInt64, cr4: UInt64, efer: UInt64) {
    var raw = kvm_sregs()
    try control(CKVM_GET_SREGS, &raw, "KVM_GET_SREGS")
    return (raw.cr0, raw.cr3, raw.cr4, raw.efer)
  }

  /// Writes EFER as the guest asked; where it prepares long mode before it has switched physical address extensions
  /// on, switches those on too (AMD APM volume 2, 14.6.1: either order is right while paging is off).
  func setEFER(_ value: UInt64) throws(HypervisorError) {
    let longModeEnable: UInt64 = 1 << 8
    let addressExtension: UInt64 = 1 << 5
    let paging: UInt64 = 1 << 31
    if value & longModeEnable != 0 {
      var raw = kvm_sregs()
      try control(CKVM_GET_SREGS, &raw, "KVM_GET_SREGS")
      if raw.cr0 & paging == 0, raw.cr4 & addressExtension == 0 {
        raw.cr4 |= addressExtension
        try control(CKVM_SET_SREGS, &raw, "KVM_SET_SREGS")
      }
    }
    guard try setMSRs([(QEMUEmulation.extendedFeatures, value)]) == 1 else {
      throw HypervisorError(.system, "CPU \(id) has no EFER of \(hex(value))")
    }
  }

  /// Whether the CPU waits for something that no other part of the machine will do: it was never started, or it is
  /// halted with interrupts off.
  var isHaltedForGood: Bool {
    var state = kvm_mp_state()
    guard (try? control(CKVM_GET_MP_STATE, &state, "KVM_GET_MP_STATE")) != nil else { return false }
    switch Int32(state.mp_state) {
    case KVM_MP_STATE_UNINITIALIZED, KVM_MP_STATE_INIT_RECEIVED: return true
    case KVM_MP_STATE_HALTED:
      let interruptFlag: UInt64 = 1 << 9
      guard let flags = try? generalRegisters().rflags else { return false }
      return flags & interruptFlag == 0
    default: return false
    }
  }

  /// Starts in 16-bit real mode at `segment`:`offset`, for tiny guests.
  func setRealMode(segment: UInt16, offset: UInt16) throws(HypervisorError) {
    var raw = kvm_sregs()
    try control(CKVM_GET_SREGS, &raw, "KVM_GET_SREGS")
    raw.cs.selector = segment
    raw.cs.base = UInt64(segment) << 4
    try control(CKVM_SET_SREGS, &raw, "KVM_SET_SREGS")
    try set(GeneralRegisters(rip: UInt64(offset)))
  }

  private func control<T>(
    _ request: ckvm_request, _ argument: inout T, _ name: String
  ) throws(HypervisorError) {
    do throws(SystemError) {
      // SAFETY: every caller above passes the structure that its request takes.
      _ = try unsafe controlPointer(UInt(request.rawValue), &argument, name)
    } catch {
      throw HypervisorError(.system, "the registers of CPU \(id) cannot be read or set", cause: error)
    }
  }
}

extension Segment {
  fileprivate var raw: kvm_segment {
    var raw = kvm_segment()
    raw.base = base
    raw.limit = limit
    raw.selector = selector
    raw.type = type
    raw.present = present ? 1 : 0
    raw.dpl = privilege
    raw.db = big ? 1 : 0
    raw.s = codeOrData ? 1 : 0
    raw.l = long ? 1 : 0
    raw.g = granular ? 1 : 0
    return raw
  }
}
