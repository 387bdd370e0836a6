internal import Platform

/// Waits for descriptors and runs what was registered for them: the machine's one thread for input and output.
///
/// Not for other threads: everything here belongs to the thread that calls `run`. Others wake it through an
/// `EventDescriptor` that was registered before.
final class EventLoop {
  typealias Handler = (Readiness) -> Void

  private let poller: Poller
  private var handlers: [UInt64: Handler] = [:]
  private var nextToken: UInt64 = 1
  private var isStopping = false

  init() throws(HypervisorError) {
    poller = try refusal(.system, "no event loop can be made") { () throws(SystemError) in try Poller() }
  }

  /// Calls `handler` whenever `descriptor` is ready as asked for. The token names the registration.
  func add(_ descriptor: Int32, _ interest: Readiness, _ handler: @escaping Handler) throws(SystemError) -> UInt64 {
    let token = nextToken
    try poller.add(descriptor, interest, token: token)
    nextToken += 1
    handlers[token] = handler
    return token
  }

  /// Changes what a registered descriptor is waited for.
  func change(_ token: UInt64, _ descriptor: Int32, _ interest: Readiness) {
    // A registered descriptor cannot be refused.
    try? poller.modify(descriptor, interest, token: token)
  }

  /// Forgets a descriptor; its handler is not called any more.
  func remove(_ token: UInt64, _ descriptor: Int32) {
    handlers[token] = nil
    try? poller.remove(descriptor)
  }

  /// Ends `run` when the current handler is done.
  func stop() {
    isStopping = true
  }

  /// Serves until `stop`.
  func run() throws(HypervisorError) {
    while !isStopping {
      let ready = try refusal(.system, "waiting for events failed") { () throws(SystemError) in try poller.wait() }
      for event in ready where !isStopping { handlers[event.token]?(event.readiness) }
    }
  }
}
