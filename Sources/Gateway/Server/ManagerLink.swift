internal import Control
internal import NIOCore
internal import NIOPosix
internal import Synchronization

/// The one connection to the domain manager: all requests go over it, each under an id of its own, and all events come
/// by it. While there is none, requests fail at once and it is tried again and again to make one.
///
/// `state` is under its lock; the rest is constant. Lines are taken on the connection's event loop.
final class ManagerLink: Sendable {
  private typealias Answer = Result<ByteBuffer, ControlError>

  private struct Wait {
    let continuation: CheckedContinuation<Answer, Never>
    let deadline: NIODeadline
    let operation: ControlOperation
  }

  private struct State {
    var channel: (any Channel)?
    var nextIdentifier = 1
    var waiting: [Int: Wait] = [:]
    var subscription: Int?
  }

  private let path: String
  private let limits: GatewayLimits
  private let group: any EventLoopGroup
  private let hub: EventHub
  private let log: @Sendable (String) -> Void
  private let state = Mutex(State())

  init(
    path: String, limits: GatewayLimits, group: any EventLoopGroup, hub: EventHub,
    log: @escaping @Sendable (String) -> Void
  ) {
    self.path = path
    self.limits = limits
    self.group = group
    self.hub = hub
    self.log = log
  }

  /// True while the domain manager can be asked.
  var isConnected: Bool { state.withLock { $0.channel != nil } }

  // MARK: Requests

  /// Asks the domain manager; `request`'s id is replaced.
  func call<Value: Codable & Sendable>(_ request: ControlRequest, as type: Value.Type) async throws(ControlError)
    -> Value
  {
    let seconds = limits.seconds(for: request.op)
    let answer = await withCheckedContinuation { continuation in
      send(
        request,
        Wait(continuation: continuation, deadline: .now() + TimeAmount(seconds: seconds), operation: request.op))
    }
    let line = try answer.get()
    let reply = try ControlCoding.decode(ReplyLine<Value>.self, from: Array(line.readableBytesView))
    if let value = reply.result { return value }
    throw reply.error ?? ControlError(.malformedReply, "the domain manager refused without saying why")
  }

  private func send(_ request: ControlRequest, _ wait: Wait) {
    let taken = state.withLock { state -> Result<(id: Int, channel: any Channel), ControlError> in
      guard let channel = state.channel else {
        return .failure(ControlError(.unreachable, "the domain manager is not there; it may be starting"))
      }
      guard state.waiting.count < limits.calls else {
        return .failure(ControlError(.busy, "too many requests wait for the domain manager; try again"))
      }
      let id = state.nextIdentifier
      state.nextIdentifier += 1
      state.waiting[id] = wait
      if request.op == .subscribe { state.subscription = id }
      return .success((id, channel))
    }
    switch taken {
    case .failure(let error): wait.continuation.resume(returning: .failure(error))
    case .success(let place):
      var request = request
      request.id = place.id
      do throws(ControlError) {
        let line = try ControlCoding.encode(request)
        place.channel.writeAndFlush(ByteBuffer(bytes: line + [0x0A]), promise: nil)
      } catch {
        finish(place.id, .failure(error))
      }
    }
  }

  private func finish(_ id: Int, _ answer: Answer) {
    let wait = state.withLock { $0.waiting.removeValue(forKey: id) }
    wait?.continuation.resume(returning: answer)
  }

  // MARK: The connection

  /// Keeps the connection until the task is cancelled.
  func run() async {
    var complaint: String?
    while !Task.isCancelled {
      do {
        let channel = try await connect()
        if complaint != nil { log("reached the domain manager") }
        complaint = nil
        await withTaskCancellationHandler {
          try? await channel.closeFuture.get()
        } onCancel: {
          channel.close(mode: .all, promise: nil)
        }
        if !Task.isCancelled { log("lost the connection to the domain manager") }
      } catch {
        let text = "cannot reach the domain manager at \(path): \(error)"
        if text != complaint { log(text) }
        complaint = text
      }
      try? await Task.sleep(for: .seconds(limits.reconnectSeconds))
    }
  }

  private func connect() async throws -> any Channel {
    let channel = try await ClientBootstrap(group: group)
      .channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.addHandler(LineReader(link: self))
        }
      }
      .connect(unixDomainSocketPath: path).get()
    state.withLock { $0.channel = channel }
    let sweep = channel.eventLoop.scheduleRepeatedTask(initialDelay: .seconds(1), delay: .seconds(1)) { [weak self] _ in
      self?.endLate()
    }
    channel.closeFuture.whenComplete { [weak self] _ in
      sweep.cancel()
      self?.lost()
    }
    // The answer is the hub's, which must have it before the first event: see `take`.
    Task { try? await call(ControlRequest(id: 0, op: .subscribe), as: Overview.self) }
    return channel
  }

  private func endLate() {
    let late = state.withLock { state in
      let late = state.waiting.filter { $0.value.deadline < .now() }
      for id in late.keys { state.waiting[id] = nil }
      return late.values
    }
    for wait in late {
      wait.continuation.resume(
        returning: .failure(
          ControlError(.timedOut, "the domain manager did not answer \"\(wait.operation.rawValue)\" in time")))
    }
  }

  private func lost() {
    let waiting = state.withLock { state in
      state.channel = nil
      state.subscription = nil
      defer { state.waiting = [:] }
      return state.waiting.values
    }
    hub.lost()
    for wait in waiting {
      wait.continuation.resume(
        returning: .failure(
          ControlError(
            .disconnected,
            "the domain manager ended before it answered \"\(wait.operation.rawValue)\"; see what was done")))
    }
  }

  /// A line of the domain manager's.
  fileprivate func take(_ line: ByteBuffer) {
    let bytes = Array(line.readableBytesView)
    guard let header = try? ControlCoding.decode(LineHeader.self, from: bytes) else { return }
    if header.event != nil {
      if let event = try? ControlCoding.decode(EventLine.self, from: bytes).value { hub.take(event) }
    } else if let id = header.id {
      if state.withLock({ $0.subscription == id }),
        let overview = try? ControlCoding.decode(ReplyLine<Overview>.self, from: bytes).result
      {
        hub.begin(overview)
      }
      finish(id, .success(line))
    }
  }
}

/// Cuts what the domain manager sends into lines.
private final class LineReader: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer

  private let link: ManagerLink
  private var partial = ByteBuffer()

  init(link: ManagerLink) {
    self.link = link
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    var buffer = unwrapInboundIn(data)
    partial.writeBuffer(&buffer)
    while let end = partial.readableBytesView.firstIndex(of: 0x0A) {
      let length = end - partial.readerIndex
      guard let line = partial.readSlice(length: length) else { break }
      partial.moveReaderIndex(forwardBy: 1)
      if length > 0 { link.take(line) }
    }
    partial.discardReadBytes()
    // No answer is as long: what comes next could not be told apart.
    if partial.readableBytes > ControlProtocol.maximumLineLength * 4 { context.close(promise: nil) }
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    context.close(promise: nil)
  }
}

extension GatewayLimits {
  /// How long an answer may take.
  fileprivate func seconds(for operation: ControlOperation) -> Double {
    switch operation {
    case .create: createSeconds
    case .remove, .diskList: diskSeconds
    default: operation.needsDisk ? diskSeconds : callSeconds
    }
  }
}

extension TimeAmount {
  /// From seconds and their fractions.
  init(seconds: Double) {
    self = .nanoseconds(Int64(max(0, min(seconds, 1e6)) * 1e9))
  }
}
