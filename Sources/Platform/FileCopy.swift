internal import CLinux
internal import Glibc

extension Files {
  /// Makes `target` a copy of the file `source`: without copying where the file system shares blocks between files
  /// (ioctl_ficlone(2)), else without its holes.
  public static func copy(_ source: String, to target: String) throws(SystemError) {
    let input = try FileDescriptor(opening: source)
    let output = try FileDescriptor(opening: target, [.readWrite, .create, .truncate])
    if (try? output.control(cloneRequest, value: UInt(input.rawValue), "share the blocks of a file")) != nil { return }
    do throws(SystemError) {
      try output.copySparsely(from: input, at: 0)
      try output.truncate(to: try input.length())
    } catch {
      throw SystemError("copy \(source) to", path: target, errno: error.errno)
    }
  }

  /// FICLONE of linux/fs.h: `_IOW(0x94, 9, int)`.
  private static let cloneRequest: UInt = 0x4004_9409
}

extension FileDescriptor {
  /// Appends `count` bytes of `source` from byte `offset` on at this file's position, in the kernel where it can.
  public func append(_ count: Int, of source: borrowing FileDescriptor, at offset: Int) throws(SystemError) {
    var done = 0
    while done < count {
      let moved = try move(count - done, of: source, at: offset + done)
      if moved == 0 { throw SystemError("copy a file that shrank meanwhile", errno: .inputOutput) }
      done += moved
    }
  }

  private func move(_ count: Int, of source: borrowing FileDescriptor, at offset: Int) throws(SystemError) -> Int {
    do throws(SystemError) {
      return try systemCall("copy between files") {
        clinux_copy_file_range(source.rawValue, Int64(offset), rawValue, count)
      }
    } catch {
      guard Self.refusals.contains(error.errno.rawValue) else { throw error }
      let bytes = try source.read(upTo: min(count, 1 << 20), at: offset)
      try writeAll(bytes)
      return bytes.count
    }
  }

  /// Errors of file systems that cannot (copy_file_range(2)).
  private static let refusals: [Int32] = [EXDEV, EINVAL, ENOSYS, EOPNOTSUPP, EBADF]
}
