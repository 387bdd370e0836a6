internal import Binary

/// A console of one port (virtio 1.2, 5.3): receive queue 0, transmit queue 1, emergency write.
public struct VirtioConsole<Memory: GuestMemory, Output: ByteSink>: VirtioDevice {
  /// The type of device.
  public static var type: VirtioDeviceType { .console }

  private static var receiveQueue: Int { 0 }
  private static var transmitQueue: Int { 1 }
  private static var chunkCount: Int { 4096 }
  /// Input kept until the guest has buffers for it, in bytes.
  static var inputLimit: Int { 65536 }

  /// Output taken in one visit, in bytes. The rest of a buffer that goes beyond it is dropped (drivers send pages), the
  /// next buffer waits for the next visit.
  static var outputLimit: Int { 1 << 20 }

  /// Feature bits (5.3.3).
  private enum Feature {
    static var size: UInt64 { 1 << 0 }
    static var emergencyWrite: UInt64 { 1 << 2 }
  }

  /// Where output goes.
  public let output: Output
  /// Largest size of each queue.
  public let queueSizes: [UInt16]
  /// The configuration structure.
  public private(set) var configuration: [UInt8]
  private var chain = DescriptorChain()
  private var input: [UInt8] = []
  private var buffer = [UInt8](repeating: 0, count: Self.chunkCount)

  /// Feature bits of the type that are offered.
  public var features: UInt64 { Feature.size | Feature.emergencyWrite }

  /// A console that writes to `output`.
  public init(_ output: Output, columns: UInt16 = 80, rows: UInt16 = 25, queueSize: UInt16 = 64) {
    self.output = output
    queueSizes = [queueSize, queueSize]
    // struct virtio_console_config (5.3.4): cols, rows, max_nr_ports, emerg_wr.
    var writer = ByteWriter(capacity: 12)
    writer.little(columns)
    writer.little(rows)
    writer.little(UInt32(1))
    writer.little(UInt32(0))
    configuration = writer.bytes
  }

  /// Sets the size. The transport's `changeConfiguration(_:)` tells the driver.
  public mutating func resize(columns: UInt16, rows: UInt16) {
    var writer = ByteWriter(capacity: 4)
    writer.little(columns)
    writer.little(rows)
    configuration.replaceSubrange(0..<4, with: writer.bytes)
  }

  /// Emergency write (5.3.5.2): the low byte is a character, whatever the driver's state.
  public mutating func writeConfiguration(_ value: UInt64, at offset: Int, width: AccessWidth) {
    if offset == 8 { output.write(UInt8(truncatingIfNeeded: value)) }
  }

  /// Forgets what was under way.
  public mutating func reset() {
    input = []
  }

  /// Serves a queue until it is empty.
  public mutating func serve(_ queue: Int, _ queues: inout VirtioQueues<Memory>) throws(VirtioError) {
    if queue == Self.transmitQueue {
      var left = Self.outputLimit
      while true {
        guard left > 0 else { return queues.postpone(queue) }
        guard try queues.pop(queue, into: &chain) else { return }
        left -= try transmit(limit: left, queues.memory)
        try queues.push(queue, head: chain.head, written: 0)
      }
    } else {
      try deliver(&queues)
    }
  }

  /// How many bytes were taken.
  private mutating func transmit(limit: Int, _ memory: Memory) throws(VirtioError) -> Int {
    var left = limit
    for segment in chain.readable {
      guard memory.contains(segment) else {
        throw .memory(GuestMemoryError(.read, address: segment.address, count: segment.count))
      }
      var done = 0
      while done < segment.count, left > 0 {
        let count = min(Self.chunkCount, segment.count - done, left)
        left -= count
        let address = GuestAddress(segment.address.rawValue + UInt64(done))
        var span = buffer.mutableSpan
        var part = span._mutatingExtracting(0..<count)
        do { try memory.read(at: address, into: &part) } catch { throw .memory(error) }
        output.write(buffer.span.extracting(0..<count))
        done += count
      }
    }
    return limit - left
  }

  /// Takes input for the guest. How many bytes were taken; the rest may be offered again later.
  mutating func receive(_ bytes: [UInt8], _ queues: inout VirtioQueues<Memory>) throws(VirtioError) -> Int {
    let count = min(bytes.count, Self.inputLimit - input.count)
    input.append(contentsOf: bytes.prefix(count))
    try deliver(&queues)
    return count
  }

  private mutating func deliver(_ queues: inout VirtioQueues<Memory>) throws(VirtioError) {
    var done = 0
    defer { input.removeFirst(done) }
    while done < input.count, try queues.pop(Self.receiveQueue, into: &chain) {
      let part = input.span.extracting(done..<input.count)
      let written = try DescriptorChain.copy(part, to: chain.writable, at: 0, queues.memory)
      try queues.push(Self.receiveQueue, head: chain.head, written: written)
      done += written
    }
  }
}

extension VirtioPCI {
  /// Offers input to the console's driver. How many bytes were taken: all, but for a guest that does not read. While the
  /// device is not running nothing is taken.
  public func receive<Memory, Output>(_ bytes: [UInt8]) -> Int where Device == VirtioConsole<Memory, Output> {
    guard isRunning else { return 0 }
    return withDevice { device, queues throws(VirtioError) in
      try device.receive(bytes, &queues)
    } ?? 0
  }
}
