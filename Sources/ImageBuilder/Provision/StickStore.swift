internal import Platform

/// Where a stick's bytes go: a device or a file, or a double in tests.
///
/// Concurrency model: reads and writes may come from several threads at once; the others from one at a time.
protocol StickStore: Sendable {
  /// Bytes.
  var size: Int { get }
  /// The least that can be written, in bytes: a medium has all of it after the power was cut, or nothing.
  var unit: Int { get }
  /// Writes all of `bytes`.
  func write(_ bytes: Span<UInt8>, at offset: Int) throws(SystemError)
  /// Fills `bytes` as far as there are any. How many came.
  func read(into bytes: inout MutableSpan<UInt8>, at offset: Int) throws(SystemError) -> Int
  /// Brings what was written to the medium, and drops what the system keeps of it: what is read then comes from there.
  func flush() throws(SystemError)
  /// Has the kernel read the partition table again. What keeps it from doing so, in words; nil when it did.
  func announceTable() -> String?
}

/// A block device or a regular file, past the page cache where that can be.
final class DeviceStore: StickStore {
  let size: Int
  private let file: FileDescriptor
  private let isDevice: Bool

  /// Opens a device for this process alone: the kernel refuses it (`busy`) while it is mounted or a part of something.
  init(device path: String) throws(SystemError) {
    file = try FileDescriptor(opening: path, [.readWrite, .exclusive, .direct])
    size = try file.length()
    isDevice = true
  }

  /// Opens or makes a file, which becomes `size` bytes of nothing.
  init(file path: String, size: Int) throws(SystemError) {
    do throws(SystemError) {
      file = try FileDescriptor(opening: path, [.readWrite, .create, .direct])
    } catch {
      guard error.errno == .invalidArgument else { throw error }
      // Not every file system goes past the page cache.
      file = try FileDescriptor(opening: path, [.readWrite, .create])
    }
    try file.truncate(to: 0)
    try file.truncate(to: size)
    self.size = size
    isDevice = false
  }

  /// A device's sector, which is checked to be no other; of a file a page, as the disk that it is on may have such sectors.
  var unit: Int { isDevice ? GUIDPartitionTable.sector : 4096 }

  /// Bytes of a sector, which reads, writes and partitions are counted in; 512 for a file.
  func sectorSize() throws(SystemError) -> Int {
    guard isDevice else { return 512 }
    var size: Int32 = 0
    // SAFETY: BLKSSZGET writes an int (linux/fs.h).
    try unsafe file.control(0x1268, &size, "find the sector size")
    return Int(size)
  }

  func write(_ bytes: Span<UInt8>, at offset: Int) throws(SystemError) {
    try file.write(bytes, at: offset)
  }

  func read(into bytes: inout MutableSpan<UInt8>, at offset: Int) throws(SystemError) -> Int {
    try file.read(into: &bytes, at: offset)
  }

  func flush() throws(SystemError) {
    try file.synchronize()
    // A courtesy where reads go past the cache anyway.
    try? file.dropCache()
  }

  func announceTable() -> String? {
    guard isDevice else { return nil }
    var refusal: Errno?
    for _ in 0..<20 {
      do throws(SystemError) {
        try file.control(0x125F, "read the partition table again")  // BLKRRPART
        return nil
      } catch {
        // Loop and mapped devices may have no partitions.
        if error.errno == .invalidArgument { return nil }
        refusal = error.errno
        // Others look at a device that was written to; they are soon done.
        MonotonicClock.sleep(milliseconds: 100)
      }
    }
    return refusal.map { "the kernel still has the old partition table (\($0)); take the stick out and in again" }
  }
}
