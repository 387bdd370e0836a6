internal import Binary
internal import Platform
internal import Synchronization

/// Writes one stick and reads it back.
///
/// The order is what makes an interruption safe: first the old boot record goes, then the old partition tables; then
/// everything but the first mebibyte is written, brought to the medium, read back past the cache and compared by digest;
/// only then comes the first mebibyte, and of that the boot record last and alone: it is a sector, which a medium takes
/// whole or not at all. A stick that is pulled out half-way has no boot signature and no partitions.
///
/// Concurrency model: two threads take turns: while one waits for the stick, the other reads and hashes. `cursor` is the
/// next chunk; it is held while the image is read from a device, as optical drives want to be read from their beginning
/// to their end. `state` is taken inside of it or alone.
final class StickWriter: Sendable {
  /// What is being done.
  enum Phase: String, Sendable, Hashable, CaseIterable {
    case erase, write, verify, finish
  }

  /// What was done, in nanoseconds.
  struct Times: Sendable, Hashable {
    var write: UInt64 = 0
    var verify: UInt64 = 0
  }

  static let chunk = 4 << 20

  private struct State {
    var done = 0  // bytes of this pass
    var failure: BuildError?
    var digests: [UInt64]
  }

  private let name: String
  private let image: HybridImage
  private let plan: StickPlan
  private let store: any StickStore
  private let cancellation: Cancellation
  private let progress: @Sendable (Phase, Int, Int) -> Void
  private let source: FileDescriptor
  private let cursor = Mutex(0)
  private let state: Mutex<State>

  /// `name` is the stick's, for messages; `progress` gets the bytes done and all bytes of a phase, from any thread.
  init(
    _ name: String, _ image: HybridImage, _ plan: StickPlan, to store: any StickStore, cancellation: Cancellation,
    progress: @escaping @Sendable (Phase, Int, Int) -> Void
  ) throws(BuildError) {
    self.name = name
    self.image = image
    self.plan = plan
    self.store = store
    self.cancellation = cancellation
    self.progress = progress
    source = try attempt("cannot read the image") { () throws(SystemError) in
      try FileDescriptor(opening: image.path)
    }
    let chunks = (plan.bodyEnd - HybridImage.headBytes + Self.chunk - 1) / Self.chunk
    state = Mutex(State(digests: Array(repeating: 0, count: chunks)))
  }

  /// Bytes that are written and read back in all.
  var bytes: Int { plan.bodyEnd + plan.pieces.reduce(0) { $0 + $1.bytes.count } }

  /// Does it all.
  ///
  /// - Throws: `cancelled`; `verification` where the stick gives back something else; what the system refused.
  func run() throws(BuildError) -> Times {
    var times = Times()
    progress(.erase, 0, 1)
    let (record, rest) = plan.head.divided(at: store.unit)
    try put([record], blank: true)
    try flush()
    try put([rest] + plan.pieces.suffix(1), blank: true)
    try flush()
    var start = MonotonicClock.now()
    try pass(.write)
    try put(plan.pieces)
    try flush()
    times.write = MonotonicClock.now() - start
    start = MonotonicClock.now()
    try pass(.verify)
    try compare(plan.pieces)
    times.verify = MonotonicClock.now() - start
    progress(.finish, 0, 1)
    for piece in [rest, record] {
      try put([piece])
      try flush()
      try compare([piece])
    }
    progress(.finish, 1, 1)
    return times
  }

  // MARK: The body

  private func pass(_ phase: Phase) throws(BuildError) {
    cursor.withLock { $0 = 0 }
    state.withLock { $0.done = 0 }
    progress(phase, 0, plan.bodyEnd - HybridImage.headBytes)
    do throws(SystemError) {
      let helper = try Thread("stick \(phase.rawValue)") { self.lane(phase) }
      lane(phase)
      helper.join()
    } catch {
      // Without a second thread the first does it alone.
      lane(phase)
    }
    if let failure = state.withLock({ $0.failure }) { throw failure }
  }

  /// Takes chunks until none is left or something failed.
  private func lane(_ phase: Phase) {
    var buffer = AlignedBuffer(count: Self.chunk)
    do throws(BuildError) {
      while let index = try next(phase, &buffer) {
        let range = range(index)
        let bytes = buffer.bytes.extracting(0..<range.count)
        let digest = XXH64.hash(bytes)
        if phase == .write {
          do throws(SystemError) {
            try store.write(bytes, at: range.lowerBound)
          } catch {
            throw failed("write to", error, at: range.lowerBound)
          }
          state.withLock { $0.digests[index] = digest }
        } else if state.withLock({ $0.digests[index] }) != digest {
          throw different(at: range)
        }
        let done = state.withLock { state in
          state.done += range.count
          return state.done
        }
        progress(phase, done, plan.bodyEnd - HybridImage.headBytes)
      }
    } catch {
      state.withLock { state in
        if state.failure == nil { state.failure = error }
      }
    }
  }

