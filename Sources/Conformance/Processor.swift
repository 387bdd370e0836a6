import Machine

extension Probe {
  /// CPUID and the local APIC.
  mutating func testProcessor() {
    test("cpuid: standard and extended leaves are there") { (_) throws(Verdict) in
      try require(machine_cpuid(0).eax >= 1, "leaf 0 names leaf 1")
      try require(machine_cpuid(0x8000_0000).eax >= 0x8000_0008, "there are leaves up to 0x80000008")
      // FPU, TSC, MSR, PAE, CX8, APIC, PGE, CMOV, FXSR, SSE, SSE2: what every x86-64 system takes for granted.
      let wanted: UInt32 = 1 << 0 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 8 | 1 << 9 | 1 << 13 | 1 << 15 | 7 << 24
      try require(machine_cpuid(1).edx & wanted, equals: wanted, "baseline features")
      try require(machine_cpuid(0x8000_0001).edx >> 29 & 1 == 1, "long mode is offered")
    }
    test("cpuid: the hypervisor says it is KVM") { (_) throws(Verdict) in
      try Self.requireKVM()
      try require(machine_cpuid(0x4000_0000).eax >= 0x4000_0001, "leaf 0x40000000 names the features leaf")
    }
    test("cpuid: leaf 0x40000010 has the TSC's and the bus's frequency") { (_) throws(Verdict) in
      try Self.requireKVM()
      try require(machine_cpuid(0x4000_0000).eax >= 0x4000_0010, "leaf 0x40000000 names leaf 0x40000010")
      let timing = machine_cpuid(0x4000_0010)
      try require(timing.eax > 100_000, "the TSC counts at more than 100 MHz")
      try require(timing.ebx, equals: 1_000_000, "frequency of the APIC bus in kHz")
    }
    test("cpuid: nothing is offered that a guest cannot have") { (_) throws(Verdict) in
      try Self.requireKVM()
      try require(machine_cpuid(1).ecx & (1 << 3 | 1 << 5), equals: 0, "MONITOR and VMX")
      try require(machine_cpuid(0x8000_0001).ecx & 1 << 2, equals: 0, "SVM")
    }
    test("cpuid: topology leaf 0xB agrees with leaf 1 and the MADT") { (probe) throws(Verdict) in
      guard machine_cpuid(0).eax >= 0xB else { throw .skip("no leaf 0xB") }
      let first = machine_cpuid_indexed(0xB, 0)
      let second = machine_cpuid_indexed(0xB, 1)
      try require(first.ecx, equals: 0x100, "the first level is threads")
      try require(second.ecx, equals: 0x201, "the second level is cores")
      try require(machine_cpuid_indexed(0xB, 2).ecx >> 8 & 0xFF, equals: 0, "the third level ends the list")
      try require(first.edx & 0xFF, equals: machine_cpuid(1).ebx >> 24, "APIC id")
      try require(first.edx, equals: second.edx, "x2APIC id")
      guard let table = probe.table("APIC") else { throw .skip("no MADT to compare with") }
      try require(second.ebx, equals: probe.processors(in: table), "logical processors")
    }
    test("local APIC: where it belongs, enabled, of the boot processor") { (_) throws(Verdict) in
      let base = machine_read_msr(0x1B)
      try require(base & 0xFFFF_F000, equals: UInt64(LocalAPIC.base), "base address")
      try require(base >> 11 & 1 == 1, "the APIC is enabled")
      try require(base >> 8 & 1 == 1, "this is the boot processor")
      try require(LocalAPIC.id, equals: machine_cpuid(1).ebx >> 24, "APIC id")
      try require(LocalAPIC.version & 0xF0, equals: 0x10, "an integrated APIC")
      LocalAPIC.enable()
      try require(LocalAPIC.isRequested(0x3F) == false, "nothing is requested that nobody asked for")
    }
  }

  private static func requireKVM() throws(Verdict) {
    guard machine_cpuid(1).ecx >> 31 == 1 else { throw .skip("no hypervisor") }
    let leaf = machine_cpuid(0x4000_0000)
    // "KVMKVMKVM\0\0\0"
    guard leaf.ebx == 0x4B4D_564B, leaf.ecx == 0x564B_4D56, leaf.edx == 0x4D else { throw .skip("not KVM") }
  }
}
