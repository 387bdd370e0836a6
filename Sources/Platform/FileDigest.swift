public import Binary
internal import Glibc
internal import Synchronization

/// Digests of whole files.
public enum FileDigest {
  /// The `ChunkedDigest` of the file at `path`, on all processors.
  ///
  /// The file is read from its beginning to its end by one thread at a time, which optical drives need. Each thread
  /// holds one chunk in memory. Chunks in a file's holes are not read. `progress` is called on this thread with the
  /// bytes hashed so far, now and then.
  public static func chunked(
    _ path: String, threads: Int = min(Processors.online, 8), progress: (Int) -> Void = { _ in }
  ) throws(SystemError) -> SHA256.Digest {
    let work = try ChunkWork(path)
    work.run(helpers: min(threads, work.chunkCount) - 1, progress)
    return try work.result()
  }

  /// The SHA-256 of the whole file, as sha256sum(1) prints it; one processor only.
  public static func plain(
    _ path: String, progress: (Int) -> Void = { _ in }
  ) throws(SystemError) -> SHA256.Digest {
    let file = try FileDescriptor(opening: path)
    var hash = SHA256()
    var done = 0
    while true {
      let bytes = try reading(path) { () throws(SystemError) in try file.read(upTo: 1 << 20) }
      if bytes.isEmpty { return hash.finalize() }
      hash.update(bytes)
      done += bytes.count
      progress(done)
    }
  }

  /// The digest of the file at `path`, made in the way that `expected` was.
  public static func compute(
    like expected: ContentDigest, _ path: String, progress: (Int) -> Void = { _ in }
  ) throws(SystemError) -> ContentDigest {
    switch expected {
    case .sha256: .sha256(try plain(path, progress: progress))
    case .chunked: .chunked(try chunked(path, progress: progress))
    }
  }
}

/// The machine's processors.
public enum Processors {
  /// How many are on line; at least one.
  public static var online: Int { max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN))) }
}

/// What the digesting threads share. Lock order: `reader`, then `state`; neither is held while hashing.
private final class ChunkWork: Sendable {
  private struct State {
    var digests: [SHA256.Digest?]
    var hashed = 0  // bytes
    var failure: SystemError?
  }

  private struct Reading {
    /// The next chunk.
    var next = 0
    /// The stretch of bytes that was found last and is no hole.
    var data = 0..<0
  }

  let chunkCount: Int
  private let path: String
  private let file: FileDescriptor
  private let length: Int
  private let mayHaveHoles: Bool
  private let reader = Mutex(Reading())  // held while reading, so that reads are sequential
  private let state: Mutex<State>

  init(_ path: String) throws(SystemError) {
    self.path = path
    file = try FileDescriptor(opening: path)
    length = try file.length()
    mayHaveHoles = try file.status().kind == .regular
    chunkCount = ChunkedDigest.chunkCount(of: length)
    state = Mutex(State(digests: Array(repeating: nil, count: chunkCount)))
  }

  /// Hashes chunks on this thread and so many others. Where no more threads are to be had, fewer do.
  func run(helpers: Int, _ progress: (Int) -> Void) {
    guard helpers > 0 else { return run(progress) }
    do throws(SystemError) {
      let helper = try Thread("digest \(helpers)") { self.run { _ in } }
      run(helpers: helpers - 1, progress)
      helper.join()
    } catch {
      run(progress)
    }
  }

  /// Hashes chunks until none is left or a thread failed.
  private func run(_ progress: (Int) -> Void) {
    while let (index, count, bytes) = nextChunk() {
      let digest = bytes.map { SHA256.hash($0) } ?? Self.zeros(count)
      progress(
        state.withLock { state in
          state.digests[index] = digest
          state.hashed += count
          return state.hashed
        })
    }
  }

  func result() throws(SystemError) -> SHA256.Digest {
    let (digests, failure) = state.withLock { ($0.digests, $0.failure) }
    if let failure { throw failure }
    return ChunkedDigest.combine(digests.compactMap { $0 })
  }

  private static let zerosOfChunk = SHA256.hash([UInt8](repeating: 0, count: ChunkedDigest.chunkSize))

  private static func zeros(_ count: Int) -> SHA256.Digest {
    count == ChunkedDigest.chunkSize ? zerosOfChunk : SHA256.hash([UInt8](repeating: 0, count: count))
  }

  /// The next chunk's number, how many bytes it has, and these; nil for those in a hole.
  private func nextChunk() -> (Int, Int, [UInt8]?)? {
    reader.withLock { reading in
      guard reading.next < chunkCount, state.withLock({ $0.failure == nil }) else { return nil }
      let index = reading.next
      reading.next += 1
      let start = index * ChunkedDigest.chunkSize
      let count = min(ChunkedDigest.chunkSize, length - start)
      do throws(SystemError) {
        if try isHole(start, count, &reading) { return (index, count, nil) }
        return (index, count, try readChunk(at: start, count: count))
      } catch {
        state.withLock { $0.failure = error }
        return nil
      }
    }
  }

  private func isHole(_ start: Int, _ count: Int, _ reading: inout Reading) throws(SystemError) -> Bool {
    guard mayHaveHoles else { return false }
    if reading.data.upperBound <= start {
      reading.data = try file.data(from: start) ?? (Int.max - 1)..<Int.max
      // Behind its end there is no data either.
      if try file.length() < length { throw SystemError("read to the end of", path: path, errno: .inputOutput) }
    }
    return reading.data.lowerBound >= start + count
  }

  private func readChunk(at start: Int, count: Int) throws(SystemError) -> [UInt8] {
    var bytes = try reading(path) { () throws(SystemError) in try file.read(upTo: count, at: start) }
    while bytes.count < count {
      let more = try reading(path) { () throws(SystemError) in
        try file.read(upTo: count - bytes.count, at: start + bytes.count)
      }
      guard !more.isEmpty else { throw SystemError("read to the end of", path: path, errno: .inputOutput) }
      bytes.append(contentsOf: more)
    }
    return bytes
  }
}

private func reading<T>(_ path: String, _ body: () throws(SystemError) -> T) throws(SystemError) -> T {
  do throws(SystemError) {
    return try body()
  } catch {
    throw SystemError("read", path: path, errno: error.errno)
  }
}
