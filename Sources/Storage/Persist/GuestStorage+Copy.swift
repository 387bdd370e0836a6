internal import Platform

/// The copying of a move, and the proof that it was one.
///
/// To pvmove a copy is done when the kernel's mirror has gone through it: writes that failed on the way are in the
/// kernel's log and nowhere else (drivers/md/dm-region-hash.c, `dm_rh_update_states` without handled errors). So
/// everything stays in both places until all of it is copied (`--atomic`), the copy is read back and compared then, and
/// only a copy that is one becomes the only one.
extension GuestStorage {
  /// Copies what is on one device of the group to another while guests write; a nil `source` goes on with what is under
  /// way. It throws `device` where the copy is none: `source` has everything then, and the copying is to be aborted.
  public typealias Copying = (
    _ source: String?, _ target: String, _ percent: (Double) -> Void
  ) throws(StorageError) -> Void

  /// Does it, in a process that has no other work: LVM cannot be told to stop in the middle, so its process ends.
  ///
  /// - Parameters:
  ///   - percent: called every second.
  ///   - abandon: ends this process, where the copy is none; it gets the reason.
  public func copy(
    from source: String?, to target: String, percent: @escaping @Sendable (Double) -> Void,
    abandon: @escaping @Sendable (String) -> Never
  ) throws(StorageError) {
    let (lvm, group) = try withGroup { lvm, state throws(StorageError) in (lvm, state.volumeGroup) }
    let comparison = CopyComparison(group: group)
    let command = ["pvmove", "--yes", "--atomic", "--interval", "1"] + (source.map { [$0, target] } ?? [])
    try lvm.run(source == nil ? ["pvmove", "--interval", "1"] : command) { line in
      guard let done = PhysicalVolume.movedPercent(line) else { return }
      if let problem = comparison.problem(isComplete: done >= 100, target: target) { abandon(problem) }
      percent(done)
    }
  }
}

/// Compares the two copies of a move that is under way.
struct CopyComparison: Sendable {
  let group: String

  private static let chunk = 1 << 20
  private static let page = 4096
  /// How often a page that guests may be writing is looked at before it counts as different.
  private static let patience = 200

  /// What is wrong with the copies, in words; nil for nothing.
  func problem(isComplete: Bool, target: String) -> String? {
    if let problem = words(MirrorHealth.ofMove(in: group), target) { return problem }
    guard isComplete else { return nil }
    let paths = (0...1).map { leg in
      "/dev/mapper/\(PoolStatus.deviceName(group: group, volume: "pvmove0_mimage_\(leg)"))"
    }
    do throws(SystemError) {
      if let place = try Self.difference(paths[0], paths[1]) {
        return "\(target) does not give back what was written to it, at \(place >> 20) MiB of the move"
      }
    } catch {
      return error.path == paths[0]
        ? "what is moved cannot be read (\(error.errno))" : "\(target) cannot be read back (\(error.errno))"
    }
    return words(MirrorHealth.ofMove(in: group), target)
  }

  private func words(_ health: MirrorHealth, _ target: String) -> String? {
    switch health {
    case .well: nil
    case .sourceFails: "what is moved to \(target) cannot be read everywhere"
    case .targetFails: "\(target) does not take what is written to it"
    }
  }

  /// The first place at which two devices differ, in bytes; nil for none. Somebody may be writing to both.
  static func difference(_ first: String, _ second: String) throws(SystemError) -> Int? {
    let file = try Legs.open(first)
    var legs = Legs(file, try Legs.open(second), [first, second])
    let length = try legs.length()
    for start in stride(from: 0, to: length, by: chunk) {
      let range = start..<min(start + chunk, length)
      if try legs.areSame(range) { continue }
      for place in stride(from: range.lowerBound, to: range.upperBound, by: page) {
        let range = place..<min(place + page, length)
        var left = patience
        while try !legs.areSame(range) {
          left -= 1
          if left == 0 { return place }
          MonotonicClock.sleep(milliseconds: 5)
        }
      }
    }
    return nil
  }

  /// Two devices, read past the page cache where that can be.
  private struct Legs: ~Copyable {
    private let first: FileDescriptor
    private let second: FileDescriptor
    private let paths: [String]
    private var buffers = Buffers()

    /// What was read last, of each.
    private struct Buffers: ~Copyable {
      var first = AlignedBuffer(count: chunk)
      var second = AlignedBuffer(count: chunk)
    }

    init(_ first: consuming FileDescriptor, _ second: consuming FileDescriptor, _ paths: [String]) {
      self.first = first
      self.second = second
      self.paths = paths
    }

    static func open(_ path: String) throws(SystemError) -> FileDescriptor {
      do throws(SystemError) {
        return try FileDescriptor(opening: path, [.readOnly, .direct])
      } catch {
        guard error.errno == .invalidArgument else { throw SystemError("read", path: path, errno: error.errno) }
        return try FileDescriptor(opening: path)
      }
    }

    func length() throws(SystemError) -> Int { try first.length() }

    /// Whether both have the same in a range of at most `chunk` bytes.
    mutating func areSame(_ range: Range<Int>) throws(SystemError) -> Bool {
      try Self.read(first, paths[0], range, into: &buffers.first)
      try Self.read(second, paths[1], range, into: &buffers.second)
      return buffers.first.hasSamePrefix(as: buffers.second, count: range.count)
    }

    private static func read(
      _ file: borrowing FileDescriptor, _ path: String, _ range: Range<Int>, into buffer: inout AlignedBuffer
    ) throws(SystemError) {
      do throws(SystemError) {
        var bytes = buffer.mutablePrefix(range.count)
        guard try file.read(into: &bytes, at: range.lowerBound) == range.count else {
          throw SystemError("read", errno: .inputOutput)
        }
      } catch {
        throw SystemError("read", path: path, errno: error.errno)
      }
    }
  }
}
