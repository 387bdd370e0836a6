/// What a disk does for the guest. Offsets and lengths are in bytes.
public struct BlockOperation: Sendable {
  /// Names the operation when it completes; unique for the life of the device, resets included.
  public var id: UInt64
  /// What is to be done.
  public var kind: Kind
  /// Where on the disk, in bytes.
  public var offset: UInt64
  /// How many bytes of the disk. For reads and writes it is the sum of `segments`.
  public var count: UInt64
  /// Where in the guest, checked to be RAM; empty but for reads and writes.
  public var segments: [GuestSegment]

  /// The kinds of operation.
  public enum Kind: Sendable {
    case read, write, flush, discard
    /// `unmap` lets the backend deallocate the range.
    case writeZeroes(unmap: Bool)
  }

  /// An operation of `kind`.
  public init(id: UInt64, kind: Kind, offset: UInt64, count: UInt64, segments: [GuestSegment]) {
    self.id = id
    self.kind = kind
    self.offset = offset
    self.count = count
    self.segments = segments
  }
}

/// How an operation ended.
public enum BlockResult: Sendable {
  case success
  /// The medium failed; the guest sees an I/O error.
  case failure
  /// The backend cannot do this kind of operation.
  case unsupported
}

/// An operation that ended.
public struct BlockCompletion: Sendable {
  /// Names the operation.
  public var id: UInt64
  /// How it ended.
  public var result: BlockResult

  /// The end of operation `id`.
  public init(id: UInt64, result: BlockResult) {
    self.id = id
    self.result = result
  }
}

/// A disk, as the monitor provides it. `submit` is called with the device's lock held, on the thread that serves
/// the queue: it must hand the work over and return. Operations run in any order and at the same time; `flush`
/// makes durable what had completed when it was submitted.
public protocol BlockBackend: Sendable {
  /// Size in bytes; a part beyond the last whole 512-byte sector is not shown to the guest.
  var capacity: UInt64 { get }
  /// Whether writes are refused.
  var isReadOnly: Bool { get }
  /// What the guest reads as the disk's serial (at most 20 bytes of ASCII).
  var identifier: String { get }
  /// Logical block size in bytes: 512, or 4096.
  var blockSize: Int { get }
  /// Whether `discard` and `writeZeroes` are worth offering.
  var canDiscard: Bool { get }

  /// Begins `operation`. The result if it is known at once; nil when `VirtioPCI.complete(_:)` will be called
  /// with it, on another thread or later.
  func submit(_ operation: BlockOperation) -> BlockResult?
}

extension BlockBackend {
  /// 512 bytes.
  public var blockSize: Int { 512 }
  /// Not worth offering.
  public var canDiscard: Bool { false }
}

/// What a network port agrees on with a virtio driver: a tap's, usually. Frames carry `virtio_net_hdr` (virtio 1.2, 5.1.6)
/// in front; a tap with IFF_VNET_HDR reads and writes just that.
///
/// Called with the device's lock held: it must not wait.
public protocol NetworkPort: Sendable {
  /// Which offloads the guest may use when it transmits.
  var offloads: NetworkOffloads { get }
  /// Told once per negotiation what the guest accepts when it receives: the tap's TUNSETOFFLOAD.
  func setOffloads(_ offloads: NetworkOffloads)
  /// Told once per negotiation how long the header is from now on: 12 bytes, or 10 for a driver from before virtio 1.0,
  /// whose header ends before `num_buffers` (the tap's TUNSETVNETHDRSZ). False where the port cannot do that: then it
  /// carries nothing.
  func setHeaderCount(_ count: Int) -> Bool
}

/// A network port that frames are handed to, one by one.
public protocol NetworkBackend: NetworkPort {
  /// Sends the frame in `segments`, which are RAM. A frame that cannot be sent is dropped, as on a wire.
  func transmit(_ segments: [GuestSegment])
  /// Puts the next frame into `segments`, which are RAM, and what does not fit there into `rest`; what does not fit there
  /// either is lost. Its length with header, as far as it was put somewhere; nil when none is waiting.
  func receive(into segments: [GuestSegment], rest: inout [UInt8]) -> Int?
}

