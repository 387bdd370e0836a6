internal import Devices
internal import Platform
internal import Synchronization

/// Serves a disk by io_uring(7), on one thread of the disk that waits for the guest and for the kernel at once.
///
/// What the guest has made available by the time that its doorbell rings goes to the kernel with one call, which also
/// waits for what comes next; what is done by then goes back to the guest together. While several operations are in
/// flight and some of them end, it looks for more without waiting and without a doorbell: a guest that keeps its queue
/// full rings seldom. A guest that rings on and on for nothing is heard less and less often, up to a millisecond apart:
/// its doorbells then cost nobody but itself.
///
/// Concurrency model: the ring is the disk's thread's alone. `state` guards what waits for it; other threads put their
/// operations there and wake it. It calls `serve` and `complete` without a lock held, since those take the device's
/// lock, under which operations are submitted (lock order: device, `state`). An operation has one entry in the
/// submission queue or one completion, and there are fewer slots than entries: neither queue can overflow.
final class RingEngine: Sendable {
  /// Entries of the ring. A disk's queue has as many descriptors, and an operation takes two at least.
  static let entries: UInt32 = 256
  /// How often one operation is given to the ring without coming further, before it is done by ordinary calls.
  private static let attemptLimit = 8
  /// Doorbells in a row that may be for nothing before the next one is heard later.
  private static let patience = 16
  /// Between looks at a guest that rings for nothing, in microseconds.
  private static let pauses: ClosedRange<UInt32> = 50...1000
  /// Entries that are not for operations: the two events that are watched.
  private static let watches = 2

  /// An operation the kernel has been given. Its vectors stay until the kernel has answered.
  private final class Flight {
    var request: DiskRequest
    let vectors: VectorList?
    var attempts = 1
    var isDirect: Bool

    init(_ request: DiskRequest, isDirect: Bool) {
      self.request = request
      self.isDirect = isDirect
      vectors = request.runs.isEmpty ? nil : VectorList(capacity: request.runs.count)
    }
  }

  private struct State {
    /// What is in flight; the index is the operation's tag in the ring.
    var slots: [Flight?]
    var free: [Int]
    var backlog = DiskBacklog()
    /// The disk's thread, once it runs (`Thread.currentIdentity`).
    var thread: UInt = 0
    /// The thread was woken for the backlog and has not looked at it yet.
    var isWoken = false
    var isStopping = false
    /// The thread has gone: nobody would serve what came now.
    var isOver = false

    /// How many requests there were so far.
    var count: UInt64 = 0

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
  private let bell: DiskBell?
  private let complete: DiskEngine.Completion
  /// Signalled for anything that the thread shall look at and the ring does not tell.
  private let wake: EventDescriptor
  private let ring: IORing
  private let slotCount: Int
  private let state: Mutex<State>
  private let thread = Mutex<ThreadBox?>(nil)
  /// Discards and write zeroes of a block device: fallocate(2) there writes zeros where BLKDISCARD gives space back.
  private let helper: WorkerEngine?

