internal import CKVM

/// One CPUID leaf, or one subleaf of it, as a guest sees it.
struct CPUIDEntry: Hashable {
  var function: UInt32
  var index: UInt32 = 0
  /// True when the answer depends on ECX (KVM_CPUID_FLAG_SIGNIFCANT_INDEX).
  var indexMatters = false
  var eax: UInt32 = 0
  var ebx: UInt32 = 0
  var ecx: UInt32 = 0
  var edx: UInt32 = 0

  init(
    function: UInt32, index: UInt32 = 0, indexMatters: Bool = false, eax: UInt32 = 0, ebx: UInt32 = 0,
    ecx: UInt32 = 0, edx: UInt32 = 0
  ) {
    self.function = function
    self.index = index
    self.indexMatters = indexMatters
    self.eax = eax
    self.ebx = ebx
    self.ecx = ecx
    self.edx = edx
  }

  init(_ raw: kvm_cpuid_entry2) {
    self.init(
      function: raw.function, index: raw.index, indexMatters: raw.flags & 1 != 0, eax: raw.eax, ebx: raw.ebx,
      ecx: raw.ecx, edx: raw.edx)
  }

  var raw: kvm_cpuid_entry2 {
    kvm_cpuid_entry2(
      function: function, index: index, flags: indexMatters ? 1 : 0, eax: eax, ebx: ebx, ecx: ecx, edx: edx,
      padding: (0, 0, 0))
  }
}
