internal import Binary

/// One request to device-mapper or its answer: `struct dm_ioctl` and what follows it (linux/dm-ioctl.h, version 4).
struct DeviceMapperPacket {
  /// What is asked. The raw value is the ioctl's number.
  enum Command: UInt {
    case create = 3
    case remove = 4
    case suspend = 6
    case status = 7
    case load = 9
    case tableStatus = 12
    case message = 14

    /// `_IOWR(0xfd, number, struct dm_ioctl)`.
    var request: UInt { 0xC138_FD00 | rawValue }
  }

  /// DM_*_FLAG.
  struct Flags: OptionSet {
    let rawValue: UInt32

    static let readOnly = Flags(rawValue: 1 << 0)
    static let suspend = Flags(rawValue: 1 << 1)
    static let isActive = Flags(rawValue: 1 << 5)
    static let bufferFull = Flags(rawValue: 1 << 8)
    static let skipFreezing = Flags(rawValue: 1 << 10)
    static let noFlush = Flags(rawValue: 1 << 11)
    static let deferredRemoval = Flags(rawValue: 1 << 17)
  }

  /// sizeof(struct dm_ioctl): where the data begins.
  static let headerBytes = 312
  private static let nameBytes = 128
  private static let identifierBytes = 129
  private static let specificationBytes = 40
  private static let typeBytes = 16

  var name: String
  var identifier = ""
  var flags: Flags = []
  var data: [UInt8] = []
  var targetCount = 0

  /// The request, with room for an answer of `room` bytes of data.
  func encoded(room: Int = 0) -> [UInt8] {
    let size = Self.headerBytes + max(data.count, room)
    var writer = ByteWriter(capacity: size)
    for number: UInt32 in [4, 0, 0] { writer.little(number) }
    writer.little(UInt32(size))
    writer.little(UInt32(Self.headerBytes))
    writer.little(UInt32(targetCount))
    writer.little(UInt32(0))  // open_count
    writer.little(flags.rawValue)
    writer.zeros(4 + 4 + 8)  // event_nr, padding, dev
    // The last byte of each text stays zero.
    writer.fixed(String(decoding: name.utf8.prefix(Self.nameBytes - 1), as: UTF8.self), width: Self.nameBytes)
    writer.fixed(
      String(decoding: identifier.utf8.prefix(Self.identifierBytes - 1), as: UTF8.self), width: Self.identifierBytes)
    writer.zeros(Self.headerBytes - writer.count)
    writer.raw(data)
    writer.zeros(size - writer.count)
    return writer.bytes
  }

  /// The data of a table: for each target `struct dm_target_spec` and its parameters, eight bytes aligned.
  static func table(_ targets: [DeviceMapper.Target]) -> [UInt8] {
    var writer = ByteWriter()
    for target in targets {
      let parameters = Array(target.parameters.utf8) + [0]
      let next = (specificationBytes + parameters.count + 7) / 8 * 8
      writer.little(UInt64(target.start))
      writer.little(UInt64(target.length))
      writer.little(UInt32(0))  // status
      writer.little(UInt32(next))
      writer.fixed(target.type, width: typeBytes)
      writer.raw(parameters)
      writer.align(8)
    }
    return writer.bytes
  }

  /// The data of a message: `struct dm_target_msg`, of which the sector names the target.
  static func message(_ text: String) -> [UInt8] {
    var writer = ByteWriter()
    writer.little(UInt64(0))
    writer.raw(Array(text.utf8) + [0])
    return writer.bytes
  }

  /// What an answer tells of the device.
  static func info(_ answer: [UInt8]) throws(TruncatedInput) -> DeviceMapper.Info {
    let reader = ByteReader(answer)
    let flags = Flags(rawValue: try reader.little(at: 28))
    return DeviceMapper.Info(
      number: BlockTree.number(try reader.little(UInt64.self, at: 40)),
      openCount: Int(try reader.little(Int32.self, at: 24)), isReadOnly: flags.contains(.readOnly),
      isSuspended: flags.contains(.suspend), hasTable: flags.contains(.isActive))
  }

  /// Whether an answer had no room for all of its data.
  static func isCutOff(_ answer: [UInt8]) throws(TruncatedInput) -> Bool {
    Flags(rawValue: try ByteReader(answer).little(at: 28)).contains(.bufferFull)
  }

  /// The targets' status in an answer. `next` there counts from the beginning of the data.
  static func statuses(_ answer: [UInt8]) throws(TruncatedInput) -> [DeviceMapper.Target] {
    let reader = ByteReader(answer)
    let base = Int(try reader.little(UInt32.self, at: 16))
    let count = Int(try reader.little(UInt32.self, at: 20))
    var targets: [DeviceMapper.Target] = []
    var place = base
    while targets.count < count {
      let type = try reader.slice(at: place + 24, length: typeBytes).prefix { $0 != 0 }
      let text = try reader.slice(
        at: place + specificationBytes, length: reader.count - min(reader.count, place + specificationBytes))
      targets.append(
        DeviceMapper.Target(
          start: Int(clamping: try reader.little(UInt64.self, at: place)),
          length: Int(clamping: try reader.little(UInt64.self, at: place + 8)),
          type: String(decoding: type, as: UTF8.self),
          parameters: String(decoding: text.prefix { $0 != 0 }, as: UTF8.self)))
      let next = base + Int(try reader.little(UInt32.self, at: place + 20))
      guard next > place else { break }
      place = next
    }
    return targets
  }
}
