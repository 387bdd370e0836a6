internal import Synchronization

/// A 16550A UART with FIFOs (National Semiconductor PC16550D, June 1995). Attach it to eight ports.
///
/// Output takes no time: the transmitter is always empty. Received bytes beyond the FIFO wait in a longer queue of the
/// monitor's, so that pasting into a console loses nothing.
///
/// Concurrency model: safe from any thread; `state` holds everything that changes, and is held while `output` and
/// `interrupt` are called.
public final class UART16550<Output: ByteSink, Interrupt: InterruptLine>: BusDevice, Sendable {
  private let output: Output
  private let interrupt: Interrupt
  private let state = Mutex(UART16550State())

  /// A UART that transmits to `output` and interrupts through `interrupt`.
  public init(output: Output, interrupt: Interrupt) {
    self.output = output
    self.interrupt = interrupt
  }

  /// Reads the register at `offset`.
  public func read(at offset: UInt64, width: AccessWidth) -> UInt64 {
    state.withLock { state in
      // A wider access is taken apart by the ISA bus.
      var value: UInt64 = 0
      for index in 0..<width.count where index < 8 {
        value |= UInt64(state.read((offset &+ index) & 7)) << (8 * index)
      }
      settle(&state)
      return value
    }
  }

  /// Writes the register at `offset`.
  public func write(_ value: UInt64, at offset: UInt64, width: AccessWidth) {
    state.withLock { state in
      for index in 0..<width.count {
        let byte = UInt8(truncatingIfNeeded: value >> (8 * index))
        if let transmitted = state.write(byte, (offset &+ index) & 7) { output.write(transmitted) }
      }
      settle(&state)
    }
  }

  /// Takes bytes from the line. How many were taken: less than all where the guest does not read.
  public func receive(_ bytes: [UInt8]) -> Int {
    state.withLock { state in
      let count = state.receive(bytes)
      settle(&state)
      return count
    }
  }

  /// Whether a driver waits for what is received: it has switched the interrupt on.
  public var isAwaited: Bool { state.withLock { $0.isReceiverEnabled } }

  /// Signals a break on the line.
  public func receiveBreak() {
    state.withLock { state in
      state.receiveBreak()
      settle(&state)
    }
  }

  private func settle(_ state: inout UART16550State) {
    let high = state.isInterrupting
    if high != state.lineLevel {
      state.lineLevel = high
      interrupt.set(high)
    }
  }
}

/// The registers. A value, so that it can be driven by itself.
struct UART16550State: Sendable {
  /// Interrupt enable bits.
  private enum Enable {
    static let received: UInt8 = 1
    static let transmitterEmpty: UInt8 = 2
    static let lineStatus: UInt8 = 4
    static let modemStatus: UInt8 = 8
  }

  /// Line status bits.
  private enum Line {
    static let dataReady: UInt8 = 0x01
    static let overrun: UInt8 = 0x02
    static let breakInterrupt: UInt8 = 0x10
    static let transmitterIdle: UInt8 = 0x60
  }

  /// Modem control bits.
  private enum Modem {
    static let out2: UInt8 = 0x08
    static let loopback: UInt8 = 0x10
  }

  /// Bytes that wait for the guest at most.
  static let backlogLimit = 65536
  private static let fifoCount = 16

  private var backlog: [UInt8] = []
  private var backlogStart = 0
  private var enable: UInt8 = 0
  private var fifoControl: UInt8 = 0
  private var lineControl: UInt8 = 0
  private var modemControl: UInt8 = 0
  private var lineErrors: UInt8 = 0
  private var modemDeltas: UInt8 = 0
  private var scratch: UInt8 = 0
  /// 9600 baud, should anyone ask.
  private var divisor: UInt16 = 12
  /// The transmitter-empty interrupt is wanted until IIR shows it or something is sent.
  private var transmitterPending = false
  /// What the interrupt wire was last set to.
  var lineLevel = false

  /// Whether received bytes interrupt.
  var isReceiverEnabled: Bool { enable & Enable.received != 0 }
  private var isFIFO: Bool { fifoControl & 1 != 0 }
  private var isLoopback: Bool { modemControl & Modem.loopback != 0 }
  private var divisorLatch: Bool { lineControl & 0x80 != 0 }
  private var waiting: Int { backlog.count - backlogStart }

  /// Bytes in the FIFO that make the received-data interrupt.
  private var trigger: Int {
    guard isFIFO else { return 1 }
    return [1, 4, 8, 14][Int(fifoControl >> 6)]
  }

  private var lineStatus: UInt8 {
    (waiting > 0 ? Line.dataReady : 0) | lineErrors | Line.transmitterIdle
  }

