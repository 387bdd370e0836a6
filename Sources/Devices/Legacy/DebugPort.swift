/// The port that firmware and small guests print to: 0xE9 (Bochs), 0x402 (SeaBIOS and OVMF). Reading 0xE9 gives 0xE9,
/// which says that it is there.
///
/// Concurrency model: no state; as safe as its sink.
public struct DebugPort<Output: ByteSink>: BusDevice, Sendable {
  private let output: Output

  /// Prints to `output`.
  public init(_ output: Output) {
    self.output = output
  }

  /// Reads the register at `offset`.
  public func read(at offset: UInt64, width: AccessWidth) -> UInt64 { 0xE9 }

  /// Writes the register at `offset`.
  public func write(_ value: UInt64, at offset: UInt64, width: AccessWidth) {
    for index in 0..<width.count { output.write(UInt8(truncatingIfNeeded: value >> (8 * index))) }
  }
}

/// Port 0x92 of a keyboard controller.
public struct SystemControlPort: BusDevice, Sendable {
  private let controller: KeyboardController

  /// The system control port that drives A20 and reset of `controller`.
  public init(_ controller: KeyboardController) {
    self.controller = controller
  }

  /// Reads the register at `offset`.
  public func read(at offset: UInt64, width: AccessWidth) -> UInt64 { UInt64(controller.readSystemControl()) }

  /// Writes the register at `offset`.
  public func write(_ value: UInt64, at offset: UInt64, width: AccessWidth) {
    controller.writeSystemControl(UInt8(truncatingIfNeeded: value))
  }
}
