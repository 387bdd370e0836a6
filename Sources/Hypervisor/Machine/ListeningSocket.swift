internal import Platform

/// What somebody shows at a `ListeningSocket`. Called on the event loop's thread.
protocol SocketServer: AnyObject {
  /// What is kept for a client.
  associatedtype ClientState
  typealias Client = ListeningSocket<Self>.Client

  /// What to keep for somebody who has just connected, and what to send first.
  func welcome() -> (state: ClientState, first: [UInt8])
  /// A client has come or gone.
  func clientsChanged()
  /// Whether a client is read. What it sends waits in its socket otherwise, until the server sends something to it or calls
  /// the socket's `inputChanged`.
  func takesInput(from client: Client) -> Bool
  /// Whether what clients send may have descriptors with it.
  static var takesDescriptors: Bool { get }
  /// Takes descriptors that come with what a client has sent, before that.
  func receive(_ descriptors: [DescriptorBox], from client: Client)
  /// Takes what a client has sent.
  func receive(_ bytes: [UInt8], from client: Client)
  /// A client has just come, or reads again: calls the socket's `send` when there is something to send.
  func send(_ client: Client)
}

extension SocketServer {
  static var takesDescriptors: Bool { false }

  func receive(_ descriptors: [DescriptorBox], from client: Client) {}
}

/// A socket in the file system, and those who have connected to it. What a client does not read waits here, and keeps
/// nobody else waiting.
///
/// Belongs to the event loop's thread.
final class ListeningSocket<Server: SocketServer> {
  /// Somebody who has connected.
  final class Client {
    /// What the server keeps.
    var state: Server.ClientState
    /// What has not been taken yet.
    var pending: ArraySlice<UInt8> = []
    fileprivate let file: FileDescriptor
    fileprivate var token: UInt64 = 0
    /// What the event loop waits for.
    fileprivate var interest: Readiness = .readable

    fileprivate init(_ file: consuming FileDescriptor, _ state: Server.ClientState) {
      self.file = file
      self.state = state
    }
  }

  private let loop: EventLoop
  private let path: String
  private let file: FileDescriptor
  private unowned let server: Server
  private let clientLimit: Int
  private var registered: [UInt64: Client] = [:]

  /// Listens at `path` for `server`, which owns this object. From the `clientLimit`-th client on, others are sent away.
  init(
    at path: String, _ loop: EventLoop, for server: Server, clientLimit: Int = .max
  ) throws(SystemError) {
    self.loop = loop
    self.path = path
    self.server = server
    self.clientLimit = clientLimit
    file = try UnixSocket.listen(path)
    try file.setNonBlocking(true)
    _ = try loop.add(file.rawValue, .readable) { [unowned self] _ in self.accept() }
  }

  /// Those who are connected.
  var clients: [Client] { Array(registered.values) }

  /// Gives the path back, unless that is for others to do.
  func finish(leavesPath: Bool = false) {
    if !leavesPath { try? Files.remove(path) }
  }

  /// Sends what is pending, as far as the client reads; the server's `send` is called when it reads again. True when
  /// nothing is left.
  @discardableResult func send(_ client: Client) -> Bool {
    while !client.pending.isEmpty {
      do throws(SystemError) {
        client.pending = client.pending.dropFirst(try client.file.write(client.pending))
      } catch {
        guard error.errno == .wouldBlock else {
          drop(client)
          return false
        }
        break
      }
    }
    follow(client)
    return client.pending.isEmpty
  }

  /// What the server says of `takesInput(from:)` has changed: its clients are read again, or not any more.
  func inputChanged() {
    for client in registered.values { follow(client) }
  }

  /// Has the loop wait for what can be done for a client: what is ready and not dealt with would keep it running.
  private func follow(_ client: Client) {
    var interest: Readiness = []
    if server.takesInput(from: client) { interest.insert(.readable) }
    if !client.pending.isEmpty { interest.insert(.writable) }
    guard interest != client.interest else { return }
    client.interest = interest
    loop.change(client.token, client.file.rawValue, interest)
  }

  /// Sends a client away.
  func drop(_ client: Client) {
    loop.remove(client.token, client.file.rawValue)
    if registered.removeValue(forKey: client.token) != nil { server.clientsChanged() }
  }

  private func accept() {
    guard let file = try? UnixSocket.accept(file) else { return }
    guard registered.count < clientLimit, (try? file.setNonBlocking(true)) != nil else { return }
    let number = file.rawValue
    let (state, first) = server.welcome()
    let client = Client(file, state)
    client.pending = first[...]
    guard
      let token = try? loop.add(
        number, .readable,
        { [unowned self, unowned client] readiness in self.serve(client, readiness) })
    else { return }
    client.token = token
    registered[token] = client
    server.clientsChanged()
    server.send(client)
    if registered[token] != nil { follow(client) }
  }

  private func serve(_ client: Client, _ readiness: Readiness) {
    if readiness.contains(.writable) {
      server.send(client)
      guard registered[client.token] != nil else { return }
    }
    guard !readiness.isDisjoint(with: [.readable, .hangUp, .error]) else { return }
    // Who has gone is let go all the same.
    guard server.takesInput(from: client) || readiness.contains(.hangUp) else { return }
    do throws(SystemError) {
      guard Server.takesDescriptors else {
        let bytes = try client.file.read(upTo: 4096)
        return bytes.isEmpty ? drop(client) : server.receive(bytes, from: client)
      }
      let (bytes, descriptors) = try client.file.receive(upTo: 4096)
      if bytes.isEmpty { return drop(client) }
      if !descriptors.isEmpty { server.receive(descriptors, from: client) }
      server.receive(bytes, from: client)
    } catch {
      if error.errno != .wouldBlock { drop(client) }
    }
  }
}
