/// Cuts a byte stream into lines of bounded length. Whatever arrives, it holds at most one line and a chunk.
public struct LineFramer: Sendable {
  /// What the stream holds next.
  public enum Frame: Hashable, Sendable {
    /// A line without its newline (and without a carriage return before it).
    case line([UInt8])
    /// A line that was longer than allowed; it was thrown away up to its newline.
    case overlong
  }

  private let limit: Int
  private var partial: [UInt8] = []
  private var skipping = false

  /// Lines of up to `limit` bytes.
  public init(limit: Int = ControlProtocol.maximumLineLength) {
    self.limit = limit
  }

  /// Takes the next bytes and returns the lines that they end. Empty lines are left out.
  public mutating func append(_ bytes: some Sequence<UInt8>) -> [Frame] {
    var frames: [Frame] = []
    for byte in bytes {
      if byte == 0x0A {
        if skipping {
          skipping = false
        } else {
          if partial.last == 0x0D { partial.removeLast() }
          if !partial.isEmpty { frames.append(.line(partial)) }
        }
        partial.removeAll(keepingCapacity: partial.capacity <= 1 << 16)
      } else if !skipping {
        if partial.count == limit {
          skipping = true
          partial = []
          frames.append(.overlong)
        } else {
          partial.append(byte)
        }
      }
    }
    return frames
  }

  /// Forgets a half line.
  public mutating func reset() {
    partial = []
    skipping = false
  }
}
