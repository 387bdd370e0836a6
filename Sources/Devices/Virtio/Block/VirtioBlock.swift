internal import Binary

/// A disk (virtio 1.2, 5.2): read, write, flush, discard, write zeroes and the identifier; one queue, any number of
/// requests in flight.
///
/// The backend does the work, elsewhere; `VirtioPCI.complete(_:)` brings results back. Where the driver did not
/// accept VIRTIO_BLK_F_FLUSH the disk is write-through: each write is flushed before it completes (5.2.5).
public struct VirtioBlock<Memory: GuestMemory, Backend: BlockBackend>: VirtioDevice {
  /// The type of device.
  public static var type: VirtioDeviceType { .block }

  /// What is in flight for one buffer.
  private struct Submitted: Sendable {
    var head: UInt16
    /// Bytes that the buffer will have had written into it, the status byte included.
    var written: Int
    var statusAddress: GuestAddress
    /// A write that is to be flushed when it is done.
    var flushes: Bool
  }

  /// The disk.
  public let backend: Backend
  /// Largest size of each queue.
  public let queueSizes: [UInt16]
  /// Feature bits of the type that are offered.
  public let features: UInt64
  /// The configuration structure.
  public private(set) var configuration: [UInt8]

  private var sectors: UInt64
  private var isWriteThrough = true
  private var chain = DescriptorChain()
  private var inFlight: InFlight<Submitted>

  /// A disk on `backend`.
  public init(_ backend: Backend, queueSize: UInt16 = 256) {
    self.backend = backend
    queueSizes = [queueSize]
    inFlight = InFlight(limit: Int(queueSize))
    sectors = backend.capacity / BlockRequest.sectorCount
    var features = Feature.segmentMaximum | Feature.blockSize | Feature.flush
    if backend.isReadOnly {
      features |= Feature.readOnly
    } else if backend.canDiscard {
      features |= Feature.discard | Feature.writeZeroes
    }
    self.features = features
    configuration = Self.configuration(backend, sectors: sectors, queueSize: queueSize)
  }

  /// Feature bits (5.2.3).
  private enum Feature {
    static var segmentMaximum: UInt64 { 1 << 2 }
    static var readOnly: UInt64 { 1 << 5 }
    static var blockSize: UInt64 { 1 << 6 }
    static var flush: UInt64 { 1 << 9 }
    static var discard: UInt64 { 1 << 13 }
    static var writeZeroes: UInt64 { 1 << 14 }
  }

  /// Longest range of one discard or write-zeroes request: 1 GiB.
  private static var rangeMaximum: UInt32 { 1 << 21 }  // sectors

  /// `struct virtio_blk_config` (5.2.4).
  private static func configuration(_ backend: Backend, sectors: UInt64, queueSize: UInt16) -> [UInt8] {
    var writer = ByteWriter(capacity: 60)
    writer.little(sectors)
    writer.little(UInt32(0))  // size_max
    writer.little(UInt32(queueSize > 2 ? queueSize - 2 : 1))  // seg_max: all but header and status
    writer.zeros(4)  // geometry
    writer.little(UInt32(truncatingIfNeeded: backend.blockSize))
    writer.zeros(8)  // topology
    writer.zeros(2)  // writeback, unused
    writer.little(UInt16(1))  // num_queues
    writer.little(rangeMaximum)  // max_discard_sectors
    writer.little(UInt32(1))  // max_discard_seg
    writer.little(UInt32(max(1, backend.blockSize / 512)))  // discard_sector_alignment
    writer.little(rangeMaximum)  // max_write_zeroes_sectors
    writer.little(UInt32(1))  // max_write_zeroes_seg
    writer.little(UInt32(1))  // write_zeroes_may_unmap, unused
    return writer.bytes
  }

  /// The disk has another size, in bytes, from now on; whether the configuration structure says so anew (5.2.4).
  mutating func resize(capacity: UInt64) -> Bool {
    let count = capacity / BlockRequest.sectorCount
    guard count != sectors else { return false }
    sectors = count
    var writer = ByteWriter(capacity: 8)
    writer.little(sectors)
    configuration.replaceSubrange(0..<8, with: writer.bytes)
    return true
  }

  /// Takes note of what the driver accepted.
  public mutating func start(features: UInt64) {
    isWriteThrough = features & Feature.flush == 0
  }

  /// What is in flight becomes orphaned: its end is awaited, and told to nobody.
  public mutating func reset() {
    inFlight.abandon()
    isWriteThrough = true
  }

  /// Whether nothing is in flight, for this driver or one before its reset.
  public var isIdle: Bool { inFlight.isIdle }

  // MARK: Requests

  /// Serves a queue until it is empty.
  public mutating func serve(_ queue: Int, _ queues: inout VirtioQueues<Memory>) throws(VirtioError) {
    while try queues.pop(queue, into: &chain) {
      let request = try BlockRequest(chain, queues.memory)
      try begin(request, &queues)
    }
  }

  private mutating func begin(_ request: BlockRequest, _ queues: inout VirtioQueues<Memory>) throws(VirtioError) {
    switch request.kind {
    case .read, .write:
      let count = UInt64(DescriptorChain.count(request.data))
      guard count % BlockRequest.sectorCount == 0, isInside(request.sector, count / BlockRequest.sectorCount),
        request.kind == .read || !backend.isReadOnly
      else { return try refuse(request, BlockRequest.Status.ioError, &queues) }
      let isRead = request.kind == .read
      try submit(
        isRead ? .read : .write, request, offset: request.sector * BlockRequest.sectorCount, count: count,
        segments: request.data, written: isRead ? Int(count) : 0, &queues)
    case .flush:
      try submit(.flush, request, offset: 0, count: 0, segments: [], written: 0, &queues)
    case .identifier:
      try identify(request, &queues)
    case .discard, .writeZeroes:
      try clear(request, &queues)
    case .unknown:
      try refuse(request, BlockRequest.Status.unsupported, &queues)
    }
  }

