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
