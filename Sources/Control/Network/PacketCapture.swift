internal import Binary
public import Platform

/// A file of packets as Wireshark and tcpdump read them: pcapng (draft-ietf-opsawg-pcapng), one section, one interface,
/// times in nanoseconds. Pure: it makes bytes.
public struct PacketCapture: Sendable {
  /// The most bytes of a packet that are kept.
  public let snapLength: Int
  private let interface: String

  private enum Block {
    static let section: UInt32 = 0x0A0D_0D0A  // section 4.1
    static let interface: UInt32 = 1  // section 4.2
    static let packet: UInt32 = 6  // section 4.3
  }

  /// Packets of an interface of that name.
  public init(interface: String, snapLength: Int) {
    self.interface = interface
    self.snapLength = snapLength
  }

  /// What a file begins with.
  public var header: [UInt8] {
    var section = ByteWriter()
    section.little(0x1A2B_3C4D as UInt32)
    section.little(1 as UInt16)
    section.little(0 as UInt16)
    // How long the section is, is not known.
    section.little(UInt64.max)
    Self.option(4, Array("roost".utf8), in: &section)
    Self.endOptions(&section)
    var interface = ByteWriter()
    // LINKTYPE_ETHERNET
    interface.little(1 as UInt16)
    interface.little(0 as UInt16)
    interface.little(UInt32(snapLength))
    Self.option(2, Array(self.interface.utf8), in: &interface)
    // Times are in units of 10^-9 s.
    Self.option(9, [9], in: &interface)
    Self.endOptions(&interface)
    return Self.block(Block.section, section.bytes) + Self.block(Block.interface, interface.bytes)
  }

  /// A packet's bytes in the file. Directions are as the domain sees them: what the system sends, the domain receives.
  public func block(of packet: PacketSocket.Packet) -> [UInt8] {
    let kept = packet.bytes.prefix(snapLength)
    var body = ByteWriter(capacity: kept.count + 40)
    body.little(0 as UInt32)
    body.little(UInt32(truncatingIfNeeded: packet.nanoseconds >> 32))
    body.little(UInt32(truncatingIfNeeded: packet.nanoseconds))
    body.little(UInt32(kept.count))
    body.little(UInt32(packet.length))
    body.raw(kept)
    body.align(4)
    // epb_flags: inbound 1, outbound 2.
    Self.option(2, [packet.isOutgoing ? 1 : 2, 0, 0, 0], in: &body)
    Self.endOptions(&body)
    return Self.block(Block.packet, body.bytes)
  }

  private static func block(_ type: UInt32, _ body: [UInt8]) -> [UInt8] {
    var block = ByteWriter(capacity: body.count + 12)
    let length = UInt32(body.count + 12)
    block.little(type)
    block.little(length)
    block.raw(body)
    block.little(length)
    return block.bytes
  }

  private static func option(_ code: UInt16, _ value: [UInt8], in writer: inout ByteWriter) {
    writer.little(code)
    writer.little(UInt16(value.count))
    writer.raw(value)
    writer.align(4)
  }

  private static func endOptions(_ writer: inout ByteWriter) { writer.little(0 as UInt32) }
}
