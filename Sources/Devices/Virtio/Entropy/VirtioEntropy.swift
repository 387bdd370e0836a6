/// An entropy source (virtio 1.2, 5.4): one queue of buffers to fill.
public struct VirtioEntropy<Memory: GuestMemory, Source: EntropySource>: VirtioDevice {
  /// The type of device.
  public static var type: VirtioDeviceType { .entropy }

  /// Bytes given for one buffer at most; a driver asks again.
  static var limit: Int { 4096 }

  /// Where random bytes come from.
  public let source: Source
  /// Largest size of each queue.
  public let queueSizes: [UInt16]
  private var chain = DescriptorChain()
  private var buffer = [UInt8](repeating: 0, count: Self.limit)

  /// Feature bits of the type that are offered.
  public var features: UInt64 { 0 }
  /// The configuration structure.
  public var configuration: [UInt8] { [] }

  /// An entropy device on `source`.
  public init(_ source: Source, queueSize: UInt16 = 64) {
    self.source = source
    queueSizes = [queueSize]
  }

  /// Serves a queue until it is empty.
  public mutating func serve(_ queue: Int, _ queues: inout VirtioQueues<Memory>) throws(VirtioError) {
    let source = source
    while try queues.pop(queue, into: &chain) {
      let count = min(chain.writableCount, Self.limit)
      var span = buffer.mutableSpan
      var part = span._mutatingExtracting(0..<count)
      source.fill(&part)
      let written = try DescriptorChain.copy(
        buffer.span.extracting(0..<count), to: chain.writable, at: 0, queues.memory)
      try queues.push(queue, head: chain.head, written: written)
    }
  }
}
