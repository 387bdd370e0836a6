internal import Synchronization

/// A split virtqueue, from the device's side (virtio 1.2, 2.7).
///
/// The guest writes its rings at any time. Indices are read with acquire and written with release ordering, every walk
/// is bounded, and what a descriptor says is used from a copy. Guarded by the lock of the function it belongs to.
public struct Virtqueue: Sendable {
  /// Flags of a descriptor (2.7.5).
  enum Flag {
    static let next: UInt16 = 1
    static let write: UInt16 = 2
    static let indirect: UInt16 = 4
  }

  /// Descriptors in one chain, whatever table they are in. The specification allows the queue's size; drivers exist
  /// whose indirect tables are longer, and other monitors let them.
  static let chainLimit = 1024

  /// Largest size the device offers.
  public let maximumSize: UInt16
  /// Descriptors in the ring: a power of two.
  public internal(set) var size: UInt16
  /// Whether the driver has enabled it.
  public internal(set) var isEnabled = false
  /// Descriptor table; 16-byte aligned.
  var descriptors: UInt64 = 0
  /// Available ring ("driver area"); 2-byte aligned.
  var available: UInt64 = 0
  /// Used ring ("device area"); 4-byte aligned.
  var used: UInt64 = 0

  private var usesEventIndex = false
  private var usesIndirect = false
  /// Where the device is in the available ring.
  private(set) var nextAvailable: UInt16 = 0
  /// Where the device is in the used ring.
  private(set) var nextUsed: UInt16 = 0
  /// `nextUsed` when the driver was last to be interrupted; nil before the first time.
  private var signalledUsed: UInt16?
  /// What was last written as the available event.
  private var armedAvailable: UInt16?
  /// Chains popped and not yet pushed.
  private(set) var inFlight = 0

  init(maximumSize: UInt16) {
    self.maximumSize = maximumSize
    self.size = maximumSize
  }

  mutating func reset() {
    self = Virtqueue(maximumSize: maximumSize)
  }

  /// Checks the rings and begins at index 0.
  mutating func enable(features: UInt64, queue: Int, _ memory: some GuestMemory) throws(VirtioError) {
    let count = Int(size)
    let rings = [(descriptors, 16 * count, 16), (available, 6 + 2 * count, 2), (used, 6 + 8 * count, 4)]
    for (address, length, alignment) in rings {
      let start = GuestAddress(address)
      guard start.isAligned(to: UInt64(alignment)), start.advanced(by: UInt64(length)) != nil,
        memory.contains(GuestSegment(address: start, count: length))
      else { throw .ringAddress(queue: queue) }
    }
    settle(features: features)
    isEnabled = true
  }

  /// Takes note of what the driver accepted, which an old one may say after it has set up its rings.
  mutating func settle(features: UInt64) {
    usesEventIndex = features & VirtioFeature.eventIndex != 0
    usesIndirect = features & VirtioFeature.indirectDescriptors != 0
  }

  /// Places the rings as the legacy interface has them: one run from page `page`, the used ring on a page of its own
  /// (2.7.2).
  mutating func placeLegacy(page: UInt32) {
    size = maximumSize
    let count = UInt64(size)
    descriptors = UInt64(page) << Self.legacyPageShift
    available = descriptors + 16 * count
    let mask = (UInt64(1) << Self.legacyPageShift) - 1
    used = (available + 6 + 2 * count + mask) & ~mask
  }

  /// Page of the rings, where the legacy interface shows it: 0 for a queue that is not enabled.
  var legacyPage: UInt32 { isEnabled ? UInt32(truncatingIfNeeded: descriptors >> Self.legacyPageShift) : 0 }

  /// Pages of 4096 bytes, whatever the guest's are (4.1.5.1.3.1).
  private static let legacyPageShift: UInt64 = 12

  // MARK: Taking buffers

  /// Takes the next available buffer into `chain`. False when there is none; then the driver will notify of the next,
  /// if `asksForNotice`. Otherwise it may keep silent, where it knows what is wanted (VIRTIO_F_EVENT_IDX): who looks
  /// again anyway spares it the doorbell.
  public mutating func pop(
    into chain: inout DescriptorChain, _ memory: some GuestMemory, asksForNotice: Bool = true
  ) throws(VirtioError) -> Bool {
    guard isEnabled else { return false }
    do {
      var index = try memory.loadAcquiringUInt16(at: GuestAddress(available &+ 2))
      if index == nextAvailable {
        guard asksForNotice, usesEventIndex, armedAvailable != nextAvailable else { return false }
        // Ask for a notification, then look again: the driver may not have seen the request (2.7.10).
        try memory.storeUInt16(nextAvailable, at: usedOffset(4 + 8 * UInt64(size)))
        armedAvailable = nextAvailable
        atomicMemoryFence(ordering: .sequentiallyConsistent)
        index = try memory.loadAcquiringUInt16(at: GuestAddress(available &+ 2))
        if index == nextAvailable { return false }
      }
      guard index &- nextAvailable <= size else { throw VirtioError.availableIndex(index: index, next: nextAvailable) }
      guard inFlight < Int(size) else { throw VirtioError.tooManyInFlight }
      let slot = UInt64(nextAvailable & (size &- 1))
      let head = try memory.loadUInt16(at: GuestAddress(available &+ 4 &+ 2 &* slot))
      try walk(from: head, into: &chain, memory)
      nextAvailable &+= 1
      inFlight += 1
      return true
    } catch let error as VirtioError {
      throw error
    } catch let error as GuestMemoryError {
      throw .memory(error)
    } catch {
      throw .malformedRequest("\(error)")
    }
  }

