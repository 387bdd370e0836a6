internal import Binary

/// A network interface (virtio 1.2, 5.1): one receive queue (0) and one transmit queue (1), no control queue.
///
/// Frames pass between guest memory and the backend with their header in front, untouched: the backend is told how long
/// the driver's is. Only `num_buffers` is written here. Received frames are never larger than a buffer, as segmentation offload towards the guest is not offered.
public struct VirtioNetwork<Memory: GuestMemory, Backend: NetworkBackend>: VirtioDevice {
  /// The type of device.
  public static var type: VirtioDeviceType { .network }

  /// Index of the queue that the guest receives from.
  public static var receiveQueue: Int { 0 }
  /// Index of the queue that the guest transmits on.
  public static var transmitQueue: Int { 1 }

  /// Largest frame that is sent: what segmentation offload makes of 65550 bytes, and the header (5.1.6.1).
  static var frameLimit: Int { 65_562 }
  /// Frames delivered in one go, so that a flood leaves room for others.
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

  /// Feature bits (5.1.3).
  private enum Feature {
    static var checksum: UInt64 { 1 << 0 }
    static var guestChecksum: UInt64 { 1 << 1 }
    static var mac: UInt64 { 1 << 5 }
    static var hostTCP4: UInt64 { 1 << 11 }
    static var hostTCP6: UInt64 { 1 << 12 }
    static var mergeableBuffers: UInt64 { 1 << 15 }
    static var status: UInt64 { 1 << 16 }
  }

  /// An interface with the six bytes of `mac`, on `backend`.
  public init(_ backend: Backend, mac: [UInt8], queueSize: UInt16 = 256) {
    self.backend = backend
    queueSizes = [queueSize, queueSize]
    let offloads = backend.offloads
    var features = Feature.mac | Feature.status
    if offloads.contains(.checksum) {
      features |= Feature.checksum | Feature.guestChecksum
      if offloads.contains(.tcp4) { features |= Feature.hostTCP4 }
      if offloads.contains(.tcp6) { features |= Feature.hostTCP6 }
    }
    self.features = features
    // struct virtio_net_config (5.1.4): mac, status, max_virtqueue_pairs, mtu.
    var writer = ByteWriter(capacity: 12)
    writer.raw(mac.prefix(6))
    writer.zeros(6 - min(6, mac.count))
    writer.little(UInt16(1))
    writer.little(UInt16(1))
    writer.little(UInt16(1500))
    configuration = writer.bytes
  }

  /// Whether the cable is in. The transport's `changeConfiguration(_:)` tells the driver.
  public var isLinkUp: Bool {
    get { configuration[6] & 1 != 0 }
    set { configuration[6] = newValue ? 1 : 0 }
  }

  /// Takes note of what the driver accepted.
  public mutating func start(features: UInt64) {
    headerCount = features & (VirtioFeature.version1 | Feature.mergeableBuffers) != 0 ? 12 : 10
    isDead = !backend.setHeaderCount(headerCount)
    backend.setOffloads(features & Feature.guestChecksum != 0 ? .checksum : [])
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
    for _ in 0..<Self.receiveBudget {
      guard try queues.pop(Self.receiveQueue, into: &chain) else { return false }
      try check(chain.writable, queues.memory, .write)
      guard chain.writableCount >= headerCount else {
        throw .malformedRequest("a receive buffer is shorter than the network header")
      }
      guard let count = backend.receive(into: chain.writable) else {
        queues.unpop(Self.receiveQueue)
        return true
      }
      // num_buffers is 1 without VIRTIO_NET_F_MRG_RXBUF (5.1.6.4.1); a tap leaves it as it was.
      if headerCount == 12 {
        let one: [UInt8] = [1, 0]
        _ = try DescriptorChain.copy(one.span, to: chain.writable, at: 10, queues.memory)
      }
      try queues.push(
        Self.receiveQueue, head: chain.head, written: max(headerCount, min(count, chain.writableCount)))
    }
    return true
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
