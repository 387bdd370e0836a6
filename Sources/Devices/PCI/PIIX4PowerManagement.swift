internal import Synchronization

/// Function 3 of the PIIX4 (Intel 82371AB data sheet, 290562-001, chapter 7): where firmware puts the ports of ACPI's
/// fixed hardware, and an SMBus controller with nothing on its bus.
///
/// DEVACTB says from the start that writes to the APM control port raise SMIs: SeaBIOS then takes its SMM handler for
/// installed, instead of waiting for the SMI that would install it. There is no SMM.
///
/// Concurrency model: safe from any thread; the registers are under `state`, the fixed hardware locks itself.
public final class PIIX4PowerManagement<Interrupt: InterruptLine>: PCIFunction, @unchecked Sendable {
  private struct State: Sendable {
    var configuration: PCIConfiguration
    /// SMBHSTCNT to SMBHSTDAT1, which read back.
    var host = [UInt8](repeating: 0, count: 7)
    var hostStatus: UInt8 = 0
  }

  private let state: Mutex<State>
  private let power: PowerManagement<Interrupt>

  /// "Registers" of the windows that the function decodes: they are no BARs.
  private static var powerWindow: Int { 6 }
  private static var busWindow: Int { 7 }

  /// The function in front of `power`.
  ///
  /// - Parameters:
  ///   - base: where the ports are and are decoded from the start, a multiple of 64: for guests that boot without
  ///     firmware. Nil leaves that to firmware.
  ///   - interruptLine: the ISA interrupt that the SCI is wired to; it is not routed by the PIRQ registers.
  public init(_ power: PowerManagement<Interrupt>, base: UInt16? = nil, interruptLine: UInt8 = 9) {
    self.power = power
    var configuration = PCIConfiguration(
      PCIConfiguration.Identity(
        vendor: 0x8086, device: 0x7113, revision: 3, classCode: 0x068000, subsystemVendor: 0x1AF4, subsystem: 0x1100),
      interruptPin: 1)
    configuration.setByte(interruptLine, at: 0x3C)
    configuration.set(0x0000_0001 | UInt32(base ?? 0) & 0xFFC0, at: Register.powerBase)
    configuration.setWritable(0x0000_FFC0, at: Register.powerBase)
    // Counters, general-purpose inputs, device activity and the device resources B to J: kept, and of no effect.
    for offset in stride(from: 0x44, to: 0x80, by: 4) { configuration.setWritable(0xFFFF_FFFF, at: offset) }
    configuration.set(Register.apmEnabled, at: Register.deviceActivityB)
    configuration.setByte(base == nil ? 0 : 1, at: Register.miscellaneous)
    configuration.setWritable(0x0000_0001, at: Register.miscellaneous)
    configuration.set(0x0000_0001, at: Register.busBase)
    configuration.setWritable(0x0000_FFF0, at: Register.busBase)
    configuration.setWritable(0xFFFF_0000, at: 0xD0)  // SMBHSTCFG, SMBSLVC
    configuration.setWritable(0x0000_FFFF, at: 0xD4)  // SMBSHDW1, SMBSHDW2
    state = Mutex(State(configuration: configuration))
    super.init()
  }

  /// First port of the fixed hardware; nil while it is not decoded.
  public var powerBase: UInt16? {
    state.withLock { Self.powerBase($0.configuration) }
  }

  private static func powerBase(_ configuration: PCIConfiguration) -> UInt16? {
    let base = UInt16(truncatingIfNeeded: configuration.value(at: Register.powerBase)) & 0xFFC0
    return configuration.value(at: Register.miscellaneous) & 1 != 0 && base != 0 ? base : nil
  }

  /// Reads configuration space.
  public override func readConfiguration(at offset: Int, width: AccessWidth) -> UInt32 {
    state.withLock { $0.configuration.read(at: offset, width: width) }
  }

  /// Writes configuration space; true when what is decoded may have changed.
  public override func writeConfiguration(_ value: UInt32, at offset: Int, width: AccessWidth) -> Bool {
    state.withLock { state in
      let before = Self.windows(state.configuration)
      state.configuration.write(value, at: offset, width: width)
      return Self.windows(state.configuration) != before
    }
  }

  /// The fixed hardware's 64 ports and the SMBus controller's 16.
  public override var windows: [PCIWindow] {
    state.withLock { Self.windows($0.configuration) }
  }

  private static func windows(_ configuration: PCIConfiguration) -> [PCIWindow] {
    var windows: [PCIWindow] = []
    if let base = powerBase(configuration) {
      windows.append(PCIWindow(bar: powerWindow, isIO: true, base: UInt64(base), count: 64))
    }
    let bus = configuration.value(at: Register.busBase) & 0xFFF0
    if bus != 0, configuration.value(at: 0xD0) & 0x0001_0000 != 0 {
      windows.append(PCIWindow(bar: busWindow, isIO: true, base: UInt64(bus), count: 16))
    }
    return windows
  }

  /// Lets the function answer on the bus; its interrupt is wired and stays.
  public override func enable(interruptLine: UInt8) {
    state.withLock { $0.configuration.command |= PCIConfiguration.Command.io }
  }

  /// Reads a port.
  public override func read(bar: Int, offset: UInt64, width: AccessWidth) -> UInt64 {
    if bar == Self.powerWindow {
      // What lies above is global control and status, which nothing here needs.
      return offset < PowerManagementLayout.portCount ? power.read(at: offset, width: width) : 0
    }
    guard width == .byte else { return width.mask }
    return state.withLock { state in
      switch offset {
      case 0: UInt64(state.hostStatus)
      case 2...8: UInt64(state.host[Int(offset - 2)])
      default: 0
      }
    }
  }

  /// Writes a port.
  public override func write(_ value: UInt64, bar: Int, offset: UInt64, width: AccessWidth) {
    if bar == Self.powerWindow {
      if offset < PowerManagementLayout.portCount { power.write(value, at: offset, width: width) }
      return
    }
    guard width == .byte else { return }
    let byte = UInt8(truncatingIfNeeded: value)
    state.withLock { state in
      switch offset {
      case 0: state.hostStatus &= ~(byte & 0x1E)  // write 1 to clear
      case 2...8:
        state.host[Int(offset - 2)] = byte & (offset == 2 ? ~0x40 : 0xFF)
        // START: nobody answers, which is a device error.
        if offset == 2, byte & 0x40 != 0 { state.hostStatus |= 0x04 }
      default: break
      }
    }
  }
}

private enum Register {
  static let powerBase = 0x40
  static let deviceActivityB = 0x58
  static let miscellaneous = 0x80
  static let busBase = 0x90
  /// APMC_EN.
  static let apmEnabled: UInt32 = 1 << 25
}
