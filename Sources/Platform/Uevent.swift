internal import CLinux
internal import Glibc

/// A change in the kernel's device tree, as it announces it (Documentation/core-api/kobject.rst, "Uevents").
public struct Uevent: Hashable, Sendable {
  /// `add`, `remove`, `change`, `bind` and so on.
  public let action: String
  /// Path below /sys, such as `/devices/pci0000:00/0000:00:1d.0`.
  public let devicePath: String
  /// All `KEY=value` pairs.
  public let properties: [String: String]

  /// Parses a message: `action@path`, then `KEY=value`, each ended by a NUL. Nil for anything else.
  public init?(message: some Collection<UInt8>) {
    let fields = message.split(separator: 0).map { String(decoding: $0, as: UTF8.self) }
    guard let header = fields.first, let at = header.firstIndex(of: "@") else { return nil }
    action = String(header[..<at])
    devicePath = String(header[header.index(after: at)...])
    var properties: [String: String] = [:]
    for field in fields.dropFirst() {
      guard let equals = field.firstIndex(of: "=") else { continue }
      properties[String(field[..<equals])] = String(field[field.index(after: equals)...])
    }
    self.properties = properties
  }
}

extension Errno {
  /// ENOBUFS: messages were lost.
  public static let noBufferSpace = Errno(rawValue: ENOBUFS)
}

/// Hears of changes in the device tree (netlink(7), NETLINK_KOBJECT_UEVENT).
public struct UeventSocket: ~Copyable, Sendable {
  /// Readable when there is an event.
  public let file: FileDescriptor

  /// Hears what the kernel announces from now on.
  public init() throws(SystemError) {
    file = FileDescriptor(adopting: try systemCall("listen for device events") { clinux_uevent_socket() })
  }

  /// The next event; nil when there is none now. Throws `noBufferSpace` after events were lost: look at /sys again.
  public func take() throws(SystemError) -> Uevent? {
    var buffer = [UInt8](repeating: 0, count: 8192)
    while true {
      let count: Int
      do throws(SystemError) {
        // SAFETY: the buffer bounds what is written.
        count = try systemCall("receive a device event") {
          unsafe buffer.withUnsafeMutableBytes { unsafe clinux_uevent_receive(file.rawValue, $0.baseAddress, $0.count) }
        }
      } catch {
        if error.errno == .wouldBlock { return nil }
        throw error
      }
      if let event = Uevent(message: buffer.prefix(count)) { return event }
    }
  }
}