  /// CTS, DSR and DCD are on; in loopback they are the outputs of modem control (8.6.7).
  private var modemLevels: UInt8 {
    guard isLoopback else { return 0xB0 }
    var levels: UInt8 = 0
    if modemControl & 0x02 != 0 { levels |= 0x10 }  // RTS to CTS
    if modemControl & 0x01 != 0 { levels |= 0x20 }  // DTR to DSR
    if modemControl & 0x04 != 0 { levels |= 0x40 }  // OUT1 to RI
    if modemControl & 0x08 != 0 { levels |= 0x80 }  // OUT2 to DCD
    return levels
  }

  /// The identification of the highest interrupt that is pending and enabled (8.6.3, table III); 1 for none.
  private var identification: UInt8 {
    if enable & Enable.lineStatus != 0, lineErrors != 0 { return 0x06 }
    if enable & Enable.received != 0, waiting > 0 {
      // Below the trigger level it is the character time-out, which this line reaches at once.
      return isFIFO && waiting < trigger ? 0x0C : 0x04
    }
    if enable & Enable.transmitterEmpty != 0, transmitterPending { return 0x02 }
    if enable & Enable.modemStatus != 0, modemDeltas != 0 { return 0x00 }
    return 0x01
  }

  /// On the PC, OUT2 gates the interrupt onto the bus. Loopback turns the pin off, not the interrupt logic (8.6.7).
  var isInterrupting: Bool {
    identification != 0x01 && modemControl & Modem.out2 != 0 && !isLoopback
  }

  mutating func read(_ register: UInt64) -> UInt8 {
    switch register {
    case 0:
      if divisorLatch { return UInt8(truncatingIfNeeded: divisor) }
      return takeByte()
    case 1:
      return divisorLatch ? UInt8(truncatingIfNeeded: divisor >> 8) : enable
    case 2:
      let value = identification
      // Reading it clears the transmitter-empty interrupt when it is the one shown.
      if value == 0x02 { transmitterPending = false }
      return value | (isFIFO ? 0xC0 : 0)
    case 3: return lineControl
    case 4: return modemControl
    case 5:
      let value = lineStatus
      lineErrors = 0
      return value
    case 6:
      let value = modemLevels | modemDeltas
      modemDeltas = 0
      return value
    default: return scratch
    }
  }

  /// Writes a register. A byte that goes out on the line.
  mutating func write(_ value: UInt8, _ register: UInt64) -> UInt8? {
    switch register {
    case 0:
      if divisorLatch {
        divisor = divisor & 0xFF00 | UInt16(value)
        return nil
      }
      transmitterPending = true
      if isLoopback {
        // The line is not there, nor is the monitor's longer queue: what does not fit is an overrun.
        if waiting < (isFIFO ? Self.fifoCount : 1) {
          _ = receive([value])
        } else {
          lineErrors |= Line.overrun
        }
        return nil
      }
      return value
    case 1:
      if divisorLatch {
        divisor = divisor & 0x00FF | UInt16(value) << 8
      } else {
        // Enabling the interrupt while the transmitter is empty raises it at once.
        if value & Enable.transmitterEmpty != 0, enable & Enable.transmitterEmpty == 0 { transmitterPending = true }
        enable = value & 0x0F
      }
    case 2:
      // A change of the FIFO bit, and bit 1, empty the receiver; bits above count only with the FIFO on.
      if (value ^ fifoControl) & 1 != 0 || value & 2 != 0 { clearBacklog() }
      fifoControl = value & 1 != 0 ? value & 0xC9 : 0
    case 3: lineControl = value
    case 4:
      let before = modemLevels
      modemControl = value & 0x1F
      let changed = before ^ modemLevels
      // Delta bits 0, 1, 3 follow CTS, DSR, DCD; bit 2 is the trailing edge of RI.
      modemDeltas |= (changed & 0xB0) >> 4
      if changed & 0x40 != 0, before & 0x40 != 0 { modemDeltas |= 0x04 }
    case 7: scratch = value
    default: break  // line and modem status are not for software to write
    }
    return nil
  }

  private mutating func takeByte() -> UInt8 {
    guard waiting > 0 else { return 0 }
    let byte = backlog[backlogStart]
    backlogStart += 1
    if backlogStart == backlog.count { clearBacklog() }
    return byte
  }

  private mutating func clearBacklog() {
    backlog.removeAll(keepingCapacity: true)
    backlogStart = 0
  }

  mutating func receive(_ bytes: [UInt8]) -> Int {
    let count = min(bytes.count, Self.backlogLimit - waiting)
    if backlogStart > 4096 {
      backlog.removeFirst(backlogStart)
      backlogStart = 0
    }
    backlog.append(contentsOf: bytes.prefix(count))
    return count
  }

  mutating func receiveBreak() {
    lineErrors |= Line.breakInterrupt
    _ = receive([0])
  }
}
