internal import Binary

/// Who takes the memory that a balloon frees. Called with the device's lock held: it must not wait for the guest.
public protocol BalloonBackend: Sendable {
  /// The guest does not need what is in `segment`, whole pages of RAM: it may read as zeroes from now on.
  func discard(_ segment: GuestSegment)
  /// The guest wants `segment` back, which was discarded.
  func restore(_ segment: GuestSegment)
  /// What the guest says about its memory, after it was asked.
  func report(_ statistics: BalloonStatistics)
  /// The guest has given up `bytes` in all.
  func balloonChanged(bytes: UInt64)
}

extension BalloonBackend {
  /// Nothing to do: the pages come with their first use.
  public func restore(_ segment: GuestSegment) {}
  /// Nobody wants to know.
  public func report(_ statistics: BalloonStatistics) {}
  /// Nobody wants to know.
  public func balloonChanged(bytes: UInt64) {}
}

/// What a guest says about its memory (virtio 1.2, 5.5.6.4). What it does not say is nil.
public struct BalloonStatistics: Hashable, Sendable {
  /// Bytes swapped in.
  public var swapIn: UInt64?
  /// Bytes swapped out.
  public var swapOut: UInt64?
  /// Page faults that went to a disk.
  public var majorFaults: UInt64?
  /// Page faults that did not.
  public var minorFaults: UInt64?
  /// Bytes that are not used for anything.
  public var free: UInt64?
  /// Bytes in all.
  public var total: UInt64?
  /// Bytes that could be given up without swapping.
  public var available: UInt64?
  /// Bytes of file caches.
  public var caches: UInt64?

  /// Nothing said.
  public init() {}

  /// Takes one value; tags that are not known say nothing.
  mutating func set(_ tag: UInt16, _ value: UInt64) {
    switch tag {
    case 0: swapIn = value
    case 1: swapOut = value
    case 2: majorFaults = value
    case 3: minorFaults = value
    case 4: free = value
    case 5: total = value
    case 6: available = value
    case 7: caches = value
    default: break
    }
  }
}

/// A memory balloon (virtio 1.2, 5.5): inflate (queue 0), deflate (1), statistics (2) and free page reporting (3).
///
/// The queues that a driver does not want are left out of the numbering, as drivers count them: without statistics,
/// reporting is queue 2.
public struct VirtioBalloon<Memory: GuestMemory, Backend: BalloonBackend>: VirtioDevice {
  /// The type of device.
  public static var type: VirtioDeviceType { .balloon }

  /// What a queue is for.
  private enum Role {
    case inflate, deflate, statistics, reporting
  }

  /// Feature bits (5.5.3).
  private enum Feature {
    static var statistics: UInt64 { 1 << 1 }
    static var deflateOnOutOfMemory: UInt64 { 1 << 2 }
    static var reporting: UInt64 { 1 << 5 }
  }

  /// Bytes of a balloon's page, whatever the guest's is (5.5.6).
  static var pageCount: Int { 4096 }
  /// Bytes of page numbers read at once.
  private static var chunkCount: Int { 4096 }
  /// Page numbers taken from one buffer; drivers send 256.
  static var bufferLimit: Int { 16_384 }
  /// Runs of pages handed to the backend in one visit, as each is a system call.
  static var visitLimit: Int { 16_384 }
  /// Bytes of statistics read: more than there are tags.
  private static var statisticsCount: Int { 320 }

  /// The memory's owner.
  public let backend: Backend
  /// Largest size of each queue.
  public let queueSizes: [UInt16]
  /// The configuration structure (5.5.4): num_pages, actual.
  public private(set) var configuration = [UInt8](repeating: 0, count: 8)
  private var roles: [Role] = []
  private var chain = DescriptorChain()
  private var buffer = [UInt8](repeating: 0, count: Self.chunkCount)
  /// The statistics buffer, kept until new statistics are wanted.
  private var statisticsHead: UInt16?
  private var statisticsQueue = 2
  /// Runs that this visit may still hand over.
  private var allowance = 0

  /// Feature bits of the type that are offered.
  public var features: UInt64 { Feature.statistics | Feature.deflateOnOutOfMemory | Feature.reporting }

  /// A balloon on `backend`.
  public init(_ backend: Backend, queueSize: UInt16 = 128) {
    self.backend = backend
    queueSizes = [queueSize, queueSize, 16, queueSize]
  }

  /// What the guest is asked to give up, in bytes, to the page. The transport's `changeConfiguration(_:)` tells it.
  public var target: UInt64 {
    get { UInt64(word(at: 0)) * UInt64(Self.pageCount) }
    set {
      var writer = ByteWriter(capacity: 4)
      writer.little(UInt32(clamping: newValue / UInt64(Self.pageCount)))
      configuration.replaceSubrange(0..<4, with: writer.bytes)
    }
  }

  /// What the guest says it has given up, in bytes.
  public var actual: UInt64 { UInt64(word(at: 4)) * UInt64(Self.pageCount) }

  private func word(at offset: Int) -> UInt32 {
    (0..<4).reduce(0) { $0 | UInt32(configuration[offset + $1]) << (8 * $1) }
  }

  /// The driver writes `actual`, at once or byte by byte.
  public mutating func writeConfiguration(_ value: UInt64, at offset: Int, width: AccessWidth) {
    guard offset >= 4, offset + width.rawValue <= 8 else { return }
    for index in 0..<width.rawValue {
      configuration[offset + index] = UInt8(truncatingIfNeeded: value >> UInt64(8 * index))
    }
    backend.balloonChanged(bytes: actual)
  }

