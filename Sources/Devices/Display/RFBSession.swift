internal import Binary

/// The server's side of one connection of the Remote Framebuffer Protocol ("VNC"; RFC 6143, version 3.8, and the 3.3
/// and 3.7 of older clients): bytes in, events and bytes out. Who has the socket calls `receive` with what came,
/// `update` when the screen changed, and sends `output` whenever what was sent before has gone: not earlier, for that
/// is what keeps a client that does not read from filling memory.
///
/// The clipboard is taken and thrown away. What a client asks for many times before it reads, it gets once.
public struct RFBSession: Sendable {
  /// Who may see the screen.
  public enum Security: Sendable {
    /// Everybody who can connect.
    case none
    /// Who knows the password, of which eight bytes count. `challenge` is 16 random bytes, new for each connection.
    case password(String, challenge: [UInt8])
  }

  /// What the client's user does.
  public enum Event: Hashable, Sendable {
    /// A key by its X11 keysym; see `Keycode.init(keysym:)`.
    case key(keysym: UInt32, isDown: Bool)
    /// The pointer, in pixels, with the buttons left, middle, right, wheel up, wheel down from bit 0; see
    /// `PointerTracker`.
    case pointer(x: Int, y: Int, buttons: UInt8)
  }

  /// Why the connection is to be closed once `output` is sent.
  public enum Failure: Error, Hashable, Sendable, CustomStringConvertible {
    /// The client does not begin as RFB does.
    case version
    /// It chose a kind of security that was not offered.
    case security(UInt8)
    /// It does not know the password.
    case password
    /// A message that RFB does not have.
    case message(UInt8)
    /// Pixels that cannot be like that.
    case pixelFormat
    /// A clipboard of more than a mebibyte.
    case clipboard(UInt32)

    /// What is wrong, and what to do about it.
    public var description: String {
      switch self {
      case .version: "the client does not speak RFB; connect with a VNC viewer"
      case .security(let type): "the client wants security type \(type), which is not offered"
      case .password: "the password is wrong"
      case .message(let type): "the client sent message type \(type), which RFB does not have"
      case .pixelFormat: "the client wants a pixel format that cannot be"
      case .clipboard(let count): "the client sent a clipboard of \(count) bytes; 1048576 are the limit"
      }
    }
  }

  private enum Phase: Sendable {
    case version, security, challenge, start, messages
    /// So many encodings of four bytes are still to come.
    case encodings(Int)
    /// So many bytes of a clipboard are still to come.
    case clipboard(Int)
    case closed
  }

  private static let maximumClipboard: UInt32 = 1 << 20

  private let name: String
  private let security: Security
  private var phase = Phase.version
  /// Minor version in use: 3, 7 or 8.
  private var version = 8
  /// What came and is no whole message yet: 20 bytes at most between calls.
  private var input: [UInt8] = []
  private var control: [UInt8]
  /// Why the session ended.
  public private(set) var failure: Failure?
  var screen: RFBScreen

  /// A session that begins.
  ///
  /// - Parameters:
  ///   - name: what the viewer shows in its title.
  ///   - security: who may connect.
  ///   - picture: what the screen shows now.
  public init(name: String, security: Security, picture: Picture) {
    self.name = name
    self.security = security
    control = Array("RFB 003.008\n".utf8)
    screen = RFBScreen(picture)
  }

  /// The connection is to be closed when `output` has been sent.
  public var isClosed: Bool { if case .closed = phase { true } else { false } }

  /// Takes what came from the client.
  public mutating func receive(_ bytes: [UInt8]) -> [Event] {
    guard !isClosed else { return [] }
    input += bytes
    var events: [Event] = []
    var position = 0
    while let count = step(at: position, &events) { position += count }
    input.removeFirst(position)
    if isClosed { input = [] }
    return events
  }

  /// The screen shows something else now.
  public mutating func update(_ picture: Picture) {
    screen.update(picture)
  }

  /// What is to be sent now; empty when nothing is.
  public mutating func output() -> [UInt8] {
    var bytes = control
    control = []
    switch phase {
    case .messages, .encodings, .clipboard: screen.appendUpdate(to: &bytes)
    default: break
    }
    return bytes
  }

  // MARK: Input

  /// Does the next thing with the input from `position`; the bytes it took, nil when there are too few or no more are
  /// wanted.
  private mutating func step(at position: Int, _ events: inout [Event]) -> Int? {
    let available = input.count - position
    func has(_ count: Int) -> Bool { available >= count }
    switch phase {
    case .version:
      guard has(12) else { return nil }
      takeVersion(input[position..<(position + 12)])
      return 12
    case .security:
      guard has(1) else { return nil }
      takeSecurity(input[position])
      return 1
    case .challenge:
      guard has(16) else { return nil }
      takeResponse(Array(input[position..<(position + 16)]))
      return 16
    case .start:
      guard has(1) else { return nil }
      sendStart()
      return 1
    case .messages: return available > 0 ? takeMessage(at: position, available, &events) : nil
    case .encodings(let remaining):
      guard has(4) else { return nil }
      screen.supports(encoding: Int32(bitPattern: UInt32(big(position, 4))))
      phase = remaining > 1 ? .encodings(remaining - 1) : .messages
      return 4
    case .clipboard(let remaining):
      let count = min(available, remaining)
      guard count > 0 else { return nil }
      phase = remaining > count ? .clipboard(remaining - count) : .messages
      return count
    case .closed: return nil
    }
  }

  /// The integer of `count` bytes at `position`, which are there.
  private func big(_ position: Int, _ count: Int) -> Int {
    input[position..<(position + count)].reduce(0) { $0 << 8 | Int($1) }
  }

