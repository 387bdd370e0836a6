internal import Platform

/// What a control socket controls. Called on the event loop's thread.
protocol ControlTarget: AnyObject {
  /// Does what `request` asks for, with the descriptors that came with it. The answer if it is known at once; nil when `later` will be called with it, once and on
  /// the same thread.
  func perform(
    _ request: ControlRequest, with descriptors: [DescriptorBox], later: @escaping (ControlAnswer) -> Void
  ) -> ControlAnswer?
}

/// Answers the clients of a control socket, which are those who may open it: its owner and root.
///
/// Belongs to the event loop's thread. A client is not read while a request of it is under way, nor before it has read
/// its answers, so that it cannot make anything grow here.
final class ControlServer: SocketServer {
  typealias ClientState = ControlSession

  private static let clientLimit = 16

  private unowned let target: any ControlTarget
  private var socket: ListeningSocket<ControlServer>?

  /// Serves clients at the socket `path` for `target`, which owns this object.
  init(at path: String, _ loop: EventLoop, for target: any ControlTarget) throws(HypervisorError) {
    self.target = target
    try refusal(.device, "the control socket cannot be made; check the directory") { () throws(SystemError) in
      socket = try ListeningSocket(at: path, loop, for: self, clientLimit: Self.clientLimit)
    }
  }

  /// Gives the path back, unless that is for others to do.
  func finish(leavesPath: Bool = false) {
    socket?.finish(leavesPath: leavesPath)
  }

  func welcome() -> (state: ControlSession, first: [UInt8]) { (ControlSession(), []) }

  func clientsChanged() {}

  func takesInput(from client: Client) -> Bool { !client.state.isBusy && client.pending.isEmpty }

  static var takesDescriptors: Bool { true }

  func receive(_ descriptors: [DescriptorBox], from client: Client) {
    client.state.receive(descriptors)
  }

  func receive(_ bytes: [UInt8], from client: Client) {
    client.state.receive(bytes)
    serve(client)
  }

  func send(_ client: Client) {
    socket?.send(client)
  }

  /// Goes on with what the client has asked for.
  private func serve(_ client: Client) {
    while let next = client.state.next() {
      let descriptors = client.state.takeDescriptors()
      switch next {
      case .failure(let error): client.pending.append(contentsOf: ControlAnswer.error("\(error)").line)
      case .success(let request):
        client.state.isBusy = true
        let answer = target.perform(request, with: descriptors) { [weak self, weak client] answer in
          guard let self, let client else { return }
          self.finish(client, answer)
          self.serve(client)
        }
        if let answer { finish(client, answer) }
      }
    }
    send(client)
  }

  private func finish(_ client: Client, _ answer: ControlAnswer) {
    client.state.isBusy = false
    client.pending.append(contentsOf: answer.line)
  }
}