  private func isInside(_ sector: UInt64, _ count: UInt64) -> Bool {
    sector <= sectors && count <= sectors - sector
  }

  private mutating func identify(_ request: BlockRequest, _ queues: inout VirtioQueues<Memory>) throws(VirtioError) {
    var writer = ByteWriter(capacity: BlockRequest.identifierCount)
    writer.fixed(backend.identifier, width: BlockRequest.identifierCount)
    let bytes = writer.bytes
    let written = try DescriptorChain.copy(bytes.span, to: request.data, at: 0, queues.memory)
    try finish(
      head: chain.head, BlockRequest.Status.ok, request.statusAddress, written: written + 1, &queues)
  }

  /// Discard and write zeroes (5.2.6.2): one range, as the configuration says.
  private mutating func clear(_ request: BlockRequest, _ queues: inout VirtioQueues<Memory>) throws(VirtioError) {
    guard features & (Feature.discard | Feature.writeZeroes) != 0 else {
      return try refuse(request, BlockRequest.Status.unsupported, &queues)
    }
    var bytes = [UInt8](repeating: 0, count: BlockRange.byteCount)
    var span = bytes.mutableSpan
    guard DescriptorChain.count(request.data) == BlockRange.byteCount,
      try DescriptorChain.copy(from: request.data, at: 0, into: &span, queues.memory) == BlockRange.byteCount
    else { return try refuse(request, BlockRequest.Status.ioError, &queues) }
    let range = BlockRange(bytes)
    // Bit 0 is unmap, for write zeroes only; an unknown bit makes the request unsupported.
    guard range.flags & ~(request.kind == .writeZeroes ? 1 : 0) == 0 else {
      return try refuse(request, BlockRequest.Status.unsupported, &queues)
    }
    guard range.sectors <= Self.rangeMaximum, isInside(range.sector, UInt64(range.sectors)) else {
      return try refuse(request, BlockRequest.Status.ioError, &queues)
    }
    try submit(
      request.kind == .discard ? .discard : .writeZeroes(unmap: range.flags & 1 != 0), request,
      offset: range.sector * BlockRequest.sectorCount, count: UInt64(range.sectors) * BlockRequest.sectorCount,
      segments: [], written: 0, &queues)
  }

  private mutating func submit(
    _ kind: BlockOperation.Kind, _ request: BlockRequest, offset: UInt64, count: UInt64, segments: [GuestSegment],
    written: Int, _ queues: inout VirtioQueues<Memory>
  ) throws(VirtioError) {
    let changes =
      switch kind {
      case .write, .writeZeroes: true
      case .read, .flush, .discard: false
      }
    let submitted = Submitted(
      head: chain.head, written: written + 1, statusAddress: request.statusAddress, flushes: isWriteThrough && changes)
    // The queue lets no more buffers out than it has descriptors, so there is room.
    guard let id = inFlight.insert(submitted) else { throw .tooManyInFlight }
    let operation = BlockOperation(id: id, kind: kind, offset: offset, count: count, segments: segments)
    if let result = backend.submit(operation) { try complete(id, with: result, &queues) }
  }

  // MARK: Results

  /// The backend is done with operation `id`. One that is not in flight is none of this driver's: it is ignored.
  mutating func complete(
    _ id: UInt64, with result: BlockResult, _ queues: inout VirtioQueues<Memory>
  ) throws(VirtioError) {
    guard var submitted = inFlight.remove(id) else { return }
    if submitted.flushes, case .success = result {
      submitted.flushes = false
      guard let flush = inFlight.insert(submitted) else { throw .tooManyInFlight }
      let operation = BlockOperation(id: flush, kind: .flush, offset: 0, count: 0, segments: [])
      if let result = backend.submit(operation) { try complete(flush, with: result, &queues) }
      return
    }
    let status =
      switch result {
      case .success: BlockRequest.Status.ok
      case .failure: BlockRequest.Status.ioError
      case .unsupported: BlockRequest.Status.unsupported
      }
    let written = status == BlockRequest.Status.ok ? submitted.written : 1
    try finish(head: submitted.head, status, submitted.statusAddress, written: written, &queues)
  }

  private func refuse(
    _ request: BlockRequest, _ status: UInt8, _ queues: inout VirtioQueues<Memory>
  ) throws(VirtioError) {
    try finish(head: chain.head, status, request.statusAddress, written: 1, &queues)
  }

  private func finish(
    head: UInt16, _ status: UInt8, _ address: GuestAddress, written: Int, _ queues: inout VirtioQueues<Memory>
  ) throws(VirtioError) {
    do { try queues.memory.write([status], at: address) } catch { throw .memory(error) }
    try queues.push(0, head: head, written: written)
  }
}

extension VirtioPCI {
  /// The disk's backend is done with these operations. Any thread; not from within `submit`.
  public func complete<Memory, Backend>(
    _ completions: [BlockCompletion]
  ) where Device == VirtioBlock<Memory, Backend> {
    withDevice { device, queues throws(VirtioError) in
      for completion in completions { try device.complete(completion.id, with: completion.result, &queues) }
    }
  }
  /// The disk has another size from now on, in bytes: the driver hears of it, and finds it in the configuration structure.
  /// What is in flight beyond a new end is left to the backend.
  public func resize<Memory, Backend>(capacity: UInt64) where Device == VirtioBlock<Memory, Backend> {
    changeConfiguration { device in device.resize(capacity: capacity) }
  }
}
