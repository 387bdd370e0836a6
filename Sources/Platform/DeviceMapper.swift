internal import Binary
internal import CLinux

/// Device-mapper's devices, by its own requests (linux/dm-ioctl.h): for programs that have no libraries. There is no
/// udev: who makes a device makes its link in /dev/mapper.
public struct DeviceMapper: ~Copyable, Sendable {
  /// A part of a device, and what it is made of.
  public struct Target: Hashable, Sendable {
    /// First sector of 512 bytes.
    public var start: Int
    /// Sectors.
    public var length: Int
    /// The target's type, such as `linear`.
    public var type: String
    /// Its parameters, or its status.
    public var parameters: String

    /// A part.
    public init(start: Int = 0, length: Int, type: String, parameters: String) {
      self.start = start
      self.length = length
      self.type = type
      self.parameters = parameters
    }
  }

  /// What a device is like.
  public struct Info: Hashable, Sendable {
    /// Device number, as `254:0`.
    public var number: String
    /// How often it is open.
    public var openCount: Int
    /// It takes no writes.
    public var isReadOnly: Bool
    /// Input and output wait.
    public var isSuspended: Bool
    /// It is made of something.
    public var hasTable: Bool
  }

  private static let answerBytes = 16 << 10

  private let control: FileDescriptor

  /// Opens device-mapper; throws where the module `dm_mod` is missing.
  public init() throws(SystemError) {
    control = try FileDescriptor(opening: "/dev/mapper/control", .readWrite)
  }

  /// The device of this name; nil where there is none.
  public func info(of name: String) throws(SystemError) -> Info? {
    do throws(SystemError) {
      return try decoded(name, perform(.status, DeviceMapperPacket(name: name), "look at"), DeviceMapperPacket.info)
    } catch {
      if error.errno == .noSuchDevice { return nil }
      throw error
    }
  }

  /// Makes a device that is made of nothing yet.
  public func create(_ name: String, identifier: String) throws(SystemError) {
    try perform(.create, DeviceMapperPacket(name: name, identifier: identifier), "make")
  }

  /// Says what a device is made of from its next `resume` on.
  public func load(_ targets: [Target], into name: String, isReadOnly: Bool = false) throws(SystemError) {
    let packet = DeviceMapperPacket(
      name: name, flags: isReadOnly ? [.readOnly] : [], data: DeviceMapperPacket.table(targets),
      targetCount: targets.count)
    try perform(.load, packet, "set up")
  }

  /// Has input and output of a device wait. What is under way is neither waited for, where it waits itself, nor are file
  /// systems frozen: both would take a device that answers.
  public func suspend(_ name: String) throws(SystemError) {
    try perform(
      .suspend, DeviceMapperPacket(name: name, flags: [.suspend, .noFlush, .skipFreezing]), "suspend")
  }

  /// Lets input and output of a device go on, with the table that was loaded last.
  public func resume(_ name: String) throws(SystemError) {
    try perform(.suspend, DeviceMapperPacket(name: name), "resume")
  }

  /// The status of what a device is made of. Nothing is waited for.
  public func status(of name: String) throws(SystemError) -> [Target] {
    let answer = try perform(
      .tableStatus, DeviceMapperPacket(name: name, flags: .noFlush), "ask for the status of", room: Self.answerBytes)
    if try decoded(name, answer, DeviceMapperPacket.isCutOff) {
      throw SystemError("ask for the status of the mapping", path: name, errno: .noSpace)
    }
    return try decoded(name, answer, DeviceMapperPacket.statuses)
  }

  /// Tells the first target of a device something.
  public func send(_ message: String, to name: String) throws(SystemError) {
    try perform(
      .message, DeviceMapperPacket(name: name, data: DeviceMapperPacket.message(message)), "tell \(message) to")
  }

  /// Removes a device.
  ///
  /// - Parameter isDeferred: whether one that is in use goes with its last user.
  public func remove(_ name: String, isDeferred: Bool = false) throws(SystemError) {
    try perform(.remove, DeviceMapperPacket(name: name, flags: isDeferred ? .deferredRemoval : []), "remove")
  }

  @discardableResult
  private func perform(
    _ command: DeviceMapperPacket.Command, _ packet: DeviceMapperPacket, _ doing: String, room: Int = 0
  ) throws(SystemError) -> [UInt8] {
    var buffer = packet.encoded(room: room)
    // SAFETY: the buffer begins with a struct dm_ioctl that tells its size, which bounds what the kernel writes.
    try systemCall("\(doing) the mapping", path: packet.name) {
      unsafe buffer.withUnsafeMutableBytes {
        unsafe clinux_ioctl_pointer(control.rawValue, command.request, $0.baseAddress)
      }
    }
    return buffer
  }

  private func decoded<T>(
    _ name: String, _ answer: [UInt8], _ decode: ([UInt8]) throws(TruncatedInput) -> T
  ) throws(SystemError) -> T {
    do throws(TruncatedInput) {
      return try decode(answer)
    } catch {
      throw SystemError("understand the kernel's answer about the mapping", path: name, errno: .invalidArgument)
    }
  }
}
