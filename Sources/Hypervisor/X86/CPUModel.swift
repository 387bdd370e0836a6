/// Which processor a guest sees.
public enum CPUModelName: String, Sendable, Hashable, CaseIterable {
  /// The host's, as far as KVM supports it.
  case host
  /// What every 64-bit processor of the host's vendor since about 2010 has (x86-64-v2 of the System V ABI): a guest
  /// that was started on one machine goes on running on another.
  case baseline
}

/// What a guest's CPUs are told by CPUID and find in their MSRs.
///
/// They are the host's CPUs as far as KVM supports them, less what a guest must not see: nested virtualisation,
/// performance counters, the host's topology.
struct CPUModel {
  /// All of the host's leaves that KVM supports.
  private let host: [CPUIDEntry]
  private let cpus: Int
  /// Time stamp counter, kHz; 0 when it is unknown.
  private let tscKHz: UInt32
  /// The local APIC timer's count, kHz.
  private let localAPICKHz: UInt32
  private let hasDeadlineTimer: Bool
  /// Whether the guest finds Xen there, and not KVM.
  private let isXen: Bool

  /// `localAPICCycle`: how long the local APIC's timer takes to count by one, in nanoseconds; KVM's own is 1. `name`
  /// hides what not every processor of its kind has.
  init(
    host: [CPUIDEntry], cpus: Int, tscKHz: UInt32, localAPICCycle: UInt32 = 1, hasDeadlineTimer: Bool,
    name: CPUModelName = .host, isXen: Bool = false
  ) {
    self.isXen = isXen
    self.host = name == .baseline ? host.compactMap(Baseline.reduced) : host
    self.cpus = cpus
    self.tscKHz = tscKHz
    localAPICKHz = 1_000_000 / localAPICCycle
    self.hasDeadlineTimer = hasDeadlineTimer
  }

  /// How many low bits of the APIC id tell the CPUs apart.
  private var idBits: UInt32 {
    var bits: UInt32 = 0
    while 1 << bits < cpus { bits += 1 }
    return bits
  }

  private var isAMD: Bool {
    host.contains { $0.function == 0 && $0.ebx == 0x6874_7541 }  // "Auth"enticAMD
  }

  /// The leaves of CPU `id`.
  func entries(for id: UInt32) -> [CPUIDEntry] {
    var entries: [CPUIDEntry] = []
    for entry in host {
      switch entry.function {
      case 0xA, 0xB, 0x1F, 0x8000_0026: break  // counters: none; topology: ours, below
      case 0x12, 0x14, 0x1B: break  // SGX, processor trace, PCONFIG
      case 0x8000_000A, 0x8000_001F...0x8000_0025: break  // SVM, memory encryption
      case 0x4000_0000...0x4000_FFFF:
        if entry.function == 0x4000_0001, !isXen { entries.append(paravirtual(entry)) }
      default: entries.append(filtered(entry, id))
      }
    }
    if isXen { return entries + xen + topology(id) }
    // Documentation/virt/kvm/x86/cpuid.rst.
    entries.append(
      CPUIDEntry(function: 0x4000_0000, eax: 0x4000_0010, ebx: 0x4B4D_564B, ecx: 0x564B_4D56, edx: 0x4D))
    if !host.contains(where: { $0.function == 0x4000_0001 }) { entries.append(CPUIDEntry(function: 0x4000_0001)) }
    entries.append(CPUIDEntry(function: 0x4000_0010, eax: tscKHz, ebx: localAPICKHz))
    entries += topology(id)
    return entries
  }

  /// Xen, public/arch-x86/cpuid.h: "XenVMMXenVMM", version 4.17, one page of hypercalls by `XenPort.register`.
  private var xen: [CPUIDEntry] {
    [
      CPUIDEntry(function: 0x4000_0000, eax: 0x4000_0002, ebx: 0x566E_6558, ecx: 0x6558_4D4D, edx: 0x4D4D_566E),
      CPUIDEntry(function: 0x4000_0001, eax: 4 << 16 | 17),
      CPUIDEntry(function: 0x4000_0002, eax: 1, ebx: XenPort.register),
    ]
  }

