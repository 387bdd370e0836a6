internal import CKVM
internal import Platform

/// Where an interrupt line of the machine leads.
enum InterruptRoute: Hashable {
  /// A pin of the master 8259 (0..<8), the slave 8259 (0..<8) or the I/O APIC (0..<24).
  case master8259(pin: UInt32), slave8259(pin: UInt32), ioAPIC(pin: UInt32)
  /// A message.
  case message(address: UInt64, data: UInt32)
}

/// A virtual machine of KVM: memory slots, interrupt chips, events. CPUs are made from it.
/// Safe to use from several threads: every operation is one system call.
struct VirtualMachine: ~Copyable, Sendable {
  private let file: FileDescriptor
  private let runPageSize: Int  // bytes
  /// Where in a CPU's run page the ring of coalesced writes begins; nil where KVM has none.
  private let ringOffset: Int?

  init(file: consuming FileDescriptor, runPageSize: Int, ringOffset: Int?) {
    self.file = file
    self.runPageSize = runPageSize
    self.ringOffset = ringOffset
  }

  /// Puts the three pages that Intel's real-mode emulation needs, and its identity map, where no RAM is.
  func reserveIntelPages(tss: UInt64, identityMap: UInt64) throws(HypervisorError) {
    try refusal(.system, "KVM refuses the address of the task state") { () throws(SystemError) in
      _ = try file.control(UInt(CKVM_SET_TSS_ADDR.rawValue), value: UInt(tss), "KVM_SET_TSS_ADDR")
      var address = identityMap
      // SAFETY: the request takes a pointer to a 64-bit address.
      _ = try unsafe file.control(
        UInt(CKVM_SET_IDENTITY_MAP_ADDR.rawValue), &address, "KVM_SET_IDENTITY_MAP_ADDR")
    }
  }

  /// Lets the guest see `count` bytes of `memory` at physical address `address`; with `count` 0 it sees the slot no
  /// more. Writes to a read-only slot leave the guest as accesses to no memory do.
  /// The mapping must outlive the machine's last CPU, or the slot.
  @unsafe
  func setMemory(
    slot: UInt32, at address: UInt64, _ memory: UnsafeMutableRawPointer, count: Int, isReadOnly: Bool = false
  ) throws(HypervisorError) {
    var region = kvm_userspace_memory_region(
      slot: slot, flags: isReadOnly ? UInt32(KVM_MEM_READONLY) : 0, guest_phys_addr: address,
      memory_size: UInt64(count), userspace_addr: UInt64(UInt(bitPattern: memory)))
    try refusal(.system, "KVM refuses \(count) bytes of memory at \(hex(address))") { () throws(SystemError) in
      // SAFETY: the structure is the one that the request takes; the caller vouches for the memory.
      _ = try unsafe file.control(
        UInt(CKVM_SET_USER_MEMORY_REGION.rawValue), &region, "KVM_SET_USER_MEMORY_REGION")
    }
  }

  /// Lets KVM keep the guest's writes to `addresses`, which nobody wants, in its ring instead of leaving the guest with
  /// each. A write that finds the ring full does leave it: `VirtualCPU.discardCoalescedWrites` is due then. Without the
  /// capability nothing changes.
  func coalesceWrites(to addresses: Range<UInt64>) throws(HypervisorError) {
    guard ringOffset != nil else { return }
    var zone = kvm_coalesced_mmio_zone()
    zone.addr = addresses.lowerBound
    zone.size = UInt32(addresses.count)
    try refusal(.device, "KVM does not gather writes at \(hex(addresses.lowerBound))") { () throws(SystemError) in
      // SAFETY: the structure is the one that the request takes.
      _ = try unsafe file.control(
        UInt(CKVM_REGISTER_COALESCED_MMIO.rawValue), &zone, "KVM_REGISTER_COALESCED_MMIO")
    }
  }

  /// Makes the 8259 pair, the I/O APIC and a local APIC for every CPU made later.
  func makeInterruptChips() throws(HypervisorError) {
    try refusal(.system, "KVM makes no interrupt controllers") { () throws(SystemError) in
      _ = try file.control(UInt(CKVM_CREATE_IRQCHIP.rawValue), "KVM_CREATE_IRQCHIP")
    }
  }

