internal import Synchronization

/// As much of the 8042 as makes probes end at once and lets a guest reset the machine through it (IBM PC AT Technical
/// Reference, 1984, "Keyboard Controller"; ports 0x60 and 0x64). No keyboard and no mouse are connected; devices that
/// are asked about answer with a time-out.
///
/// Concurrency model: safe from any thread. `onReset` is called without the lock.
public final class KeyboardController: Sendable {
  private struct State: Sendable {
    /// What port 0x60 gives next.
    var output: [UInt8] = []
    /// A command that waits for its byte at port 0x60.
    var command: UInt8?
    /// Translation, both clocks off, no interrupts.
    var commandByte: UInt8 = 0x70
    /// A20 open, reset line inactive.
    var outputPort: UInt8 = 0x03

    /// Queues a byte for port 0x60; the queue is as long as a real one's.
    mutating func reply(_ byte: UInt8) {
      if output.count < 16 { output.append(byte) }
    }
  }

  private let state = Mutex(State())
  private let onReset: @Sendable () -> Void

  /// A controller; `onReset` is what its reset line does.
  public init(onReset: @escaping @Sendable () -> Void) {
    self.onReset = onReset
  }

  /// Reads port 0x60.
  public func readData() -> UInt8 {
    state.withLock { $0.output.isEmpty ? 0 : $0.output.removeFirst() }
  }

  /// Reads port 0x64: system flag, output buffer full, last write was a command. Never input buffer full.
  public func readStatus() -> UInt8 {
    state.withLock { 0x14 | ($0.output.isEmpty ? 0 : 0x01) | ($0.command == nil ? 0 : 0x08) }
  }

  /// Writes port 0x64.
  public func writeCommand(_ command: UInt8) {
    let resets = state.withLock { state -> Bool in
      state.command = nil
      switch command {
      case 0x20: state.reply(state.commandByte)
      case 0xAA: state.reply(0x55)  // self test passed
      case 0xAB, 0xA9: state.reply(0x00)  // interface test passed
      case 0xA7: state.commandByte |= 0x20
      case 0xA8: state.commandByte &= ~0x20
      case 0xAD: state.commandByte |= 0x10
      case 0xAE: state.commandByte &= ~0x10
      case 0xC0: state.reply(0x80)  // input port: keyboard not locked
      case 0xD0: state.reply(state.outputPort)
      case 0x60, 0xD1, 0xD2, 0xD3, 0xD4: state.command = command
      case 0xF0...0xFF: return command & 1 == 0  // pulse output lines; bit 0 is reset
      default: break
      }
      return false
    }
    if resets { onReset() }
  }

  /// Writes port 0x60.
  public func writeData(_ byte: UInt8) {
    let resets = state.withLock { state -> Bool in
      let command = state.command
      state.command = nil
      switch command {
      case 0x60: state.commandByte = byte
      case 0xD1:
        state.outputPort = byte
        return byte & 1 == 0
      case 0xD2, 0xD3: state.reply(byte)
      default: state.reply(0xFE)  // to a device that is not there: resend, as the controller's time-out says
      }
      return false
    }
    if resets { onReset() }
  }

  /// Port 0x92 (PS/2 system control port A): bit 1 is A20, bit 0 resets.
  public func readSystemControl() -> UInt8 {
    state.withLock { $0.outputPort & 0x02 }
  }

  /// Writes port 0x92.
  public func writeSystemControl(_ byte: UInt8) {
    state.withLock { $0.outputPort = $0.outputPort & ~0x02 | byte & 0x02 }
    if byte & 1 != 0 { onReset() }
  }
}

extension KeyboardController {
  /// Ports 0x60 (offset 0) and 0x64 (offset 4).
  public struct Ports: BusDevice, Sendable {
    /// The controller.
    public let controller: KeyboardController

    /// The ports of `controller`; attach five from 0x60, or 0x60 and 0x64 by themselves.
    public init(_ controller: KeyboardController) {
      self.controller = controller
    }

    /// Reads the register at `offset`.
    public func read(at offset: UInt64, width: AccessWidth) -> UInt64 {
      switch offset {
      case 0: UInt64(controller.readData())
      case 4: UInt64(controller.readStatus())
      default: width.mask
      }
    }

    /// Writes the register at `offset`.
    public func write(_ value: UInt64, at offset: UInt64, width: AccessWidth) {
      switch offset {
      case 0: controller.writeData(UInt8(truncatingIfNeeded: value))
      case 4: controller.writeCommand(UInt8(truncatingIfNeeded: value))
      default: break
      }
    }
  }
}
