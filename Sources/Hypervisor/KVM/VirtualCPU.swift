internal import CKVM
internal import Platform

/// Why a CPU came back from the guest. Plain values: making one allocates nothing.
enum Exit {
  /// The guest accessed a port: `size` bytes, `count` times, data in the run page.
  case port(UInt16, size: Int, count: Int, isWrite: Bool, data: Int)
  /// The guest accessed an address with no RAM behind it; data in the run page.
  case memory(UInt64, size: Int, isWrite: Bool)
  /// The guest read or wrote an MSR that KVM does not know.
  case readMSR(UInt32)
  case writeMSR(UInt32, UInt64)
  /// The CPU halted with nobody to wake it: only without interrupt chips in the kernel.
  case halted
  /// The guest's CPU shut down: a triple fault.
  case shutdown
  /// The CPU was interrupted by a signal or by `kick`.
  case interrupted
  /// Nothing for us to do.
  case again
  /// KVM could not go on.
  case internalError(UInt32)
  case entryFailed(UInt64)
  /// KVM_RUN itself failed with this errno.
  case failed(Errno)
  /// A reason that this program does not know.
  case unknown(UInt32)
}

/// A CPU of a virtual machine. `run` belongs to the CPU's own thread; the registers are read and written by that
/// thread, or before it starts; `requestExit` may be called by any thread.
@safe
struct VirtualCPU: ~Copyable, @unchecked Sendable {
  let id: UInt32
  private let file: FileDescriptor
  private let page: Mapping
  private var runPage: UnsafeMutableRawPointer
  private let ringOffset: Int?

  /// `ringOffset` is that of the ring of coalesced writes, a page inside the run page.
  init(
    id: UInt32, file: consuming FileDescriptor, runPageSize: Int, ringOffset: Int?
  ) throws(HypervisorError) {
    self.id = id
    self.ringOffset = ringOffset
    let map: Mapping
    do throws(SystemError) {
      map = try Mapping(sharing: file, count: runPageSize)
    } catch {
      throw HypervisorError(.system, "the page of CPU \(id) cannot be mapped", cause: error)
    }
    self.file = file
    // SAFETY: `runPage` points into `page`, which this value owns; both go together.
    unsafe runPage = map.base
    page = map
  }

  /// Lets the guest run until something needs us.
  @inline(__always)
  func run() -> Exit {
    let result = file.controlOnce(UInt(CKVM_RUN.rawValue))
    if result < 0 {
      let code = Errno(rawValue: -result)
      return code == .interrupted ? .interrupted : code == .wouldBlock ? .again : .failed(code)
    }
    // SAFETY: the kernel fills the run page before KVM_RUN returns; offsets come from its own header.
    let reason = unsafe Int32(bitPattern: load(CKVM_RUN_EXIT_REASON, UInt32.self))
    switch reason {
    case KVM_EXIT_IO:
      return unsafe .port(
        load(CKVM_RUN_IO_PORT, UInt16.self), size: Int(load(CKVM_RUN_IO_SIZE, UInt8.self)),
        count: Int(load(CKVM_RUN_IO_COUNT, UInt32.self)),
        isWrite: load(CKVM_RUN_IO_DIRECTION, UInt8.self) == UInt8(KVM_EXIT_IO_OUT),
        data: Int(load(CKVM_RUN_IO_DATA_OFFSET, UInt64.self)))
    case KVM_EXIT_MMIO:
      return unsafe .memory(
        load(CKVM_RUN_MMIO_ADDRESS, UInt64.self), size: Int(load(CKVM_RUN_MMIO_LENGTH, UInt32.self)),
        isWrite: load(CKVM_RUN_MMIO_IS_WRITE, UInt8.self) != 0)
    case KVM_EXIT_X86_RDMSR:
      return unsafe .readMSR(load(CKVM_RUN_MSR_INDEX, UInt32.self))
    case KVM_EXIT_X86_WRMSR:
      return unsafe .writeMSR(load(CKVM_RUN_MSR_INDEX, UInt32.self), load(CKVM_RUN_MSR_DATA, UInt64.self))
    case KVM_EXIT_HLT: return .halted
    case KVM_EXIT_SHUTDOWN: return .shutdown
    case KVM_EXIT_INTR: return .interrupted
    case KVM_EXIT_IRQ_WINDOW_OPEN, KVM_EXIT_SET_TPR: return .again
    case KVM_EXIT_INTERNAL_ERROR: return unsafe .internalError(load(CKVM_RUN_INTERNAL_SUBERROR, UInt32.self))
    case KVM_EXIT_FAIL_ENTRY: return unsafe .entryFailed(load(CKVM_RUN_FAIL_REASON, UInt64.self))
    default: return .unknown(UInt32(bitPattern: reason))
    }
  }