  /// Makes inputs of the second 8259 level-triggered, as firmware leaves those that PCI uses (Intel 82371SB, 290550-002,
  /// ELCR2). `inputs` has a bit for each of ISA interrupts 8 to 15.
  func setLevelTriggered(slave8259 inputs: UInt8) throws(HypervisorError) {
    var chip = kvm_irqchip()
    chip.chip_id = UInt32(KVM_IRQCHIP_PIC_SLAVE)
    try refusal(.system, "KVM does not set the interrupt controller") { () throws(SystemError) in
      // SAFETY: the structure is the one that both requests take.
      _ = try unsafe file.control(UInt(CKVM_GET_IRQCHIP.rawValue), &chip, "KVM_GET_IRQCHIP")
      unsafe ckvm_8259_set_levels(&chip, inputs)
      _ = try unsafe file.control(UInt(CKVM_SET_IRQCHIP.rawValue), &chip, "KVM_SET_IRQCHIP")
    }
  }

  /// Sets the I/O APIC's id register, as firmware does. It has four bits (Intel 82093AA data sheet, 290566, 3.2.1): of
  /// more, the guest reads the low ones.
  func setIOAPIC(id: UInt8) throws(HypervisorError) {
    var chip = kvm_irqchip()
    chip.chip_id = UInt32(KVM_IRQCHIP_IOAPIC)
    try refusal(.system, "KVM does not set the I/O APIC") { () throws(SystemError) in
      // SAFETY: the structure is the one that both requests take.
      _ = try unsafe file.control(UInt(CKVM_GET_IRQCHIP.rawValue), &chip, "KVM_GET_IRQCHIP")
      unsafe ckvm_ioapic_set_id(&chip, id)
      _ = try unsafe file.control(UInt(CKVM_SET_IRQCHIP.rawValue), &chip, "KVM_SET_IRQCHIP")
    }
  }

  /// Makes the 8254 timer; port 0x61's speaker bits come with it.
  func makeTimer() throws(HypervisorError) {
    var configuration = kvm_pit_config()
    configuration.flags = UInt32(KVM_PIT_SPEAKER_DUMMY)
    try refusal(.system, "KVM makes no 8254 timer") { () throws(SystemError) in
      // SAFETY: the structure is the one that the request takes.
      _ = try unsafe file.control(UInt(CKVM_CREATE_PIT2.rawValue), &configuration, "KVM_CREATE_PIT2")
    }
  }

  /// Raises or lowers an interrupt line (a GSI).
  @inline(__always)
  func setLine(_ gsi: UInt32, high: Bool) {
    var line = kvm_irq_level()
    line.irq = gsi
    line.level = high ? 1 : 0
    // SAFETY: the structure is the one that the request takes. A line that leads nowhere is no error here.
    _ = try? unsafe file.control(UInt(CKVM_IRQ_LINE.rawValue), &line, "KVM_IRQ_LINE")
  }

  /// Sends a message-signalled interrupt at once.
  func sendMessage(address: UInt64, data: UInt32) {
    var message = kvm_msi()
    message.address_lo = UInt32(truncatingIfNeeded: address)
    message.address_hi = UInt32(truncatingIfNeeded: address >> 32)
    message.data = data
    // SAFETY: the structure is the one that the request takes. The guest chose the address: a bad one is its loss.
    _ = try? unsafe file.control(UInt(CKVM_SIGNAL_MSI.rawValue), &message, "KVM_SIGNAL_MSI")
  }

  /// Replaces the whole table of interrupt lines.
  func setRoutes(_ routes: [(gsi: UInt32, route: InterruptRoute)]) throws(HypervisorError) {
    guard routes.count <= Int(CKVM_ROUTE_ROOM) else {
      throw HypervisorError(.device, "\(routes.count) interrupt routes are more than \(CKVM_ROUTE_ROOM)")
    }
    let size = 8 + routes.count * MemoryLayout<kvm_irq_routing_entry>.size
    // SAFETY: ckvm_routes is kvm_irq_routing followed by room for CKVM_ROUTE_ROOM entries; zeroed memory is a valid one.
    let table = UnsafeMutablePointer<ckvm_routes>.allocate(capacity: 1)
    defer { unsafe table.deallocate() }
    unsafe UnsafeMutableRawPointer(table).initializeMemory(
      as: UInt8.self, repeating: 0, count: min(size, MemoryLayout<ckvm_routes>.size))
    for (gsi, route) in routes {
      switch route {
      case .master8259(let pin): unsafe ckvm_routes_append_pin(table, gsi, UInt32(KVM_IRQCHIP_PIC_MASTER), pin)
      case .slave8259(let pin): unsafe ckvm_routes_append_pin(table, gsi, UInt32(KVM_IRQCHIP_PIC_SLAVE), pin)
      case .ioAPIC(let pin): unsafe ckvm_routes_append_pin(table, gsi, UInt32(KVM_IRQCHIP_IOAPIC), pin)
      case .message(let address, let data): unsafe ckvm_routes_append_msi(table, gsi, address, data)
      }
    }
    try refusal(.device, "KVM refuses the interrupt routes") { () throws(SystemError) in
      // SAFETY: the table was filled above and lives until the call is over.
      _ = try unsafe file.control(UInt(CKVM_SET_GSI_ROUTING.rawValue), raw: table, "KVM_SET_GSI_ROUTING")
    }
  }

