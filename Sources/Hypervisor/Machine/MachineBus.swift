internal import Devices

/// What answers the guest's ports.
enum PortTarget: BusDevice, Sendable {
  case serial(UART16550<Outbox, PinLine>)
  case clock(RealTimeClock)
  case keyboard(KeyboardController.Ports)
  case keyboardCommand(KeyboardController.Ports)
  case systemControl(SystemControlPort)
  case power(PowerManagement<PinLine>)
  case panic(PanicPort)
  case pci(PCIBus)

  @inline(__always)
  func read(at offset: UInt64, width: AccessWidth) -> UInt64 {
    switch self {
    case .serial(let device): device.read(at: offset, width: width)
    case .clock(let device): device.read(at: offset, width: width)
    case .keyboard(let device): device.read(at: offset, width: width)
    case .keyboardCommand(let device): device.read(at: offset &+ 4, width: width)
    case .systemControl(let device): device.read(at: offset, width: width)
    case .power(let device): device.read(at: offset, width: width)
    case .panic(let device): device.read(at: offset, width: width)
    case .pci(let device): device.read(at: offset, width: width)
    }
  }

  @inline(__always)
  func write(_ value: UInt64, at offset: UInt64, width: AccessWidth) {
    switch self {
    case .serial(let device): device.write(value, at: offset, width: width)
    case .clock(let device): device.write(value, at: offset, width: width)
    case .keyboard(let device): device.write(value, at: offset, width: width)
    case .keyboardCommand(let device): device.write(value, at: offset &+ 4, width: width)
    case .systemControl(let device): device.write(value, at: offset, width: width)
    case .power(let device): device.write(value, at: offset, width: width)
    case .panic(let device): device.write(value, at: offset, width: width)
    case .pci(let device): device.write(value, at: offset, width: width)
    }
  }
}

/// The guest's ports and its memory where no RAM is: every access that leaves the guest ends here.
/// Constant while the machine runs; the devices lock themselves.
final class MachineBus: Sendable {
  /// Below are the fixed devices, from here on what PCI functions decode.
  private static let firstPCIPort: UInt16 = 0x1000

  private let ports: Bus<PortTarget>
  private let pci: PCIBus

  init(ports: Bus<PortTarget>, pci: PCIBus) {
    self.ports = ports
    self.pci = pci
  }

  @inline(__always)
  func readPort(_ port: UInt16, _ width: AccessWidth) -> UInt32 {
    let address = UInt64(port)
    if port < Self.firstPCIPort { return UInt32(truncatingIfNeeded: ports.read(at: address, width: width)) }
    return UInt32(truncatingIfNeeded: pci.readPort(at: address, width: width) ?? width.mask)
  }

  @inline(__always)
  func writePort(_ value: UInt32, _ port: UInt16, _ width: AccessWidth) {
    let address = UInt64(port)
    if port < Self.firstPCIPort {
      ports.write(UInt64(value), at: address, width: width)
    } else {
      pci.writePort(UInt64(value), at: address, width: width)
    }
  }

  @inline(__always)
  func readMemory(_ address: UInt64, _ width: AccessWidth) -> UInt64 {
    pci.readMemory(at: address, width: width) ?? width.mask
  }

  @inline(__always)
  func writeMemory(_ value: UInt64, _ address: UInt64, _ width: AccessWidth) {
    pci.writeMemory(value, at: address, width: width)
  }
}
