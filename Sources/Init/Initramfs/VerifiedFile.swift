internal import Binary
internal import Platform

/// A file of the medium as a device whose every read is checked (dm-verity).
struct VerifiedFile: Sendable {
  /// The mapping's name.
  let name: String
  /// What has the content.
  let file: String
  /// What has the digests.
  let tree: String
  /// The digest of all of them.
  let root: SHA256.Digest

  /// What reading all of it found.
  enum Finding: Hashable, Sendable {
    /// As many bytes, all of which are what was built.
    case whole(bytes: Int)
    /// The block from this byte on is another.
    case changed(at: Int)
  }

  /// Modules that no device asks for.
  static let modules = ["dm-mod", "dm-verity"]
  private static let piece = 1 << 20  // bytes read at once

  /// Makes the device, and returns its path. The loop devices beneath go with it.
  func map() throws(SystemError) -> String {
    let bytes = try FileDescriptor(opening: file).length()
    let data = try LoopDevice.attach(file, readOnly: true)
    defer { try? data.detach() }
    let digests = try LoopDevice.attach(tree, readOnly: true)
    defer { try? digests.detach() }
    let mapper = try DeviceMapper()
    try mapper.create(name, identifier: "ROOST-\(name)")
    try mapper.load(
      [Verity.target(bytes: bytes, data: data.path, tree: digests.path, root: root)], into: name, isReadOnly: true)
    try mapper.resume(name)
    guard let minor = try mapper.info(of: name)?.number.split(separator: ":").last else {
      throw SystemError("find the mapping", path: name, errno: .noSuchDevice)
    }
    return "/dev/dm-\(minor)"
  }

  /// Takes the device down that an earlier way through left.
  static func remove(_ name: String) {
    guard Files.exists("/dev/mapper/control"), let mapper = try? DeviceMapper() else { return }
    guard (try? mapper.info(of: name)) != nil else { return }
    do throws(SystemError) { try mapper.remove(name) } catch { Log.write("\(error)") }
  }

  /// Reads all of `device`, which checks it. `progress` is called with the bytes read and those that there are.
  ///
  /// - Throws: where the file itself cannot be read.
  func check(_ device: String, progress: (Int, Int) -> Void) throws(SystemError) -> Finding {
    // Past the page cache: the file's own pages are in it already.
    let source = try FileDescriptor(opening: device, [.readOnly, .direct])
    let bytes = try source.length()
    var buffer = AlignedBuffer(count: Self.piece)
    let found = Self.scan(bytes, progress: progress) { offset, count in
      Self.failure(source, &buffer, count, at: offset)
    }
    guard let (place, error) = found else { return .whole(bytes: bytes) }
    // A failed read says nothing about the content where the medium does not answer.
    let block = try FileDescriptor(opening: file).read(upTo: Verity.blockBytes, at: place)
    guard !block.isEmpty, error.errno == .inputOutput else { throw error }
    return .changed(at: place)
  }

  /// Reads so many bytes in pieces, and returns the first block that does not come when it is asked for again, alone. What
  /// fails only once is a medium's mood.
  static func scan(
    _ bytes: Int, progress: (Int, Int) -> Void, read: (_ offset: Int, _ count: Int) -> SystemError?
  ) -> (place: Int, error: SystemError)? {
    var done = 0
    while done < bytes {
      let count = min(piece, bytes - done)
      if read(done, count) != nil {
        for place in stride(from: done, to: done + count, by: Verity.blockBytes) {
          if let error = read(place, Verity.blockBytes) { return (place, error) }
        }
      }
      done += count
      progress(done, bytes)
    }
    return nil
  }

  private static func failure(
    _ source: borrowing FileDescriptor, _ buffer: inout AlignedBuffer, _ count: Int, at offset: Int
  ) -> SystemError? {
    do throws(SystemError) {
      var span = buffer.mutablePrefix(count)
      let length = try source.read(into: &span, at: offset)
      return length == count ? nil : SystemError("read", errno: .inputOutput)
    } catch {
      return error
    }
  }
}
