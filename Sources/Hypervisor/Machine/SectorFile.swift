internal import Devices
internal import Platform

/// A disk in a file or on a block device, for controllers that read and write in place.
final class SectorFile: SectorStore, Sendable {
  let capacity: UInt64
  let isReadOnly: Bool
  private let file: FileDescriptor

  init(path: String, isReadOnly: Bool) throws(HypervisorError) {
    let message = "the disk \(path) cannot be used; check the path and its permissions"
    let opened = try refusal(.device, message) { () throws(SystemError) in
      guard let status = try Files.status(path, followingLinks: true) else {
        throw SystemError("open", path: path, errno: .noSuchFile)
      }
      guard status.kind == .regular || status.kind == .blockDevice else {
        throw SystemError("open as a disk", path: path, errno: .invalidArgument)
      }
      return try FileDescriptor(opening: path, isReadOnly ? .readOnly : .readWrite)
    }
    let length = try refusal(.device, message) { () throws(SystemError) in try opened.length() }
    guard length >= 512 else { throw HypervisorError(.device, "the disk \(path) is empty; make it at least 512 bytes") }
    file = opened
    capacity = UInt64(length)
    self.isReadOnly = isReadOnly
  }

  func read(at offset: UInt64, into destination: inout MutableSpan<UInt8>) -> Bool {
    guard let position = Int(exactly: offset) else { return false }
    return (try? file.read(into: &destination, at: position)) == destination.count
  }

  func write(at offset: UInt64, from source: Span<UInt8>) -> Bool {
    guard !isReadOnly, let position = Int(exactly: offset) else { return false }
    return (try? file.write(source, at: position)) != nil
  }

  func flush() -> Bool {
    (try? file.synchronizeData()) != nil
  }
}