  private func filtered(_ entry: CPUIDEntry, _ id: UInt32) -> CPUIDEntry {
    var entry = entry
    switch entry.function {
    case 0:
      entry.eax = max(entry.eax, 0xB)
    case 1:
      // APIC id, number of logical CPUs, CLFLUSH size, brand.
      entry.ebx = entry.ebx & 0xFFFF | UInt32(1 << idBits) << 16 | id << 24
      entry.ecx &= ~(1 << 3 | 1 << 5 | 1 << 6 | 1 << 15)  // MONITOR, VMX, SMX, PDCM
      entry.ecx |= 1 << 31 | 1 << 21  // hypervisor, x2APIC
      if hasDeadlineTimer { entry.ecx |= 1 << 24 } else { entry.ecx &= ~(1 << 24) }
      if cpus > 1 { entry.edx |= 1 << 28 } else { entry.edx &= ~(1 << 28) }
    case 4:
      // Cores in the package; CPUs that share the cache: the last level is everybody's, the others one CPU's.
      guard entry.eax & 0x1F != 0 else { break }
      let sharing: UInt32 = entry.eax >> 5 & 7 >= 3 ? UInt32(1 << idBits) - 1 : 0
      entry.eax = entry.eax & 0x3FFF | sharing << 14 | min(UInt32(1 << idBits) - 1, 63) << 26
    case 5: (entry.eax, entry.ebx, entry.ecx, entry.edx) = (0, 0, 0, 0)  // MONITOR
    case 6: (entry.eax, entry.ebx, entry.ecx, entry.edx) = (entry.eax & 4, 0, 0, 0)  // ARAT
    case 7:
      if entry.index == 0 { entry.ebx &= ~(1 << 2) }  // SGX
    case 0x8000_0001:
      entry.ecx &= ~(1 << 2)  // SVM
      if isAMD, cpus > 1 { entry.ecx |= 1 << 1 } else { entry.ecx &= ~(1 << 1) }  // CmpLegacy
      if !host.contains(where: { $0.function == 0x8000_001E }) { entry.ecx &= ~(1 << 22) }  // TOPOEXT
    case 0x8000_0008:
      if isAMD { entry.ecx = entry.ecx & ~0xF0FF | idBits << 12 | UInt32(cpus - 1) & 0xFF }
    case 0x8000_001D:
      let sharing: UInt32 = entry.eax >> 5 & 7 >= 3 ? UInt32(cpus) - 1 : 0
      entry.eax = entry.eax & ~0x03FF_C000 | sharing << 14
    case 0x8000_001E:
      (entry.eax, entry.ebx, entry.ecx, entry.edx) = (id, id & 0xFF, 0, 0)
    default: break
    }
    return entry
  }

  /// KVM's own features: all but those that need help from the monitor which this one does not give (extended MSI
  /// destinations, page state, migration control).
  private func paravirtual(_ entry: CPUIDEntry) -> CPUIDEntry {
    var entry = entry
    entry.eax &= ~(1 << 15 | 1 << 16 | 1 << 17)
    return entry
  }

  /// Leaf 0xB: every CPU is a core of one package. Intel SDM volume 2, CPUID.
  private func topology(_ id: UInt32) -> [CPUIDEntry] {
    [
      CPUIDEntry(function: 0xB, index: 0, indexMatters: true, eax: 0, ebx: 1, ecx: 0x100, edx: id),
      CPUIDEntry(function: 0xB, index: 1, indexMatters: true, eax: idBits, ebx: UInt32(cpus), ecx: 0x201, edx: id),
      CPUIDEntry(function: 0xB, index: 2, indexMatters: true, ecx: 2, edx: id),
    ]
  }

  /// MSRs as firmware leaves them; those that KVM has not are skipped.
  static let resetMSRs: [(index: UInt32, value: UInt64)] = [
    (0x10, 0),  // time stamp counter
    (0x1A0, 1),  // IA32_MISC_ENABLE: fast strings
    (0x2FF, 0x806),  // IA32_MTRR_DEF_TYPE: on, write-back
  ]
}

/// The features of `CPUModelName.baseline`. Intel SDM volume 2, CPUID; AMD APM volume 3, appendix E.
private enum Baseline {
  /// Leaf 1, ECX: SSE3, PCLMULQDQ, SSSE3, CMPXCHG16B, SSE4.1, SSE4.2, x2APIC, POPCNT, TSC deadline, AES, hypervisor.
  private static let features1C: UInt32 =
    1 << 0 | 1 << 1 | 1 << 9 | 1 << 13 | 1 << 19 | 1 << 20 | 1 << 21 | 1 << 23 | 1 << 24 | 1 << 25 | 1 << 31
  /// Leaf 1, EDX: all up to SSE2 but DS, ACPI and the thermal bits.
  private static let features1D: UInt32 = 0x1F8B_FBFF
  /// Leaf 0x80000001, ECX: LAHF, CmpLegacy, CR8 legacy, ABM, SSE4A, misaligned SSE, 3DNow! prefetch.
  private static let extendedC: UInt32 = 1 << 0 | 1 << 1 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 8
  /// Leaf 0x80000001, EDX: the common bits of leaf 1, SYSCALL, NX, FFXSR, RDTSCP, long mode.
  private static let extendedD: UInt32 = 0x0183_F3FF | 1 << 11 | 1 << 20 | 1 << 25 | 1 << 27 | 1 << 29

  /// A leaf with what the model has of it; nil where it has nothing.
  static func reduced(_ entry: CPUIDEntry) -> CPUIDEntry? {
    var entry = entry
    switch entry.function {
    case 0:
      entry.eax = min(entry.eax, 7)
    case 1:
      entry.ecx &= features1C
      entry.edx &= features1D
    case 7:
      // No AVX, no BMI, nothing of the rest; mitigations are not features and stay (EDX bits 26 to 31).
      guard entry.index == 0 else { return nil }
      (entry.eax, entry.ebx, entry.ecx, entry.edx) = (0, 0, 0, entry.edx & 0xFC00_0000)
    case 0xD, 0x10, 0xF, 0x14, 0x19, 0x1D, 0x1E, 0x24: return nil
    case 0x8000_0001:
      entry.ecx &= extendedC
      entry.edx &= extendedD
    default: break
    }
    return entry
  }
}
