internal import Devices
internal import Platform
internal import Synchronization

/// The numbers of KVM's memory slots, one per run of guest addresses that reaches memory of this process.
enum MemorySlot {
  static let conventional: UInt32 = 0
  static let low: UInt32 = 1
  static let high: UInt32 = 2
  static let firmware: UInt32 = 3
  static let firmwareVariables: UInt32 = 4
  static let framebuffer: UInt32 = 5
  static let absentText: UInt32 = 6
  /// The first of those of memory that is plugged.
  static let growth: UInt32 = 16
}

/// Memory of this process that several objects share.
final class SharedMemory: Sendable {
  let mapping: Mapping

  init(_ mapping: consuming Mapping) {
    self.mapping = mapping
  }

  /// Fresh zeros, of which the host gives nothing until they are written.
  convenience init(zeros count: Int, _ what: String) throws(HypervisorError) {
    let mapping = try refusal(.system, "\(count >> 10) KiB for \(what) cannot be had") { () throws(SystemError) in
      try Mapping(anonymous: count)
    }
    self.init(mapping)
  }
}

/// A run of guest addresses beside RAM that reaches memory of this process directly while it is shown: firmware, a
/// flash chip that is being read, a frame buffer.
///
/// Concurrency model: any thread; `place` is held while KVM takes the change, so that changes reach it in order.
final class MemoryRegion: Sendable {
  private let owner: VirtualMachineOwner
  private let slot: UInt32
  private let memory: SharedMemory
  private let isReadOnly: Bool
  private let place = Mutex<UInt64?>(nil)

  /// All of `memory`, a whole number of pages, in KVM's slot `slot`. The guest does not see it yet.
  init(_ owner: VirtualMachineOwner, slot: UInt32, _ memory: SharedMemory, isReadOnly: Bool) {
    self.owner = owner
    self.slot = slot
    self.memory = memory
    self.isReadOnly = isReadOnly
  }

  /// Shows the memory at `address`, and nowhere else; nil hides it.
  func show(at address: UInt64?) throws(HypervisorError) {
    try place.withLock { place throws(HypervisorError) in
      guard place != address else { return }
      if let old = place {
        place = nil
        // SAFETY: a slot of no bytes reaches no memory.
        try unsafe owner.machine.setMemory(slot: slot, at: old, memory.mapping.base, count: 0)
      }
      guard let address else { return }
      // SAFETY: the slot is all of the mapping, which this object keeps; the machine keeps this object.
      try unsafe owner.machine.setMemory(
        slot: slot, at: address, memory.mapping.base, count: memory.mapping.count, isReadOnly: isReadOnly)
      place = address
    }
  }
}
