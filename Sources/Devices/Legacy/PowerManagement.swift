internal import Synchronization

/// ACPI fixed hardware (ACPI 6.5, 4.8.3): PM1 event and control block, PM timer, a general-purpose event block
/// and the sleep types. Attach it to `PowerManagement.portCount` ports; FADT offsets are below.
///
/// Concurrency model: safe from any thread; `interrupt` is set with the lock held, `onPowerOff` called without it.
public final class PowerManagement<Interrupt: InterruptLine>: BusDevice, Sendable {
  private struct State: Sendable {
    var status: UInt16 = 0
    var enable: UInt16 = 0
    /// SCI_EN is on from the start: there is no SMI to switch it (hardware without legacy mode).
    var control: UInt16 = 1
    var gpeStatus: UInt16 = 0
    var gpeEnable: UInt16 = 0
    var lineLevel = false
  }

  private let state = Mutex(State())
  private let interrupt: Interrupt
  private let nanoseconds: @Sendable () -> UInt64
  private let onPowerOff: @Sendable () -> Void

  /// Fixed hardware.
  ///
  /// - Parameters:
  ///   - interrupt: the SCI, level-triggered and, as ACPI has it, usually shared (ISA interrupt 9).
  ///   - nanoseconds: a monotonic clock for the PM timer.
  ///   - onPowerOff: what entering S5 does.
  public init(
    interrupt: Interrupt, nanoseconds: @escaping @Sendable () -> UInt64, onPowerOff: @escaping @Sendable () -> Void
  ) {
    self.interrupt = interrupt
    self.nanoseconds = nanoseconds
    self.onPowerOff = onPowerOff
  }

  /// Presses the power button (4.8.3.2.1). True when the guest's operating system listens.
  @discardableResult
  public func pressPowerButton() -> Bool {
    state.withLock { state in
      state.status |= PowerManagementLayout.powerButton
      settle(&state)
      return state.enable & PowerManagementLayout.powerButton != 0
    }
  }

  /// Raises a general-purpose event of block 0, 0 to 15 (4.8.4.1).
  public func raise(event: UInt8) {
    state.withLock { state in
      state.gpeStatus |= 1 << UInt16(event & 15)
      settle(&state)
    }
  }

  /// Reads the register at `offset`.
  public func read(at offset: UInt64, width: AccessWidth) -> UInt64 {
    let base = offset & ~3
    let shift = (offset & 3) * 8
    guard shift + width.count * 8 <= 32 else { return width.mask }
    return register(base) >> shift & width.mask
  }

  private func register(_ offset: UInt64) -> UInt64 {
    if offset == PowerManagementLayout.timer { return timerValue }
    return state.withLock { state in
      switch offset {
      case PowerManagementLayout.event: UInt64(state.status) | UInt64(state.enable) << 16
      case PowerManagementLayout.control: UInt64(state.control)
      case PowerManagementLayout.generalPurposeEvents: UInt64(state.gpeStatus) | UInt64(state.gpeEnable) << 16
      default: 0
      }
    }
  }

  /// 3.579545 MHz in 32 bits (4.8.3.3; the FADT sets TMR_VAL_EXT).
  private var timerValue: UInt64 {
    let elapsed = nanoseconds()
    let seconds = elapsed / 1_000_000_000
    let rest = elapsed % 1_000_000_000
    return (seconds &* 3_579_545 &+ rest * 3_579_545 / 1_000_000_000) & 0xFFFF_FFFF
  }

  /// Writes the register at `offset`.
  public func write(_ value: UInt64, at offset: UInt64, width: AccessWidth) {
    var sleeps = false
    state.withLock { state in
      // Byte by byte: every register may be accessed so (4.8.3).
      for index in 0..<width.count {
        let byte = UInt16(truncatingIfNeeded: value >> (8 * index) & 0xFF)
        sleeps = store(byte, at: offset &+ index, &state) || sleeps
      }
      settle(&state)
    }
    if sleeps { onPowerOff() }
  }

  /// True when the write enters S5.
  private func store(_ byte: UInt16, at offset: UInt64, _ state: inout State) -> Bool {
    let shift = UInt16(offset & 1) * 8
    let mask: UInt16 = 0xFF << shift
    switch offset & ~1 {
    case PowerManagementLayout.event: state.status &= ~(byte << shift)  // write 1 to clear
    case PowerManagementLayout.event + 2: state.enable = state.enable & ~mask | byte << shift
    case PowerManagementLayout.control:
      let written = state.control & ~mask | byte << shift
      state.control = written & ~PowerManagementLayout.sleepEnable | 1
      return shift == 8 && written & PowerManagementLayout.sleepEnable != 0
        && written >> 10 & 7 == PowerManagementLayout.sleepTypeOff
    case PowerManagementLayout.generalPurposeEvents: state.gpeStatus &= ~(byte << shift)
    case PowerManagementLayout.generalPurposeEvents + 2: state.gpeEnable = state.gpeEnable & ~mask | byte << shift
    default: break
    }
    return false
  }

  private func settle(_ state: inout State) {
    let high = state.status & state.enable != 0 || state.gpeStatus & state.gpeEnable != 0
    if high != state.lineLevel {
      state.lineLevel = high
      interrupt.set(high)
    }
  }
}

/// Where ACPI fixed hardware is, from its first port, and what the FADT and DSDT say of it.
public enum PowerManagementLayout {
  /// Ports in all.
  public static let portCount: UInt64 = 16
  /// PM1a event block: status and enable, four bytes.
  public static let event: UInt64 = 0
  /// PM1a control block, two bytes.
  public static let control: UInt64 = 4
  /// PM timer, four bytes.
  public static let timer: UInt64 = 8
  /// General-purpose event block 0: two bytes of status, two of enable.
  public static let generalPurposeEvents: UInt64 = 12
  /// SLP_TYP of S5: the value of `\_S5` in the DSDT.
  public static let sleepTypeOff: UInt16 = 5

  static let powerButton: UInt16 = 1 << 8
  static let sleepEnable: UInt16 = 1 << 13
}
