internal import CLinux
internal import Glibc

/// Checked copies between this process and memory that others write at the same time. A range outside the mapping
/// is a mistake of the caller and traps: what a guest named must have been checked before.
extension Mapping {
  /// Copies the bytes from `offset` on into all of `destination`.
  public func read(at offset: Int, into destination: inout MutableSpan<UInt8>) {
    check(offset, destination.count)
    guard !destination.isEmpty else { return }
    // SAFETY: both ranges were checked; memcpy of bytes that others write may tear, which callers allow for.
    unsafe destination.withUnsafeMutableBytes { buffer in
      guard let target = buffer.baseAddress else { return }
      unsafe memcpy(target, base + offset, buffer.count)
    }
  }

  /// Copies all of `source` to `offset`.
  public func write(at offset: Int, from source: Span<UInt8>) {
    check(offset, source.count)
    // SAFETY: both ranges were checked.
    unsafe source.withUnsafeBytes { buffer in
      guard let bytes = buffer.baseAddress else { return }
      unsafe memcpy(base + offset, bytes, buffer.count)
    }
  }

  /// Fills `count` bytes from `offset` with zeros.
  public func zero(at offset: Int, count: Int) {
    fill(at: offset, count: count, with: 0)
  }

  /// Sets `count` bytes from `offset` to `byte`.
  public func fill(at offset: Int, count: Int, with byte: UInt8) {
    check(offset, count)
    // SAFETY: the range was checked.
    unsafe memset(base + offset, Int32(byte), count)
  }

  /// Gives the whole pages of `count` bytes from `offset` back to where they came from: they read as zeros, and cost
  /// nothing until they are written again (madvise(2), MADV_REMOVE).
  public func discard(at offset: Int, count: Int) throws(SystemError) {
    check(offset, count)
    let page = 4096
    let first = (offset + page - 1) & ~(page - 1)
    let end = (offset + count) & ~(page - 1)
    guard first < end else { return }
    // SAFETY: the range was checked.
    try systemCall("give memory back") { unsafe madvise(base + first, end - first, MADV_REMOVE) }
  }

  /// The integer at `offset`, in the machine's byte order; it need not be aligned.
  @inline(__always)
  public func load<T: FixedWidthInteger & BitwiseCopyable>(_: T.Type = T.self, at offset: Int) -> T {
    check(offset, MemoryLayout<T>.size)
    // SAFETY: the range was checked.
    return unsafe base.loadUnaligned(fromByteOffset: offset, as: T.self)
  }

  /// Stores an integer at `offset`, in the machine's byte order; it need not be aligned.
  @inline(__always)
  public func store<T: FixedWidthInteger & BitwiseCopyable>(_ value: T, at offset: Int) {
    check(offset, MemoryLayout<T>.size)
    // SAFETY: the range was checked.
    unsafe base.storeBytes(of: value, toByteOffset: offset, as: T.self)
  }

  /// A 16-bit load with acquire ordering; `offset` is even.
  public func loadAcquiring(at offset: Int) -> UInt16 {
    check(offset, 2)
    precondition(offset & 1 == 0)
    // SAFETY: in range and aligned, as was checked.
    return unsafe clinux_load_acquire16(base + offset)
  }

  /// A 16-bit store with release ordering; `offset` is even.
  public func storeReleasing(_ value: UInt16, at offset: Int) {
    check(offset, 2)
    precondition(offset & 1 == 0)
    // SAFETY: in range and aligned, as was checked.
    unsafe clinux_store_release16(base + offset, value)
  }

  @inline(__always)
  private func check(_ offset: Int, _ count: Int) {
    precondition(offset >= 0 && count >= 0 && offset <= self.count && count <= self.count - offset)
  }
}

/// A run of bytes of a mapping, for vectored reads and writes.
public struct MappedRun: Hashable, Sendable {
  /// Byte offset in the mapping.
  public var offset: Int
  /// Length in bytes.
  public var count: Int