  /// Makes the ring and starts its thread; results go to `complete`.
  ///
  /// - Parameters:
  ///   - entries: entries of the ring; the kernel rounds up to a power of two.
  ///   - bell: the guest's, which the thread then answers.
  ///   - rings: where the ring comes from.
  init(
    _ file: DiskFile, entries: UInt32, bell: DiskBell?, rings: RingSupply = RingSupply(),
    complete: @escaping DiskEngine.Completion
  ) throws(SystemError) {
    self.file = file
    self.bell = bell
    self.complete = complete
    wake = try EventDescriptor()
    ring = try rings.take(entries: entries)
    slotCount = ring.entries - Self.watches
    guard slotCount > 0 else { throw SystemError("io_uring_setup", errno: .invalidArgument) }
    state = Mutex(
      State(slots: Array(repeating: nil, count: slotCount), free: Array((0..<slotCount).reversed())))
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

  /// Takes a request, which the thread gives to the kernel with all others when it next waits; fails when the engine
  /// has ended.
  func submit(_ request: DiskRequest) -> BlockResult? {
    if let helper {
      switch request.kind {
      case .discard, .writeZeroes: return helper.submit(request)
      case .read, .write, .flush: break
      }
    }
    let (result, wakes) = state.withLock { state in
      guard !state.isOver else { return (BlockResult.failure as BlockResult?, false) }
      state.count &+= 1
      let isOwn = state.thread == Thread.currentIdentity
      guard isOwn, state.backlog.isEmpty, !state.free.isEmpty else {
        state.backlog.append(request)
        // The thread itself looks at the backlog before it waits.
        let wakes = !isOwn && !state.isWoken
        if wakes { state.isWoken = true }
        return (nil, wakes)
      }
      begin(request, &state)
      return (nil, false)
    }
    if wakes { try? wake.signal() }
    return result
  }

  /// Waits for the end of all that was submitted, and of the threads.
  func stop() {
    // What it completes may make the device submit a flush to the ring.
    helper?.stop()
    state.withLock { $0.isStopping = true }
    try? wake.signal()
    let box = thread.withLock { $0 }
    box?.join()
  }

  // MARK: The disk's thread

  private func run() {
    state.withLock { $0.thread = Thread.currentIdentity }
    ring.begin()
    ring.watch(wake, tag: slotCount)
    if let bell { ring.watch(bell.doorbell.event, tag: slotCount + 1) }
    var ended: [BlockCompletion] = []
    // Whether the guest was asked to ring: only then the thread waits.
    var waits = true
    // Doorbells in a row that were for nothing, and the requests that there were before the last one.
    var (idleRings, known) = (0, 0 as UInt64)
    while true {
      let (isOver, isBusy) = state.withLock { state in
        state.isWoken = false
        while !state.free.isEmpty, let request = state.backlog.popFirst() { begin(request, &state) }
        state.isOver = state.isStopping && state.isIdle
        return (state.isOver, slotCount - state.free.count > 1)
      }
      if isOver { return }
      // The kernel is short of memory: it says so at once, and nothing tells when that has passed.
      if !ring.submit(waits: waits) { MonotonicClock.sleep(milliseconds: 1) }
      var isRung = false
      while let completion = ring.next() {
        guard completion.tag >= slotCount else {
          settle(completion, &ended)
          continue
        }
        let isBell = completion.tag > slotCount
        isRung = isRung || isBell
        guard !completion.hasMore else { continue }
        if completion.result < 0 { MonotonicClock.sleep(milliseconds: 1) }
        if isBell, let bell { ring.watch(bell.doorbell.event, tag: completion.tag) }
        if !isBell { ring.watch(wake, tag: completion.tag) }
      }
      let hasEnded = !ended.isEmpty
      if hasEnded {
        complete(ended)
        ended.removeAll(keepingCapacity: true)
      }
      guard let bell else { continue }
      let asksForNotice = !isBusy || !hasEnded
      if isRung || isBusy || !waits { bell.serve(asksForNotice) }
      waits = asksForNotice
      guard isRung else { continue }
      let count = state.withLock { $0.count }
      idleRings = count == known && !isBusy && !hasEnded ? idleRings + 1 : 0
      known = count
      if idleRings > Self.patience {
        let pause = Self.pauses.lowerBound << UInt32(min(idleRings - Self.patience - 1, 8))
        MonotonicClock.sleep(microseconds: min(pause, Self.pauses.upperBound))
      }
    }
  }

  private func begin(_ request: DiskRequest, _ state: inout State) {
    guard let slot = state.free.popLast() else { return state.backlog.append(request) }
    let flight = Flight(request, isDirect: file.canBeDirect(request))
    state.slots[slot] = flight
    prepare(flight, slot)
  }

  /// Asks for what is left of the operation in `slot`.
  private func prepare(_ flight: Flight, _ slot: Int) {
    let request = flight.request
    flight.vectors?.fill(request.runs, in: file.memory.mapping)
    let number = file.number(direct: flight.isDirect)
    switch (request.kind, flight.vectors) {
    case (.read, let vectors?): ring.read(number, vectors, at: request.offset, tag: slot)
    case (.write, let vectors?): ring.write(number, vectors, at: request.offset, tag: slot)
    // A read or write of nothing does not come here.
    case (.flush, _), (.read, nil), (.write, nil): ring.synchronizeData(number, tag: slot)
    case (.discard, _):
      ring.zero(number, at: request.offset, count: request.count, keepAllocated: false, tag: slot)
    case (.writeZeroes(let unmap), _):
      ring.zero(number, at: request.offset, count: request.count, keepAllocated: !unmap, tag: slot)
    }
  }

  /// Goes on with what a completion is about, or adds it to what has ended.
  private func settle(_ completion: IORing.Completion, _ ended: inout [BlockCompletion]) {
    let (request, result) = state.withLock { state in
      guard let flight = state.slots[completion.tag] else { return (nil as DiskRequest?, nil as BlockResult?) }
      if flight.isDirect, Errno(rawValue: 0 &- completion.result) == .invalidArgument {
        // The device wants more alignment than was thought enough.
        flight.isDirect = false
        prepare(flight, completion.tag)
        return (nil, nil)
      }
      switch flight.request.advance(after: completion.result) {
      case .partial:
        flight.attempts = 1
        flight.isDirect = flight.isDirect && file.canBeDirect(flight.request)
        prepare(flight, completion.tag)
        return (nil, nil)
      case .again where flight.attempts < Self.attemptLimit:
        flight.attempts += 1
        prepare(flight, completion.tag)
        return (nil, nil)
      case .again, .refused:
        return (state.remove(completion.tag), nil)
      case .ended(let result):
        return (state.remove(completion.tag), result)
      }
    }
    guard let request else { return }
    let outcome = result ?? file.perform(request)
    file.meter.note(request, outcome)
    ended.append(BlockCompletion(id: request.id, result: outcome))
  }
}
