internal import Devices
internal import Platform
internal import Synchronization

/// Serves a disk by io_uring(7): operations go to the kernel from the thread that submits them, and a thread of the
/// disk waits for what becomes of them.
///
/// Concurrency model: `state` guards the table of what is in flight and the ring's submission side; any thread submits.
/// The completion thread alone uses the ring's completion side, and calls `complete` without a lock held, since that
/// takes the device's lock, under which others submit (lock order: device, `state`). An operation has one entry in the
/// submission queue or one completion, and there are as many slots as entries: neither queue can overflow.
///
/// An operation belongs to the thread that submitted it, and is cut short if that thread ends; the completion thread,
/// which outlives all operations, then submits it again.
final class RingEngine: Sendable {
  /// Operations that the kernel is given at a time; more wait. As many as a disk's queue has descriptors.
  static let entries: UInt32 = 256
  /// How often one operation is given to the ring without coming further, before it is done by ordinary calls.
  private static let attemptLimit = 8

  /// An operation the kernel has been given. Its vectors stay until the kernel has answered.
  private final class Flight {
    var request: DiskRequest
    let vectors: VectorList?
    var attempts = 1

    init(_ request: DiskRequest) {
      self.request = request
      vectors = request.runs.isEmpty ? nil : VectorList(capacity: request.runs.count)
    }
  }

  private struct State {
    /// What is in flight; the index is the operation's tag in the ring.
    var slots: [Flight?]
    var free: [Int]
    var backlog = DiskBacklog()
    var isStopping = false
    /// The completion thread has gone: nobody would serve what came now.
    var isOver = false

    var isIdle: Bool { free.count == slots.count && backlog.isEmpty }

    /// Frees a slot; what was in it.
    mutating func remove(_ slot: Int) -> DiskRequest? {
      let request = slots[slot]?.request
      slots[slot] = nil
      free.append(slot)
      return request
    }
  }

  private let file: DiskFile
  private let complete: DiskEngine.Completion
  /// Rung by the kernel for completions, and by this process for anything else the completion thread shall look at.
  private let doorbell: EventDescriptor
  private let ring: IORing
  private let state: Mutex<State>
  private let thread = Mutex<ThreadBox?>(nil)
  /// Discards and write zeroes of a block device: fallocate(2) there writes zeros where BLKDISCARD gives space back.
  private let helper: WorkerEngine?

  /// Makes the ring and starts its thread; results go to `complete`.
  ///
  /// - Parameter entries: operations in flight at most; the kernel rounds up to a power of two.
  init(_ file: DiskFile, entries: UInt32, complete: @escaping DiskEngine.Completion) throws(SystemError) {
    self.file = file
    self.complete = complete
    doorbell = try EventDescriptor(nonBlocking: false)
    ring = try IORing(entries: entries, completion: doorbell)
    let count = ring.entries
    state = Mutex(State(slots: Array(repeating: nil, count: count), free: Array((0..<count).reversed())))
    helper =
      file.isBlockDevice && !file.isReadOnly ? try WorkerEngine(file, workers: 1, complete: complete) : nil
    do throws(SystemError) {
      let box = ThreadBox(try Thread("disk-ring") { [self] in run() })
      thread.withLock { $0 = box }
    } catch {
      helper?.stop()
      throw error
    }
  }

  /// Gives a request to the kernel, or queues it while the kernel has enough; fails when the engine has ended.
  func submit(_ request: DiskRequest) -> BlockResult? {
    if let helper {
      switch request.kind {
      case .discard, .writeZeroes: return helper.submit(request)
      case .read, .write, .flush: break
      }
    }
    let (result, isTaken) = state.withLock { state in
      guard !state.isOver else { return (BlockResult.failure as BlockResult?, true) }
      guard state.backlog.isEmpty, !state.free.isEmpty else {
        state.backlog.append(request)
        return (nil, true)
      }
      begin(request, &state)
      return (nil, ring.submit())
    }
    if !isTaken { try? doorbell.signal() }
    return result
  }

  /// Waits for the end of all that was submitted, and of the threads.
  func stop() {
    // What it completes may make the device submit a flush to the ring.
    helper?.stop()
    state.withLock { $0.isStopping = true }
    try? doorbell.signal()
    let box = thread.withLock { $0 }
    box?.join()
  }

  // MARK: The submission side, with `state` locked

  private func begin(_ request: DiskRequest, _ state: inout State) {
    guard let slot = state.free.popLast() else { return state.backlog.append(request) }
    let flight = Flight(request)
    state.slots[slot] = flight
    prepare(flight, slot)
  }

  /// Asks for what is left of the operation in `slot`.
  private func prepare(_ flight: Flight, _ slot: Int) {
    let request = flight.request
    flight.vectors?.fill(request.runs, in: file.memory.mapping)
    switch (request.kind, flight.vectors) {
    case (.read, let vectors?): ring.read(file.file, vectors, at: request.offset, tag: slot)
    case (.write, let vectors?): ring.write(file.file, vectors, at: request.offset, tag: slot)
    // A read or write of nothing does not come here.
    case (.flush, _), (.read, nil), (.write, nil): ring.synchronizeData(file.file, tag: slot)
    case (.discard, _):
      ring.zero(file.file, at: request.offset, count: request.count, keepAllocated: false, tag: slot)
    case (.writeZeroes(let unmap), _):
      ring.zero(file.file, at: request.offset, count: request.count, keepAllocated: !unmap, tag: slot)
    }
  }

  // MARK: The completion thread

  private func run() {
    while true {
      _ = try? doorbell.take()
      while let completion = ring.next() { settle(completion) }
      let (isTaken, isOver) = state.withLock { state in
        while !state.free.isEmpty, let request = state.backlog.popFirst() { begin(request, &state) }
        let isTaken = ring.submit()
        state.isOver = state.isStopping && state.isIdle
        return (isTaken, state.isOver)
      }
      if isOver { return }
      if !isTaken {
        // The kernel is short of memory. It says so at once, and nothing tells when that has passed.
        MonotonicClock.sleep(milliseconds: 1)
        try? doorbell.signal()
      }
    }
  }

  private func settle(_ completion: IORing.Completion) {
    let (request, result) = state.withLock { state in
      guard let flight = state.slots[completion.tag] else { return (nil as DiskRequest?, nil as BlockResult?) }
      switch flight.request.advance(after: completion.result) {
      case .partial:
        flight.attempts = 1
        prepare(flight, completion.tag)
        return (nil, nil)
      case .again where flight.attempts < Self.attemptLimit:
        flight.attempts += 1
        prepare(flight, completion.tag)
        return (nil, nil)
      case .again:
        return (state.remove(completion.tag), nil)
      case .ended(let result):
        return (state.remove(completion.tag), result)
      }
    }
    guard let request else { return }
    complete(request.id, result ?? file.perform(request))
  }
}
