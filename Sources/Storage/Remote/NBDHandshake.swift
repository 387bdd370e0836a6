internal import Binary
internal import Platform

/// What an NBD server says of an export (the NBD protocol, doc/proto.md of its reference implementation).
struct NBDExport: Hashable, Sendable {
  /// Bytes.
  var size = 0
  /// Transmission flags, as the kernel takes them.
  var flags: UInt16 = 0
  /// The least that one request may be about, in bytes.
  var blockBytes = 512

  /// NBD_FLAG_READ_ONLY.
  var isReadOnly: Bool { flags & 2 != 0 }
}

/// The beginning of a conversation with an NBD server, up to where the kernel goes on: fixed newstyle negotiation, with
/// NBD_OPT_GO or, for older servers, NBD_OPT_EXPORT_NAME.
struct NBDHandshake: Sendable {
  /// What to do next.
  enum Step: Hashable, Sendable {
    /// Send these bytes and take what comes.
    case send([UInt8])
    /// Nothing but take what comes.
    case wait
    /// The export is open.
    case done(NBDExport)
    /// The server refuses, in words.
    case refused(String)
  }

  private enum Phase: Sendable {
    case greeting, options, oldReply
  }

  /// Most bytes of one answer that are taken: an export's description may be long, but not so long.
  private static let limit = 65536
  private static let magic: UInt64 = 0x4E42_444D_4147_4943  // "NBDMAGIC"
  private static let optionMagic: UInt64 = 0x4948_4156_454F_5054  // "IHAVEOPT"
  private static let replyMagic: UInt64 = 0x0003_E889_0455_65A9

  private let name: String
  private var phase = Phase.greeting
  private var input: [UInt8] = []
  private var hasNoZeroes = false
  private var export = NBDExport()
  private var isDescribed = false

  /// A conversation about the export `name`; an empty name is the server's default one.
  init(export name: String) {
    self.name = name
  }

  /// How many bytes are wanted at least before the next step can be told.
  var wanted: Int {
    switch phase {
    case .greeting: max(0, 18 - input.count)
    case .oldReply: max(0, (hasNoZeroes ? 10 : 134) - input.count)
    case .options:
      max(0, 20 + (input.count < 20 ? 0 : Int((try? ByteReader(input).big(UInt32.self, at: 16)) ?? 0)) - input.count)
    }
  }

  /// Takes what the server said, and says what to do.
  mutating func take(_ bytes: [UInt8]) -> Step {
    input += bytes
    guard wanted == 0 else {
      return wanted > Self.limit ? .refused("it answers more than an NBD server does") : .wait
    }
    do throws(TruncatedInput) {
      switch phase {
      case .greeting: return try greet()
      case .options: return try answer()
      case .oldReply:
        let reader = ByteReader(input)
        export.size = Int(clamping: try reader.big(UInt64.self, at: 0))
        export.flags = try reader.big(UInt16.self, at: 8)
        input = Array(input.dropFirst(hasNoZeroes ? 10 : 134))
        return finish()
      }
    } catch {
      return .refused("it says too little: \(error)")
    }
  }

  private mutating func greet() throws(TruncatedInput) -> Step {
    let reader = ByteReader(input)
    guard try reader.big(UInt64.self, at: 0) == Self.magic, try reader.big(UInt64.self, at: 8) == Self.optionMagic
    else {
      return .refused("what answers there is no NBD server, or one of before 2011")
    }
    let flags = try reader.big(UInt16.self, at: 16)
    hasNoZeroes = flags & 2 != 0
    var writer = ByteWriter()
    writer.big(UInt32(flags & 3))
    input = Array(input.dropFirst(18))
    if flags & 1 == 0 { return .send(writer.bytes + oldRequest()) }
    phase = .options
    // The least size of a request is asked for: 3 is NBD_INFO_BLOCK_SIZE.
    var content = ByteWriter()
    content.big(UInt32(name.utf8.count))
    content.raw(Array(name.utf8))
    content.big(UInt16(1))
    content.big(UInt16(3))
    writer.raw(Self.option(7, content.bytes))  // NBD_OPT_GO
    return .send(writer.bytes)
  }

  /// The request of servers that do not know NBD_OPT_GO.
  private mutating func oldRequest() -> [UInt8] {
    phase = .oldReply
    return Self.option(1, Array(name.utf8))  // NBD_OPT_EXPORT_NAME
  }

  private static func option(_ number: UInt32, _ content: [UInt8]) -> [UInt8] {
    var writer = ByteWriter()
    writer.big(optionMagic)
    writer.big(number)
    writer.big(UInt32(content.count))
    writer.raw(content)
    return writer.bytes
  }

