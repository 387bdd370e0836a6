internal import Binary

/// A file shown as a block device (loop(4), linux/loop.h). The attachment outlives the process: whoever made it
/// detaches it.
public struct LoopDevice: Hashable, Sendable {
  /// The number *N* of `/dev/loopN`.
  public let number: Int

  /// The device node, which devtmpfs makes.
  public var path: String { "/dev/loop\(number)" }

  /// The device `/dev/loop<number>`, attached or not.
  public init(number: Int) {
    self.number = number
  }

  /// Shows `file` as a block device with 512-byte sectors. The file stays open in the kernel until `detach`.
  public static func attach(_ file: String, readOnly: Bool) throws(SystemError) -> LoopDevice {
    let backing = try FileDescriptor(opening: file, readOnly ? .readOnly : .readWrite)
    let control: FileDescriptor
    do throws(SystemError) {
      control = try FileDescriptor(opening: "/dev/loop-control", .readWrite)
    } catch {
      throw SystemError("find a free loop device (is the module loop loaded?)", path: error.path, errno: error.errno)
    }
    // Another process may take the free device first: the kernel then says busy, and there is another.
    for _ in 0..<64 {
      let device = LoopDevice(number: Int(try control.control(0x4C82, "find a free loop device")))  // LOOP_CTL_GET_FREE
      do throws(SystemError) {
        try device.configure(backing.rawValue, name: file, readOnly: readOnly)
        return device
      } catch {
        if error.errno != .busy { throw SystemError(error.operation, path: file, errno: error.errno) }
      }
    }
    throw SystemError("attach to a loop device (others keep taking the free ones)", path: file, errno: .busy)
  }

  /// The attached devices, with the path of the file behind each (as the kernel knows it: absolute, links resolved).
  public static func attached() throws(SystemError) -> [(device: LoopDevice, file: String)] {
    var found: [(device: LoopDevice, file: String)] = []
    for name in try Files.list("/sys/block") {
      guard name.hasPrefix("loop"), let number = Int(name.dropFirst(4)) else { continue }
      // A device that is detached meanwhile has no such file any more.
      guard let text = try? Files.readText("/sys/block/\(name)/loop/backing_file") else { continue }
      found.append((LoopDevice(number: number), text.hasSuffix("\n") ? String(text.dropLast()) : text))
    }
    return found.sorted { $0.device.number < $1.device.number }
  }

  /// Detaches the file. While the device is mounted or open elsewhere, the kernel does it after the last use:
  /// call this right after mounting to have the device go with the mount.
  public func detach() throws(SystemError) {
    let file = try FileDescriptor(opening: path)
    do throws(SystemError) {
      try file.control(0x4C01, "detach")  // LOOP_CLR_FD
    } catch {
      throw SystemError("detach", path: path, errno: error.errno)
    }
  }

  /// Has the device show another file of the same size, whoever uses it (LOOP_CHANGE_FD). For read-only devices only.
  public func change(to file: String) throws(SystemError) {
    let backing = try FileDescriptor(opening: file)
    let device = try FileDescriptor(opening: path)
    do throws(SystemError) {
      try device.control(0x4C06, value: UInt(backing.rawValue), "exchange the file of \(path)")
    } catch {
      throw SystemError(error.operation, path: file, errno: error.errno)
    }
  }

  /// Has the device take the size that its file has now (LOOP_SET_CAPACITY).
  public func updateSize() throws(SystemError) {
    try FileDescriptor(opening: path, .readWrite).control(0x4C07, "take the new size of \(path)")
  }

  /// struct loop_config, 304 bytes: descriptor, block size, struct loop_info64, 64 reserved bytes.
  private func configure(_ backing: Int32, name: String, readOnly: Bool) throws(SystemError) {
    var config = InlineArray<304, UInt8>(repeating: 0)
    var writer = ByteWriter(capacity: 304)
    writer.little(UInt32(bitPattern: backing))
    writer.little(UInt32(512))  // logical block size
    writer.zeros(40 + 12)  // up to lo_encrypt_key_size
    writer.little(UInt32(readOnly ? 1 : 0))  // lo_flags: LO_FLAGS_READ_ONLY
    writer.fixed(String(decoding: Array(name.utf8.suffix(63)), as: UTF8.self), width: 63)  // lo_file_name
    for (index, byte) in writer.bytes.enumerated() { config[index] = byte }
    let device = try FileDescriptor(opening: path, readOnly ? .readOnly : .readWrite)
    // SAFETY: `config` has the size and layout of struct loop_config, which LOOP_CONFIGURE reads.
    try unsafe device.control(0x4C0A, &config, "attach to \(path)")
  }
}