  private func usedOffset(_ offset: UInt64) -> GuestAddress { GuestAddress(used &+ offset) }

  /// Reads the chain at `head`; at most `chainLimit` steps.
  private func walk(
    from head: UInt16, into chain: inout DescriptorChain, _ memory: some GuestMemory
  ) throws(VirtioError) {
    chain.head = head
    chain.readable.removeAll(keepingCapacity: true)
    chain.writable.removeAll(keepingCapacity: true)
    var table = descriptors
    var tableCount = UInt32(size)
    var isIndirect = false
    var index = head
    var left = Int(size)
    while true {
      guard UInt32(index) < tableCount else { throw .descriptorIndex(index) }
      guard left > 0 else { throw .chainTooLong(head: head) }
      left -= 1
      let (address, fields) = try descriptor(at: table &+ 16 &* UInt64(index), memory)
      let count = UInt32(truncatingIfNeeded: fields)
      let flags = UInt16(truncatingIfNeeded: fields >> 32)
      if flags & Flag.indirect != 0 {
        guard usesIndirect, !isIndirect, flags & Flag.next == 0, count % 16 == 0, count > 0 else {
          throw .indirectTable(head: head)
        }
        isIndirect = true
        table = address
        tableCount = count / 16
        left = min(Int(tableCount), Self.chainLimit)
        index = 0
        // The table may not leave the address space: `descriptor` adds with wrap-around.
        guard GuestAddress(address).advanced(by: UInt64(count)) != nil else { throw .indirectTable(head: head) }
        continue
      }
      if count > 0 {
        let segment = GuestSegment(address: GuestAddress(address), count: Int(count))
        if flags & Flag.write != 0 {
          chain.writable.append(segment)
        } else {
          guard chain.writable.isEmpty else { throw .readableAfterWritable(head: head) }
          chain.readable.append(segment)
        }
      }
      guard flags & Flag.next != 0 else { return }
      index = UInt16(truncatingIfNeeded: fields >> 48)
    }
  }

  /// A descriptor's address, and its length, flags and next as one integer.
  private func descriptor(at address: UInt64, _ memory: some GuestMemory) throws(VirtioError) -> (UInt64, UInt64) {
    do {
      return (
        try memory.loadUInt64(at: GuestAddress(address)), try memory.loadUInt64(at: GuestAddress(address &+ 8))
      )
    } catch { throw .memory(error) }
  }

  /// Whether the driver has made a buffer available that was not yet popped.
  func hasAvailable(_ memory: some GuestMemory) -> Bool {
    guard isEnabled, let index = try? memory.loadAcquiringUInt16(at: GuestAddress(available &+ 2)) else { return false }
    return index != nextAvailable
  }

  /// Puts the buffer last popped back, to be popped again.
  mutating func unpop() {
    guard inFlight > 0 else { return }
    nextAvailable &-= 1
    inFlight -= 1
  }

  // MARK: Giving them back

  /// Hands the buffer at `head` back with `written` bytes written into it.
  public mutating func push(head: UInt16, written: Int, _ memory: some GuestMemory) throws(VirtioError) {
    guard isEnabled else { return }
    do {
      try place(head, written, memory)
      try publish(1, memory)
    } catch { throw .memory(error) }
  }

  /// Hands several buffers back, which the driver sees all at once.
  mutating func push(
    _ buffers: [(head: UInt16, written: Int)], _ memory: some GuestMemory
  ) throws(VirtioError) {
    guard isEnabled else { return }
    do {
      for buffer in buffers { try place(buffer.head, buffer.written, memory) }
      try publish(buffers.count, memory)
    } catch { throw .memory(error) }
  }

  /// Puts a buffer into the used ring, which the driver does not see yet.
  @inline(__always)
  private mutating func place(
    _ head: UInt16, _ written: Int, _ memory: some GuestMemory
  ) throws(GuestMemoryError) {
    let slot = UInt64(nextUsed & (size &- 1))
    let element = UInt64(head) | UInt64(UInt32(clamping: written)) << 32
    try memory.storeUInt64(element, at: usedOffset(4 &+ 8 &* slot))
    nextUsed &+= 1
  }

  /// Shows the driver the `count` buffers that were placed since this was last called.
  @inline(__always)
  private mutating func publish(_ count: Int, _ memory: some GuestMemory) throws(GuestMemoryError) {
    try memory.storeReleasingUInt16(nextUsed, at: usedOffset(2))
    inFlight = max(0, inFlight - count)
  }

  /// Whether the driver wants an interrupt for what was pushed since this was last asked (2.7.7, 2.7.8).
  mutating func takeInterruptRequest(_ memory: some GuestMemory) throws(VirtioError) -> Bool {
    guard isEnabled else { return false }
    atomicMemoryFence(ordering: .sequentiallyConsistent)
    do {
      guard usesEventIndex else {
        return try memory.loadUInt16(at: GuestAddress(available)) & 1 == 0
      }
      let event = try memory.loadUInt16(at: GuestAddress(available &+ 4 &+ 2 &* UInt64(size)))
      let before = signalledUsed
      signalledUsed = nextUsed
      guard let before else { return true }
      return nextUsed &- event &- 1 < nextUsed &- before
    } catch { throw .memory(error) }
  }
}