/// A network port that takes frames out of the guest's memory and puts them there by itself, queue by queue: the kernel,
/// which is shown that memory.
public protocol NetworkQueueServer: NetworkPort {
  /// Feature bits of rings and headers that it knows (virtio 1.2, chapter 6 and 5.1.3).
  var ringFeatures: UInt64 { get }
  /// Begins to serve a queue, under what was negotiated of rings and headers. False, having said why, where it cannot.
  func start(queue: Int, _ rings: VirtqueueRings, features: UInt64) -> Bool
  /// Looks at a queue that the driver rang for by a way that the server does not hear.
  func kick(queue: Int)
  /// From now on the queue interrupts on MSI-X vector `vector` without a detour, or tells the monitor: nil.
  func lead(queue: Int, to vector: Int?)
  /// Ends serving a queue: when this returns, it does not touch guest memory any more.
  func stop(queue: Int)
}

/// Where a virtqueue is that somebody else serves, from its beginning; all of it is RAM (virtio 1.2, 2.7).
public struct VirtqueueRings: Hashable, Sendable {
  /// Descriptors in the ring: a power of two.
  public var size: UInt16
  /// Guest-physical address of the descriptor table.
  public var descriptors: UInt64
  /// Guest-physical address of the available ring.
  public var available: UInt64
  /// Guest-physical address of the used ring.
  public var used: UInt64

  /// Rings at three addresses.
  public init(size: UInt16, descriptors: UInt64, available: UInt64, used: UInt64) {
    self.size = size
    self.descriptors = descriptors
    self.available = available
    self.used = used
  }
}

/// A wire for adapters that move whole Ethernet frames without any header of the host's.
///
/// Called with the device's lock held: it must not wait.
public protocol FrameBackend: Sendable {
  /// Sends one frame, without its check sequence; dropped when it cannot be sent.
  func transmit(_ frame: Span<UInt8>)
  /// Puts the next frame, without its check sequence, into `destination`: its length; nil when none is waiting.
  func receive(into destination: inout MutableSpan<UInt8>) -> Int?
}

extension NetworkPort {
  /// Twelve bytes and no other.
  public func setHeaderCount(_ count: Int) -> Bool { count == 12 }
}

/// Checksum and segmentation offloads of a network port (virtio 1.2, 5.1.3).
public struct NetworkOffloads: OptionSet, Sendable {
  /// The bits.
  public let rawValue: UInt8

  /// A set of the bits in `rawValue`.
  public init(rawValue: UInt8) {
    self.rawValue = rawValue
  }

  /// Frames may come with checksums that are yet to be filled in.
  public static let checksum = NetworkOffloads(rawValue: 1)
  /// TCP over IPv4 may come in segments beyond the MTU.
  public static let tcp4 = NetworkOffloads(rawValue: 2)
  /// TCP over IPv6 may come in segments beyond the MTU.
  public static let tcp6 = NetworkOffloads(rawValue: 4)
}

/// Where a console's or serial port's output goes. Called with the device's lock held: buffer, drop the oldest, but
/// never wait.
public protocol ByteSink: Sendable {
  /// Takes one byte.
  func write(_ byte: UInt8)
  /// Takes a run of bytes.
  func write(_ bytes: Span<UInt8>)
}

extension ByteSink {
  /// Takes the bytes one by one.
  public func write(_ bytes: Span<UInt8>) {
    for index in bytes.indices { write(bytes[index]) }
  }
}

/// Random bytes fit for keys.
public protocol EntropySource: Sendable {
  /// Fills all of `destination`.
  func fill(_ destination: inout MutableSpan<UInt8>)
}

/// A disk that is read and written in place, on the thread that asks: for controllers of a time when drives were slower
/// than any medium of today. Called with the controller's lock held.
public protocol SectorStore: Sendable {
  /// Size in bytes; a part beyond the last whole sector is not shown to the guest.
  var capacity: UInt64 { get }
  /// Whether writes are refused.
  var isReadOnly: Bool { get }
  /// Fills `destination` from byte `offset`. False: the medium failed, and what `destination` holds is undefined.
  func read(at offset: UInt64, into destination: inout MutableSpan<UInt8>) -> Bool
  /// Writes `source` at byte `offset`. False: the medium failed.
  func write(at offset: UInt64, from source: Span<UInt8>) -> Bool
  /// Makes durable what was written. False: the medium failed.
  func flush() -> Bool
}
