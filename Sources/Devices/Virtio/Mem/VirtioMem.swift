internal import Binary

/// Who has the memory that a guest plugs and unplugs. Called with the device's lock held: it must not wait for the
/// guest.
public protocol PluggableBackend: Sendable {
  /// Gives the guest `segment`, whole blocks that it does not have. False where that is not possible now: then nothing
  /// has changed.
  func plug(_ segment: GuestSegment) -> Bool
  /// Takes `segment` back, whole blocks that may hold anything. False where that is not possible now: then nothing has
  /// changed.
  func unplug(_ segment: GuestSegment) -> Bool
}

/// Memory that comes and goes in blocks (virtio 1.2, 5.15): one queue of the driver's requests.
///
/// The device says how much it wants to be plugged, and the driver plugs and unplugs blocks until it is so, as far as it
/// can. What was plugged stays that over a reset of the device (5.15.6.2): the memory is in use, driver or not.
public struct VirtioMem<Memory: GuestMemory, Backend: PluggableBackend>: VirtioDevice {
  /// The type of device.
  public static var type: VirtioDeviceType { .memory }

  /// What the driver asks for (5.15.6). Others are refused as errors.
  private enum Request: UInt16 {
    case plug, unplug, unplugAll, state
  }

  /// What it is told.
  private enum Response: UInt16 {
    case acknowledged, refused, busy, error
  }

  /// What blocks are, all of those asked for.
  private enum BlockState: UInt16 {
    case plugged, unplugged, mixed
  }

  /// VIRTIO_MEM_F_UNPLUGGED_INACCESSIBLE (5.15.3): what is not plugged is not there.
  private static var unpluggedInaccessible: UInt64 { 1 << 1 }
  /// Bytes of a request and of a response.
  private static var requestCount: Int { 24 }
  private static var responseCount: Int { 10 }
  /// Blocks looked at in one visit.
  static var visitLimit: Int { 1 << 17 }

  /// The memory's owner.
  public let backend: Backend
  /// First byte of the region, in the guest's addresses: a multiple of `blockBytes`.
  public let region: GuestAddress
  /// Bytes of a block.
  public let blockBytes: UInt64
  /// Largest size of each queue.
  public let queueSizes: [UInt16]
  /// The configuration structure (5.15.4).
  public private(set) var configuration: [UInt8]
  /// Which blocks are plugged.
  private var blocks: [Bool]
  private var chain = DescriptorChain()
  private var buffer = [UInt8](repeating: 0, count: Self.requestCount)

  /// Bytes that the driver is to plug in all. The transport's `changeConfiguration(_:)` tells it.
  public private(set) var requested: UInt64 = 0
  /// Bytes that are plugged.
  public private(set) var plugged: UInt64 = 0

  /// Feature bits of the type that are offered.
  public var features: UInt64 { Self.unpluggedInaccessible }

  /// A region of `blockCount` blocks of `blockBytes`, a power of two, none of which is plugged.
  public init(
    _ backend: Backend, region: GuestAddress, blockCount: Int, blockBytes: UInt64 = 2 << 20, queueSize: UInt16 = 64
  ) {
    self.backend = backend
    self.region = region
    self.blockBytes = blockBytes
    queueSizes = [queueSize]
    blocks = [Bool](repeating: false, count: blockCount)
    var writer = ByteWriter(capacity: 56)
    writer.little(blockBytes)
    writer.zeros(8)  // node_id and its padding
    writer.little(region.rawValue)
    writer.little(UInt64(blockCount) * blockBytes)  // region_size
    writer.little(UInt64(blockCount) * blockBytes)  // usable_region_size
    writer.zeros(16)
    configuration = writer.bytes
  }

  /// Asks for `bytes` in all, to the block and to the region's end; what it came to.
  mutating func request(_ bytes: UInt64) -> UInt64 {
    requested = min(bytes, UInt64(blocks.count) * blockBytes) / blockBytes * blockBytes
    tell()
    return requested
  }

  /// Writes plugged_size and requested_size.
  private mutating func tell() {
    var writer = ByteWriter(capacity: 16)
    writer.little(plugged)
    writer.little(requested)
    configuration.replaceSubrange(40..<56, with: writer.bytes)
  }