  /// Little-endian data of a port access: `size` bytes at `data` of the run page.
  @inline(__always)
  func portData(at offset: Int, size: Int) -> UInt32 {
    guard offset >= 0, offset + size <= page.count else { return 0 }
    // SAFETY: the range was just checked to lie in the page; the kernel does not write it between runs.
    return switch size {
    case 1: unsafe UInt32(runPage.load(fromByteOffset: offset, as: UInt8.self))
    case 2: unsafe UInt32(runPage.loadUnaligned(fromByteOffset: offset, as: UInt16.self))
    case 4: unsafe runPage.loadUnaligned(fromByteOffset: offset, as: UInt32.self)
    default: 0
    }
  }

  /// Answers a port read.
  @inline(__always)
  func setPortData(_ value: UInt32, at offset: Int, size: Int) {
    guard offset >= 0, offset + size <= page.count else { return }
    // SAFETY: the range was just checked to lie in the page.
    switch size {
    case 1: unsafe runPage.storeBytes(of: UInt8(truncatingIfNeeded: value), toByteOffset: offset, as: UInt8.self)
    case 2: unsafe runPage.storeBytes(of: UInt16(truncatingIfNeeded: value), toByteOffset: offset, as: UInt16.self)
    case 4: unsafe runPage.storeBytes(of: value, toByteOffset: offset, as: UInt32.self)
    default: break
    }
  }

  /// Lends the data of a run of port accesses (a string instruction): `count` bytes at `offset` of the run page.
  func withPortData(at offset: Int, count: Int, _ body: (inout MutableSpan<UInt8>) -> Void) {
    guard offset >= 0, count >= 0, offset <= page.count, count <= page.count - offset else { return }
    // SAFETY: the range was just checked to lie in the page, which the kernel does not touch between runs.
    var bytes = unsafe UnsafeMutableRawBufferPointer(start: runPage + offset, count: count)
    var span = unsafe MutableSpan<UInt8>(_unsafeBytes: bytes)
    body(&span)
    unsafe bytes = UnsafeMutableRawBufferPointer(start: nil, count: 0)
  }

  /// The data of a memory access, as eight little-endian bytes; those past its size mean nothing.
  @inline(__always)
  var memoryData: UInt64 {
    // SAFETY: eight bytes of the run page at the header's own offset.
    get { unsafe runPage.loadUnaligned(fromByteOffset: Int(CKVM_RUN_MMIO_DATA.rawValue), as: UInt64.self) }
    nonmutating set {
      unsafe runPage.storeBytes(of: newValue, toByteOffset: Int(CKVM_RUN_MMIO_DATA.rawValue), as: UInt64.self)
    }
  }

  /// Empties the machine's ring of coalesced writes. Any CPU's thread, at any time: what KVM adds meanwhile is lost or
  /// stays, and nobody wants it.
  func discardCoalescedWrites() {
    guard let ringOffset else { return }
    // SAFETY: two aligned words of the ring's header, of which only we write the first; KVM takes any value of it.
    let last = unsafe runPage.load(fromByteOffset: ringOffset + Int(CKVM_RING_LAST.rawValue), as: UInt32.self)
    unsafe runPage.storeBytes(of: last, toByteOffset: ringOffset + Int(CKVM_RING_FIRST.rawValue), as: UInt32.self)
  }

  /// Answers an MSR exit: with a value, or with a fault in the guest.
  func answerMSR(_ value: UInt64, fault: Bool = false) {
    // SAFETY: the header's own offsets.
    unsafe runPage.storeBytes(of: value, toByteOffset: Int(CKVM_RUN_MSR_DATA.rawValue), as: UInt64.self)
    unsafe runPage.storeBytes(of: fault ? 1 : 0, toByteOffset: Int(CKVM_RUN_MSR_ERROR.rawValue), as: UInt8.self)
  }

  /// Makes the next `run` (or the one under way, once a signal interrupts it) come back at once.
  func requestExit() {
    // SAFETY: one byte that the kernel only reads; concurrent stores all write the same value.
    unsafe runPage.storeBytes(of: 1, toByteOffset: Int(CKVM_RUN_IMMEDIATE_EXIT.rawValue), as: UInt8.self)
  }

  /// Takes a request to exit back: for the CPU's own thread, when it has seen it.
  func clearExitRequest() {
    // SAFETY: as above.
    unsafe runPage.storeBytes(of: 0, toByteOffset: Int(CKVM_RUN_IMMEDIATE_EXIT.rawValue), as: UInt8.self)
  }

