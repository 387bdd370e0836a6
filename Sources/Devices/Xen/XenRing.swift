internal import Synchronization

/// One direction of the rings that a guest and its hypervisor share in a page (Xen, public/io/console.h and
/// public/io/xs_wire.h): bytes, and two counters that only grow, each written by one side.
struct XenRing<Memory: GuestMemory>: Sendable {
  let memory: Memory
  /// Where its bytes are.
  let bytes: GuestAddress
  /// How many; a power of two.
  let count: UInt32
  /// Where the reader's and the writer's counters are, 32 bits each.
  let consumer: GuestAddress
  let producer: GuestAddress

  /// Takes all that the guest has written, `limit` bytes at most. Counters that contradict each other are as if nothing
  /// were there.
  func take(limit: Int = .max) throws(GuestMemoryError) -> [UInt8] {
    let (read, written) = (try memory.loadUInt32(at: consumer), try memory.loadUInt32(at: producer))
    let waiting = written &- read
    guard waiting <= count else { return [] }
    let taken = UInt32(min(Int(waiting), limit))
    var content: [UInt8] = []
    for index in 0..<taken {
      content += try memory.bytes(at: place(read &+ index), count: 1)
    }
    if taken > 0 { try memory.storeUInt32(read &+ taken, at: consumer) }
    return content
  }

  private func place(_ index: UInt32) -> GuestAddress {
    GuestAddress(bytes.rawValue &+ UInt64(index & (count - 1)))
  }

  /// Room for bytes that the guest reads.
  func room() throws(GuestMemoryError) -> Int {
    let (read, written) = (try memory.loadUInt32(at: consumer), try memory.loadUInt32(at: producer))
    let waiting = written &- read
    return waiting <= count ? Int(count - waiting) : 0
  }

  /// Writes bytes that the guest reads, for which there is room.
  func put(_ content: some Sequence<UInt8>) throws(GuestMemoryError) {
    var written = try memory.loadUInt32(at: producer)
    for byte in content {
      let copy = [byte]
      try memory.write(at: place(written), from: copy.span)
      written &+= 1
    }
    // The bytes are there before the counter says so.
    atomicMemoryFence(ordering: .sequentiallyConsistent)
    try memory.storeUInt32(written, at: producer)
  }
}