  /// Serves the queue until it is empty, or the visit has been long enough.
  public mutating func serve(_ queue: Int, _ queues: inout VirtioQueues<Memory>) throws(VirtioError) {
    var allowance = Self.visitLimit
    while true {
      guard allowance > 0 else { return queues.postpone(queue) }
      guard try queues.pop(queue, into: &chain) else { return }
      guard chain.readableCount >= Self.requestCount, chain.writableCount >= Self.responseCount else {
        throw .malformedRequest("a request for memory has 24 bytes, and its response 10")
      }
      let segments = chain.readable
      var span = buffer.mutableSpan
      _ = try DescriptorChain.copy(from: segments, at: 0, into: &span, queues.memory)
      let (response, state, cost) = answer()
      allowance -= cost
      var writer = ByteWriter(capacity: Self.responseCount)
      writer.little(response.rawValue)
      writer.zeros(6)
      writer.little(state?.rawValue ?? 0)
      let written = try DescriptorChain.copy(writer.bytes.span, to: chain.writable, at: 0, queues.memory)
      try queues.push(queue, head: chain.head, written: written)
    }
  }

  /// Carries out the request in the buffer; how many blocks that took a look at.
  private mutating func answer() -> (Response, BlockState?, cost: Int) {
    let type = Request(rawValue: UInt16(truncatingIfNeeded: field(at: 0, count: 2)))
    if type == .unplugAll { return (unplugAll(), nil, blocks.count) }
    guard let type, let range = blocks(at: field(at: 8, count: 8), count: field(at: 16, count: 2)) else {
      return (.error, nil, 1)
    }
    let pluggedCount = blocks[range].count { $0 }
    switch type {
    case .plug: return (plug(range, pluggedCount), nil, range.count)
    case .unplug: return (unplug(range, pluggedCount), nil, range.count)
    case .state, .unplugAll:
      let state: BlockState = pluggedCount == range.count ? .plugged : pluggedCount == 0 ? .unplugged : .mixed
      return (.acknowledged, state, range.count)
    }
  }

  private func field(at offset: Int, count: Int) -> UInt64 {
    (0..<count).reduce(0) { $0 | UInt64(buffer[offset + $1]) << UInt64(8 * $1) }
  }

  /// The blocks from `address` on; nil unless there are some, they begin at a block, and all of them are in the region.
  private func blocks(at address: UInt64, count: UInt64) -> Range<Int>? {
    guard count > 0, address >= region.rawValue else { return nil }
    let offset = address - region.rawValue
    guard offset % blockBytes == 0 else { return nil }
    let first = offset / blockBytes
    let total = UInt64(blocks.count)
    guard first < total, count <= total - first else { return nil }
    return Int(first)..<Int(first + count)
  }

  private func segment(_ range: Range<Int>) -> GuestSegment {
    GuestSegment(
      address: GuestAddress(region.rawValue + UInt64(range.lowerBound) * blockBytes),
      count: range.count * Int(blockBytes))
  }

  private mutating func plug(_ range: Range<Int>, _ pluggedCount: Int) -> Response {
    let bytes = UInt64(range.count) * blockBytes
    guard pluggedCount == 0 else { return .error }
    guard plugged + bytes <= requested else { return .refused }
    guard backend.plug(segment(range)) else { return .busy }
    set(range, true)
    plugged += bytes
    tell()
    return .acknowledged
  }

  private mutating func unplug(_ range: Range<Int>, _ pluggedCount: Int) -> Response {
    guard pluggedCount == range.count else { return .error }
    guard backend.unplug(segment(range)) else { return .busy }
    set(range, false)
    plugged -= UInt64(range.count) * blockBytes
    tell()
    return .acknowledged
  }

  private mutating func set(_ range: Range<Int>, _ isPlugged: Bool) {
    for index in range { blocks[index] = isPlugged }
  }

  /// Run by run; what could not be unplugged stays plugged, and the driver asks again.
  private mutating func unplugAll() -> Response {
    var index = 0
    while index < blocks.count {
      guard blocks[index] else {
        index += 1
        continue
      }
      let end = blocks[index...].firstIndex(of: false) ?? blocks.count
      guard unplug(index..<end, end - index) == .acknowledged else { return .busy }
      index = end
    }
    return .acknowledged
  }
}

extension VirtioPCI {
  /// Asks the driver to have `bytes` plugged in all, to the block, and interrupts it. What it came to.
  @discardableResult
  public func requestMemory<Memory, Backend>(_ bytes: UInt64) -> UInt64 where Device == VirtioMem<Memory, Backend> {
    var granted: UInt64 = 0
    changeConfiguration { device in
      let before = device.requested
      granted = device.request(bytes)
      return granted != before
    }
    return granted
  }
}
