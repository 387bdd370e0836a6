internal import Binary
internal import Platform
internal import Synchronization

/// Runs the steps of a plan, several at once, each as soon as its inputs are there.
///
/// Concurrency model: the thread that calls `run` owns all state; a step runs on a thread of its own and reports
/// through `Mailbox`, which a mutex guards.
struct Executor {
  let cache: ResultCache
  let epoch: Int
  let jobs: Int
  /// Bytes of memory that steps which run at once may take together; one that takes more runs alone.
  var memory = Int.max
  /// Nothing is fetched.
  var isOffline = false
  let cancellation: Cancellation

  /// A finished step.
  struct Result: Sendable {
    let directory: String
    let digests: [String: String]
  }

  /// Runs all steps and returns their results by name. The first failure stops the others and is thrown.
  func run(_ steps: [Step], events: (BuildEvent) -> Void) throws(BuildError) -> [String: Result] {
    let mailbox = try attempt("cannot start the build") { () throws(SystemError) in try Mailbox() }
    var results: [String: Result] = [:]
    var waiting = Array(steps.indices)
    var running = 0
    var keys: [Int: SHA256.Digest] = [:]  // of those that run
    var used = 0  // bytes of memory
    var failure: BuildError?
    while true {
      if failure == nil, cancellation.isCancelled { failure = .cancelled }
      var started = true
      while started, failure == nil, running < jobs {
        started = false
        guard
          let position = waiting.firstIndex(where: {
            isReady(steps[$0], results) && (running == 0 || steps[$0].memory <= memory - used)
              // What another one makes just now is taken from it.
              && !keys.values.contains { [key = key(steps[$0], results)] in $0 == key }
          })
        else { break }
        let index = waiting.remove(at: position)
        started = true
        do throws(BuildError) {
          if try begin(steps[index], index, &results, mailbox, events) {
            running += 1
            keys[index] = key(steps[index], results)
            used += steps[index].memory
          }
        } catch {
          failure = error
          cancellation.cancel()
        }
      }
      if running == 0 { break }
      for message in mailbox.take() {
        switch message {
        case .progress(let index, let text): events(.progress(index, text))
        case .done(let index, let outcome, let seconds):
          running -= 1
          keys[index] = nil
          used -= steps[index].memory
          switch outcome {
          case .success(let result):
            results[steps[index].name] = result
            events(.finished(index, reused: false, seconds: seconds, bytes: size(result)))
          case .failure(let error):
            events(.failed(index))
            if failure == nil {
              // What fails after an interruption fails by it.
              failure = cancellation.isCancelled ? .cancelled : error
              cancellation.cancel()
            }
          }
        }
      }
    }
    if let failure { throw failure }
    if let stuck = waiting.first {
      throw BuildError(.content, "the step '\(steps[stuck].name)' waits for a step that is not in the plan")
    }
    return results
  }

  private func isReady(_ step: Step, _ results: [String: Result]) -> Bool {
    step.inputs.allSatisfy { results[$0.step] != nil }
  }

  /// What a step's result is kept under, once its inputs are there.
  private func key(_ step: Step, _ results: [String: Result]) -> SHA256.Digest? {
    var digests: [String] = []
    for input in step.inputs {
      guard let digest = results[input.step]?.digests[input.file] else { return nil }
      digests.append(digest)
    }
    return step.key(digests: digests)
  }

  private func size(_ result: Result) -> Int {
    result.digests.keys.reduce(0) { $0 + ((try? Files.status("\(result.directory)/\($1)"))?.size ?? 0) }
  }

  /// Takes the result from the cache, or starts a thread that makes it; true when a thread was started.
  private func begin(
    _ step: Step, _ index: Int, _ results: inout [String: Result], _ mailbox: Mailbox, _ events: (BuildEvent) -> Void
  ) throws(BuildError) -> Bool {
    for input in step.inputs where results[input.step]?.digests[input.file] == nil {
      throw BuildError(.content, "the step '\(input.step)' does not make \(input.file), which '\(step.name)' needs")
    }
    guard let key = key(step, results) else { return false }
    if !step.isForced, let digests = cache.digests(of: key, files: step.outputs) {
      let result = Result(directory: cache.path(of: key), digests: digests)
      results[step.name] = result
      events(.finished(index, reused: true, seconds: 0, bytes: size(result)))
      return false
    }
    events(.started(index))
    let directories = results.mapValues(\.directory)
    do throws(SystemError) {
      // The thread ends with its message: nobody joins it, and the process outlives it only when it exits.
      try Thread("step \(index)") {
        let started = MonotonicClock.now()
        let outcome = self.make(step, index, key, directories, mailbox)
        mailbox.post(.done(index, outcome, Double(MonotonicClock.now() - started) / 1e9))
      }.detach()
    } catch {
      throw BuildError(error, "cannot start a step")
    }
    return true
  }

  private func make(
    _ step: Step, _ index: Int, _ key: SHA256.Digest, _ directories: [String: String], _ mailbox: Mailbox
  ) -> Swift.Result<Result, BuildError> {
    let base = "\(cache.scratch)/\(index)"
    let context = StepContext(
      output: "\(base)/output", scratch: "\(base)/scratch", build: cache.scratch,
      log: "\(cache.directory)/logs/\(fileName(step)).log",
      epoch: epoch, cache: cache.directory, cancellation: cancellation, isOffline: isOffline,
      results: directories, report: { mailbox.post(.progress(index, $0)) })
    let outcome: Swift.Result<Result, BuildError>
    do throws(BuildError) {
      try attempt("cannot write to the cache \(cache.directory)") { () throws(SystemError) in
        try Files.makeDirectories(context.output)
        try Files.makeDirectories(context.scratch)
        try Files.remove(context.log)
      }
      try step.run(context)
      try cancellation.check()
      let digests = try cache.store(
        context.output, as: key, name: step.name, files: step.outputs, isForced: step.isForced)
      outcome = .success(Result(directory: cache.path(of: key), digests: digests))
    } catch {
      outcome = .failure(
        cancellation.isCancelled && error.code == .toolFailed ? .cancelled : explain(error, step, base))
    }
    try? ResultCache.removeTree(base)
    return outcome
  }

  /// Says of a full file system how much there was for the step.
  private func explain(_ error: BuildError, _ step: Step, _ base: String) -> BuildError {
    guard error.code == .noSpace, let free = try? Files.freeSpace(at: cache.directory) else { return error }
    return error.with(
      detail: "'\(step.name)' had \((Files.allocated(base) + (1 << 20) - 1) >> 20) MiB in \(cache.directory), "
        + "and \(free >> 20) MiB were free there")
  }

  private func fileName(_ step: Step) -> String {
    String(step.name.map { $0.isLetter || $0.isNumber || $0 == "." || $0 == "_" ? $0 : "-" })
  }
}

/// What steps' threads tell the executor. `queue` is guarded by its mutex; the event wakes the reader.
private final class Mailbox: Sendable {
  enum Message: Sendable {
    case progress(Int, String)
    case done(Int, Swift.Result<Executor.Result, BuildError>, Double)
  }

  private let queue = Mutex<[Message]>([])
  private let event: EventDescriptor

  init() throws(SystemError) {
    event = try EventDescriptor(nonBlocking: false)
  }

  func post(_ message: Message) {
    queue.withLock { $0.append(message) }
    try? event.signal()
  }

  /// Waits for messages and takes all.
  func take() -> [Message] {
    _ = try? event.take()
    return queue.withLock { messages in
      defer { messages.removeAll() }
      return messages
    }
  }
}
