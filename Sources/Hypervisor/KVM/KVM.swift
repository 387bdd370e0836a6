internal import CKVM
internal import Platform

/// What a kernel's KVM may or may not have (KVM_CHECK_EXTENSION).
enum Capability: UInt, CaseIterable {
  case irqchip = 0  // KVM_CAP_IRQCHIP
  case userMemory = 3
  case setTSSAddress = 4
  case extendedCPUID = 7
  case recommendedCPUs = 9
  case memorySlots = 10
  case coalescedMMIO = 15
  case irqRouting = 25
  case irqfd = 32
  case pit2 = 33
  case ioeventfd = 36
  case identityMapAddress = 37
  case tscControl = 60
  case getTSCKHz = 61
  case maximumCPUs = 66
  case tscDeadlineTimer = 72
  case signalMSI = 77
  case readOnlyMemory = 81
  case irqfdResample = 82
  case ioeventfdAnyLength = 122
  case immediateExit = 136
  case userSpaceMSR = 188
  case msrFilter = 189
  case localAPICBusCycle = 237  // KVM_CAP_X86_APIC_BUS_CYCLES_NS: Linux 6.11
}

/// /dev/kvm, open.
struct KVM: ~Copyable {
  private let file: FileDescriptor

  /// Opens /dev/kvm and proves that it speaks the one API version there is and has what Roost builds on.
  init(path: String = "/dev/kvm") throws(HypervisorError) {
    let opened = try Self.open(path)
    let version = try refusal(.noKVM, "\(path) is not KVM") { () throws(SystemError) in
      try opened.control(UInt(CKVM_GET_API_VERSION.rawValue), "ask for the API version")
    }
    guard version == KVM_API_VERSION else {
      throw HypervisorError(.noKVM, "KVM's API version is \(version), and Roost speaks \(KVM_API_VERSION)")
    }
    for needed in [Capability.irqchip, .userMemory, .extendedCPUID, .irqRouting, .irqfd, .ioeventfd, .immediateExit] {
      guard Self.check(needed, opened) > 0 else {
        throw HypervisorError(.noKVM, "this kernel's KVM lacks the capability \(needed); Linux 5.10 and later have it")
      }
    }
    file = opened
  }

  private static func open(_ path: String) throws(HypervisorError) -> FileDescriptor {
    do throws(SystemError) {
      return try FileDescriptor(opening: path, .readWrite)
    } catch {
      let remedy =
        switch error.errno {
        case .noSuchFile:
          "load kvm_amd or kvm_intel; if that fails, switch on virtualisation in the firmware set-up, "
            + "or nested virtualisation in the hypervisor around this machine"
        case .permissionDenied: "run as root or as a member of the group kvm"
        default: "see the kernel's log (dmesg) for what kvm says"
        }
      throw HypervisorError(.noKVM, "there is no KVM here; \(remedy)", cause: error)
    }
  }

  /// The value of a capability; 0 when KVM has it not.
  func check(_ capability: Capability) -> Int32 { Self.check(capability, file) }

  private static func check(_ capability: Capability, _ file: borrowing FileDescriptor) -> Int32 {
    let answer = try? file.control(
      UInt(CKVM_CHECK_EXTENSION.rawValue), value: capability.rawValue, "check a capability")
    return answer ?? 0
  }

  /// How many CPUs one machine may have.
  var maximumCPUs: Int { max(Int(check(.maximumCPUs)), max(Int(check(.recommendedCPUs)), 4)) }

  /// A new machine without memory or CPUs.
  func makeVirtualMachine() throws(HypervisorError) -> VirtualMachine {
    let number = try refusal(.system, "KVM makes no virtual machine") { () throws(SystemError) in
      try file.control(UInt(CKVM_CREATE_VM.rawValue), value: 0, "KVM_CREATE_VM")
    }
    let runSize = try refusal(.system, "KVM does not tell the size of a CPU's page") { () throws(SystemError) in
      try file.control(UInt(CKVM_GET_VCPU_MMAP_SIZE.rawValue), "KVM_GET_VCPU_MMAP_SIZE")
    }
    // The capability's value is the number of the page.
    let ring = Int(check(.coalescedMMIO)) * 4096
    return VirtualMachine(
      file: FileDescriptor(adopting: number), runPageSize: Int(runSize),
      ringOffset: ring > 0 && ring + 4096 <= Int(runSize) ? ring : nil)
  }

  /// Every CPUID leaf that KVM can give to a guest on this host.
  func supportedCPUID() throws(HypervisorError) -> [CPUIDEntry] {
    var table = ckvm_cpuid()
    table.count = UInt32(CKVM_CPUID_ROOM)
    try refusal(.system, "KVM does not tell what CPUID it supports") { () throws(SystemError) in
      // SAFETY: ckvm_cpuid is kvm_cpuid2 followed by the room that `count` states.
      _ = try unsafe file.control(UInt(CKVM_GET_SUPPORTED_CPUID.rawValue), &table, "KVM_GET_SUPPORTED_CPUID")
    }
    var entries: [CPUIDEntry] = []
    for index in 0..<table.count {
      // SAFETY: the table is a local; the function checks the index.
      entries.append(CPUIDEntry(unsafe ckvm_cpuid_entry(&table, index)))
    }
    return entries
  }
}
