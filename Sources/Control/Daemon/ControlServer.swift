internal import Platform

/// Serves the control protocol on unix sockets and on the machine's virtio-serial port. It knows lines and
/// connections; what requests mean is `respond`'s business.
///
/// Lives on the loop's thread.
final class ControlServer {
  /// Connections at a time; more are closed at once.
  static let connectionLimit = 128

  private let loop: EventLoop
  private var doors: [Door] = []
  /// Takes the answer to a request, once, at any later time: the line, and whether the peer wants events from now on.
  /// What answers a peer that is gone is dropped.
  typealias Reply = (_ line: [UInt8], _ subscribes: Bool) -> Void

  /// Answers a request.
  private let respond: (ControlRequest, @escaping Reply) -> Void
  private var channels: [ObjectIdentifier: Channel] = [:]
  private var port: PortWatch?

  /// A socket that clients connect to.
  private final class Door {
    let path: String
    let listener: FileDescriptor
    var token: EventLoop.Token?

    init(_ path: String) throws(SystemError) {
      self.path = path
      listener = try UnixSocket.listen(path, permissions: 0o600)
      try listener.setNonBlocking(true)
    }
  }

  /// Listens at `path`, for root only.
  init(
    path: String, loop: EventLoop, respond: @escaping (ControlRequest, @escaping Reply) -> Void
  ) throws(ControlError) {
    self.loop = loop
    self.respond = respond
    try listen(at: path)
  }

  /// Listens at `path` as well, for root, or for those in `group` too. All that connect share one limit.
  func listen(at path: String, group: UInt32? = nil) throws(ControlError) {
    do throws(SystemError) {
      let door = try Door(path)
      if let group {
        try Files.setOwner(path, group: Int(group))
        try Files.setPermissions(path, 0o660)
      }
      door.token = try loop.watch(door.listener.rawValue, .readable) { [unowned self, unowned door] _ in accept(door) }
      doors.append(door)
    } catch {
      throw ControlError(.system, "cannot serve requests: \(error)")
    }
  }

  /// Also serves the virtio-serial port, when the machine has it, now or later.
  func servePort(named name: String, devices: VirtioPorts, log: @escaping (String) -> Void) {
    port = PortWatch(name: name, devices: devices, loop: loop, log: log) { [unowned self] file throws(SystemError) in
      try open(file)
    }
  }

  /// Tells all subscribers.
  func broadcast(_ event: ControlEvent) {
    guard channels.values.contains(where: \.isSubscribed), let line = try? ControlCoding.encode(EventLine(event)) else {
      return
    }
    for channel in channels.values where channel.isSubscribed { channel.send(line) }
  }

  /// Takes no more requests.
  func close() {
    port?.stop()
    for door in doors { loop.unwatch(door.token) }
    for channel in Array(channels.values) { channel.end() }
    for door in doors { try? Files.remove(door.path) }
    doors = []
  }

  private func accept(_ door: Door) {
    while let connection = try? UnixSocket.accept(door.listener) {
      guard channels.count < Self.connectionLimit else { continue }
      do throws(SystemError) {
        try connection.setNonBlocking(true)
        _ = try open(connection)
      } catch {
        continue
      }
    }
  }

  private func open(_ file: consuming FileDescriptor) throws(SystemError) -> Channel {
    let channel = try Channel(
      file, loop: loop,
      onFrame: { [unowned self] channel, frame in answer(frame, on: channel) },
      onEnd: { [unowned self] channel in
        channels[ObjectIdentifier(channel)] = nil
        port?.ended(channel)
      })
    channels[ObjectIdentifier(channel)] = channel
    return channel
  }

  private func answer(_ frame: LineFramer.Frame, on channel: Channel) {
    switch frame {
    case .overlong:
      refuse(
        nil,
        ControlError(.lineTooLong, "a line is longer than \(ControlProtocol.maximumLineLength) bytes"), on: channel)
    case .line(let line):
      switch ControlCoding.request(from: line) {
      case .failure(let failure): refuse(failure.id, failure.error, on: channel)
      case .success(let request):
        channel.expectAnswer()
        respond(request) { [weak channel] line, subscribes in
          // The snapshot goes first, then what changes after it.
          channel?.answer(line)
          if subscribes { channel?.isSubscribed = true }
        }
      }
    }
  }

  private func refuse(_ id: Int?, _ error: ControlError, on channel: Channel) {
    let reply = ReplyLine<Nothing>(id: id, ok: false, result: nil, error: error)
    if let line = try? ControlCoding.encode(reply) { channel.send(line) }
  }
}

/// Where the kernel shows virtio-serial ports.
struct VirtioPorts: Hashable, Sendable {
  var classDirectory = "/sys/class/virtio-ports"
  var deviceDirectory = "/dev"

  /// The device of the port with this name; nil when there is none.
  func device(named name: String) -> String? {
    guard let entries = try? Files.list(classDirectory) else { return nil }
    for entry in entries {
      guard let text = try? Files.readText("\(classDirectory)/\(entry)/name") else { continue }
      if text.split(separator: "\n").first.map(String.init) == name { return "\(deviceDirectory)/\(entry)" }
    }
    return nil
  }
}

/// Looks for the port, and opens it anew after its host side went away.
///
/// A port has no connections: while nobody is connected on the host it hangs up and reads as ended, so it is looked at
/// twice a second until somebody is.
private final class PortWatch {
  private static let pause = 0.5

  private let name: String
  private let devices: VirtioPorts
  private let loop: EventLoop
  private let log: (String) -> Void
  private let open: (consuming FileDescriptor) throws(SystemError) -> Channel
  private var channel: Channel?
  private var timer: EventLoop.Token?
  private var lastComplaint: String?

  init(
    name: String, devices: VirtioPorts, loop: EventLoop, log: @escaping (String) -> Void,
    open: @escaping (consuming FileDescriptor) throws(SystemError) -> Channel
  ) {
    self.name = name
    self.devices = devices
    self.loop = loop
    self.log = log
    self.open = open
    look()
  }

  func stop() {
    loop.cancel(timer)
    timer = nil
    channel = nil
  }

  /// A channel of the server ended; perhaps it was the port's.
  func ended(_ other: Channel) {
    guard other === channel else { return }
    channel = nil
    again()
  }

  private func again() {
    timer = loop.after(Self.pause) { [unowned self] in look() }
  }

  private func look() {
    guard let path = devices.device(named: name) else { return again() }
    do throws(SystemError) {
      let file = try FileDescriptor(opening: path, [.readWrite, .nonBlocking, .noControllingTerminal])
      channel = try open(file)
    } catch {
      let complaint = "cannot open the port \(name): \(error)"
      if complaint != lastComplaint { log(complaint) }
      lastComplaint = complaint
      again()
    }
  }
}
