internal import Devices
internal import Platform

/// The content of a flash chip: a mapping, of a file when it is to last, which the guest reads directly.
final class FlashFile: FlashStore, Sendable {
  let memory: SharedMemory
  private let file: FileDescriptor?

  /// The chip in the file `path`, or one that is forgotten. A file that is not there is made of `template`, and so is
  /// the forgotten one.
  init(path: String?, template: String) throws(HypervisorError) {
    let fresh = try refusal(.device, "the firmware's variables cannot be made of \(template)") {
      () throws(SystemError) in try Files.read(template)
    }
    guard let path else {
      let memory = try SharedMemory(zeros: fresh.count, "the firmware's variables")
      memory.mapping.write(at: 0, from: fresh.span)
      self.memory = memory
      file = nil
      return
    }
    let message = "the firmware's variables cannot be kept in \(path); check the path and its permissions"
    let opened = try refusal(.device, message) { () throws(SystemError) in
      if !Files.exists(path) { try Files.replace(path, with: fresh) }
      return try FileDescriptor(opening: path, .readWrite)
    }
    let length = try refusal(.device, message) { () throws(SystemError) in try opened.length() }
    guard length == fresh.count else {
      throw HypervisorError(
        .device,
        "\(path) has \(length) bytes and this firmware's variables \(fresh.count): it belongs to another one;"
          + " remove it, and the firmware starts with none")
    }
    memory = SharedMemory(
      try refusal(.device, message) { () throws(SystemError) in try Mapping(sharing: opened, count: length) })
    file = consume opened
  }

  var count: Int { memory.mapping.count }
  var isReadOnly: Bool { false }

  func read(at offset: Int, count: Int) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    var span = bytes.mutableSpan
    memory.mapping.read(at: offset, into: &span)
    return bytes
  }

  func write(_ bytes: [UInt8], at offset: Int) -> Bool {
    memory.mapping.write(at: offset, from: bytes.span)
    return true
  }

  func flush() -> Bool {
    do throws(SystemError) {
      try file?.synchronizeData()
      return true
    } catch {
      return false
    }
  }
}
