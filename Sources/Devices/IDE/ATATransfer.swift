/// The data of a command between drive and host: a buffer, and how much of it the host may move before the drive is
/// asked what comes next. Sits beside the drive and not in it, so that an access to the data port touches nothing else.
struct ATATransfer: Sendable {
  /// Who moves data.
  enum Direction: Sendable {
    case none, toHost, fromHost
  }

  /// Length of the buffer in bytes: 128 sectors.
  static let capacity = 65_536

  /// Where data goes; `none` when no transfer is on.
  private(set) var direction = Direction.none
  /// Whether the bus master moves it, and the data port nothing.
  private(set) var isDMA = false
  /// What is being moved. Empty until the first transfer.
  var buffer: [UInt8] = []
  /// The next byte to move.
  private(set) var position = 0
  /// Where the drive is asked again.
  private(set) var end = 0

  /// Bytes that may be moved now.
  var available: Int { end &- position }
  /// Whether the data port moves data to the host.
  var isReadable: Bool { direction == .toHost && !isDMA && position < end }
  /// Whether the data port moves data from the host.
  var isWritable: Bool { direction == .fromHost && !isDMA && position < end }

  /// Starts a transfer; `open` follows.
  mutating func begin(_ direction: Direction, isDMA: Bool) {
    if buffer.isEmpty { buffer = [UInt8](repeating: 0, count: Self.capacity) }
    self.direction = direction
    self.isDMA = isDMA
    position = 0
    end = 0
  }

  /// Lets the host move the bytes of `range` next.
  mutating func open(_ range: Range<Int>) {
    position = range.lowerBound
    end = min(range.upperBound, buffer.count)
  }

  /// Nothing is left to move.
  mutating func finish() {
    direction = .none
    isDMA = false
    position = 0
    end = 0
  }

  /// Puts `bytes` at the front of the buffer; what does not fit is left out.
  mutating func load(_ bytes: [UInt8]) {
    for index in 0..<min(bytes.count, buffer.count) { buffer[index] = bytes[index] }
  }

  /// The bus master moves the next `count` bytes, at most what is available, to or from guest memory. False when that
  /// is no RAM.
  mutating func move(_ count: Int, at address: GuestAddress, _ memory: some GuestMemory) -> Bool {
    let range = position..<(position + count)
    do throws(GuestMemoryError) {
      if direction == .toHost {
        try memory.write(at: address, from: buffer.span.extracting(range))
      } else {
        var whole = buffer.mutableSpan
        var part = whole._mutatingExtracting(range)
        try memory.read(at: address, into: &part)
      }
    } catch {
      return false
    }
    position += count
    return true
  }

  // MARK: The data port, 16 bits at a time; the caller has asked whether it may

  /// The next word to the host. Past the end of an odd length comes a 0.
  mutating func takeWord() -> UInt16 {
    let low = UInt16(buffer[position])
    let next = position &+ 1
    let high = next < end ? UInt16(buffer[next]) : 0
    position = min(position &+ 2, end)
    return high << 8 | low
  }

  /// A word from the host. The upper byte of the last word of an odd length is dropped.
  mutating func putWord(_ word: UInt16) {
    buffer[position] = UInt8(truncatingIfNeeded: word)
    let next = position &+ 1
    if next < end { buffer[next] = UInt8(truncatingIfNeeded: word >> 8) }
    position = min(position &+ 2, end)
  }

  /// Moves what is open to the front of the rest of `destination`; how many bytes that were.
  mutating func take(into destination: inout MutableSpan<UInt8>, from index: Int) -> Int {
    let count = min(end &- position, destination.count &- index)
    for step in 0..<count { destination[index &+ step] = buffer[position &+ step] }
    position &+= count
    return count
  }

  /// Moves the front of the rest of `source` to where the drive wants it; how many bytes that were.
  mutating func put(from source: Span<UInt8>, at index: Int) -> Int {
    let count = min(end &- position, source.count &- index)
    for step in 0..<count { buffer[position &+ step] = source[index &+ step] }
    position &+= count
    return count
  }
}