  /// The `count` bytes from `offset`.
  public init(offset: Int, count: Int) {
    self.offset = offset
    self.count = count
  }
}

extension FileDescriptor {
  /// Reads from byte `position` of the file (nil: where it stands, as of a tap) into the runs of `memory`, one after
  /// another. How many bytes came; 0 at the end.
  public func read(
    into memory: borrowing Mapping, _ runs: ArraySlice<MappedRun>, at position: Int?
  ) throws(SystemError) -> Int {
    let number = rawValue
    // SAFETY: `vector` hands out checked vectors.
    return try unsafe Self.vector("read", memory, runs) { vectors, count in
      // SAFETY: the vectors were checked to lie in the mapping, which is borrowed until the call is over.
      unsafe position.map { unsafe preadv(number, vectors, count, $0) } ?? readv(number, vectors, count)
    }
  }

  /// Reads where the file stands, as of a tap, into the runs of `memory` one after another, and what does not fit there
  /// into `rest`. How many bytes came.
  public func read(
    into memory: borrowing Mapping, _ runs: ArraySlice<MappedRun>, rest: inout [UInt8]
  ) throws(SystemError) -> Int {
    let number = rawValue
    var failure: SystemError?
    // SAFETY: the bytes of `rest` are this call's until it returns, and `vector` hands out checked vectors.
    let count = unsafe rest.withUnsafeMutableBytes { bytes in
      do throws(SystemError) {
        return try unsafe Self.vector("read", memory, runs, and: bytes) { unsafe readv(number, $0, $1) }
      } catch {
        failure = error
        return 0
      }
    }
    if let failure { throw failure }
    return count
  }

  /// Writes the runs of `memory` one after another to byte `position` of the file (nil: where it stands).
  /// How many bytes were taken.
  public func write(
    from memory: borrowing Mapping, _ runs: ArraySlice<MappedRun>, at position: Int?
  ) throws(SystemError) -> Int {
    let number = rawValue
    // SAFETY: `vector` hands out checked vectors.
    return try unsafe Self.vector("write", memory, runs) { vectors, count in
      // SAFETY: the vectors were checked to lie in the mapping, which is borrowed until the call is over.
      unsafe position.map { unsafe pwritev(number, vectors, count, $0) } ?? writev(number, vectors, count)
    }
  }

  private static func vector(
    _ operation: String, _ memory: borrowing Mapping, _ runs: ArraySlice<MappedRun>,
    and rest: UnsafeMutableRawBufferPointer? = nil,
    _ body: (UnsafePointer<iovec>?, Int32) -> Int
  ) throws(SystemError) -> Int {
    let limit = memory.count
    for run in runs {
      precondition(run.offset >= 0 && run.count >= 0 && run.offset <= limit && run.count <= limit - run.offset)
    }
    // SAFETY: only the address is taken; the mapping is borrowed until this function returns.
    let base = unsafe memory.base
    let hasRest = unsafe rest?.isEmpty == false
    let own = min(runs.count, hasRest ? 1023 : 1024)  // IOV_MAX is 1024
    let count = own + (hasRest ? 1 : 0)
    var failure: SystemError?
    // SAFETY: `count` vectors are initialised before the call sees them.
    let result = unsafe withUnsafeTemporaryAllocation(of: iovec.self, capacity: count) { vectors in
      for (index, run) in runs.prefix(own).enumerated() {
        unsafe vectors.initializeElement(at: index, to: iovec(iov_base: base + run.offset, iov_len: run.count))
      }
      if hasRest, let rest = unsafe rest {
        unsafe vectors.initializeElement(at: own, to: iovec(iov_base: rest.baseAddress, iov_len: rest.count))
      }
      do throws(SystemError) {
        return try systemCall(operation) { unsafe body(UnsafePointer(vectors.baseAddress), Int32(count)) }
      } catch {
        failure = error
        return 0
      }
    }
    if let failure { throw failure }
    return result
  }
}
