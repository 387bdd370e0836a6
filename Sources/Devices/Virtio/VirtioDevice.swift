/// Feature bits that belong to the transport and the rings (virtio 1.2, chapter 6).
public enum VirtioFeature {
  /// VIRTIO_F_ANY_LAYOUT: offered by the legacy interface alone, as the modern one always means it (6.3).
  public static let anyLayout: UInt64 = 1 << 27
  /// VIRTIO_F_INDIRECT_DESC.
  public static let indirectDescriptors: UInt64 = 1 << 28
  /// VIRTIO_F_EVENT_IDX.
  public static let eventIndex: UInt64 = 1 << 29
  /// VIRTIO_F_VERSION_1.
  public static let version1: UInt64 = 1 << 32
}

/// Device types (virtio 1.2, chapter 5).
public enum VirtioDeviceType: UInt16, Sendable {
  case network = 1
  case block = 2
  case console = 3
  case entropy = 4
  case balloon = 5
  case scsi = 8
  case memory = 24

  /// PCI device ID of the transitional form (4.1.2.1, table 4.1); nil for types that are younger than that.
  var transitionalDevice: UInt16? {
    switch self {
    case .network: 0x1000
    case .block: 0x1001
    case .balloon: 0x1002
    case .console: 0x1003
    case .scsi: 0x1004
    case .entropy: 0x1005
    case .memory: nil
    }
  }

  /// PCI class, subclass and interface: what other monitors show, and old drivers look for.
  var classCode: UInt32 {
    switch self {
    case .network: 0x020000
    case .block, .scsi: 0x010000
    case .console: 0x078000
    case .entropy, .balloon, .memory: 0x00FF00
    }
  }
}

/// A device behind a virtio transport: what its type of device does with its queues. A value that the transport keeps
/// under its lock; no method may wait.
public protocol VirtioDevice: Sendable {
  /// The guest's RAM.
  associatedtype Memory: GuestMemory

  /// The type of device.
  static var type: VirtioDeviceType { get }
  /// Feature bits of the type (0 to 23 and 50 up) that the device offers.
  var features: UInt64 { get }
  /// Largest size of each queue: powers of two up to 32768.
  var queueSizes: [UInt16] { get }
  /// The device's configuration structure.
  var configuration: [UInt8] { get }

  /// The driver wrote to the configuration structure.
  mutating func writeConfiguration(_ value: UInt64, at offset: Int, width: AccessWidth)
  /// The driver is ready (DRIVER_OK), having accepted `features`.
  mutating func start(features: UInt64)
  /// The driver notified `queue`, or may have.
  mutating func serve(_ queue: Int, _ queues: inout VirtioQueues<Memory>) throws(VirtioError)
  /// The driver resets the device: forget everything; what is in flight must not reach the queues any more.
  mutating func reset()
  /// Whether nothing is in flight that may still touch guest memory. The driver's reset is complete only then.
  var isIdle: Bool { get }

  /// Whether whoever serves the queues interrupts by itself, and wants to know where: `lead(_:to:)`.
  static var interruptsByItself: Bool { get }
  /// Interrupts of `queue` go to MSI-X vector `vector`, which is open, or through the transport: nil.
  mutating func lead(_ queue: Int, to vector: Int?)
}

extension VirtioDevice {
  /// The transport interrupts for what was pushed.
  public static var interruptsByItself: Bool { false }
  /// Nobody to tell.
  public mutating func lead(_ queue: Int, to vector: Int?) {}
  /// Nothing is writable.
  public mutating func writeConfiguration(_ value: UInt64, at offset: Int, width: AccessWidth) {}
  /// Nothing to prepare.
  public mutating func start(features: UInt64) {}
  /// Nothing to forget.
  public mutating func reset() {}
  /// Nothing is ever in flight.
  public var isIdle: Bool { true }
}

/// A device's queues, and which of them were given buffers back since the driver was last told.
public struct VirtioQueues<Memory: GuestMemory>: Sendable {
  /// The guest's RAM.
  public let memory: Memory
  /// The queues.
  public internal(set) var queues: [Virtqueue]
  /// Bit per queue.
  private(set) var pushed: UInt64 = 0
  /// Buffers that may still be taken in this visit, so that a driver that never stops adding some keeps nobody here.
  private var budget = 0
  /// Whether the driver shall notify of what it adds after the visit.
  private var asksForNotice = true
  /// Bit per queue that had more when the budget was used up.
  private(set) var backlog: UInt64 = 0

  init(sizes: [UInt16], memory: Memory) {
    self.memory = memory
    queues = sizes.map { Virtqueue(maximumSize: $0) }
  }

  /// Takes the next available buffer of `queue` into `chain`; false when there is none.
  /// Also false when the visit has been long enough; then there is another soon.
  public mutating func pop(_ queue: Int, into chain: inout DescriptorChain) throws(VirtioError) -> Bool {
    guard budget > 0 else {
      postpone(queue)
      return false
    }
    guard try queues[queue].pop(into: &chain, memory, asksForNotice: asksForNotice) else { return false }
    budget -= 1
    return true
  }

  /// Puts the buffer last popped off `queue` back.
  public mutating func unpop(_ queue: Int) {
    queues[queue].unpop()
    budget += 1
  }

  /// Where `queue` is, for somebody else to serve it.
  public func rings(of queue: Int) -> VirtqueueRings {
    let queue = queues[queue]
    return VirtqueueRings(
      size: queue.size, descriptors: queue.descriptors, available: queue.available, used: queue.used)
  }

  /// Hands a buffer of `queue` back with `written` bytes written into it.
  public mutating func push(_ queue: Int, head: UInt16, written: Int) throws(VirtioError) {
    try queues[queue].push(head: head, written: written, memory)
    pushed |= 1 << UInt64(queue & 63)
  }

  /// Hands several buffers of `queue` back, which the driver sees all at once.
  mutating func push(_ queue: Int, _ buffers: [(head: UInt16, written: Int)]) throws(VirtioError) {
    try queues[queue].push(buffers, memory)
    pushed |= 1 << UInt64(queue & 63)
  }

  /// Ends this visit of `queue` before it is empty; there is another soon if there is more.
  mutating func postpone(_ queue: Int) {
    if queues[queue].hasAvailable(memory) { backlog |= 1 << UInt64(queue & 63) }
  }

  /// Buffers that one visit may take.
  static var visitBudget: Int { 1024 }

  /// Begins a visit of the device. Unless it `asksForNotice`, there is another visit soon that nobody asks for.
  mutating func beginVisit(asksForNotice: Bool = true) {
    self.asksForNotice = asksForNotice
    budget = Self.visitBudget
    backlog = 0
  }

  /// The queues that want an interrupt now, a bit each.
  mutating func takeInterrupts() throws(VirtioError) -> UInt64 {
    var wanted: UInt64 = 0
    for index in queues.indices where pushed & (1 << UInt64(index)) != 0 {
      if try queues[index].takeInterruptRequest(memory) { wanted |= 1 << UInt64(index) }
    }
    pushed = 0
    return wanted
  }

  mutating func reset() {
    for index in queues.indices { queues[index].reset() }
    pushed = 0
    backlog = 0
  }
}
