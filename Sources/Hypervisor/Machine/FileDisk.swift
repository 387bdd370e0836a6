internal import Devices
internal import Platform
internal import Synchronization

/// A disk in a file or on a block device, served by threads of its own with preadv(2) and pwritev(2).
///
/// Concurrency model: `submit` is called with the device's lock held and only queues; workers take operations from
/// `queue`, run them without any lock, and hand results to `complete`, which takes the device's lock.
final class FileDisk: BlockBackend, Sendable {
  private struct Queue {
    var operations: [BlockOperation] = []
    var next = 0
    var isStopping = false
    var complete: (@Sendable (UInt64, BlockResult) -> Void)?
  }

  let capacity: UInt64
  let isReadOnly: Bool
  let identifier: String
  let canDiscard: Bool

  private let path: String
  private let file: FileDescriptor
  private let isBlockDevice: Bool
  private let memory: GuestRAM
  private let queue = Mutex(Queue())
  private let doorbell: EventDescriptor

  init(path: String, isReadOnly: Bool, identifier: String, memory: GuestRAM) throws(HypervisorError) {
    let message = "the disk \(path) cannot be used; check the path and its permissions"
    let status = try refusal(.device, message) { () throws(SystemError) in
      guard let status = try Files.status(path, followingLinks: true) else {
        throw SystemError("open", path: path, errno: .noSuchFile)
      }
      return status
    }
    guard status.kind == .regular || status.kind == .blockDevice else {
      throw HypervisorError(.device, "the disk \(path) is neither a file nor a block device")
    }
    let opened = try refusal(.device, message) { () throws(SystemError) in
      try FileDescriptor(opening: path, isReadOnly ? .readOnly : .readWrite)
    }
    doorbell = try refusal(.system, message) { () throws(SystemError) in try EventDescriptor(nonBlocking: false) }
    let length = try refusal(.device, message) { () throws(SystemError) in try opened.length() }
    guard length >= 512 else { throw HypervisorError(.device, "the disk \(path) is empty; make it at least 512 bytes") }
    file = opened
    capacity = UInt64(length)
    self.isReadOnly = isReadOnly
    self.identifier = identifier
    self.path = path
    self.memory = memory
    isBlockDevice = status.kind == .blockDevice
    canDiscard = !isReadOnly
  }

  /// Starts the workers; results go to `complete`.
  func start(
    workers: Int, complete: @escaping @Sendable (UInt64, BlockResult) -> Void
  ) throws(HypervisorError) -> DiskWorkers {
    queue.withLock { $0.complete = complete }
    return try DiskWorkers(self, count: workers)
  }

  func submit(_ operation: BlockOperation) -> BlockResult? {
    queue.withLock { $0.operations.append(operation) }
    try? doorbell.signal()
    return nil
  }

  /// Ends the workers once what they are doing is done.
  fileprivate func stop() {
    queue.withLock { $0.isStopping = true }
    try? doorbell.signal()
  }

  /// One worker's life.
  fileprivate func work() {
    while true {
      _ = try? doorbell.take()
      while true {
        let (operation, more, isStopping, complete) = queue.withLock { queue in
          guard queue.next < queue.operations.count else {
            queue.operations.removeAll(keepingCapacity: true)
            queue.next = 0
            return (nil as BlockOperation?, false, queue.isStopping, queue.complete)
          }
          let operation = queue.operations[queue.next]
          queue.next += 1
          return (operation, queue.next < queue.operations.count, queue.isStopping, queue.complete)
        }
        // The bell wakes one worker: it passes it on while there is more, or when all shall go.
        if more || isStopping { try? doorbell.signal() }
        guard let operation else {
          if isStopping { return }
          break
        }
        complete?(operation.id, perform(operation))
      }
    }
  }

  private func perform(_ operation: BlockOperation) -> BlockResult {
    do throws(SystemError) {
      switch operation.kind {
      case .read, .write:
        return try transfer(operation)
      case .flush:
        try file.synchronizeData()
      case .discard:
        try file.discard(at: operation.offset, count: operation.count, blockDevice: isBlockDevice)
      case .writeZeroes(let unmap):
        try file.writeZeros(
          at: operation.offset, count: operation.count, blockDevice: isBlockDevice, keepAllocated: !unmap)
      }
      return .success
    } catch {
      switch operation.kind {
      case .discard where error.errno == .notSupported: return .success  // advice, which may be ignored
      case .writeZeroes where error.errno == .notSupported: return .unsupported
      default: return .failure
      }
    }
  }

  private func transfer(_ operation: BlockOperation) throws(SystemError) -> BlockResult {
    guard let start = Int(exactly: operation.offset) else { return .failure }
    var runs: [MappedRun] = []
    runs.reserveCapacity(operation.segments.count)
    for segment in operation.segments {
      guard let offset = memory.offset(of: segment.address.rawValue, count: segment.count) else { return .failure }
      runs.append(MappedRun(offset: offset, count: segment.count))
    }
    var rest = runs[...]
    var position = start
    while let first = rest.first {
      if first.count == 0 {
        rest = rest.dropFirst()
        continue
      }
      var done =
        switch operation.kind {
        case .read: try file.read(into: memory.mapping, rest, at: position)
        default: try file.write(from: memory.mapping, rest, at: position)
        }
      guard done > 0 else { return .failure }
      position += done
      while done > 0, let run = rest.first {
        if done >= run.count {
          done -= run.count
          rest = rest.dropFirst()
        } else {
          rest[rest.startIndex] = MappedRun(offset: run.offset + done, count: run.count - done)
          done = 0
        }
      }
    }
    return .success
  }
}

/// The threads of a disk; they end with their owner, after the operations that were begun.
final class DiskWorkers {
  private let disk: FileDisk
  private var threads: [ThreadBox] = []

  fileprivate init(_ disk: FileDisk, count: Int) throws(HypervisorError) {
    self.disk = disk
    for index in 0..<count {
      let thread = try refusal(.system, "no thread for a disk can be started") { () throws(SystemError) in
        try Thread("disk-\(index)") { disk.work() }
      }
      threads.append(ThreadBox(thread))
    }
  }

  /// Lets the workers finish and waits for them.
  func stop() {
    disk.stop()
    for thread in threads { thread.join() }
    threads = []
  }
}

/// A thread that can be kept in an array.
final class ThreadBox {
  private var thread: Thread?

  init(_ thread: consuming Thread) {
    self.thread = consume thread
  }

  /// Interrupts what the thread waits in.
  func signal(_ number: Int32) {
    thread?.signal(number)
  }

  /// Waits for its end; only the first call does.
  func join() {
    thread.take()?.join()
  }
}
