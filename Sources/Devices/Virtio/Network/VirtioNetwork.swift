/// A network interface (virtio 1.2, 5.1): one receive queue (0) and one transmit queue (1), no control queue.
///
/// Frames pass between guest memory and the backend with their header in front, untouched: the backend is told how long
/// the driver's is. Only `num_buffers` is written here. A received frame that is larger than a buffer, as segmentation
/// offload makes it, goes on in those that follow, where the driver merges them (VIRTIO_NET_F_MRG_RXBUF): one of 64 KiB
/// that comes from another guest crosses as one.
public struct VirtioNetwork<Memory: GuestMemory, Backend: NetworkBackend>: VirtioDevice {
  /// The type of device.
  public static var type: VirtioDeviceType { .network }

  /// Index of the queue that the guest receives from.
  public static var receiveQueue: Int { 0 }
  /// Index of the queue that the guest transmits on.
  public static var transmitQueue: Int { 1 }

  /// Largest frame that is sent: what segmentation offload makes of 65550 bytes, and the header (5.1.6.1).
  static var frameLimit: Int { 65_562 }
  /// Buffers filled in one go, more or less, so that a flood leaves room for others.
  private static var receiveBudget: Int { 256 }

  /// The port.
  public let backend: Backend
  /// Largest size of each queue.
  public let queueSizes: [UInt16]
  /// Feature bits of the type that are offered.
  public let features: UInt64
  /// The configuration structure.
  public private(set) var configuration: [UInt8]
  private var chain = DescriptorChain()
  /// Length of `struct virtio_net_hdr` in bytes (5.1.6): `num_buffers` at its end is not there in a legacy driver's
  /// without VIRTIO_NET_F_MRG_RXBUF (5.1.6.1).
  private var headerCount = 12
  /// The port does not know headers of this length.
  private var isDead = false
  /// Where a frame goes on behind the first buffer; empty where the driver does not merge buffers.
  private var rest: [UInt8] = []
  /// A frame that was received and for which there are too few buffers yet. Its beginning is in the first that is
  /// available, what follows in `rest`.
  private var held: Held?

  private struct Held {
    /// Bytes in all, and in the first buffer.
    var count: Int
    var first: Int
  }

  /// An interface with the six bytes of `mac`, on `backend`.
  public init(_ backend: Backend, mac: [UInt8], queueSize: UInt16 = 256) {
    self.backend = backend
    queueSizes = [queueSize, queueSize]
    features = NetworkNegotiation.features(backend.offloads)
    configuration = NetworkNegotiation.configuration(mac: mac)
  }

  /// Whether the cable is in. The transport's `changeConfiguration(_:)` tells the driver.
  public var isLinkUp: Bool {
    get { configuration[6] & 1 != 0 }
    set { configuration[6] = newValue ? 1 : 0 }
  }

  /// Takes note of what the driver accepted.
  public mutating func start(features: UInt64) {
    let agreed = NetworkNegotiation(features: features)
    headerCount = agreed.headerCount
    isDead = !backend.setHeaderCount(headerCount)
    held = nil
    rest = agreed.mergesBuffers ? [UInt8](repeating: 0, count: Self.frameLimit) : []
    backend.setOffloads(agreed.offloads)
  }

  /// Whoever comes next takes whole frames until it says otherwise.
  public mutating func reset() {
    held = nil
    rest = []
    backend.setOffloads([])
  }

  /// Serves a queue until it is empty.
  public mutating func serve(_ queue: Int, _ queues: inout VirtioQueues<Memory>) throws(VirtioError) {
    if queue == Self.transmitQueue {
      try transmit(&queues)
    } else {
      _ = try receive(&queues)
    }
  }

  private mutating func transmit(_ queues: inout VirtioQueues<Memory>) throws(VirtioError) {
    while try queues.pop(Self.transmitQueue, into: &chain) {
      try check(chain.readable, queues.memory, .read)
      // Without a whole header it is no frame, and no wire takes one without end.
      let count = chain.readableCount
      if count > headerCount, count <= Self.frameLimit, !isDead { backend.transmit(chain.readable) }
      try queues.push(Self.transmitQueue, head: chain.head, written: 0)
    }
  }