  private mutating func answer() throws(TruncatedInput) -> Step {
    let reader = ByteReader(input)
    guard try reader.big(UInt64.self, at: 0) == Self.replyMagic else { return .refused("its answer is none of NBD's") }
    let type = try reader.big(UInt32.self, at: 12)
    let length = Int(try reader.big(UInt32.self, at: 16))
    let content = ByteReader(Array(try reader.slice(at: 20, length: length)))
    input = Array(input.dropFirst(20 + length))
    switch type {
    case 1: return isDescribed ? finish() : .refused("it opens the export without saying how large it is")
    case 3:  // NBD_REP_INFO
      switch try content.big(UInt16.self, at: 0) {
      case 0:  // NBD_INFO_EXPORT
        export.size = Int(clamping: try content.big(UInt64.self, at: 2))
        export.flags = try content.big(UInt16.self, at: 10)
        isDescribed = true
      case 3: export.blockBytes = max(512, Int(try content.big(UInt32.self, at: 2)))
      default: break
      }
      return wanted == 0 ? take([]) : .wait
    case 0x8000_0001: return .send(oldRequest())  // NBD_REP_ERR_UNSUP
    case 0x8000_0006: return .refused("it has no export \(name.isEmpty ? "by default" : "named \(name)")")
    case 0x8000_0002: return .refused("it does not let this machine in")
    case 0x8000_0005: return .refused("it wants TLS, which is not known here")
    default:
      let said = String(decoding: content.bytes.prefix(200), as: UTF8.self)
      return .refused("it refuses (\(String(type, radix: 16)))\(said.isEmpty ? "" : ": \(said)")")
    }
  }

  private func finish() -> Step {
    guard export.size > 0 else { return .refused("its export has no size") }
    return input.isEmpty ? .done(export) : .refused("it says more than it was asked")
  }

  /// Nanoseconds that a server may take to open an export.
  private static let patience: UInt64 = 60_000_000_000

  /// Connects to a server and opens the export.
  static func open(_ export: String, address: UInt32, port: Int, server: String) throws(StorageError) -> NBDConnection {
    Signal.ignorePipe()
    var outcome = Step.wait
    do throws(SystemError) {
      let file = try InternetSocket.connect(address: address, port: UInt16(clamping: port), seconds: 10)
      // It is there: a busy one may take its time to open what it serves.
      try InternetSocket.setPatience(of: file, seconds: 30)
      outcome = try converse(about: export, over: file)
      if case .done(let export) = outcome {
        try InternetSocket.setPatience(of: file, seconds: 0)
        try InternetSocket.setLossTimeout(of: file, seconds: 30)
        return NBDConnection(file: file, export: export)
      }
    } catch {
      let cause = error.errno == .wouldBlock ? SystemError(error.operation, errno: .timedOut) : error
      throw StorageError(.remote, "the NBD server \(server) does not answer", cause: cause)
    }
    if case .refused(let reason) = outcome {
      throw StorageError(.remote, "the NBD server \(server) is of no use: \(reason)")
    }
    throw StorageError(.remote, "the NBD server \(server) hangs up: has it an export of this name, and may we have it?")
  }

  /// Speaks with the server until it has opened the export, refuses or hangs up (`wait`).
  private static func converse(
    about export: String, over file: borrowing FileDescriptor
  ) throws(SystemError) -> Step {
    do throws(SystemError) {
      return try exchange(about: export, over: file)
    } catch {
      // One that closes before it has read all it was sent resets the connection (RFC 9293, section 3.10.4).
      guard error.errno == .connectionReset || error.errno == .brokenPipe else { throw error }
      return .wait
    }
  }

  private static func exchange(
    about export: String, over file: borrowing FileDescriptor
  ) throws(SystemError) -> Step {
    var handshake = NBDHandshake(export: export)
    var step = Step.wait
    // For all of it: a server that says a little now and then must not keep anybody.
    let end = MonotonicClock.now() + Self.patience
    while true {
      guard MonotonicClock.now() < end else { throw SystemError("read", errno: .timedOut) }
      switch step {
      case .send(let bytes): try file.writeAll(bytes)
      case .wait: break
      case .done, .refused: return step
      }
      let bytes = try file.read(upTo: handshake.wanted)
      if bytes.isEmpty { return .wait }
      step = handshake.take(bytes)
    }
  }
}

/// A connection to an open export, which the kernel can use.
struct NBDConnection: ~Copyable {
  let file: FileDescriptor
  let export: NBDExport
}
