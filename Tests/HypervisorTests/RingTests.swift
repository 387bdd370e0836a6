import CURing
import Platform
import Testing

@testable import Hypervisor

@Suite("Rings", .enabled(if: Host.ringRefusal == nil, Host.ringReason))
struct RingTests {
  /// A ring as a disk's, made by hand to ask it for more than a disk would.
  @safe
  private struct RawRing: ~Copyable {
    private let ring: UnsafeMutablePointer<io_uring>
    /// Whether the kernel lets a ring be restricted before it starts.
    let isRestricted: Bool

    init() throws {
      let ring = UnsafeMutablePointer<io_uring>.allocate(capacity: 1)
      // SAFETY: the structure is on the heap until `deinit`; liburing fills all of it.
      let codes = unsafe [curing_init(ring, 4), curing_restrict(ring), curing_begin(ring)]
      try #require(codes == [0, 0, 0])
      isRestricted = unsafe ring.pointee.flags & (1 << 6) != 0  // IORING_SETUP_R_DISABLED
      unsafe self.ring = ring
    }

    deinit {
      // SAFETY: made in `init`.
      unsafe io_uring_queue_exit(ring)
      unsafe ring.deallocate()
    }

    /// Opens a file (openat(2)); the result.
    func open(_ path: String) -> Int32? {
      // SAFETY: the path lives until the operation has ended.
      unsafe path.withCString { path in
        guard let entry = unsafe io_uring_get_sqe(ring) else { return nil }
        unsafe io_uring_prep_openat(entry, -100, path, 0, 0)
        return result()
      }
    }

    /// Does nothing; the result.
    func nothing() -> Int32? {
      // SAFETY: the ring lives.
      guard let entry = unsafe io_uring_get_sqe(ring) else { return nil }
      unsafe io_uring_prep_nop(entry)
      return result()
    }

    /// fdatasync(2); the result.
    func synchronize(_ file: Int32) -> Int32? {
      // SAFETY: the ring lives.
      unsafe curing_fdatasync(ring, file, 1) == 1 ? result() : nil
    }

    private func result() -> Int32? {
      var tag: UInt64 = 0
      var result: Int32 = 0
      var hasMore: Int32 = 0
      // SAFETY: the ring and the locals live for the calls.
      guard unsafe curing_submit(ring, 1) >= 0, unsafe curing_next(ring, &tag, &result, &hasMore) != 0 else {
        return nil
      }
      return result
    }
  }

  @Test("A ring refuses what disks do not need, as it goes round filters of system calls")
  func restricted() throws {
    let ring = try RawRing()
    guard ring.isRestricted else { try Test.cancel("skipped: this kernel starts rings at once") }
    let (file, nothing) = (ring.open("/etc/passwd"), ring.nothing())
    #expect(file == -13 && nothing == -13)
    let memory = try FileDescriptor.inMemory("ring", count: 4096)
    let synchronized = ring.synchronize(memory.rawValue)
    #expect(synchronized == 0)
  }

  @Test("A supply that was prepared gives the rings that it has, and then none")
  func supply() throws {
    let open = RingSupply()
    for _ in 0..<3 {
      let entries = try open.take(entries: 4).entries
      #expect(entries == 4)
    }
    let closed = RingSupply()
    closed.prepare(2)
    for _ in 0..<2 {
      let entries = try closed.take(entries: 4).entries
      #expect(entries == Int(RingEngine.entries))
    }
    #expect(throws: SystemError("take another ring than those of the start", errno: .notPermitted)) {
      _ = try closed.take(entries: 4)
    }
  }
}
