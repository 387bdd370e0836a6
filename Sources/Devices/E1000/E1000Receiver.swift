/// The receive buffer, and what decides whether a frame is for this station (Intel 317453, 3.2).
struct E1000Receiver: Sendable {
  /// Bytes of the longest frame.
  static let capacity = 16384
  static let shortestFrame = 60
  static let longestFrame = 1518
  static let checkCount = 4

  /// Status of a descriptor (3.2.3.1).
  enum Status {
    static let done: UInt8 = 1 << 0
    static let endOfPacket: UInt8 = 1 << 1
    static let ignoreChecksums: UInt8 = 1 << 2
    static let inexactFilter: UInt8 = 1 << 7
  }

  private(set) var buffer = [UInt8](repeating: 0, count: capacity)
  /// Length of the frame that waits for descriptors; 0 when there is none.
  private(set) var count = 0
  /// It was let in by the multicast table or by promiscuity.
  var isInexact = false

  mutating func reset() { count = 0 }

  /// Fetches the next frame, filled up to the shortest that there is. False when none is waiting.
  mutating func fetch(_ frames: some FrameBackend) -> Bool {
    var span = buffer.mutableSpan
    guard let length = frames.receive(into: &span) else { return false }
    count = min(max(length, 0), Self.capacity)
    while count < Self.shortestFrame {
      buffer[count] = 0
      count &+= 1
    }
    return true
  }

  mutating func drop() { count = 0 }

  /// Adds four zeros where the check sequence would be: the port delivers frames without.
  mutating func appendCheckSequence() {
    for _ in 0..<Self.checkCount where count < Self.capacity {
      buffer[count] = 0
      count &+= 1
    }
  }

  static func isBroadcast(_ frame: Span<UInt8>) -> Bool {
    for index in 0..<6 where frame[index] != 0xFF { return false }
    return true
  }
}
