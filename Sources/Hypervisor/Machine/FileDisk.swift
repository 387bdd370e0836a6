internal import Devices
internal import Platform
internal import Synchronization

/// A disk in a file or on a block device.
///
/// Concurrency model: `submit` is called with the device's lock held and hands over to an engine, which calls back on
/// a thread of its own (see `DiskEngine`).
final class FileDisk: BlockBackend, Sendable {
  let isReadOnly: Bool
  let identifier: String
  let canDiscard: Bool
  let path: String

  private let size: Atomic<UInt64>
  private let file: DiskFile

  /// Whether it is no file of a file system.
  var isBlockDevice: Bool { file.isBlockDevice }
  private let engine = Mutex<DiskEngine?>(nil)

  convenience init(path: String, isReadOnly: Bool, identifier: String, memory: GuestRAM) throws(HypervisorError) {
    let message = "the disk \(path) cannot be used; check the path and its permissions"
    let status = try refusal(.device, message) { () throws(SystemError) in
      guard let status = try Files.status(path, followingLinks: true) else {
        throw SystemError("open", path: path, errno: .noSuchFile)
      }
      return status
    }
    // What else there is may do something when it is opened.
    guard status.kind == .regular || status.kind == .blockDevice else { throw Self.noDisk(path) }
    let opened = try refusal(.device, message) { () throws(SystemError) in
      try FileDescriptor(opening: path, isReadOnly ? .readOnly : .readWrite)
    }
    // What a guest wrote to a volume is in its own cache already. What several guests read only is kept here.
    let isDirect = status.kind == .blockDevice && !isReadOnly
    let direct = isDirect ? try? FileDescriptor(opening: path, [.readWrite, .direct]) : nil
    try self.init(
      opened, direct: direct, path: path, isReadOnly: isReadOnly, identifier: identifier, memory: memory)
  }

  /// A disk that is open: `direct` is the same, opened with O_DIRECT; `path` is what it is called.
  init(
    _ opened: consuming FileDescriptor, direct: consuming FileDescriptor?, path: String, isReadOnly: Bool,
    identifier: String, memory: GuestRAM
  ) throws(HypervisorError) {
    let message = "the disk \(path) cannot be used"
    let kind: FileKind
    let length: Int
    do throws(SystemError) {
      kind = try opened.status().kind
      guard kind == .regular || kind == .blockDevice else {
        throw SystemError("use as a disk", errno: .invalidArgument)
      }
      length = try opened.length()
    } catch {
      throw HypervisorError(.device, message, cause: error)
    }
    guard length >= 512 else { throw HypervisorError(.device, "the disk \(path) is empty; make it at least 512 bytes") }
    file = DiskFile(
      opened, direct: direct, isBlockDevice: kind == .blockDevice, isReadOnly: isReadOnly, memory: memory)
    size = Atomic(UInt64(length))
    self.isReadOnly = isReadOnly
    self.identifier = identifier
    self.path = path
    canDiscard = !isReadOnly
  }

  private static func noDisk(_ path: String) -> HypervisorError {
    HypervisorError(.device, "the disk \(path) is neither a file nor a block device")
  }

  /// What it did so far.
  var counts: DiskMeter.Counts { file.meter.current }

  /// Size in bytes, as it was when it was last looked at.
  var capacity: UInt64 { size.load(ordering: .relaxed) }

  /// Looks at the size again: the new one in bytes. Not for two threads at once. A disk that has become smaller stays at
  /// the size it had, as a guest may keep data anywhere on it.
  func remeasure() throws(HypervisorError) -> UInt64 {
    let length = try refusal(.device, "the size of the disk \(path) cannot be found") { () throws(SystemError) in
      UInt64(try file.file.length())
    }
    guard length >= capacity else {
      throw HypervisorError(
        .device, "the disk \(path) has become smaller (\(length) bytes of \(capacity)); it can only grow")
    }
    size.store(length, ordering: .relaxed)
    return length
  }

  /// Starts serving, by the engine of `choice`, which is returned; results go to `complete`.
  ///
  /// - Parameters:
  ///   - entries: operations that a ring has in flight at most.
  ///   - workers: how many threads serve where there is no ring.
  ///   - bell: the guest's, for an engine that answers it on the thread that serves.
  ///   - rings: where a ring comes from.
  @discardableResult
  func start(
    _ choice: DiskEngine.Choice = .automatic, entries: UInt32 = RingEngine.entries, workers: Int = 2,
    bell: DiskBell? = nil, rings: RingSupply = RingSupply(), complete: @escaping DiskEngine.Completion
  ) throws(HypervisorError) -> DiskEngine {
    let made = try refusal(.system, "the disk \(path) cannot be served") { () throws(SystemError) in
      try DiskEngine(choice, file, entries: entries, workers: workers, bell: bell, rings: rings, complete: complete)
    }
    engine.withLock { $0 = made }
    return made
  }

  func submit(_ operation: BlockOperation) -> BlockResult? {
    guard let request = DiskRequest(operation, in: file.memory) else { return .failure }
    if request.isDone { return .success }
    // Nothing was written; and where no file can be written (a CD's file system) fsync(2) is an error.
    if case .flush = request.kind, isReadOnly { return .success }
    guard let engine = engine.withLock({ $0 }) else { return .failure }
    return engine.submit(request)
  }

  /// Ends the engine once all that was submitted is done, what its completions submit included.
  func stop() {
    engine.withLock { $0 }?.stop()
    engine.withLock { $0 = nil }
  }
}

/// The doorbell of a disk's queue.
final class DiskBell: Sendable {
  let doorbell: QueueEvent
  /// Serves the queue, and says whether the guest is to ring for what it adds from now on.
  let serve: @Sendable (_ asksForNotice: Bool) -> Void

  init(_ doorbell: QueueEvent, serve: @escaping @Sendable (_ asksForNotice: Bool) -> Void) {
    self.doorbell = doorbell
    self.serve = serve
  }
}

/// What carries out a disk's operations.
enum DiskEngine: Sendable {
  /// Takes the operations that ended, on a thread of the engine; it may submit more.
  typealias Completion = @Sendable ([BlockCompletion]) -> Void

  /// Which engine is wanted.
  enum Choice: Sendable, Hashable {
    /// A ring where the kernel has one to give, workers elsewhere.
    case automatic
    case ring
    case workers
  }

  /// io_uring(7). It answers the bell.
  case ring(RingEngine)
  /// Threads, which leave the bell to others; `refusal` is why there is no ring, where one was asked for.
  case workers(WorkerEngine, refusal: SystemError?)

  init(
    _ choice: Choice, _ file: DiskFile, entries: UInt32, workers: Int, bell: DiskBell?, rings: RingSupply,
    complete: @escaping Completion
  ) throws(SystemError) {
    var refusal: SystemError?
    if choice != .workers {
      do throws(SystemError) {
        self = .ring(try RingEngine(file, entries: entries, bell: bell, rings: rings, complete: complete))
        return
      } catch {
        if choice == .ring { throw error }
        refusal = error
      }
    }
    self = .workers(try WorkerEngine(file, workers: workers, complete: complete), refusal: refusal)
  }

  /// Begins a request. The result if it is known at once.
  func submit(_ request: DiskRequest) -> BlockResult? {
    switch self {
    case .ring(let engine): engine.submit(request)
    case .workers(let engine, _): engine.submit(request)
    }
  }

  /// Waits for the end of all that was submitted, and of the engine's threads.
  func stop() {
    switch self {
    case .ring(let engine): engine.stop()
    case .workers(let engine, _): engine.stop()
    }
  }
}