  /// Takes note of what the driver accepted.
  public mutating func start(features: UInt64) {
    roles = [.inflate, .deflate]
    if features & Feature.statistics != 0 { roles.append(.statistics) }
    if features & Feature.reporting != 0 { roles.append(.reporting) }
  }

  /// Forgets the driver; what it had given up it takes back.
  public mutating func reset() {
    roles = []
    statisticsHead = nil
    configuration.replaceSubrange(4..<8, with: [0, 0, 0, 0])
  }

  /// Serves a queue until it is empty, or the visit has been long enough.
  public mutating func serve(_ queue: Int, _ queues: inout VirtioQueues<Memory>) throws(VirtioError) {
    guard queue < roles.count else { return }
    allowance = Self.visitLimit
    while true {
      guard allowance > 0 else { return queues.postpone(queue) }
      guard try queues.pop(queue, into: &chain) else { return }
      switch roles[queue] {
      case .inflate: try pages(isInflation: true, queues.memory)
      case .deflate: try pages(isInflation: false, queues.memory)
      case .reporting: reportFree(queues.memory)
      case .statistics:
        try readStatistics(queues.memory)
        if let head = statisticsHead { try queues.push(queue, head: head, written: 0) }
        statisticsHead = chain.head
        statisticsQueue = queue
        continue
      }
      try queues.push(queue, head: chain.head, written: 0)
    }
  }

  /// Page numbers of 32 bits; neighbours become one run. What is no RAM is left alone.
  private mutating func pages(isInflation: Bool, _ memory: Memory) throws(VirtioError) {
    var run: (first: UInt64, count: UInt64)?
    var offset = 0
    let limit = min(chain.readableCount, 4 * Self.bufferLimit)
    while offset < limit {
      let segments = chain.readable
      var span = buffer.mutableSpan
      var part = span._mutatingExtracting(0..<min(Self.chunkCount, limit - offset))
      let count = try DescriptorChain.copy(from: segments, at: offset, into: &part, memory)
      allowance -= 16  // what is read is work too
      for index in stride(from: 0, to: count & ~3, by: 4) {
        let page =
          UInt64(buffer[index]) | UInt64(buffer[index + 1]) << 8 | UInt64(buffer[index + 2]) << 16
          | UInt64(buffer[index + 3]) << 24
        if let current = run, current.first + current.count == page {
          run?.count += 1
        } else if let current = run, current.first == page + 1 {
          // Linux hands out its pages downwards.
          run = (page, current.count + 1)
        } else {
          if let current = run { hand(current, isInflation, memory) }
          run = (page, 1)
        }
      }
      offset += max(4, count)
    }
    if let run { hand(run, isInflation, memory) }
  }

  /// At most 2^14 pages below 2^32: no overflow. A run that is not all RAM goes page by page.
  private mutating func hand(_ run: (first: UInt64, count: UInt64), _ isInflation: Bool, _ memory: Memory) {
    let size = UInt64(Self.pageCount)
    let segment = GuestSegment(address: GuestAddress(run.first * size), count: Int(run.count * size))
    allowance -= 1
    guard memory.contains(segment) else {
      guard run.count > 1 else { return }
      for page in run.first..<(run.first + run.count) { hand((page, 1), isInflation, memory) }
      return
    }
    if isInflation { backend.discard(segment) } else { backend.restore(segment) }
  }

  /// The buffers are the free pages themselves (5.5.6.7). Parts that are no whole pages are left alone.
  private mutating func reportFree(_ memory: Memory) {
    for segment in chain.writable where memory.contains(segment) {
      guard segment.address.isAligned(to: UInt64(Self.pageCount)), segment.count % Self.pageCount == 0 else { continue }
      allowance -= 1
      backend.discard(segment)
    }
  }

  /// Tags of 16 bits with values of 64 bits, packed (5.5.6.4).
  private mutating func readStatistics(_ memory: Memory) throws(VirtioError) {
    let segments = chain.readable
    var span = buffer.mutableSpan
    var part = span._mutatingExtracting(0..<min(Self.statisticsCount, DescriptorChain.count(segments)))
    let count = try DescriptorChain.copy(from: segments, at: 0, into: &part, memory)
    var statistics = BalloonStatistics()
    for index in stride(from: 0, to: count - count % 10, by: 10) {
      var value: UInt64 = 0
      for byte in 0..<8 { value |= UInt64(buffer[index + 2 + byte]) << UInt64(8 * byte) }
      statistics.set(UInt16(buffer[index]) | UInt16(buffer[index + 1]) << 8, value)
    }
    if count >= 10 { backend.report(statistics) }
  }

  /// Gives the statistics buffer back, which asks for new statistics. False where the driver gave none.
  mutating func askForStatistics(_ queues: inout VirtioQueues<Memory>) throws(VirtioError) -> Bool {
    guard let head = statisticsHead else { return false }
    statisticsHead = nil
    try queues.push(statisticsQueue, head: head, written: 0)
    return true
  }
}

extension VirtioPCI {
  /// Asks the balloon's driver to give up `bytes` in all, to the page, and interrupts it.
  public func setBalloonTarget<Memory, Backend>(_ bytes: UInt64) where Device == VirtioBalloon<Memory, Backend> {
    changeConfiguration { device in
      device.target = bytes
      return true
    }
  }

  /// Asks the balloon's driver for statistics; they reach the backend's `report(_:)`. False where the driver has none
  /// to give, or has not answered yet.
  public func requestStatistics<Memory, Backend>() -> Bool where Device == VirtioBalloon<Memory, Backend> {
    guard isRunning else { return false }
    return withDevice { device, queues throws(VirtioError) in
      try device.askForStatistics(&queues)
    } ?? false
  }
}
