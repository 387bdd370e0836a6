internal import Synchronization

/// A wire with several drivers: high while any of them is (PCI 3.0, 2.2.6). Up to 64 drivers.
///
/// Concurrency model: safe from any thread; `level` is held while the wire is driven, so that levels reach it in order.
public final class SharedInterruptLine<Line: InterruptLine>: Sendable {
  private let line: Line
  private let level = Mutex(UInt64(0))

  /// Shares `line`.
  public init(_ line: Line) {
    self.line = line
  }

  /// One driver's end of the wire; `number` is 0 to 63.
  public func input(_ number: Int) -> Input {
    Input(shared: self, bit: 1 << UInt64(number & 63))
  }

  private func set(_ bit: UInt64, _ asserted: Bool) {
    level.withLock { level in
      let before = level
      level = asserted ? level | bit : level & ~bit
      if (before == 0) != (level == 0) { line.set(level != 0) }
    }
  }

  /// One driver's end of a shared wire.
  public struct Input: InterruptLine {
    let shared: SharedInterruptLine
    let bit: UInt64

    /// Drives this end of the wire.
    public func set(_ asserted: Bool) {
      shared.set(bit, asserted)
    }
  }
}
