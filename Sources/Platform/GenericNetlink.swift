internal import Binary
internal import Glibc

/// An attribute of a netlink message (Documentation/userspace-api/netlink/intro.rst).
public indirect enum NetlinkAttribute: Hashable, Sendable {
  /// 16 bits.
  case short(UInt16, UInt16)
  /// 32 bits.
  case word(UInt16, UInt32)
  /// 64 bits.
  case long(UInt16, UInt64)
  /// Text with a NUL at its end.
  case text(UInt16, String)
  /// Attributes.
  case nested(UInt16, [NetlinkAttribute])

  private var type: UInt16 {
    switch self {
    case .short(let type, _), .word(let type, _), .long(let type, _), .text(let type, _), .nested(let type, _): type
    }
  }

  /// Length and type, 16 bits each, and the content, filled up to a multiple of 4 bytes.
  var bytes: [UInt8] {
    var content = ByteWriter()
    switch self {
    case .short(_, let value): content.little(value)
    case .word(_, let value): content.little(value)
    case .long(_, let value): content.little(value)
    case .text(_, let text): content.raw(Array(text.utf8) + [0])
    case .nested(_, let inner): for attribute in inner { content.raw(attribute.bytes) }
    }
    var writer = ByteWriter()
    writer.little(UInt16(content.count + 4))
    writer.little(type)
    writer.raw(content.bytes)
    writer.align(4)
    return writer.bytes
  }

  /// The contents of the attributes in `bytes`, by type; what is cut off is left out.
  static func contents(_ bytes: ArraySlice<UInt8>) -> [UInt16: [UInt8]] {
    let reader = ByteReader(Array(bytes))
    var found: [UInt16: [UInt8]] = [:]
    var offset = 0
    while let length = try? reader.little(UInt16.self, at: offset), length >= 4,
      let type = try? reader.little(UInt16.self, at: offset + 2),
      let content = try? reader.slice(at: offset + 4, length: Int(length) - 4)
    {
      found[type & 0x3FFF] = Array(content)
      offset += (Int(length) + 3) / 4 * 4
    }
    return found
  }
}

/// Requests to a part of the kernel that generic netlink reaches by its name (genetlink; linux/genetlink.h).
public struct GenericNetlink: ~Copyable, Sendable {
  private let file: FileDescriptor
  private let family: UInt16
  private let version: UInt8

  /// Reaches the family `name`; throws `noSuchFile` where the kernel has none of that name.
  public init(_ name: String, version: UInt8) throws(SystemError) {
    let netlink = Int32(16)  // AF_NETLINK; its protocol 16 is NETLINK_GENERIC
    let file = FileDescriptor(
      adopting: try systemCall("make a netlink socket") {
        socket(netlink, Int32(SOCK_RAW.rawValue | SOCK_CLOEXEC.rawValue), 16)
      })
    // The controller: family 16, CTRL_CMD_GETFAMILY 3, CTRL_ATTR_FAMILY_NAME 2, CTRL_ATTR_FAMILY_ID 1.
    let reply = try Self.exchange(
      file, family: 16, command: 3, version: 1, [.text(2, name)], doing: "find the kernel's part")
    guard let bytes = reply[1], let number = try? ByteReader(bytes).little(UInt16.self, at: 0) else {
      throw SystemError("find the kernel's part", path: name, errno: .noSuchFile)
    }
    self.file = file
    self.version = version
    family = number
  }

  /// Sends a command and waits until the kernel has carried it out; the contents of the answer's attributes by type.
  public func request(
    _ command: UInt8, _ attributes: [NetlinkAttribute], doing operation: String
  ) throws(SystemError) -> [UInt16: [UInt8]] {
    try Self.exchange(file, family: family, command: command, version: version, attributes, doing: operation)
  }

  /// The bytes of a request: header, generic header, attributes. It asks for an acknowledgement.
  static func message(
    family: UInt16, command: UInt8, version: UInt8, _ attributes: [NetlinkAttribute]
  ) -> [UInt8] {
    var writer = ByteWriter()
    writer.little(UInt32(0))
    writer.little(family)
    writer.little(UInt16(1 | 4))  // NLM_F_REQUEST, NLM_F_ACK
    writer.little(UInt32(1))  // sequence
    writer.little(UInt32(0))  // port: the kernel knows it
    writer.raw([command, version, 0, 0])
    for attribute in attributes { writer.raw(attribute.bytes) }
    writer.patchLittle(UInt32(writer.count), at: 0)
    return writer.bytes
  }

  private static func exchange(
    _ file: borrowing FileDescriptor, family: UInt16, command: UInt8, version: UInt8,
    _ attributes: [NetlinkAttribute], doing operation: String
  ) throws(SystemError) -> [UInt16: [UInt8]] {
    try file.writeAll(message(family: family, command: command, version: version, attributes))
    var answer: [UInt16: [UInt8]] = [:]
    while true {
      let reader = ByteReader(try file.read(upTo: 1 << 16))
      var offset = 0
      while let length = try? reader.little(UInt32.self, at: offset), length >= 16,
        let type = try? reader.little(UInt16.self, at: offset + 4),
        let content = try? reader.slice(at: offset + 16, length: Int(length) - 16)
      {
        if type == 2 {  // NLMSG_ERROR, which is the acknowledgement, too
          let code = (try? reader.little(Int32.self, at: offset + 16)) ?? -EINVAL
          if code != 0 { throw SystemError(operation, errno: Errno(rawValue: -code)) }
          return answer
        }
        answer.merge(NetlinkAttribute.contents(content.dropFirst(4))) { $1 }
        offset += (Int(length) + 3) / 4 * 4
      }
      if offset == 0 { throw SystemError(operation, errno: .inputOutput) }
    }
  }
}
