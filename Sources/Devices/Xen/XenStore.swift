internal import Binary

/// What a guest finds in Xen's store, and how it is told (Xen, docs/misc/xenstore.txt; public/io/xs_wire.h): a few names
/// that it may read. It may write nothing and has no devices there.
struct XenStore: Sendable {
  /// The wire's message types.
  private enum Kind {
    static let directory: UInt32 = 1
    static let read: UInt32 = 2
    static let startTransaction: UInt32 = 6
    static let endTransaction: UInt32 = 7
    static let domainPath: UInt32 = 10
    static let write: UInt32 = 11
    static let makeDirectory: UInt32 = 12
    static let remove: UInt32 = 13
    static let setPermissions: UInt32 = 14
    static let error: UInt32 = 16
  }

  /// Bytes of type, request, transaction and length, each 32 bits, in front of a message.
  static let headerCount = 16
  /// Bytes of a message behind its header at most (XENSTORE_PAYLOAD_MAX).
  static let payloadLimit = 4096

  private static let home = "/local/domain/1"
  private let values: [String: String]
  private var request: [UInt8] = []
  private var response: [UInt8] = []

  /// The store of the domain `name`.
  init(name: String) {
    values = ["\(Self.home)/domid": "1", "\(Self.home)/name": name]
  }

  /// Whether more of a request may come: none does while an answer waits.
  var takesMore: Bool { response.isEmpty }

  /// How many bytes of answers wait.
  var waiting: Int { response.count }

  /// Takes a part of the guest's requests. False for what is no message: the connection is then of no use.
  mutating func take(_ bytes: [UInt8]) -> Bool {
    request += bytes
    while request.count >= Self.headerCount {
      let count = Int(Self.word(request, 12))
      guard count <= Self.payloadLimit else { return false }
      guard request.count >= Self.headerCount + count else { break }
      let payload = Array(request[Self.headerCount..<Self.headerCount + count])
      answer(Self.word(request, 0), Array(request[4..<12]), payload)
      request.removeFirst(Self.headerCount + count)
    }
    return true
  }

  /// The first `count` bytes of the answers, which wait no more.
  mutating func next(_ count: Int) -> [UInt8] {
    defer { response.removeFirst(min(count, response.count)) }
    return Array(response.prefix(count))
  }

  private mutating func answer(_ kind: UInt32, _ names: [UInt8], _ payload: [UInt8]) {
    var reply = kind
    var content: [UInt8]
    let path = Self.path(payload)
    switch kind {
    case Kind.read where values[path] != nil: content = Array((values[path] ?? "").utf8)
    case Kind.directory where !children(of: path).isEmpty || values[path] != nil:
      content = children(of: path).flatMap { Array($0.utf8) + [0] }
    case Kind.startTransaction: content = Array("1".utf8) + [0]
    case Kind.endTransaction: content = Array("OK".utf8) + [0]
    case Kind.domainPath: content = Array(Self.home.utf8) + [0]
    case Kind.read, Kind.directory: (reply, content) = (Kind.error, Array("ENOENT".utf8) + [0])
    case Kind.write, Kind.makeDirectory, Kind.remove, Kind.setPermissions:
      (reply, content) = (Kind.error, Array("EACCES".utf8) + [0])
    default: (reply, content) = (Kind.error, Array("ENOSYS".utf8) + [0])
    }
    var message = ByteWriter()
    message.little(reply)
    message.raw(names)
    message.little(UInt32(content.count))
    message.raw(content)
    response += message.bytes
  }

  /// The path that a message begins with; without a slash in front it is the domain's own.
  private static func path(_ payload: [UInt8]) -> String {
    let text = String(decoding: payload.prefix { $0 != 0 }, as: UTF8.self)
    return text.hasPrefix("/") ? text : "\(home)/\(text)"
  }

  private func children(of path: String) -> [String] {
    let prefix = path == "/" ? path : path + "/"
    let names = values.keys.filter { $0.hasPrefix(prefix) }.map { $0.dropFirst(prefix.count).prefix { $0 != "/" } }
    return Set(names).sorted().map(String.init)
  }

  private static func word(_ bytes: [UInt8], _ offset: Int) -> UInt32 {
    (0..<4).reduce(0) { $0 | UInt32(bytes[offset + $1]) << UInt32(8 * $1) }
  }
}