  /// Moves waiting frames to the guest. False when it has no buffer left for one that may be waiting.
  mutating func receive(_ queues: inout VirtioQueues<Memory>) throws(VirtioError) -> Bool {
    guard !isDead else { return false }
    var filled = 0
    while filled < Self.receiveBudget {
      guard try takeBuffer(&queues) else { return false }
      guard chain.writableCount >= headerCount else {
        throw .malformedRequest("a receive buffer is shorter than the network header")
      }
      // As many parts as one read can have, beside `rest`.
      guard chain.writable.count < 1024 else { throw .malformedRequest("a receive buffer has too many parts") }
      let room = chain.writableCount
      if held == nil {
        guard let count = backend.receive(into: chain.writable, rest: &rest) else {
          queues.unpop(Self.receiveQueue)
          return true
        }
        if count <= room || rest.isEmpty {
          try tell(buffers: 1, in: chain.writable, queues.memory)
          try queues.push(Self.receiveQueue, head: chain.head, written: max(headerCount, min(count, room)))
          filled += 1
          continue
        }
        held = Held(count: min(count, room + rest.count), first: room)
      }
      guard let taken = try deliverHeld(&queues) else { return false }
      filled += taken
    }
    return true
  }

  /// Puts what is held into the buffer that was taken and those behind it. How many that were; nil when there are not
  /// enough, and all are put back.
  private mutating func deliverHeld(_ queues: inout VirtioQueues<Memory>) throws(VirtioError) -> Int? {
    guard let held, chain.writableCount == held.first else {
      // Another buffer than the one that has the frame's beginning: no driver does that.
      self.held = nil
      queues.unpop(Self.receiveQueue)
      return 1
    }
    let first = chain.writable
    var buffers = [(head: chain.head, written: held.first)]
    var done = 0
    let whole = held.count - held.first
    while done < whole {
      guard try takeBuffer(&queues) else {
        for _ in buffers { queues.unpop(Self.receiveQueue) }
        guard buffers.count == Int(queues.queues[Self.receiveQueue].size) else { return nil }
        // All that there can be are too few: it is lost.
        self.held = nil
        return buffers.count
      }
      guard chain.writableCount > 0 else { throw .malformedRequest("a receive buffer has no room") }
      let count = min(chain.writableCount, whole - done)
      _ = try DescriptorChain.copy(
        rest.span.extracting(done..<(done + count)), to: chain.writable, at: 0, queues.memory)
      buffers.append((chain.head, count))
      done += count
    }
    try tell(buffers: buffers.count, in: first, queues.memory)
    try queues.push(Self.receiveQueue, buffers)
    self.held = nil
    return buffers.count
  }

  /// Takes a buffer to receive into.
  private mutating func takeBuffer(_ queues: inout VirtioQueues<Memory>) throws(VirtioError) -> Bool {
    guard try queues.pop(Self.receiveQueue, into: &chain) else { return false }
    try check(chain.writable, queues.memory, .write)
    return true
  }

  /// Writes `num_buffers`, which is 1 without VIRTIO_NET_F_MRG_RXBUF (5.1.6.4.1); a tap leaves it as it was.
  private func tell(buffers: Int, in segments: [GuestSegment], _ memory: Memory) throws(VirtioError) {
    guard headerCount == 12 else { return }
    let bytes = [UInt8(truncatingIfNeeded: buffers), UInt8(truncatingIfNeeded: buffers >> 8)]
    _ = try DescriptorChain.copy(bytes.span, to: segments, at: 10, memory)
  }

  private func check(
    _ segments: [GuestSegment], _ memory: Memory, _ operation: GuestMemoryError.Operation
  ) throws(VirtioError) {
    for segment in segments where !memory.contains(segment) {
      throw .memory(GuestMemoryError(operation, address: segment.address, count: segment.count))
    }
  }
}

extension VirtioPCI {
  /// Moves frames that wait at the port to the guest; for when the tap is readable, and in place of `serve(queue:)`
  /// when the receive queue's doorbell rings. False when the guest takes none now: stop waiting on the tap until that
  /// doorbell rings or the device starts (`onStart`).
  public func receiveFrames<Memory, Backend>() -> Bool where Device == VirtioNetwork<Memory, Backend> {
    guard isRunning else { return false }
    return withDevice { device, queues throws(VirtioError) in
      try device.receive(&queues)
    } ?? false
  }
}