  /// The bytes of the stick that a chunk covers.
  private func range(_ index: Int) -> Range<Int> {
    let start = HybridImage.headBytes + index * Self.chunk
    return start..<min(start + Self.chunk, plan.bodyEnd)
  }

  /// Reads the next chunk, of the image to be written or of the stick to be compared; nil after the last.
  private func next(_ phase: Phase, _ buffer: inout AlignedBuffer) throws(BuildError) -> Int? {
    let index = try cursor.withLock { (cursor) throws(BuildError) -> Int? in
      let (count, hasFailed) = state.withLock { ($0.digests.count, $0.failure != nil) }
      guard cursor < count, !hasFailed else { return nil }
      try cancellation.check()
      if phase == .write, image.isDevice { try readImage(range(cursor), into: &buffer) }
      cursor += 1
      return cursor - 1
    }
    guard let index else { return nil }
    if phase == .verify {
      try readStick(range(index), into: &buffer)
    } else if !image.isDevice {
      try readImage(range(index), into: &buffer)
    }
    return index
  }

  private func readImage(_ range: Range<Int>, into buffer: inout AlignedBuffer) throws(BuildError) {
    let wanted = min(range.count, max(0, image.length - range.lowerBound))
    do throws(SystemError) {
      var bytes = buffer.mutablePrefix(wanted)
      let count = try source.read(into: &bytes, at: range.lowerBound)
      guard count == wanted else {
        throw SystemError("read to the end", path: image.path, errno: .inputOutput)
      }
    } catch {
      throw BuildError(
        .badFile, "cannot read \(image.path) at \(range.lowerBound >> 20) MiB: \(error.errno)",
        hint: "the image or what it lies on is damaged")
    }
    buffer.zero(wanted..<range.count)
  }

  private func readStick(_ range: Range<Int>, into buffer: inout AlignedBuffer) throws(BuildError) {
    do throws(SystemError) {
      var bytes = buffer.mutablePrefix(range.count)
      let count = try store.read(into: &bytes, at: range.lowerBound)
      guard count == range.count else { throw SystemError("read", errno: .inputOutput) }
    } catch {
      throw failed("read back", error, at: range.lowerBound)
    }
  }

  // MARK: Pieces

  private func put(_ pieces: [StickPlan.Piece], blank: Bool = false) throws(BuildError) {
    for piece in pieces {
      try cancellation.check()
      let buffer = blank ? AlignedBuffer(count: piece.bytes.count) : AlignedBuffer(piece.bytes)
      do throws(SystemError) {
        try store.write(buffer.bytes, at: piece.offset)
      } catch {
        throw failed("write to", error, at: piece.offset)
      }
    }
  }

  private func compare(_ pieces: [StickPlan.Piece]) throws(BuildError) {
    for piece in pieces {
      var buffer = AlignedBuffer(count: piece.bytes.count)
      let range = piece.offset..<piece.end
      try readStick(range, into: &buffer)
      guard XXH64.hash(buffer.bytes) == XXH64.hash(piece.bytes) else { throw different(at: range) }
    }
  }

  private func flush() throws(BuildError) {
    do throws(SystemError) {
      try store.flush()
    } catch {
      throw BuildError(.system, "\(name) did not take what was written: \(error.errno)", hint: Self.advice)
    }
  }

  private static let advice = "try another port, or another stick: this one may be worn out"

  private func failed(_ verb: String, _ error: SystemError, at offset: Int) -> BuildError {
    if error.errno == .noSpace {
      return BuildError(.noSpace, "there is no room for \(name) at \(offset >> 20) MiB", hint: "free some space there")
    }
    return BuildError(.system, "cannot \(verb) \(name) at \(offset >> 20) MiB: \(error.errno)", hint: Self.advice)
  }

  private func different(at range: Range<Int>) -> BuildError {
    BuildError(
      .verification,
      "\(name) does not give back what was written, between \(range.lowerBound >> 20) and "
        + "\((range.upperBound - 1) >> 20 + 1) MiB",
      hint: "take another stick: this one is damaged, or has less room than it says")
  }
}
