internal import CLinux

/// What goes over an interface of the system's, as a copy (packet(7)). It takes the right to see others' packets,
/// CAP_NET_RAW.
public struct PacketSocket: ~Copyable {
  /// The socket, non-blocking.
  public let file: FileDescriptor
  private var room: [UInt8]

  /// A packet.
  public struct Packet: Hashable, Sendable {
    /// Its bytes from the Ethernet header on, with the tag of its VLAN; no more than there was room for.
    public let bytes: [UInt8]
    /// How many bytes it has as a whole.
    public let length: Int
    /// When it came, in nanoseconds since 1970.
    public let nanoseconds: UInt64
    /// Whether the system sent it through the interface, and did not get it there.
    public let isOutgoing: Bool

    /// All fields.
    public init(bytes: [UInt8], length: Int, nanoseconds: UInt64, isOutgoing: Bool) {
      self.bytes = bytes
      self.length = length
      self.nanoseconds = nanoseconds
      self.isOutgoing = isOutgoing
    }
  }

  /// Watches an interface, and keeps at most `bytes` of each packet.
  public init(_ interface: String, keeping bytes: Int = 262_144) throws(SystemError) {
    // SAFETY: the C string lives for the call.
    file = FileDescriptor(
      adopting: try systemCall("watch the packets of", path: interface) { unsafe clinux_packet_open(interface) })
    // The kernel takes VLAN tags out, and they are put back.
    room = [UInt8](repeating: 0, count: bytes + 4)
  }

  /// The next packet; nil when there is none at the moment.
  public mutating func receive() throws(SystemError) -> Packet? {
    var facts = clinux_packet()
    let count: Int
    do throws(SystemError) {
      count = try systemCall("receive a packet") {
        // SAFETY: the buffer bounds what is written, and the structure lives for the call.
        unsafe room.withUnsafeMutableBufferPointer { buffer in
          unsafe clinux_packet_receive(file.rawValue, buffer.baseAddress, buffer.count, &facts)
        }
      }
    } catch  where error.errno == .wouldBlock {
      return nil
    }
    return Packet(
      bytes: Array(room[..<count]), length: facts.length, nanoseconds: facts.nanoseconds,
      isOutgoing: facts.is_outgoing != 0)
  }
}
