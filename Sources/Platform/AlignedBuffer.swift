internal import Glibc

/// Memory that begins at a page, as reads and writes past the page cache (O_DIRECT) demand; it goes with its owner.
@safe
public struct AlignedBuffer: ~Copyable {
  /// Length in bytes.
  public let count: Int
  @unsafe private let buffer: UnsafeMutableBufferPointer<UInt8>

  /// `count` bytes of zeros.
  public init(count: Int) {
    self.count = count
    // SAFETY: allocated and initialised here, freed in deinit, never resized.
    let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 4096)
    unsafe memory.initializeMemory(as: UInt8.self, repeating: 0)
    unsafe buffer = memory.bindMemory(to: UInt8.self)
  }

  /// A copy of `bytes`.
  public init(_ bytes: [UInt8]) {
    self.init(count: bytes.count)
    // SAFETY: both have `count` bytes.
    _ = unsafe buffer.update(fromContentsOf: bytes)
  }

  deinit {
    // SAFETY: allocated in init; no span outlives the owner.
    unsafe UnsafeMutableRawBufferPointer(buffer).deallocate()
  }

  /// The bytes, to read.
  public var bytes: Span<UInt8> {
    @_lifetime(borrow self)
    get {
      // SAFETY: the memory lives as long as this owner, on which the span depends.
      let span = unsafe Span(_unsafeElements: UnsafeBufferPointer(buffer))
      return unsafe _overrideLifetime(span, borrowing: self)
    }
  }

  /// The first `count` bytes, to change.
  @_lifetime(&self)
  public mutating func mutablePrefix(_ count: Int) -> MutableSpan<UInt8> {
    // SAFETY: `extracting` checks the bounds; the memory lives as long as this owner, on which the span depends, and is
    // borrowed by nobody else.
    let span = unsafe MutableSpan(_unsafeElements: buffer.extracting(0..<count))
    return unsafe _overrideLifetime(span, mutating: &self)
  }

  /// Whether the first `count` bytes are the same as those of `other`.
  public func hasSamePrefix(as other: borrowing AlignedBuffer, count: Int) -> Bool {
    precondition(count >= 0 && count <= self.count && count <= other.count)
    guard let mine = unsafe buffer.baseAddress, let theirs = unsafe other.buffer.baseAddress else { return true }
    // SAFETY: both have at least `count` bytes, as was checked.
    return unsafe memcmp(mine, theirs, count) == 0
  }

  /// Fills a range with zeros.
  public mutating func zero(_ range: Range<Int>) {
    // SAFETY: `extracting` checks the bounds.
    unsafe buffer.extracting(range).update(repeating: 0)
  }
}

extension FileDescriptor {
  /// Drops what the page cache has of this file and what is already on the medium, so that reads come from there
  /// (posix_fadvise(2), POSIX_FADV_DONTNEED).
  public func dropCache() throws(SystemError) {
    let code = posix_fadvise(rawValue, 0, 0, POSIX_FADV_DONTNEED)
    if code != 0 { throw SystemError("drop the cache", errno: Errno(rawValue: code)) }
  }
}
