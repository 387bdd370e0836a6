internal import CLinux
internal import Glibc

/// The kernel's server of a network interface's virtqueues (/dev/vhost-net, linux/vhost.h): a thread of the kernel in this
/// process moves frames between a tap and the rings, in the memory that it is shown.
public struct VhostNetworkDevice: ~Copyable, Sendable {
  private let file: FileDescriptor

  /// A run of guest memory.
  public struct Region: Hashable, Sendable {
    /// Guest-physical address.
    public var guest: UInt64
    /// Bytes.
    public var count: Int
    /// Where it begins in the mapping.
    public var offset: Int

    /// `count` bytes at `guest`, which are at `offset` of the mapping.
    public init(guest: UInt64, count: Int, offset: Int) {
      self.guest = guest
      self.count = count
      self.offset = offset
    }
  }

  /// Offsets of a split virtqueue's rings in the mapping.
  public struct Queue: Hashable, Sendable {
    /// Its number.
    public var number: Int
    /// Descriptors in the ring.
    public var size: UInt16
    /// The descriptor table.
    public var descriptors: Int
    /// The available ring.
    public var available: Int
    /// The used ring.
    public var used: Int

    /// Queue `number` with its rings at three places.
    public init(number: Int, size: UInt16, descriptors: Int, available: Int, used: Int) {
      self.number = number
      self.size = size
      self.descriptors = descriptors
      self.available = available
      self.used = used
    }
  }

  /// Most regions that memory may be shown in.
  public static let regionLimit = Int(CLINUX_VHOST_REGIONS)

  /// Opens it; nobody's yet.
  public init() throws(SystemError) {
    file = FileDescriptor(adopting: try systemCall("open", path: "/dev/vhost-net") { clinux_vhost_net_open() })
  }

  /// Feature bits that it knows (VHOST_GET_FEATURES).
  public var features: UInt64 {
    get throws(SystemError) {
      var features: UInt64 = 0
      // SAFETY: eight bytes of a local are written.
      try systemCall("ask for the features of vhost") { unsafe clinux_vhost_features(file.rawValue, &features) }
      return features
    }
  }

  /// Makes it this process's, with a thread of its own (VHOST_SET_OWNER). Before anything that follows.
  public func own() throws(SystemError) {
    try systemCall("start vhost's thread") { clinux_vhost_own(file.rawValue) }
  }

  /// What the driver accepted of them, and the rings have (VHOST_SET_FEATURES).
  public func setFeatures(_ features: UInt64) throws(SystemError) {
    try systemCall("set the features of vhost") { clinux_vhost_set_features(file.rawValue, features) }
  }

  /// Shows it guest memory in place of what it was shown (VHOST_SET_MEM_TABLE), also while it serves; at most
  /// `regionLimit` regions, which lie in `mapping`.
  public func setMemory(_ regions: [Region], in mapping: borrowing Mapping) throws(SystemError) {
    // SAFETY: the caller's regions lie in the mapping, which is checked.
    let table = unsafe regions.map { region in
      precondition(region.offset >= 0 && region.count >= 0 && region.offset <= mapping.count - region.count)
      return unsafe clinux_vhost_region(
        guest: region.guest, count: UInt64(region.count), memory: mapping.base + region.offset)
    }
    // SAFETY: the table lives for the call.
    try systemCall("show memory to vhost") {
      unsafe table.withUnsafeBufferPointer { unsafe clinux_vhost_set_memory(file.rawValue, $0.baseAddress, $0.count) }
    }
  }

  /// Places a queue that is not served, from its beginning: `kick` is signalled when its driver rings, `failed` by the
  /// kernel when it refuses what it finds.
  public func setQueue(
    _ queue: Queue, in mapping: borrowing Mapping, kick: borrowing EventDescriptor, failed: borrowing EventDescriptor
  ) throws(SystemError) {
    let last = 16 * Int(queue.size)
    precondition(
      [queue.descriptors, queue.available, queue.used].allSatisfy { $0 >= 0 && $0 <= mapping.count - last })
    // SAFETY: the rings lie in the mapping, and the kernel checks each access to them against this process's memory.
    var request = unsafe clinux_vhost_queue(
      number: UInt32(queue.number), size: UInt32(queue.size), descriptors: mapping.base + queue.descriptors,
      available: mapping.base + queue.available, used: mapping.base + queue.used, kick: kick.file.rawValue,
      failed: failed.file.rawValue)
    // SAFETY: the structure lives for the call.
    try systemCall("give vhost a queue") { unsafe clinux_vhost_set_queue(file.rawValue, &request) }
  }

  /// What is signalled when buffers of `queue` were used (VHOST_SET_VRING_CALL), also while it serves.
  public func setCall(queue: Int, _ event: borrowing EventDescriptor) throws(SystemError) {
    try systemCall("lead the interrupts of vhost") {
      clinux_vhost_set_call(file.rawValue, UInt32(queue), event.file.rawValue)
    }
  }

  /// Serves `queue` on a tap from now on (VHOST_NET_SET_BACKEND).
  public func start(queue: Int, on tap: borrowing FileDescriptor) throws(SystemError) {
    try systemCall("have vhost serve a tap") {
      clinux_vhost_net_set_backend(file.rawValue, UInt32(queue), tap.rawValue)
    }
  }

  /// Ends that: when it returns, memory is not touched any more.
  public func stop(queue: Int) throws(SystemError) {
    try systemCall("stop vhost") { clinux_vhost_net_set_backend(file.rawValue, UInt32(queue), -1) }
  }
}