  /// Ties an eventfd to an interrupt line: each signal is an edge. `attached: false` unties it.
  func setInterruptEvent(_ event: borrowing EventDescriptor, gsi: UInt32, attached: Bool) throws(HypervisorError) {
    var request = kvm_irqfd()
    request.fd = UInt32(event.file.rawValue)
    request.gsi = gsi
    request.flags = attached ? 0 : UInt32(KVM_IRQFD_FLAG_DEASSIGN)
    try refusal(.device, "KVM refuses an interrupt event for line \(gsi)") { () throws(SystemError) in
      // SAFETY: the structure is the one that the request takes.
      _ = try unsafe file.control(UInt(CKVM_IRQFD.rawValue), &request, "KVM_IRQFD")
    }
  }

  /// Signals `event` instead of leaving the guest when it writes to `address`.
  /// `length` 0 takes every width; with `value` only that value counts.
  func setWriteEvent(
    _ event: borrowing EventDescriptor, address: UInt64, length: UInt32, port: Bool, value: UInt64?, attached: Bool
  ) throws(HypervisorError) {
    var request = kvm_ioeventfd()
    request.addr = address
    request.len = length
    request.fd = event.file.rawValue
    request.datamatch = value ?? 0
    request.flags =
      (value != nil ? 1 << UInt32(kvm_ioeventfd_flag_nr_datamatch) : 0)
      | (port ? 1 << UInt32(kvm_ioeventfd_flag_nr_pio) : 0)
      | (attached ? 0 : 1 << UInt32(kvm_ioeventfd_flag_nr_deassign))
    try refusal(.device, "KVM refuses a write event at \(hex(address))") { () throws(SystemError) in
      // SAFETY: the structure is the one that the request takes.
      _ = try unsafe file.control(UInt(CKVM_IOEVENTFD.rawValue), &request, "KVM_IOEVENTFD")
    }
  }

  /// Enables a capability with one argument.
  func enable(_ capability: Capability, _ argument: UInt64) throws(HypervisorError) {
    var request = kvm_enable_cap()
    request.cap = UInt32(capability.rawValue)
    request.args.0 = argument
    try refusal(.system, "KVM does not enable \(capability)") { () throws(SystemError) in
      // SAFETY: the structure is the one that the request takes.
      _ = try unsafe file.control(UInt(CKVM_ENABLE_CAP.rawValue), &request, "KVM_ENABLE_CAP")
    }
  }

  /// Sends the guest's writes of one MSR to us instead of carrying them out (KVM_X86_SET_MSR_FILTER).
  func refuseWrites(ofMSR index: UInt32) throws(HypervisorError) {
    var bitmap: UInt64 = 0
    try refusal(.system, "KVM does not filter MSR \(hex(index))") { () throws(SystemError) in
      try unsafe withUnsafeMutableBytes(of: &bitmap) { bytes throws(SystemError) in
        // SAFETY: the filter points to the eight bytes of `bitmap`, which live until the call is over; KVM copies them.
        var filter = unsafe ckvm_refuse_writes(index, bytes.baseAddress?.assumingMemoryBound(to: UInt8.self))
        _ = try unsafe file.control(UInt(CKVM_SET_MSR_FILTER.rawValue), &filter, "KVM_X86_SET_MSR_FILTER")
      }
    }
  }

  /// A new CPU. `id` is its APIC id; CPU 0 is the one that starts.
  func makeCPU(id: UInt32) throws(HypervisorError) -> VirtualCPU {
    let number = try refusal(.system, "KVM makes no CPU \(id)") { () throws(SystemError) in
      try file.control(UInt(CKVM_CREATE_VCPU.rawValue), value: UInt(id), "KVM_CREATE_VCPU")
    }
    return try VirtualCPU(
      id: id, file: FileDescriptor(adopting: number), runPageSize: runPageSize, ringOffset: ringOffset)
  }
}

/// `0x…` in lower case.
func hex(_ value: some BinaryInteger) -> String {
  "0x" + String(value, radix: 16)
}
