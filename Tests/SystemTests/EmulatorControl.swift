import Platform

/// QEMU's own control socket (its machine protocol, a JSON object a line), for devices that come and go.
final class EmulatorControl {
  private let socket: FileDescriptor
  private var pending: [UInt8] = []

  /// Connects to the emulator that was started with this socket.
  init(_ path: String) throws {
    let deadline = MonotonicClock.now() + 20_000_000_000
    while true {
      do throws(SystemError) {
        socket = try UnixSocket.connect(path)
        break
      } catch {
        guard MonotonicClock.now() < deadline else { throw error }
        MonotonicClock.sleep(milliseconds: 100)
      }
    }
    // It greets first.
    _ = try line()
    try execute("qmp_capabilities")
  }

  /// Has it carry out a command; `arguments` is JSON.
  func execute(_ command: String, _ arguments: String = "{}") throws {
    try socket.writeAll(Array(#"{"execute":"\#(command)","arguments":\#(arguments)}"#.utf8) + [0x0A])
    while true {
      let answer = try line()
      if answer.hasPrefix(#"{"return""#) { return }
      // What is not an answer is an event.
      if answer.hasPrefix(#"{"error""#) { throw Machine.Failure(what: "\(command): \(answer)", tail: "") }
    }
  }

  /// Pulls a device out.
  func pull(_ device: String) throws {
    try execute("device_del", #"{"id":"\#(device)"}"#)
  }

  /// Plugs a stick in that shows this node.
  func plug(_ device: String, node: String, serial: String) throws {
    try execute(
      "device_add",
      #"{"driver":"usb-storage","id":"\#(device)","drive":"\#(node)","serial":"\#(serial)","removable":true,"bus":"usb.0"}"#
    )
  }

  /// Makes a node out of an image file.
  func open(_ file: String, as node: String) throws {
    try execute(
      "blockdev-add",
      #"{"driver":"raw","node-name":"\#(node)","file":{"driver":"file","filename":"\#(file)"}}"#)
  }

  /// Lets go of a node, once the stick that showed it is gone for good.
  func close(_ node: String) throws {
    let deadline = MonotonicClock.now() + 20_000_000_000
    while true {
      do {
        return try execute("blockdev-del", #"{"node-name":"\#(node)"}"#)
      } catch {
        guard MonotonicClock.now() < deadline else { throw error }
        MonotonicClock.sleep(milliseconds: 200)
      }
    }
  }

  private func line() throws -> String {
    while true {
      if let end = pending.firstIndex(of: 0x0A) {
        let line = pending[..<end].filter { $0 != 0x0D }
        pending.removeFirst(end + 1)
        return String(decoding: line, as: UTF8.self)
      }
      let more = try socket.read(upTo: 1 << 16)
      guard !more.isEmpty else { throw Machine.Failure(what: "the emulator closed its control socket", tail: "") }
      pending += more
    }
  }
}
