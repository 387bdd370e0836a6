internal import Devices
internal import Platform
internal import Synchronization

/// Plugs and unplugs blocks of a guest's RAM: they come from the host with their first use, and go back to it.
///
/// The guest's CPUs reach what is plugged in whole sections: KVM keeps tables for each run of addresses that it shows, a
/// list of all such runs, and stops the CPUs for each change. What is not plugged of a section that is shown reads as
/// zeros; devices never reach it.
///
/// Concurrency model: called with the device's lock held, so by one thread at a time; `shown` is held while KVM takes a
/// change.
final class RAMBlocks: PluggableBackend {
  /// So many runs of addresses at most.
  private static let sectionLimit: UInt64 = 64

  private let memory: GuestRAM
  private let owner: VirtualMachineOwner
  /// Bytes of a section, the last one of which may be shorter.
  private let sectionBytes: UInt64
  /// Blocks that are plugged in each section. One with none is not shown.
  private let shown: Mutex<[Int]>
  /// Told that other blocks are RAM than before, with what was unplugged still in its place. False where that cannot be.
  private let onChange: @Sendable () -> Bool

  /// Blocks of `memory`, which has room to grow.
  init(_ memory: GuestRAM, _ owner: VirtualMachineOwner, onChange: @escaping @Sendable () -> Bool = { true }) {
    self.onChange = onChange
    self.memory = memory
    self.owner = owner
    let length = UInt64(memory.growth.count)
    let unit: UInt64 = 128 << 20
    sectionBytes = max(unit, (length / Self.sectionLimit + unit - 1) / unit * unit)
    shown = Mutex([Int](repeating: 0, count: Int((length + sectionBytes - 1) / sectionBytes)))
  }

  func plug(_ segment: GuestSegment) -> Bool {
    let parts = parts(of: segment)
    let isDone = shown.withLock { shown in
      for (index, part) in parts.enumerated() {
        guard shown[part.section] == 0, !show(part.section, true) else {
          shown[part.section] += part.blocks
          continue
        }
        for earlier in parts[..<index] { leave(earlier, &shown) }
        return false
      }
      return true
    }
    guard isDone else { return false }
    memory.mark(segment, isPlugged: true)
    if onChange() { return true }
    memory.mark(segment, isPlugged: false)
    shown.withLock { shown in for part in parts { leave(part, &shown) } }
    return false
  }

  func unplug(_ segment: GuestSegment) -> Bool {
    // Devices first, then CPUs; what either still wrote is thrown away with the rest.
    memory.mark(segment, isPlugged: false)
    guard onChange() else {
      memory.mark(segment, isPlugged: true)
      return false
    }
    shown.withLock { shown in
      for part in parts(of: segment) {
        leave(part, &shown)
        // CPUs reached all of its blocks until now, those that went earlier too.
        if shown[part.section] == 0 { discard(section: part.section) }
      }
    }
    // A host that does not take it keeps it: the guest is not worse off.
    try? memory.mapping.discard(at: memory.placeInGrowth(segment.address.rawValue), count: segment.count)
    return true
  }

  private func discard(section: Int) {
    let address = memory.growth.lowerBound + UInt64(section) * sectionBytes
    let count = min(sectionBytes, memory.growth.upperBound - address)
    try? memory.mapping.discard(at: memory.placeInGrowth(address), count: Int(count))
  }

  /// The sections that a segment lies in, and how many of its blocks each has.
  private func parts(of segment: GuestSegment) -> [(section: Int, blocks: Int)] {
    var parts: [(section: Int, blocks: Int)] = []
    var offset = segment.address.rawValue - memory.growth.lowerBound
    let end = offset + UInt64(segment.count)
    while offset < end {
      let section = offset / sectionBytes
      let next = min(end, (section + 1) * sectionBytes)
      parts.append((Int(section), Int((next - offset) / GuestRAM.blockBytes)))
      offset = next
    }
    return parts
  }

  private func leave(_ part: (section: Int, blocks: Int), _ shown: inout [Int]) {
    shown[part.section] -= part.blocks
    // It stays shown where KVM refuses: the guest then reaches zeros that it was not given.
    if shown[part.section] == 0 { _ = show(part.section, false) }
  }

  private func show(_ section: Int, _ isShown: Bool) -> Bool {
    let address = memory.growth.lowerBound + UInt64(section) * sectionBytes
    let count = min(sectionBytes, memory.growth.upperBound - address)
    do throws(HypervisorError) {
      // SAFETY: the section lies in the mapping, which lives as long as the memory, and that as long as the machine.
      try unsafe owner.machine.setMemory(
        slot: MemorySlot.growth + UInt32(section), at: address, memory.mapping.base + memory.placeInGrowth(address),
        count: isShown ? Int(count) : 0)
      return true
    } catch {
      return false
    }
  }
}
