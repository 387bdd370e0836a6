public import Manifest
internal import Platform

/// A blocking client of the domain manager: over its unix socket inside the appliance, over the socket that QEMU puts
/// behind the virtio-serial port `org.roost.control`, or by SSH from another machine.
///
/// Not for several threads at once. Events that arrive while a reply is awaited are kept for `nextEvent`.
public final class ControlClient {
  private let connection: ApplianceConnection
  private let poller: Poller
  private let place: String
  private var framer = LineFramer()
  private var lines: [[UInt8]] = []
  private var events: [ControlEvent] = []
  /// Is shown events that come while an answer is awaited, instead of their being kept; true for those it has taken.
  private var glance: ((ControlEvent) -> Bool)?
  private var nextIdentifier: Int

  /// How long a call waits for its reply, in seconds.
  public var timeout: Double = 30

  /// Connects to the socket at `path`, as the other initialiser does.
  public convenience init(path: String) throws(ControlError) {
    try self.init(ApplianceLink(socket: path))
  }

  /// Connects by `link`. Throws `unreachable` when nobody listens there, with what is in the way. SIGPIPE is ignored in
  /// this process from then on: a server that goes away shows as `disconnected`.
  public init(_ link: ApplianceLink) throws(ControlError) {
    Signal.ignorePipe()
    place = link.place
    // A port may still hold replies to a predecessor: do not begin where it did.
    nextIdentifier = Int(MonotonicClock.now() % 1_000_000_007)
    connection = try link.open(.control)
    do throws(SystemError) {
      try connection.setNonBlocking()
      poller = try Poller()
      try poller.add(connection.descriptor, .readable, token: 0)
    } catch {
      throw ApplianceLink.noManager(error)
    }
    try send([0x0A], deadline: deadline(after: timeout))
  }

  /// The client's descriptor, to wait for events with others. Readable means: call `nextEvent(within: 0)` until nil.
  public var descriptor: Int32 { connection.descriptor }

  // MARK: Calls

  /// Compares versions; throws `unsupportedVersion` when the appliance is of another time.
  @discardableResult
  public func hello(within seconds: Double? = nil) throws(ControlError) -> Hello {
    try call(.hello, version: ControlProtocol.version, within: seconds)
  }

  /// Asks until somebody answers: the port of a machine that boots is there long before its domain manager.
  /// Throws `timedOut` after `seconds`.
  @discardableResult
  public func waitForHello(within seconds: Double) throws(ControlError) -> Hello {
    let end = deadline(after: seconds)
    while true {
      let left = remaining(until: end)
      do throws(ControlError) {
        return try hello(within: min(2, left))
      } catch {
        if error.code != .timedOut || left <= 0 { throw error }
      }
    }
  }

  /// The appliance and its domains.
  public func list() throws(ControlError) -> Overview {
    try call(.list)
  }

  /// As `list`; from then on `nextEvent` returns what changes.
  public func subscribe() throws(ControlError) -> Overview {
    try call(.subscribe)
  }

  /// The last bytes of a domain's console, as text.
  public func tail(_ domain: String, bytes: Int = 4000) throws(ControlError) -> String {
    let result: ConsoleTail = try call(.tail, domain: domain, bytes: bytes)
    return result.text
  }

  /// Makes a domain, and starts it if `starts`; returns what it is after that. Copying an image takes its time:
  /// `progress` is told how much is copied, in percent, if this client has subscribed to events.
  public func create(
    _ spec: DomainSpec, starts: Bool = true, progress: @escaping (Int) -> Void = { _ in }
  ) throws(ControlError) -> DomainStatus {
    glance = { event in
      guard case .making(spec.name, let percent) = event else { return false }
      progress(percent)
      return true
    }
    defer { glance = nil }
    return try call(ControlRequest(id: 0, op: .create, spec: spec, start: starts), within: 3600)
  }

  /// Forgets a domain that was made by `create`, and removes its disk.
  public func remove(_ domain: String) throws(ControlError) {
    let _: Nothing = try call(.remove, domain: domain, within: 150)
  }

  /// Changes what a domain may take of the machine: zero and the empty text take a limit away.
  public func limit(_ domain: String, _ change: ResourceLimits) throws(ControlError) -> DomainInfo {
    try call(ControlRequest(id: 0, op: .limit, domain: domain, limits: change))
  }

  /// All that is known of a domain.
  public func info(_ domain: String) throws(ControlError) -> DomainInfo {
    try call(.info, domain: domain)
  }

  /// Starts, stops, restarts, pauses, unpauses or destroys a domain; returns what it is after that.
  @discardableResult
  public func perform(_ operation: ControlOperation, on domain: String) throws(ControlError) -> DomainStatus {
    try call(operation, domain: domain)
  }

  /// Has a domain's guest come to `bytes` of memory; returns what the domain is once the guest was asked.
  public func setMemory(of domain: String, bytes: Int) throws(ControlError) -> DomainStatus {
    try call(.memorySet, domain: domain, bytes: bytes)
  }

