internal import CLinux
internal import Glibc

/// Memory shared with the kernel, a device or a guest, owned: it is unmapped when the owner goes.
@safe
public struct Mapping: ~Copyable, @unchecked Sendable {
  /// First byte. Others may write behind it at any time: never make a `Span` of it; copy, or use atomics.
  @unsafe public let base: UnsafeMutableRawPointer
  /// Length in bytes.
  public let count: Int

  /// Maps `count` bytes of `file` from byte `offset`, shared.
  public init(
    sharing file: borrowing FileDescriptor, count: Int, offset: Int = 0, writable: Bool = true
  ) throws(SystemError) {
    try self.init(
      count: count, protection: writable ? PROT_READ | PROT_WRITE : PROT_READ, flags: MAP_SHARED,
      descriptor: file.rawValue, offset: offset)
  }

  /// Maps all `count` bytes of a memory file, shared, where the kernel can serve them with huge pages: from an address
  /// that is a multiple of 2 MiB, with the advice to do so (madvise(2), MADV_HUGEPAGE). Whether it does is for the
  /// system's `transparent_hugepage/shmem_enabled` to say.
  public init(sharingHuge file: borrowing FileDescriptor, count: Int) throws(SystemError) {
    let alignment = 2 << 20
    // SAFETY: a reservation at an address of the kernel's choice aliases nothing of this process.
    let reserved = unsafe mmap(
      nil, count + alignment, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
    guard let start = unsafe reserved, unsafe start != MAP_FAILED else {
      throw SystemError("reserve \(count) bytes of address space", errno: currentErrno())
    }
    let skipped = (alignment - Int(bitPattern: start) % alignment) % alignment
    let aligned = unsafe start + skipped
    // SAFETY: the range lies in the reservation, which nobody else knows.
    let address = unsafe mmap(
      aligned, count, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file.rawValue, 0)
    guard unsafe address == aligned else {
      let code = currentErrno()
      _ = unsafe munmap(start, count + alignment)
      throw SystemError("map \(count) bytes of memory", errno: code)
    }
    // SAFETY: what is left of the reservation before and behind the mapping.
    if skipped > 0 { _ = unsafe munmap(start, skipped) }
    if skipped < alignment { _ = unsafe munmap(aligned + count, alignment - skipped) }
    // Advice: a kernel without huge pages refuses it, and nothing is lost.
    _ = unsafe madvise(aligned, count, MADV_HUGEPAGE)
    unsafe base = aligned
    self.count = count
  }

  /// Maps `count` fresh zero bytes, private to this process.
  public init(anonymous count: Int) throws(SystemError) {
    try self.init(
      count: count, protection: PROT_READ | PROT_WRITE, flags: MAP_PRIVATE | MAP_ANONYMOUS, descriptor: -1, offset: 0)
  }

  private init(count: Int, protection: Int32, flags: Int32, descriptor: Int32, offset: Int) throws(SystemError) {
    // SAFETY: a new mapping at an address of the kernel's choice aliases nothing of this process.
    let address = unsafe mmap(nil, count, protection, flags, descriptor, offset)
    guard let address = unsafe address, unsafe address != MAP_FAILED else {
      throw SystemError("map \(count) bytes of memory", errno: currentErrno())
    }
    unsafe self.base = address
    self.count = count
  }

  deinit {
    // SAFETY: the range is the one that was mapped, and no borrow outlives the owner.
    _ = unsafe munmap(base, count)
  }
}

extension FileDescriptor {
  /// A file that lives in memory only, `count` bytes long; `name` is for /proc.
  public static func inMemory(_ name: String, count: Int) throws(SystemError) -> FileDescriptor {
    // SAFETY: the C string lives for the call.
    let number = try systemCall("memfd_create") { unsafe clinux_memfd_create(name) }
    let file = FileDescriptor(adopting: number)
    try file.truncate(to: count)
    return file
  }
}
