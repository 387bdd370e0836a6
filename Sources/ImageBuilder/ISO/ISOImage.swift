internal import Platform

/// A tree of files that becomes an ISO 9660 image with Rock Ridge and Joliet names.
///
/// Equal trees give equal images, whatever machine and time: every time stamp is `epoch`, everything belongs to the
/// superuser and is readable by all, and the files' content lies in the order in which they were added.
public struct ISOImage: Sendable {
  /// Where a file's bytes come from.
  public enum Content: Sendable {
    case bytes([UInt8])
    /// A regular file of this machine; links are followed.
    case file(String)
  }

  /// One file of the tree.
  struct Entry: Sendable {
    let path: String
    let content: Content
  }

  /// At most 32 characters; Joliet cuts them at 16.
  public let volumeIdentifier: String
  /// What finds the medium again.
  public let volumeUUID: VolumeUUID
  /// Seconds from 1970 that all files carry.
  public let epoch: Int
  /// What makes the image bootable; nil for a plain data disc.
  public var boot: HybridBoot?
  private(set) var entries: [Entry] = []

  /// An empty tree.
  public init(volumeIdentifier: String, volumeUUID: VolumeUUID, epoch: Int) {
    self.volumeIdentifier = volumeIdentifier
    self.volumeUUID = volumeUUID
    self.epoch = epoch
  }

  /// Adds a file at an absolute path; directories above it come into being. A path that is there already is an
  /// error when the image is written.
  public mutating func add(_ path: String, _ content: Content) {
    entries.append(Entry(path: path, content: content))
  }

  /// How far the writing is.
  public struct Progress: Sendable, Hashable {
    /// Bytes written.
    public let done: Int
    /// Bytes that the image will have.
    public let total: Int
  }

  /// Writes the image so that `path` is the old file or the whole new one, never less: beside it, synced, renamed.
  /// `progress` is called about a hundred times. Cancelling stops within a megabyte.
  ///
  /// - Throws: `noSpace` before writing where the file system cannot hold it, and when it fills up on the way;
  ///   `badFile` for a file that cannot be read; `cancelled`.
  public func write(
    to path: String, cancellation: Cancellation = Cancellation(), progress: (Progress) -> Void = { _ in }
  ) throws(BuildError) {
    try cancellation.check()
    let temporary = Leftovers.part(of: path)
    do throws(BuildError) {
      let sources = sourceStates()
      let stream = try ISOStream(self)
      let directory = path.split(separator: "/").dropLast().joined(separator: "/")
      let place = path.hasPrefix("/") ? "/" + directory : directory.isEmpty ? "." : directory
      let free = try attempt("cannot write \(path)") { () throws(SystemError) in try Files.freeSpace(at: place) }
      if free < stream.size {
        throw BuildError(
          .noSpace,
          "\(place) has \(free >> 20) MiB free, and the image \(path) needs \((stream.size + (1 << 20) - 1) >> 20) MiB",
          hint: "free some space there, or name another place with -o")
      }
      try write(stream, to: temporary, path: path, cancellation, progress)
      // libisofs goes on with zeros where a file became shorter under its hands.
      for (source, state) in sources where Self.state(of: source) != state {
        throw BuildError(
          .badFile, "\(source) changed while the image \(path) was written", hint: "build again when it is at rest")
      }
      try attempt("cannot put the image in place") { () throws(SystemError) in
        try Files.rename(temporary, to: path)
        try FileDescriptor(opening: place, .directory).synchronize()
      }
    } catch {
      try? Files.remove(temporary)
      throw error
    }
  }

  /// Every file of this machine that goes into the image, and its state now.
  private func sourceStates() -> [String: FileStatus?] {
    var states: [String: FileStatus?] = [:]
    for entry in entries {
      if case .file(let path) = entry.content { states.updateValue(Self.state(of: path), forKey: path) }
    }
    if let boot { states.updateValue(Self.state(of: boot.efiPartition), forKey: boot.efiPartition) }
    return states
  }

  private static func state(of path: String) -> FileStatus? {
    (try? Files.status(path, followingLinks: true)) ?? nil
  }

  private func write(
    _ stream: borrowing ISOStream, to temporary: String, path: String, _ cancellation: Cancellation,
    _ progress: (Progress) -> Void
  ) throws(BuildError) {
    let file: FileDescriptor
    do throws(SystemError) {
      file = try FileDescriptor(opening: temporary, [.writeOnly, .create, .truncate])
    } catch {
      throw BuildError(error, "cannot write \(path)")
    }
    let stride = max(1 << 20, stream.size / 100)
    var done = 0
    var next = 0
    progress(Progress(done: 0, total: stream.size))
    while let chunk = try stream.read(at: done) {
      try cancellation.check()
      do throws(SystemError) {
        try file.writeAll(chunk)
      } catch {
        throw BuildError(error, "cannot write \(path)")
      }
      done += chunk.count
      if done >= next {
        progress(Progress(done: done, total: stream.size))
        next = done + stride
      }
    }
    do throws(SystemError) {
      try file.synchronize()
    } catch {
      throw BuildError(error, "cannot write \(path)")
    }
    progress(Progress(done: done, total: stream.size))
  }
}