  /// Changes what a domain may be set to at most.
  public func limitMemory(of domain: String, bytes: Int) throws(ControlError) -> DomainStatus {
    try call(.memoryMaximum, domain: domain, bytes: bytes)
  }

  /// Gives a running domain the time of `count` of its virtual CPUs.
  public func setProcessors(of domain: String, to count: Int) throws(ControlError) -> DomainStatus {
    try call(ControlRequest(id: 0, op: .processorSet, domain: domain, cpus: count))
  }

  /// What running domains took of the machine so far.
  public func usage() throws(ControlError) -> UsageReport {
    try call(.usage)
  }

  /// Powers the appliance off.
  public func powerOff() throws(ControlError) {
    let _: Nothing = try call(.poweroff)
  }

  /// Restarts the appliance.
  public func rebootHost() throws(ControlError) {
    let _: Nothing = try call(.rebootHost)
  }

  /// The next event after `subscribe`; nil when none came within `seconds`. Throws `disconnected` when the other side
  /// is gone.
  public func nextEvent(within seconds: Double) throws(ControlError) -> ControlEvent? {
    let end = deadline(after: seconds)
    while true {
      if !events.isEmpty { return events.removeFirst() }
      guard let line = try nextLine(until: end) else { return nil }
      keepEvent(line)
    }
  }

  // MARK: Lines

  private func call<Value: Codable>(
    _ operation: ControlOperation, domain: String? = nil, bytes: Int? = nil, version: Int? = nil,
    within seconds: Double? = nil
  ) throws(ControlError) -> Value {
    try call(
      ControlRequest(id: 0, op: operation, domain: domain, bytes: bytes, version: version), within: seconds)
  }

  /// Sends a request under an id of this client's, and waits for the answer.
  func call<Value: Codable>(_ request: ControlRequest, within seconds: Double? = nil) throws(ControlError) -> Value {
    let operation = request.op
    let id = nextIdentifier
    nextIdentifier += 1
    var request = request
    request.id = id
    let end = deadline(after: seconds ?? timeout)
    try send(try ControlCoding.encode(request) + [0x0A], deadline: end)
    while true {
      guard let line = try nextLine(until: end) else {
        throw ControlError(
          .timedOut, "the domain manager did not answer \"\(operation.rawValue)\" in \(Int(seconds ?? timeout)) s")
      }
      // Half a line of before is possible on a port: skip what is no message.
      guard let header = try? ControlCoding.decode(LineHeader.self, from: line) else { continue }
      if header.event != nil {
        keepEvent(line)
      } else if header.id == id {
        let reply = try ControlCoding.decode(ReplyLine<Value>.self, from: line)
        if let result = reply.result { return result }
        throw reply.error ?? ControlError(.malformedReply, "the domain manager refused without saying why")
      }
    }
  }

  private func keepEvent(_ line: [UInt8]) {
    guard let event = try? ControlCoding.decode(EventLine.self, from: line).value else { return }
    if glance?(event) != true { events.append(event) }
  }

  /// The next whole line; nil at the deadline.
  private func nextLine(until end: UInt64) throws(ControlError) -> [UInt8]? {
    while lines.isEmpty {
      let bytes: [UInt8]
      do throws(SystemError) {
        bytes = try connection.read(upTo: 1 << 16)
      } catch {
        guard error.errno == .wouldBlock else { throw lost(error) }
        let left = remaining(until: end)
        if left <= 0 { return nil }
        do throws(SystemError) {
          _ = try poller.wait(timeout: Int32(min(left * 1000 + 1, 3_600_000)))
        } catch {
          throw lost(error)
        }
        continue
      }
      guard !bytes.isEmpty else {
        throw connection.failure
          ?? ControlError(.disconnected, "the domain manager closed the connection at \(place)")
      }
      for case .line(let line) in framer.append(bytes) { lines.append(line) }
    }
    return lines.removeFirst()
  }

  private func send(_ bytes: [UInt8], deadline end: UInt64) throws(ControlError) {
    var rest = bytes[...]
    while !rest.isEmpty {
      do throws(SystemError) {
        rest = rest.dropFirst(try connection.write(rest))
      } catch {
        guard error.errno == .wouldBlock else { throw lost(error) }
        if remaining(until: end) <= 0 {
          throw ControlError(.timedOut, "the domain manager does not take requests at \(place)")
        }
        MonotonicClock.sleep(milliseconds: 10)
      }
    }
  }

  private func lost(_ error: SystemError) -> ControlError {
    connection.failure ?? ControlError(.disconnected, "lost the connection to the domain manager at \(place): \(error)")
  }

  private func deadline(after seconds: Double) -> UInt64 {
    MonotonicClock.now() + UInt64(max(0, min(seconds, 1e9)) * 1e9)
  }

  private func remaining(until end: UInt64) -> Double {
    let now = MonotonicClock.now()
    return end > now ? Double(end - now) / 1e9 : 0
  }
}
