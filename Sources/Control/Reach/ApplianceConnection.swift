internal import Platform

/// A stream to something of an appliance: a unix socket of this machine, or what a relay joined to one of another.
///
/// Not for several threads at once.
public final class ApplianceConnection {
  private let file: FileDescriptor
  private let child: SecureShellClient?
  /// What is still awaited; nil when the stream is open.
  private var greeting: RelayGreeting?
  /// Bytes that came with the greeting.
  private var early: [UInt8] = []
  private var refusal: ControlError?

  /// One that is open.
  init(_ file: consuming FileDescriptor) {
    self.file = file
    child = nil
  }

  /// One that a relay opens, at the other end of `child`.
  init(_ file: consuming FileDescriptor, through child: SecureShellClient) {
    self.file = file
    self.child = child
    greeting = RelayGreeting()
  }

  /// The descriptor, to wait for bytes with others.
  var descriptor: Int32 { file.rawValue }

  /// True as soon as the other side said that it joined the stream.
  var isOpen: Bool { greeting == nil }

  /// Makes reads and writes return at once (`wouldBlock`) instead of waiting.
  func setNonBlocking() throws(SystemError) {
    try file.setNonBlocking(true)
  }

  /// Another owner of the open stream, for a thread of its own.
  func duplicate() throws(SystemError) -> FileDescriptor {
    try file.duplicate()
  }

  /// What came, `count` bytes at most unless they came with the greeting; empty at the end, of which `failure` may know
  /// the reason.
  func read(upTo count: Int) throws(SystemError) -> [UInt8] {
    while true {
      if !early.isEmpty {
        defer { early = [] }
        return early
      }
      let bytes = try receive(upTo: count)
      if bytes.isEmpty || isOpen || refusal != nil { return refusal == nil ? bytes : [] }
      take(bytes)
      if refusal != nil { return [] }
    }
  }

  /// Writes once; returns how many bytes were taken. Before the stream is open they wait for that.
  func write(_ bytes: ArraySlice<UInt8>) throws(SystemError) -> Int {
    try file.write(bytes)
  }

  /// Waits until the stream is open: as long as somebody takes to answer what ssh asks, or `seconds`. Throws why it does
  /// not come to that.
  func waitUntilOpen(within seconds: Double? = nil) throws(ControlError) {
    guard !isOpen else { return }
    let end = seconds.map { MonotonicClock.now() + UInt64($0 * 1e9) }
    do throws(SystemError) {
      let poller = try Poller()
      try poller.add(file.rawValue, .readable, token: 0)
      while !isOpen, refusal == nil {
        let now = MonotonicClock.now()
        if let end, end <= now {
          child?.end()
          throw SystemError("wait for the relay", errno: .timedOut)
        }
        guard try !poller.wait(timeout: end.map { Int32(clamping: ($0 - now) / 1_000_000 + 1) } ?? -1).isEmpty else {
          continue
        }
        let bytes = try receive(upTo: 1 << 16)
        if bytes.isEmpty { break }
        take(bytes)
      }
    } catch {
      throw ControlError(.disconnected, "no connection to \(place): \(error.errno)")
    }
    guard isOpen else {
      throw failure ?? ControlError(.disconnected, "\(place) closed the connection before it was one")
    }
  }

  /// Why the stream ended; nil where all there is to say is that the other side closed it.
  var failure: ControlError? {
    if let refusal, let child { return ControlError(refusal.code, "\(child.host): \(refusal.message)") }
    return refusal ?? child?.failure(wasOpen: isOpen)
  }

  private var place: String { child.map { "\($0.host)" } ?? "the appliance" }

  private func receive(upTo count: Int) throws(SystemError) -> [UInt8] {
    do throws(SystemError) {
      return try file.read(upTo: count)
    } catch {
      // ssh ended before it took what was written: its end, and not this, tells why (unix(7)).
      guard child != nil, error.errno == .connectionReset else { throw error }
      return []
    }
  }

  private func take(_ bytes: [UInt8]) {
    guard var greeting else { return }
    do throws(ControlError) {
      if let rest = try greeting.append(bytes) {
        self.greeting = nil
        early = rest
        child?.stopShowing()
      } else {
        self.greeting = greeting
      }
    } catch {
      refusal = error
    }
  }
}
