internal import Devices

/// The kinds of device behind fixed ports, with this machine's backends.
typealias IDEController = PIIXIDE<SectorFile, PinLine, GuestRAM>
typealias IDEChannel = ATAChannel<SectorFile, PinLine, GuestRAM>
typealias FloppyDisks = FloppyController<SectorFile, PinLine, GuestRAM>
typealias Display = DisplayAdapter<VideoMemory>

/// What answers the guest's fixed ports.
enum PortTarget: BusDevice, Sendable {
  case serial(UART16550<Outbox, PinLine>)
  case clock(RealTimeClock)
  case keyboard(KeyboardController.Ports)
  case keyboardCommand(KeyboardController.Ports)
  case systemControl(SystemControlPort)
  case panic(PanicPort)
  case pci(PCIBus)
  case ide(IDEChannel.Ports)
  case floppy(FloppyDisks)
  case floppyChange(FloppyDisks.ChangePort)
  case dma(ISADMA<GuestRAM>.Ports)
  case display(Display.Ports)
  case dispi(Display.DispiPorts)
  case firmware(FirmwareConfiguration<GuestRAM>)
  case debug(DebugPort<Outbox>)
  case processors(ProcessorHotplug)

  @inline(__always)
  func read(at offset: UInt64, width: AccessWidth) -> UInt64 {
    switch self {
    case .serial(let device): device.read(at: offset, width: width)
    case .clock(let device): device.read(at: offset, width: width)
    case .keyboard(let device): device.read(at: offset, width: width)
    case .keyboardCommand(let device): device.read(at: offset &+ 4, width: width)
    case .systemControl(let device): device.read(at: offset, width: width)
    case .panic(let device): device.read(at: offset, width: width)
    case .pci(let device): device.read(at: offset, width: width)
    case .ide(let device): device.read(at: offset, width: width)
    case .floppy(let device): device.read(at: offset, width: width)
    case .floppyChange(let device): device.read(at: offset, width: width)
    case .dma(let device): device.read(at: offset, width: width)
    case .display(let device): device.read(at: offset, width: width)
    case .dispi(let device): device.read(at: offset, width: width)
    case .firmware(let device): device.read(at: offset, width: width)
    case .debug(let device): device.read(at: offset, width: width)
    case .processors(let device): device.read(at: offset, width: width)
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
    case .panic(let device): device.write(value, at: offset, width: width)
    case .pci(let device): device.write(value, at: offset, width: width)
    case .ide(let device): device.write(value, at: offset, width: width)
    case .floppy(let device): device.write(value, at: offset, width: width)
    case .floppyChange(let device): device.write(value, at: offset, width: width)
    case .dma(let device): device.write(value, at: offset, width: width)
    case .display(let device): device.write(value, at: offset, width: width)
    case .dispi(let device): device.write(value, at: offset, width: width)
    case .firmware(let device): device.write(value, at: offset, width: width)
    case .debug(let device): device.write(value, at: offset, width: width)
    case .processors(let device): device.write(value, at: offset, width: width)
    }
  }

  func readRun(at offset: UInt64, width: AccessWidth, into destination: inout MutableSpan<UInt8>) {
    if case .ide(let device) = self { return device.readRun(at: offset, width: width, into: &destination) }
    readSingly(at: offset, width: width, into: &destination)
  }

  func writeRun(_ source: Span<UInt8>, at offset: UInt64, width: AccessWidth) {
    if case .ide(let device) = self { return device.writeRun(source, at: offset, width: width) }
    writeSingly(source, at: offset, width: width)
  }
}

/// What answers the guest's fixed addresses beside RAM and PCI.
enum MemoryTarget: BusDevice, Sendable {
  case display(Display.Window)
  case flash(FlashMemory<FlashFile>)

  @inline(__always)
  func read(at offset: UInt64, width: AccessWidth) -> UInt64 {
    switch self {
    case .display(let device): device.read(at: offset, width: width)
    case .flash(let device): device.read(at: offset, width: width)
    }
  }

  @inline(__always)
  func write(_ value: UInt64, at offset: UInt64, width: AccessWidth) {
    switch self {
    case .display(let device): device.write(value, at: offset, width: width)
    case .flash(let device): device.write(value, at: offset, width: width)
    }
  }
}

/// The guest's ports and its memory where no RAM is: every access that leaves the guest ends here.
/// Constant while the machine runs; the devices lock themselves.
final class MachineBus: Sendable {
  private let ports: Bus<PortTarget>
  private let memory: Bus<MemoryTarget>
  private let pci: PCIBus

  init(ports: Bus<PortTarget>, memory: Bus<MemoryTarget>, pci: PCIBus) {
    self.ports = ports
    self.memory = memory
    self.pci = pci
  }

  @inline(__always)
  func readPort(_ port: UInt16, _ width: AccessWidth) -> UInt32 {
    let address = UInt64(port)
    let value = ports.answer(at: address, width: width) ?? pci.readPort(at: address, width: width) ?? width.mask
    return UInt32(truncatingIfNeeded: value)
  }

  @inline(__always)
  func writePort(_ value: UInt32, _ port: UInt16, _ width: AccessWidth) {
    let address = UInt64(port)
    if !ports.take(UInt64(value), at: address, width: width) {
      pci.writePort(UInt64(value), at: address, width: width)
    }
  }

  /// A run of reads of one port.
  func readPorts(into destination: inout MutableSpan<UInt8>, _ port: UInt16, _ width: AccessWidth) {
    let address = UInt64(port)
    if ports.answers(at: address, width: width) {
      ports.readRun(at: address, width: width, into: &destination)
      return
    }
    for start in stride(from: 0, through: destination.count - width.rawValue, by: width.rawValue) {
      let value = pci.readPort(at: address, width: width) ?? width.mask
      for index in 0..<width.rawValue {
        destination[start + index] = UInt8(truncatingIfNeeded: value >> UInt64(8 * index))
      }
    }
  }

  /// A run of writes to one port.
  func writePorts(_ source: Span<UInt8>, _ port: UInt16, _ width: AccessWidth) {
    let address = UInt64(port)
    if ports.answers(at: address, width: width) {
      ports.writeRun(source, at: address, width: width)
      return
    }
    for start in stride(from: 0, through: source.count - width.rawValue, by: width.rawValue) {
      var value: UInt64 = 0
      for index in 0..<width.rawValue { value |= UInt64(source[start + index]) << UInt64(8 * index) }
      pci.writePort(value, at: address, width: width)
    }
  }

  @inline(__always)
  func readMemory(_ address: UInt64, _ width: AccessWidth) -> UInt64 {
    // Doorbells and registers of PCI functions come first: they are what is accessed often.
    pci.readMemory(at: address, width: width) ?? memory.answer(at: address, width: width) ?? width.mask
  }

  /// Whether something took the write.
  @inline(__always)
  func writeMemory(_ value: UInt64, _ address: UInt64, _ width: AccessWidth) -> Bool {
    pci.writeMemory(value, at: address, width: width) || memory.take(value, at: address, width: width)
  }
}