  /// Lets a guest that keeps time by KVM's clock know that it was held, so that its watchdogs do not take the time for a
  /// lock-up (KVM_KVMCLOCK_CTRL). Guests without that clock have no such word to read.
  func announcePause() {
    _ = try? file.control(UInt(CKVM_KVMCLOCK_CTRL.rawValue), "KVM_KVMCLOCK_CTRL")
  }

  /// A request on this CPU that has no argument; what it returns.
  func request(_ request: UInt, _ name: String) throws(SystemError) -> Int32 {
    try file.control(request, name)
  }

  /// A request on this CPU with a structure of the request's own layout.
  @unsafe
  func controlPointer<T>(_ request: UInt, _ argument: inout T, _ name: String) throws(SystemError) -> Int32 {
    // SAFETY: the caller vouches for the layout.
    try unsafe file.control(request, &argument, name)
  }

  @inline(__always)
  @unsafe
  private func load<T: BitwiseCopyable>(_ offset: ckvm_run_offset, _: T.Type) -> T {
    // SAFETY: the offsets are those of the kernel's header, all inside the page.
    unsafe runPage.loadUnaligned(fromByteOffset: Int(offset.rawValue), as: T.self)
  }
}

extension VirtualCPU {
  /// Tells the CPU what it is.
  func setCPUID(_ entries: [CPUIDEntry]) throws(HypervisorError) {
    guard entries.count <= Int(CKVM_CPUID_ROOM) else {
      throw HypervisorError(.system, "\(entries.count) CPUID leaves are more than \(CKVM_CPUID_ROOM)")
    }
    var table = ckvm_cpuid()
    // SAFETY: the table is a local; the function checks its room.
    for entry in entries { unsafe ckvm_cpuid_append(&table, entry.raw) }
    try refusal(.system, "KVM refuses the CPUID of CPU \(id)") { () throws(SystemError) in
      // SAFETY: ckvm_cpuid has the layout of kvm_cpuid2 with `count` entries.
      _ = try unsafe file.control(UInt(CKVM_SET_CPUID2.rawValue), &table, "KVM_SET_CPUID2")
    }
  }

  /// Writes MSRs; those that KVM does not have are left out. Returns how many were written.
  @discardableResult
  func setMSRs(_ values: [(index: UInt32, value: UInt64)]) throws(HypervisorError) -> Int {
    var written = 0
    for (index, value) in values {
      var table = ckvm_msrs()
      // SAFETY: the table is a local; the function checks its room.
      unsafe ckvm_msrs_append(&table, index, value)
      let done = try refusal(.system, "KVM refuses MSR \(hex(index)) of CPU \(id)") { () throws(SystemError) in
        // SAFETY: ckvm_msrs has the layout of kvm_msrs with `count` entries.
        try unsafe file.control(UInt(CKVM_SET_MSRS.rawValue), &table, "KVM_SET_MSRS")
      }
      written += Int(done)
    }
    return written
  }

  /// Reads an MSR; nil when KVM does not have it.
  func msr(_ index: UInt32) -> UInt64? {
    var table = ckvm_msrs()
    // SAFETY: as above.
    unsafe ckvm_msrs_append(&table, index, 0)
    guard let count = try? unsafe file.control(UInt(CKVM_GET_MSRS.rawValue), &table, "KVM_GET_MSRS"), count == 1
    else { return nil }
    return unsafe ckvm_msrs_value(&table, 0)
  }

  /// What the time stamp counter counts a second, in kHz; nil when KVM does not say.
  var tscKHz: UInt32? {
    guard let value = try? file.control(UInt(CKVM_GET_TSC_KHZ.rawValue), "KVM_GET_TSC_KHZ"), value > 0
    else { return nil }
    return UInt32(value)
  }

  /// Sets up the local APIC's LINT pins as firmware leaves them: LINT0 takes the 8259's interrupts, LINT1 is NMI.
  func setLocalInterrupts() throws(HypervisorError) {
    var state = kvm_lapic_state()
    try refusal(.system, "KVM does not set the local APIC of CPU \(id)") { () throws(SystemError) in
      // SAFETY: the structure is the one that both requests take.
      _ = try unsafe file.control(UInt(CKVM_GET_LAPIC.rawValue), &state, "KVM_GET_LAPIC")
      unsafe withUnsafeMutableBytes(of: &state) { registers in
        // Intel SDM volume 3, 11.5.1: LVT LINT0 at 0x350, LINT1 at 0x360; delivery mode in bits 8-10.
        unsafe registers.storeBytes(of: 0x700, toByteOffset: 0x350, as: UInt32.self)
        unsafe registers.storeBytes(of: 0x400, toByteOffset: 0x360, as: UInt32.self)
      }
      _ = try unsafe file.control(UInt(CKVM_SET_LAPIC.rawValue), &state, "KVM_SET_LAPIC")
    }
  }
}
