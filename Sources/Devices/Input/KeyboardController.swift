internal import Synchronization

/// The 8042 with a keyboard and a mouse (IBM PS/2 Hardware Interface Technical Reference, 1992, "Keyboard and Auxiliary
/// Device Controller"; ports 0x60 and 0x64), which is also how a guest resets the machine and opens A20.
///
/// Concurrency model: safe from any thread. The interrupt lines are set with the lock held, `onReset` is called
/// without it.
public final class KeyboardController: Sendable {
  /// Bits of the command byte.
  private enum CommandByte {
    static let keyboardInterrupt: UInt8 = 0x01
    static let mouseInterrupt: UInt8 = 0x02
    static let keyboardOff: UInt8 = 0x10
    static let mouseOff: UInt8 = 0x20
    static let translation: UInt8 = 0x40
  }

  /// A byte for port 0x60, and whether it is the mouse's.
  private struct Output: Sendable {
    var byte: UInt8
    var isMouse = false
  }

  private struct State: Sendable {
    /// What port 0x60 gives next; status bit 0 says that it is full.
    var output: Output?
    /// What port 0x60 gave last: what it gives while it is empty.
    var last: UInt8 = 0
    /// The controller's own answers, which go before what the devices have.
    var replies: [Output] = []
    /// A command that waits for its byte at port 0x60.
    var command: UInt8?
    /// Translation, both clocks off, no interrupts.
    var commandByte: UInt8 = 0x70
    /// A20 open, reset line inactive.
    var outputPort: UInt8 = 0x03
    var keyboard: PS2Keyboard?
    var mouse: PS2Mouse?
    var translation = ScanCodeTranslation()
    /// Levels of the keyboard's and the mouse's interrupt.
    var levels = (keyboard: false, mouse: false)

    /// Queues a byte for port 0x60; answers to a guest that does not read are bounded.
    mutating func reply(_ byte: UInt8, isMouse: Bool = false) {
      if replies.count + (output == nil ? 0 : 1) < 16 { replies.append(Output(byte: byte, isMouse: isMouse)) }
    }

    /// Fills the output buffer when it is empty.
    mutating func fill() {
      guard output == nil else { return }
      if !replies.isEmpty {
        output = replies.removeFirst()
        return
      }
      if commandByte & CommandByte.keyboardOff == 0 {
        while let byte = keyboard?.next() {
          let shown = commandByte & CommandByte.translation != 0 ? translation.translate(byte) : byte
          guard let shown else { continue }
          output = Output(byte: shown)
          return
        }
      }
      if commandByte & CommandByte.mouseOff == 0, let byte = mouse?.next() {
        output = Output(byte: byte, isMouse: true)
      }
    }
  }

  private let state: Mutex<State>
  private let setKeyboardInterrupt: @Sendable (Bool) -> Void
  private let setMouseInterrupt: @Sendable (Bool) -> Void
  private let onReset: @Sendable () -> Void

  /// A controller with a keyboard and a mouse.
  ///
  /// - Parameters:
  ///   - keyboardInterrupt: ISA interrupt 1.
  ///   - mouseInterrupt: ISA interrupt 12.
  ///   - onReset: what its reset line does.
  public init(
    keyboardInterrupt: some InterruptLine, mouseInterrupt: some InterruptLine,
    onReset: @escaping @Sendable () -> Void
  ) {
    state = Mutex(State(keyboard: PS2Keyboard(), mouse: PS2Mouse()))
    setKeyboardInterrupt = { keyboardInterrupt.set($0) }
    setMouseInterrupt = { mouseInterrupt.set($0) }
    self.onReset = onReset
  }

  /// A controller that nothing is connected to: probes end at once, for a device that is asked about answers with a
  /// time-out. `onReset` is what its reset line does.
  public init(onReset: @escaping @Sendable () -> Void) {
    state = Mutex(State())
    setKeyboardInterrupt = { _ in }
    setMouseInterrupt = { _ in }
    self.onReset = onReset
  }

  // MARK: For who sits at the screen

  /// Presses or releases a key. False when the guest does not listen, or has not read what came before.
  @discardableResult
  public func press(_ key: Keycode, isDown: Bool) -> Bool {
    withState { $0.keyboard?.press(key, isDown: isDown) ?? false }
  }

  /// Moves the mouse, turns its wheel and sets its buttons.
  public func movePointer(_ movement: PointerMovement) {
    withState {
      $0.mouse?.move(x: movement.x, y: movement.y, wheel: movement.wheel, buttons: movement.buttons)
    }
  }

  /// Runs `body`, then lets the output buffer and the interrupts follow.
  private func withState<Result: Sendable>(_ body: (inout State) -> Result) -> Result {
    state.withLock { state in
      let result = body(&state)
      // A byte that was read lowers its interrupt before the next one raises it: that is the edge.
      settle(&state)
      state.fill()
      settle(&state)
      return result
    }
  }

  private func settle(_ state: inout State) {
    let keyboard =
      state.output.map { !$0.isMouse } == true && state.commandByte & CommandByte.keyboardInterrupt != 0
    let mouse = state.output.map(\.isMouse) == true && state.commandByte & CommandByte.mouseInterrupt != 0
    if keyboard != state.levels.keyboard { setKeyboardInterrupt(keyboard) }
    if mouse != state.levels.mouse { setMouseInterrupt(mouse) }
    state.levels = (keyboard, mouse)
  }

  // MARK: Ports

  /// Reads port 0x60.
  public func readData() -> UInt8 {
    withState { state in
      if let output = state.output { state.last = output.byte }
      state.output = nil
      return state.last
    }
  }

  /// Reads port 0x64: not locked, system flag, output buffer full and whose byte it is, last write was a command.
  /// Never input buffer full.
  public func readStatus() -> UInt8 {
    state.withLock { state in
      let output: UInt8 = state.output.map { $0.isMouse ? 0x21 : 0x01 } ?? 0
      return 0x14 | output | (state.command == nil ? 0 : 0x08)
    }
  }

  /// Writes port 0x64.
  public func writeCommand(_ command: UInt8) {
    let resets = withState { state -> Bool in
      state.command = nil
      switch command {
      case 0x20: state.reply(state.commandByte)
      case 0xAA: state.reply(0x55)  // self test passed
      case 0xAB, 0xA9: state.reply(0x00)  // interface test passed
      case 0xA7: state.commandByte |= CommandByte.mouseOff
      case 0xA8: state.commandByte &= ~CommandByte.mouseOff
      case 0xAD: state.commandByte |= CommandByte.keyboardOff
      case 0xAE: state.commandByte &= ~CommandByte.keyboardOff
      case 0xC0: state.reply(0x80)  // input port: keyboard not locked
      case 0xD0: state.reply(state.outputPort)
      case 0xDD: state.outputPort &= ~0x02
      case 0xDF: state.outputPort |= 0x02
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
    let resets = withState { state -> Bool in
      let command = state.command
      state.command = nil
      switch command {
      case 0x60: state.commandByte = byte
      case 0xD1:
        state.outputPort = byte
        return byte & 1 == 0
      case 0xD2: state.reply(byte)
      case 0xD3: state.reply(byte, isMouse: state.mouse != nil)
      case 0xD4 where state.mouse != nil:
        state.commandByte &= ~CommandByte.mouseOff
        state.mouse?.receive(byte)
      case nil where state.keyboard != nil:
        // A byte for a device starts its clock.
        state.commandByte &= ~CommandByte.keyboardOff
        state.keyboard?.receive(byte)
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
