/// A network interface (virtio 1.2, 5.1) whose two queues somebody else serves: the kernel, as vhost does. What is left here
/// is what the driver sees of it: registers, negotiation, when a queue begins and ends, and where it interrupts.
public struct ServedNetwork<Memory: GuestMemory, Server: NetworkQueueServer>: VirtioDevice {
  /// The type of device.
  public static var type: VirtioDeviceType { .network }
  /// The server interrupts.
  public static var interruptsByItself: Bool { true }

  /// Who serves the queues.
  public let server: Server
  /// Largest size of each queue.
  public let queueSizes: [UInt16]
  /// Feature bits of the type that are offered.
  public let features: UInt64
  /// The configuration structure.
  public let configuration: [UInt8]
  private var agreed: UInt64 = 0
  /// Whether each queue is served: receive, transmit.
  private var isServed = [false, false]
  /// Where each queue interrupts.
  private var vectors: [Int?] = [nil, nil]
  /// The server does not know what was agreed, or could not begin.
  private var isDead = false

  /// An interface with the six bytes of `mac`, served by `server`.
  public init(_ server: Server, mac: [UInt8], queueSize: UInt16 = 256) {
    self.server = server
    queueSizes = [queueSize, queueSize]
    let merging = NetworkNegotiation.Feature.mergeableBuffers
    features = NetworkNegotiation.features(server.offloads) & (server.ringFeatures | ~merging)
    configuration = NetworkNegotiation.configuration(mac: mac)
  }

  /// What a server is told of the features: bits of the rings, and of the header's length. Others mean something else to
  /// vhost: bit 27, which is VIRTIO_F_ANY_LAYOUT here, has it make headers of its own (VHOST_NET_F_VIRTIO_NET_HDR).
  private static var toldFeatures: UInt64 {
    VirtioFeature.version1 | VirtioFeature.eventIndex | VirtioFeature.indirectDescriptors
      | NetworkNegotiation.Feature.mergeableBuffers
  }

  /// Whether a server with `ringFeatures` can stand behind a transport, which offers these whatever the device is.
  public static func canBeServed(_ ringFeatures: UInt64) -> Bool {
    let needed = VirtioFeature.version1 | VirtioFeature.eventIndex | VirtioFeature.indirectDescriptors
    return ringFeatures & needed == needed
  }

  /// Takes note of what the driver accepted.
  public mutating func start(features: UInt64) {
    agreed = features
    let negotiation = NetworkNegotiation(features: features)
    isDead = !server.setHeaderCount(negotiation.headerCount)
    server.setOffloads(negotiation.offloads)
  }

  /// Has a queue served from now on, or looked at.
  public mutating func serve(_ queue: Int, _ queues: inout VirtioQueues<Memory>) throws(VirtioError) {
    guard !isDead else { return }
    if isServed[queue] { return server.kick(queue: queue) }
    isServed[queue] = server.start(queue: queue, queues.rings(of: queue), features: agreed & Self.toldFeatures)
    isDead = !isServed[queue]
  }

  /// Ends what is served. Whoever comes next takes whole frames until it says otherwise.
  public mutating func reset() {
    halt()
    isDead = false
    server.setOffloads([])
  }

  /// Leads a queue's interrupts.
  public mutating func lead(_ queue: Int, to vector: Int?) {
    guard vectors[queue] != vector else { return }
    vectors[queue] = vector
    server.lead(queue: queue, to: vector)
  }

  private mutating func halt() {
    for queue in isServed.indices where isServed[queue] {
      isServed[queue] = false
      server.stop(queue: queue)
    }
  }

  /// The server met what no driver may do.
  fileprivate mutating func refuse(_ queue: Int) throws(VirtioError) {
    halt()
    isDead = true
    throw .malformedRequest("queue \(queue) has a ring or a buffer that the kernel refuses")
  }
}

extension VirtioPCI {
  /// Stops a device whose server has found queue `queue` broken, until the driver resets it.
  public func serverRefused<Memory, Server>(queue: Int) where Device == ServedNetwork<Memory, Server> {
    guard isRunning else { return }
    withDevice { device, _ throws(VirtioError) in try device.refuse(queue) }
  }
}
