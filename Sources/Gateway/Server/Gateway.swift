internal import Control
internal import HTTPTypes
internal import Hummingbird
internal import HummingbirdCore
internal import HummingbirdTLS
internal import Logging
public import Manifest
internal import NIOCore
internal import NIOPosix
internal import Platform

/// Where clients come in. The gateway closes the descriptor.
public struct Door: Sendable {
  /// A socket that listens.
  public let descriptor: Int32
  /// Whether who comes must show a token; who need not may all.
  public let needsToken: Bool
  /// What TLS is spoken with; nil for none.
  public let credentials: Credentials?

  /// All fields.
  public init(descriptor: Int32, needsToken: Bool, credentials: Credentials? = nil) {
    self.descriptor = descriptor
    self.needsToken = needsToken
    self.credentials = credentials
  }
}

/// Serves the HTTP interface: a client of the domain manager's that speaks HTTP/1.1 and JSON, and decides who may what.
public struct Gateway: Sendable {
  private let limits: GatewayLimits
  private let group: MultiThreadedEventLoopGroup
  private let services: Services
  private let tokens: TokenGuard
  private let connections: ConnectionCount
  private let responder: RouterResponder<CallContext>
  private let logger = Logger(label: "roost-gateway") { _ in SwiftLogNoOpLogHandler() }

  /// A gateway to the domain manager at `controlSocket`. `log` gets a line for each thing that an administrator may want
  /// to know; `sleep` waits for some seconds.
  public init(
    controlSocket: String, tokens: [ApplianceManifest.Token], limits: GatewayLimits = GatewayLimits(),
    log: @escaping @Sendable (String) -> Void,
    sleep: @escaping @Sendable (Double) async -> Void = { try? await Task.sleep(for: .seconds($0)) }
  ) {
    Signal.ignorePipe()
    self.limits = limits
    group = MultiThreadedEventLoopGroup(numberOfThreads: 2)
    let hub = EventHub(limits: limits)
    let link = ManagerLink(path: controlSocket, limits: limits, group: group, hub: hub, log: log)
    let connections = ConnectionCount(limits: limits)
    self.connections = connections
    self.tokens = TokenGuard(tokens, sleep: sleep)
    services = Services(limits: limits, link: link, hub: hub, meters: Meters(), connections: connections, log: log)
    responder = Self.router(services).buildResponder()
  }

  /// The table of endpoints as Hummingbird's router.
  static func router(_ services: Services) -> Router<CallContext> {
    let router = Router(context: CallContext.self)
    for endpoint in Endpoint.all {
      router.on(RouterPath(endpoint.path), method: endpoint.method) { request, context in
        guard context.role >= endpoint.role else {
          throw Failure(
            .forbidden,
            ControlError(
              .forbidden, "this needs the role \(endpoint.role.rawValue); the token has \(context.role.rawValue)"))
        }
        return try await endpoint.answer(Call(request: request, context: context, services: services))
      }
    }
    return router
  }

  /// Serves until the task is cancelled.
  public func run(_ doors: [Door]) async throws {
    do {
      try await withThrowingDiscardingTaskGroup { tasks in
        tasks.addTask { await services.link.run() }
        tasks.addTask { await services.hub.beat() }
        for door in doors { tasks.addTask { try await serve(door) } }
      }
    } catch {
      try? await group.shutdownGracefully()
      throw error
    }
    try? await group.shutdownGracefully()
  }

  // MARK: Connections

  private func serve(_ door: Door) async throws {
    let needsToken = door.needsToken
    let limits = limits
    var configuration = HTTP1Channel.Configuration(additionalChannelHandlers: [ConnectionDeadlines(limits: limits)])
    configuration.httpDecoder = .init(
      maxHeaderFieldSize: limits.headBytes, maxHeaderListSize: limits.headBytes, maxHeaderFieldCount: 100)
    let http = HTTP1Channel(
      responder: { (request: Request, writer: consuming ResponseWriter, channel: any Channel) in
        let response = await respond(to: request, on: channel, needsToken: needsToken)
        try await writer.write(response: response.head, body: response.body)
      }, configuration: configuration)
    if let credentials = door.credentials {
      try await serve(door, try TLSChannel(http, tlsConfiguration: credentials.configuration))
    } else {
      try await serve(door, http)
    }
  }