  private mutating func fail(_ failure: Failure) {
    self.failure = failure
    phase = .closed
  }

  private mutating func takeMessage(at position: Int, _ available: Int, _ events: inout [Event]) -> Int? {
    let type = input[position]
    let lengths: [UInt8: Int] = [0: 20, 2: 4, 3: 10, 4: 8, 5: 6, 6: 8]
    guard let length = lengths[type] else {
      fail(.message(type))
      return nil
    }
    guard available >= length else { return nil }
    switch type {
    case 0:
      guard let format = RFBPixelFormat(input[(position + 4)..<(position + 20)]) else {
        fail(.pixelFormat)
        return nil
      }
      screen.use(format)
    case 2:
      screen.forgetEncodings()
      let count = big(position + 2, 2)
      if count > 0 { phase = .encodings(count) }
    case 3:
      screen.request(
        PictureRectangle(
          x: big(position + 2, 2), y: big(position + 4, 2), width: big(position + 6, 2), height: big(position + 8, 2)),
        isIncremental: input[position + 1] != 0)
    case 4:
      events.append(.key(keysym: UInt32(big(position + 4, 4)), isDown: input[position + 1] != 0))
    case 5:
      let (buttons, x, y) = (input[position + 1], big(position + 2, 2), big(position + 4, 2))
      // Of movements that came together the last is enough.
      if case .pointer(_, _, buttons)? = events.last { events.removeLast() }
      events.append(.pointer(x: x, y: y, buttons: buttons))
    default:
      let count = UInt32(big(position + 4, 4))
      guard count <= Self.maximumClipboard else {
        fail(.clipboard(count))
        return nil
      }
      if count > 0 { phase = .clipboard(Int(count)) }
    }
    return length
  }

  // MARK: Handshake (RFC 6143, 7.1 to 7.3)

  private mutating func takeVersion(_ bytes: ArraySlice<UInt8>) {
    let text = Array(bytes)
    let digits = text[4..<7] + text[8..<11]
    guard text[0..<4].elementsEqual("RFB ".utf8), text[7] == 0x2E, text[11] == 0x0A,
      digits.allSatisfy({ (0x30...0x39).contains($0) })
    else { return fail(.version) }
    let number = digits.reduce(0) { $0 * 10 + Int($1 - 0x30) }  // 3008 is 3.8
    guard number >= 3003 else { return fail(.version) }
    // What is neither is to be taken for 3.3; what is newer accepts the highest that there is.
    version = number >= 3008 ? 8 : number == 3007 ? 7 : 3
    let type: UInt8 = if case .none = security { 1 } else { 2 }
    if version == 3 {
      control += [0, 0, 0, type]
      begin(type)
    } else {
      control += [1, type]
      phase = .security
    }
  }

  private mutating func takeSecurity(_ type: UInt8) {
    switch (type, security) {
    case (1, .none):
      if version == 8 { control += [0, 0, 0, 0] }
      begin(1)
    case (2, .password): begin(2)
    default:
      refuse(.security(type))
    }
  }

  private mutating func begin(_ type: UInt8) {
    if case .password(_, let challenge) = security, type == 2 {
      control += Self.block(challenge)
      phase = .challenge
    } else {
      phase = .start
    }
  }

  /// Exactly 16 bytes.
  private static func block(_ challenge: [UInt8]) -> [UInt8] {
    Array((challenge + [UInt8](repeating: 0, count: 16)).prefix(16))
  }

  private mutating func takeResponse(_ response: [UInt8]) {
    guard case .password(let password, let challenge) = security else { return fail(.security(2)) }
    let expected = Self.response(to: Self.block(challenge), password: password)
    var difference: UInt8 = 0
    for (one, other) in zip(response, expected) { difference |= one ^ other }
    guard difference == 0, response.count == expected.count else { return refuse(.password) }
    control += [0, 0, 0, 0]
    phase = .start
  }

  /// The challenge of 16 bytes, encrypted with the password (7.2.2): eight bytes, each with its bits reversed.
  static func response(to challenge: [UInt8], password: String) -> [UInt8] {
    let padded = (Array(password.utf8) + [UInt8](repeating: 0, count: 8)).prefix(8)
    var key: UInt64 = 0
    for byte in padded {
      for bit in 0..<8 { key = key << 1 | UInt64(byte >> UInt8(bit) & 1) }
    }
    let cipher = DES(key: key)
    var writer = ByteWriter(capacity: 16)
    for half in [challenge.prefix(8), challenge.dropFirst(8)] {
      var block: UInt64 = 0
      for byte in half { block = block << 8 | UInt64(byte) }
      writer.big(cipher.encrypt(block))
    }
    return writer.bytes
  }

  /// SecurityResult "failed", with its reason where the version has one.
  private mutating func refuse(_ failure: Failure) {
    var writer = ByteWriter()
    writer.big(UInt32(1))
    if version == 8 {
      writer.big(UInt32(failure.description.utf8.count))
      writer.raw(failure.description.utf8)
    }
    control += writer.bytes
    fail(failure)
  }

  /// ServerInit (7.3.2). Whether others may stay connected is not ours to decide.
  private mutating func sendStart() {
    let title = Array(name.utf8.prefix(256))
    var writer = ByteWriter()
    let size = screen.begin()
    writer.big(UInt16(size.width))
    writer.big(UInt16(size.height))
    writer.raw(RFBPixelFormat().encoded)
    writer.big(UInt32(title.count))
    writer.raw(title)
    control += writer.bytes
    phase = .messages
  }
}
