internal import Control
internal import NIOCore
internal import Synchronization

/// Hands the domain manager's events on to all clients that want them. Each has a queue of its own; one that does not
/// keep up loses its stream, and may come again to see how things are.
///
/// `state` is under its lock.
final class EventHub: Sendable {
  private struct State {
    /// How things are, as far as was told; nil while the domain manager is not there.
    var overview: Overview?
    var clients: [Int: AsyncStream<ByteBuffer>.Continuation] = [:]
    var nextClient = 0
    var slowClients = 0
  }

  /// One client's stream.
  struct Stream: Sendable {
    let id: Int
    let events: AsyncStream<ByteBuffer>
  }

  private let limits: GatewayLimits
  private let state = Mutex(State())

  init(limits: GatewayLimits) {
    self.limits = limits
  }

  /// Clients that wait for events.
  var count: Int { state.withLock { $0.clients.count } }
  /// How many streams were ended because their clients were slow.
  var slowClients: Int { state.withLock { $0.slowClients } }

  /// A new stream, which begins with how things are; nil where there are too many. To be given back with `close`.
  func open() -> Stream? {
    state.withLock { state in
      guard state.clients.count < limits.streams else { return nil }
      let (events, continuation) = AsyncStream.makeStream(
        of: ByteBuffer.self, bufferingPolicy: .bufferingOldest(limits.streamQueue))
      let id = state.nextClient
      state.nextClient += 1
      state.clients[id] = continuation
      if let overview = state.overview { continuation.yield(Self.message("overview", overview)) }
      return Stream(id: id, events: events)
    }
  }

  func close(_ stream: Stream) {
    state.withLock { $0.clients.removeValue(forKey: stream.id) }?.finish()
  }

  /// The domain manager is there, and this is how things are.
  func begin(_ overview: Overview) {
    state.withLock { state in
      state.overview = overview
      Self.send(Self.message("overview", overview), &state)
    }
  }

  /// Something changed.
  func take(_ event: ControlEvent) {
    state.withLock { state in
      switch event {
      case .domain(let domain):
        if let index = state.overview?.domains.firstIndex(where: { $0.name == domain.name }) {
          state.overview?.domains[index] = domain
        } else {
          state.overview?.domains.append(domain)
        }
        Self.send(Self.message("domain", domain), &state)
      case .removed(let name):
        state.overview?.domains.removeAll { $0.name == name }
        Self.send(Self.message("removed", RemovedDomain(name: name)), &state)
      case .making(let name, let percent):
        Self.send(Self.message("making", DomainBeingMade(name: name, percent: percent)), &state)
      case .appliance(let appliance):
        state.overview?.appliance = appliance
        Self.send(Self.message("appliance", appliance), &state)
      }
    }
  }

  /// The domain manager is gone; what was told may be wrong by now.
  func lost() {
    state.withLock { state in
      guard state.overview != nil else { return }
      state.overview = nil
      Self.send(Self.message("lost", Nothing()), &state)
    }
  }

  /// Sends a sign of life again and again: a client that is gone is only noticed by what it does not take.
  func beat() async {
    while !Task.isCancelled {
      try? await Task.sleep(for: .seconds(limits.heartbeatSeconds))
      state.withLock { Self.send(ByteBuffer(string: ": \n\n"), &$0) }
    }
  }

  private static func send(_ message: ByteBuffer, _ state: inout State) {
    for (id, continuation) in state.clients {
      guard case .dropped = continuation.yield(message) else { continue }
      continuation.finish()
      state.clients[id] = nil
      state.slowClients += 1
    }
  }

  /// An event of HTML's Server-Sent Events (html.spec.whatwg.org, section 9.2.6).
  static func message(_ name: String, _ value: some Codable) -> ByteBuffer {
    var buffer = ByteBuffer(string: "event: \(name)\ndata: ")
    buffer.writeBytes((try? ControlCoding.encode(value)) ?? Array("{}".utf8))
    buffer.writeString("\n\n")
    return buffer
  }
}