  private func serve<Child: ServerChildChannel>(_ door: Door, _ child: Child) async throws {
    let refusal = door.credentials == nil ? Self.refusal : ""
    let logger = logger
    let connections = connections
    let listener = try await ServerBootstrap(group: group)
      .childChannelOption(.allowRemoteHalfClosure, value: true)
      .childChannelInitializer { channel in
        let peer = Self.peer(of: channel)
        guard connections.enter(peer) else {
          return channel.eventLoop.makeCompletedFuture {
            try channel.pipeline.syncOperations.addHandler(Refusal(text: refusal))
          }
        }
        channel.closeFuture.whenComplete { _ in connections.leave(peer) }
        // A task of its own for each: in a stream of arrivals those that come as it ends would be dropped, and NIO traps
        // where a channel is dropped that nobody took. It ends with its connection, and those with the event loops.
        return child.setup(channel: channel, logger: logger).map { value in
          Task { await child.handle(value: value, logger: logger) }
        }
      }
      .withBoundSocket(door.descriptor).get()
    try await withTaskCancellationHandler {
      try await listener.closeFuture.get()
    } onCancel: {
      listener.close(promise: nil)
    }
  }

  /// The address of a connection's other end; nil for one of the unix socket.
  private static func peer(of channel: any Channel) -> String? { channel.remoteAddress?.ipAddress }

  /// What a client is told when there are too many.
  private static let refusal: String = {
    let body = #"{"error":{"code":"busy","message":"there are too many connections; try again"}}"#
    return
      "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nContent-Length: \(body.utf8.count)\r\n"
      + "Retry-After: 1\r\nConnection: close\r\n\r\n\(body)"
  }()

  // MARK: Requests

  private func respond(to request: Request, on channel: any Channel, needsToken: Bool) async -> Response {
    let start = MonotonicClock.now()
    var context = CallContext(source: .init(channel: channel, logger: logger))
    var response: Response
    do {
      if needsToken {
        let token = try await tokens.admit(
          request.headers[.authorization], from: Self.peer(of: channel) ?? "", now: Double(start) / 1e9)
        context.role = token.role
        context.client = token.name
      }
      response = try await responder.respond(to: request, context: context)
      if response.status == .notFound, context.endpointPath == "NotFound" { throw Self.unrouted(request) }
    } catch {
      response = Self.response(to: error, request)
    }
    response.headers[.cacheControl] = "no-store"
    let route = context.endpointPath ?? "none"
    let method = Endpoint.methods.contains(request.method) ? request.method.rawValue : "other"
    services.meters.add(
      .init(method: method, route: route == "NotFound" ? "none" : route, status: response.status.code),
      seconds: Double(MonotonicClock.now() - start) / 1e9)
    return response
  }

  /// A path that is not there, or not with this method.
  private static func unrouted(_ request: Request) -> Failure {
    let methods = Endpoint.all.filter { $0.matches(request.uri.path) }.map(\.method.rawValue)
    guard !methods.isEmpty else { return .notFound }
    return Failure(
      .methodNotAllowed,
      ControlError(.wrongMethod, "this path takes \(Set(methods).sorted().joined(separator: " and "))"))
  }

  private static func response(to error: any Error, _ request: Request) -> Response {
    let failure: Failure =
      switch error {
      case let error as Failure: error
      case let error as ControlError: Failure(error)
      default: .internalError
      }
    var response = JSONAnswer.response(ErrorBody(error: failure.error), status: failure.status)
    if let seconds = failure.retryAfter { response.headers[.retryAfter] = "\(seconds)" }
    if failure.status == .unauthorized { response.headers[.wwwAuthenticate] = "Bearer" }
    return response
  }
}
