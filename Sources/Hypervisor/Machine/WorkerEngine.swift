internal import Devices
internal import Platform
internal import Synchronization

/// Serves a disk by threads of its own, with preadv(2) and pwritev(2).
///
/// Concurrency model: `submit` is for any thread and only queues; workers take requests from `queue`, run them without
/// any lock, and hand results to `complete`.
final class WorkerEngine: Sendable {
  private struct Queue {
    var backlog = DiskBacklog()
    var workers = 0
    var isStopping = false
    /// The last worker has gone: nobody would serve what came now.
    var isOver = false
  }

  private let file: DiskFile
  private let complete: DiskEngine.Completion
  private let queue = Mutex(Queue())
  private let doorbell: EventDescriptor
  private let threads = Mutex<[ThreadBox]>([])

  /// Starts `workers` threads; results go to `complete`.
  init(_ file: DiskFile, workers: Int, complete: @escaping DiskEngine.Completion) throws(SystemError) {
    self.file = file
    self.complete = complete
    doorbell = try EventDescriptor(nonBlocking: false)
    queue.withLock { $0.workers = workers }
    for index in 0..<workers {
      do throws(SystemError) {
        let thread = ThreadBox(try Thread("disk-\(index)") { [self] in work() })
        threads.withLock { $0.append(thread) }
      } catch {
        queue.withLock { $0.workers = index }
        stop()
        throw error
      }
    }
  }

  /// Queues a request; fails when the engine has ended.
  func submit(_ request: DiskRequest) -> BlockResult? {
    let isQueued = queue.withLock { queue in
      guard !queue.isOver else { return false }
      queue.backlog.append(request)
      return true
    }
    guard isQueued else { return .failure }
    try? doorbell.signal()
    return nil
  }

  /// Lets the workers finish what was submitted and waits for them.
  func stop() {
    queue.withLock { $0.isStopping = true }
    try? doorbell.signal()
    let threads = threads.withLock { $0 }
    for thread in threads { thread.join() }
  }

  /// One worker's life.
  private func work() {
    while true {
      _ = try? doorbell.take()
      while true {
        let (request, passesOn, ends) = queue.withLock { queue in
          guard let request = queue.backlog.popFirst() else {
            if queue.isStopping {
              queue.workers -= 1
              queue.isOver = queue.workers == 0
            }
            return (nil as DiskRequest?, queue.isStopping, queue.isStopping)
          }
          return (request, queue.isStopping || !queue.backlog.isEmpty, false)
        }
        // The bell wakes one worker: it passes it on while there is more, or when all shall go.
        if passesOn { try? doorbell.signal() }
        if ends { return }
        guard let request else { break }
        let result = file.perform(request)
        file.meter.note(request, result)
        complete([BlockCompletion(id: request.id, result: result)])
      }
    }
  }
}

/// A thread that can be kept in an array.
final class ThreadBox: Sendable {
  private let thread: Mutex<Thread?>

  init(_ thread: consuming Thread) {
    self.thread = Mutex(consume thread)
  }

  /// Interrupts what the thread waits in.
  func signal(_ number: Int32) {
    thread.withLock { $0?.signal(number) }
  }

  /// Waits for its end; only the first call does.
  func join() {
    thread.withLock { $0.take() }?.join()
  }
}
