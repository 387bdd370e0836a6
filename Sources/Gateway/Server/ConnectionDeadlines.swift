internal import NIOCore
internal import NIOHTTPTypes

/// Ends connections whose clients are slow: with a request's head, with its body, or in taking what is sent to them.
/// Between a request's end and its answer there is no deadline, as that is not the client's fault.
///
/// Lives on its connection's event loop.
final class ConnectionDeadlines: ChannelDuplexHandler, RemovableChannelHandler {
  typealias InboundIn = HTTPRequestPart
  typealias InboundOut = HTTPRequestPart
  typealias OutboundIn = HTTPResponsePart
  typealias OutboundOut = HTTPResponsePart

  /// How long a client may go on sending what nobody wants any more: closed at once, it would not see its answer.
  private static let linger = TimeAmount.seconds(1)

  private let limits: GatewayLimits
  /// Requests whose heads came and whose answers did not end.
  private var open = 0
  /// True between a request's head and its end.
  private var isReading = false
  /// Parts that were written and did not leave yet.
  private var unsent = 0
  private var readTimer: Scheduled<Void>?
  private var writeTimer: Scheduled<Void>?

  init(limits: GatewayLimits) {
    self.limits = limits
  }

  func handlerAdded(context: ChannelHandlerContext) {
    if context.channel.isActive { arm(context) }
  }

  func handlerRemoved(context: ChannelHandlerContext) { disarm() }

  func channelActive(context: ChannelHandlerContext) {
    arm(context)
    context.fireChannelActive()
  }

  func channelInactive(context: ChannelHandlerContext) {
    disarm()
    context.fireChannelInactive()
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    switch unwrapInboundIn(data) {
    case .head:
      open += 1
      isReading = true
      arm(context)
    case .body: break
    case .end:
      isReading = false
      arm(context)
    }
    context.fireChannelRead(data)
  }

  func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
    let isEnd = if case .end = unwrapOutboundIn(data) { true } else { false }
    unsent += 1
    if unsent == 1 { writeTimer = close(context, in: TimeAmount(seconds: limits.writeSeconds)) }
    let sent = promise ?? context.eventLoop.makePromise()
    sent.futureResult.assumeIsolated().whenComplete { _ in self.sent(isEnd: isEnd, context) }
    context.write(data, promise: sent)
  }

  private func sent(isEnd: Bool, _ context: ChannelHandlerContext) {
    unsent -= 1
    writeTimer?.cancel()
    writeTimer =
      unsent > 0 && context.channel.isActive ? close(context, in: TimeAmount(seconds: limits.writeSeconds)) : nil
    guard isEnd, context.channel.isActive else { return }
    // What is no request is answered as well.
    open = max(0, open - 1)
    if isReading {
      readTimer?.cancel()
      readTimer = close(context, in: Self.linger)
    } else {
      arm(context)
    }
  }

  private func arm(_ context: ChannelHandlerContext) {
    readTimer?.cancel()
    readTimer =
      isReading
      ? close(context, in: TimeAmount(seconds: limits.bodySeconds))
      : open == 0 ? close(context, in: TimeAmount(seconds: limits.headSeconds)) : nil
  }

  private func close(_ context: ChannelHandlerContext, in time: TimeAmount) -> Scheduled<Void> {
    context.eventLoop.assumeIsolated().scheduleTask(in: time) { context.close(promise: nil) }
  }

  private func disarm() {
    readTimer?.cancel()
    writeTimer?.cancel()
    readTimer = nil
    writeTimer = nil
  }
}

/// Tells a client that there are too many, and ends its connection.
final class Refusal: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  private let text: String
  private var isSaid = false

  /// `text` is the whole answer; empty to say nothing.
  init(text: String) {
    self.text = text
  }

  func handlerAdded(context: ChannelHandlerContext) {
    if context.channel.isActive { say(context) }
  }

  func channelActive(context: ChannelHandlerContext) { say(context) }

  /// What the client asks does not matter.
  func channelRead(context: ChannelHandlerContext, data: NIOAny) {}

  func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

  private func say(_ context: ChannelHandlerContext) {
    guard !isSaid else { return }
    isSaid = true
    if text.isEmpty { return context.close(promise: nil) }
    // Closed at once, with its request unread, the client might not see the answer.
    let sent = context.eventLoop.makePromise(of: Void.self)
    sent.futureResult.assumeIsolated().whenComplete { _ in context.close(mode: .output, promise: nil) }
    context.writeAndFlush(wrapOutboundOut(ByteBuffer(string: text)), promise: sent)
    context.eventLoop.assumeIsolated().scheduleTask(in: .seconds(1)) { context.close(promise: nil) }
  }
}
