/// The port through which a guest's kernel says that it has panicked (QEMU, docs/specs/pvpanic: port 0x505, ACPI device
/// QEMU0001). Linux and FreeBSD have a driver for it.
///
/// Concurrency model: no state; as safe as its closure.
public struct PanicPort: BusDevice, Sendable {
  /// Where it is.
  public static let port: UInt16 = 0x505

  /// What a guest says.
  public enum Event: Sendable, Hashable {
    /// Its kernel has panicked and goes no further.
    case panicked
    /// Its kernel has panicked and starts another one that saves what is left.
    case dumping
  }

  /// Bits of the port: reading gives those that are understood, writing tells.
  private enum Bits {
    static let panicked: UInt64 = 1
    static let dumping: UInt64 = 2
  }

  private let onEvent: @Sendable (Event) -> Void

  /// A port; `onEvent` is told what the guest says.
  public init(onEvent: @escaping @Sendable (Event) -> Void) {
    self.onEvent = onEvent
  }

  /// What is understood.
  public func read(at offset: UInt64, width: AccessWidth) -> UInt64 { Bits.panicked | Bits.dumping }

  /// What the guest says; unknown bits say nothing.
  public func write(_ value: UInt64, at offset: UInt64, width: AccessWidth) {
    if value & Bits.panicked != 0 {
      onEvent(.panicked)
    } else if value & Bits.dumping != 0 {
      onEvent(.dumping)
    }
  }
}
