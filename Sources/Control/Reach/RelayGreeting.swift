/// The first line that a relay (`roost relay`) says: that the stream is joined, after which every byte is the stream's,
/// or why it is not.
///
/// `roost-relay 1 ok`, or `roost-relay 1 ` and a `ControlError` as JSON. What comes before that line is a login shell's.
struct RelayGreeting: Sendable {
  /// The version of this line.
  static let version = 1
  /// Bytes that a login shell may say before it.
  static let limit = 64 << 10

  private static let beginning = "roost-relay "
  private var held: [UInt8] = []

  /// The line that says that the stream is joined.
  static var accepted: [UInt8] { Array("\(beginning)\(version) ok\n".utf8) }

  /// The line that says why it is not.
  static func refused(_ error: ControlError) -> [UInt8] {
    let json = (try? ControlCoding.encode(error)) ?? []
    return Array("\(beginning)\(version) ".utf8) + json + [0x0A]
  }

  /// Takes what came next. Returns what follows the line, nil as long as it is not there. Throws what the line says
  /// against it, and `malformedReply` when there is something else.
  mutating func append(_ bytes: [UInt8]) throws(ControlError) -> [UInt8]? {
    held += bytes
    while let end = held.firstIndex(of: 0x0A) {
      let line = Array(held[..<end])
      held.removeFirst(end + 1)
      guard line.starts(with: Self.beginning.utf8) else { continue }
      defer { held = [] }
      try Self.check(Array(line.dropFirst(Self.beginning.utf8.count)))
      return held
    }
    guard held.count <= Self.limit else {
      throw ControlError(.malformedReply, "what answers over there is not Roost's relay")
    }
    return nil
  }

  private static func check(_ rest: [UInt8]) throws(ControlError) {
    let words = rest.split(separator: 0x20, maxSplits: 1)
    guard words.count == 2, Array(words[0]) == Array("\(version)".utf8) else {
      throw ControlError(
        .unsupportedVersion, "the roost over there is of another time than this one; use one of the same version")
    }
    let answer = words[1].last == 0x0D ? words[1].dropLast() : words[1]
    if Array(answer) == Array("ok".utf8) { return }
    throw try ControlCoding.decode(ControlError.self, from: Array(answer))
  }
}
