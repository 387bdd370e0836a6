internal import CURing
internal import Platform

/// A submission queue and a completion queue shared with the kernel (io_uring(7)), owned: they go with the owner.
///
/// Concurrency model: made by any thread, then used by the one that calls `begin`.
@safe
struct IORing: ~Copyable, @unchecked Sendable {
  /// What the kernel answered.
  struct Completion {
    /// The name the operation was given.
    var tag: Int
    /// Bytes transferred, 0, or a negative error number.
    var result: Int32
    /// The same operation completes again.
    var hasMore: Bool
  }

  private let ring: UnsafeMutablePointer<io_uring>
  /// Entries of the submission queue, a power of two; the completion queue has twice as many (io_uring_setup(2)).
  let entries: Int
  /// Whether it refuses what disks do not need; older kernels' rings cannot.
  let isRestricted: Bool

  /// Queues with at least `entries` entries, for what disks need and nothing else: a ring goes round filters of system
  /// calls, and could open files and make connections.
  ///
  /// Throws what the kernel said: not implemented, not permitted (`io_uring_disabled`, seccomp), out of memory.
  init(entries: UInt32) throws(SystemError) {
    let ring = UnsafeMutablePointer<io_uring>.allocate(capacity: 1)
    // SAFETY: the structure is on the heap until `deinit`; liburing fills all of it.
    let code = unsafe curing_init(ring, entries)
    guard code == 0 else {
      unsafe ring.deallocate()
      throw SystemError("io_uring_setup", errno: Errno(rawValue: 0 &- code))
    }
    // SAFETY: the ring was initialised.
    guard unsafe curing_is_complete(ring) != 0 else {
      unsafe io_uring_queue_exit(ring)
      unsafe ring.deallocate()
      throw SystemError("io_uring_register", errno: .notImplemented)
    }
    // SAFETY: the ring was initialised.
    let refusal = unsafe curing_restrict(ring)
    guard refusal == 0 else {
      unsafe io_uring_queue_exit(ring)
      unsafe ring.deallocate()
      throw SystemError("io_uring_register", errno: Errno(rawValue: 0 &- refusal))
    }
    unsafe self.ring = ring
    isRestricted = unsafe ring.pointee.flags & (1 << 6) != 0  // IORING_SETUP_R_DISABLED
    self.entries = unsafe Int(ring.pointee.sq.ring_entries)
  }

  deinit {
    // SAFETY: initialised in `init`; the owner has waited for what it submitted, so the kernel uses no vectors any more.
    unsafe io_uring_queue_exit(ring)
    unsafe ring.deallocate()
  }

  /// The calling thread is the one that uses the queues from now on; before the first use.
  func begin() {
    // SAFETY: the ring lives.
    let code = unsafe curing_begin(ring)
    precondition(code == 0, "a ring that was just made cannot be used")
  }

  // MARK: Submission

  /// Prepares a vectored read (IORING_OP_READV) at byte `offset`. `vectors` stay as they are until its completion.
  func read(_ file: Int32, _ vectors: VectorList, at offset: Int, tag: Int) {
    // SAFETY: the caller keeps the list, and what its vectors point at, until the completion.
    expect(unsafe curing_readv(ring, file, vectors.base, vectors.count, UInt64(offset), UInt64(tag)))
  }

  /// Prepares a vectored write (IORING_OP_WRITEV) at byte `offset`. `vectors` stay as they are until its completion.
  func write(_ file: Int32, _ vectors: VectorList, at offset: Int, tag: Int) {
    // SAFETY: the caller keeps the list, and what its vectors point at, until the completion.
    expect(unsafe curing_writev(ring, file, vectors.base, vectors.count, UInt64(offset), UInt64(tag)))
  }

  /// Prepares an fdatasync(2) (IORING_OP_FSYNC).
  func synchronizeData(_ file: Int32, tag: Int) {
    // SAFETY: the ring lives, and no memory is handed over.
    expect(unsafe curing_fdatasync(ring, file, UInt64(tag)))
  }

  /// Prepares making `count` bytes of a file at `offset` read as zeros (IORING_OP_FALLOCATE); as a hole, unless
  /// `keepAllocated`.
  func zero(_ file: Int32, at offset: Int, count: Int, keepAllocated: Bool, tag: Int) {
    // SAFETY: the ring lives, and no memory is handed over.
    expect(
      unsafe curing_zero(
        ring, file, keepAllocated ? 1 : 0, Int64(offset), Int64(count), UInt64(tag)))
  }

  private func expect(_ hadEntry: Int32) {
    precondition(hadEntry != 0, "more operations than the ring has entries")
  }

  /// Prepares a completion each time that `event` is signalled (IORING_OP_POLL_ADD), as long as completions have more.
  /// Nobody needs to take the event's count.
  func watch(_ event: borrowing EventDescriptor, tag: Int) {
    // SAFETY: the ring lives, and no memory is handed over.
    expect(unsafe curing_watch(ring, event.file.rawValue, UInt64(tag)))
  }

  /// Hands to the kernel what was prepared, and waits for a completion if so asked (io_uring_enter(2)); false when the
  /// kernel is short of memory for now. What it did not take goes with the next call.
  func submit(waits: Bool) -> Bool {
    // SAFETY: the ring lives.
    let code = unsafe curing_submit(ring, waits ? 1 : 0)
    return code >= 0 || Errno(rawValue: 0 &- code) == .interrupted
  }

  // MARK: Completion

  /// The next completion; nil when there is none yet.
  func next() -> Completion? {
    var tag: UInt64 = 0
    var result: Int32 = 0
    var hasMore: Int32 = 0
    // SAFETY: the ring and the locals live for the call.
    guard unsafe curing_next(ring, &tag, &result, &hasMore) != 0 else { return nil }
    return Completion(tag: Int(truncatingIfNeeded: tag), result: result, hasMore: hasMore != 0)
  }
}

/// Vectors of guest memory that the kernel reads while an operation is in flight (`struct iovec`, readv(2)).
@safe
final class VectorList {
  /// Most vectors that one call takes (IOV_MAX).
  static let limit = 1024

  /// `struct iovec`.
  private struct Vector {
    var address: UInt
    var count: Int  // bytes
  }

  private let vectors: UnsafeMutablePointer<Vector>
  private let capacity: Int
  /// How many there are.
  private(set) var count: UInt32 = 0

  /// Room for up to `capacity` vectors, at most `limit`.
  init(capacity: Int) {
    self.capacity = min(capacity, Self.limit)
    unsafe vectors = .allocate(capacity: self.capacity)
  }

  deinit {
    // SAFETY: allocated in `init`; the elements are trivial.
    unsafe vectors.deallocate()
  }

  /// The first vector, for the kernel.
  @unsafe var base: UnsafeRawPointer { unsafe UnsafeRawPointer(vectors) }

  /// Lets the list be the first `limit` of `runs`, in `memory`, which must outlive its use. No operation may be using
  /// the list.
  func fill(_ runs: ArraySlice<MappedRun>, in memory: borrowing Mapping) {
    var filled = 0
    for run in runs.prefix(capacity) {
      precondition(
        run.offset >= 0 && run.count >= 0 && run.offset <= memory.count && run.count <= memory.count - run.offset)
      // SAFETY: `filled` stays below the capacity, and the run was checked to lie in the mapping.
      unsafe (vectors + filled).initialize(
        to: Vector(address: UInt(bitPattern: memory.base + run.offset), count: run.count))
      filled += 1
    }
    count = UInt32(filled)
  }
}
