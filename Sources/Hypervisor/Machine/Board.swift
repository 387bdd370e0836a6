internal import Devices
internal import Platform

/// The PC's board: the i440FX and PIIX chips, the devices at fixed addresses, and the PCI bus with all that the machine
/// has attached.
struct Board {
  /// The ISA interrupts of PIRQA to PIRQD.
  static let pciInterrupts: [UInt8] = [10, 10, 11, 11]
  /// First port of ACPI's fixed hardware, where firmware does not move it.
  static let powerPorts: UInt16 = 0x600
  static let systemControlInterrupt: UInt32 = 9

  private static let hostBridge = PCIAddress(device: 0)
  private static let isaBridge = PCIAddress(device: 1)
  private static let ide = PCIAddress(device: 1, function: 1)
  private static let powerManagement = PCIAddress(device: 1, function: 3)
  private static let display = PCIAddress(device: 2)
  /// From here on PCI's devices are the recipe's.
  static let firstDevice: UInt8 = 3

  let bus: MachineBus
  let display: Display?
  /// What the first serial port says.
  let serial: Outbox

  /// Puts the board of `machine` together, with its disks, networks and consoles, and firmware where it boots by it.
  init(_ machine: Machine) throws(HypervisorError) {
    let configuration = machine.configuration
    let isFirmware = configuration.bootMethod.isFirmware
    let end = machine.end
    let router = machine.router
    var ports = Bus<PortTarget>()
    var addresses = Bus<MemoryTarget>()

    let serial = try Outbox()
    self.serial = serial
    let uart = UART16550(output: serial, interrupt: router.line(4))
    var secondUART: UART16550<Outbox, PinLine>?
    if let console = configuration.secondSerial {
      let second = try Outbox()
      let device = UART16550(output: second, interrupt: router.line(3))
      try machine.makeConsole(console, outbox: second) { device.receive($0) }
      secondUART = device
    }
    let keyboard =
      configuration.hasDisplay
      ? KeyboardController(
        keyboardInterrupt: router.line(1), mouseInterrupt: router.line(12), onReset: { end.end(.reset) })
      : KeyboardController { end.end(.reset) }
    let clock = try Self.makeClock(machine)
    let power = PowerManagement(
      interrupt: router.line(Self.systemControlInterrupt), nanoseconds: { MonotonicClock.now() },
      onPowerOff: { end.end(.poweredOff) })
    machine.power = power
    machine.processors = configuration.maximumCPUs.map { maximum in
      ProcessorHotplug(count: configuration.cpus, maximum: maximum) { power.raise(event: ProcessorHotplugPort.event) }
    }
    let powerFunction = PIIX4PowerManagement(power, base: isFirmware ? nil : Self.powerPorts)
    let bridge = ISABridge(routes: Self.pciInterrupts)
    var functions: [(PCIAddress, PCIFunction)] = [
      (Self.hostBridge, HostBridge()), (Self.isaBridge, bridge), (Self.powerManagement, powerFunction),
    ]
    let (display, framebuffer) = try Self.makeDisplay(machine, keyboard)
    self.display = display
    if let display { functions.append((Self.display, display)) } else { try Self.makeAbsentText(machine) }
    let controller = try machine.makeIDE()
    if let controller { functions.append((Self.ide, controller)) }
    try machine.makeFunctions()
    functions += machine.functions

    let doorbells = machine.doorbells
    let log = configuration.log
    do {
      let pci = try PCIBus(
        functions: functions,
        windowsChanged: { function, windows in
          doorbells.move(function, windows)
          guard let framebuffer, function === display else { return }
          do throws(HypervisorError) {
            try framebuffer.show(at: windows.first { $0.bar == Display.framebufferBar }?.base)
          } catch {
            // The guest put it over its own RAM, or where KVM has none: it stays reachable by slow accesses.
            log("the screen's memory is not mapped: \(error)")
          }
        },
        resetControl: { if $0 & 4 != 0 { end.end(.reset) } })
      try ports.attach(.serial(uart), at: 0x3F8, count: 8)
      if let secondUART { try ports.attach(.serial(secondUART), at: 0x2F8, count: 8) }
      try ports.attach(.clock(clock), at: 0x70, count: 2)
      try ports.attach(.keyboard(KeyboardController.Ports(keyboard)), at: 0x60, count: 1)
      try ports.attach(.keyboardCommand(KeyboardController.Ports(keyboard)), at: 0x64, count: 1)
      try ports.attach(.systemControl(SystemControlPort(keyboard)), at: 0x92, count: 1)
      try ports.attach(.panic(Self.makePanicPort(end, log)), at: UInt64(PanicPort.port), count: 1)
      try ports.attach(.pci(pci), at: 0xCF8, count: 8)
      if let console = configuration.debug {
        let outbox = try Outbox()
        for port in [0xE9, 0x402] as [UInt64] { try ports.attach(.debug(DebugPort(outbox)), at: port, count: 1) }
        try machine.makeConsole(console, outbox: outbox) { $0.count }
      }
      if let controller { try Self.attach(controller, &ports) }
      if let path = configuration.floppy { try Self.attachFloppy(path, machine, &ports) }
      if let display { try Self.attach(display, &ports, &addresses) }
      if let processors = machine.processors {
        let first = UInt64(ACPIDescription.processorPorts)
        try ports.attach(.processors(processors), at: first, count: ProcessorHotplugPort.count)
      }
      var description = ACPIDescription(
        cpus: configuration.cpus, powerManagement: Self.powerPorts,
        powerOffType: UInt8(PowerManagementLayout.sleepTypeOff),
        systemControlInterrupt: UInt8(Self.systemControlInterrupt), memoryWindow: AddressMap.pciWindow,
        pciInterrupts: Self.pciInterrupts, wire: { PCIBus.wire(device: $0, pin: $1) })
      description.maximumCPUs = configuration.maximumCPUs
      description.hasSecondSerial = secondUART != nil
      description.hasMouse = display != nil
      description.hasScreen = display != nil
      description.hasFirmwareConfiguration = isFirmware
      description.memory = machine.memory.affinity
      if isFirmware {
        let firmware = Firmware(
          machine: description, power: powerFunction, clock: clock, functions: functions.map(\.1))
        try firmware.install(machine, &ports, &addresses)
      } else {
        try pci.assignResources(memory: AddressMap.pciWindow, ports: 0xC000..<0x1_0000) { address in
          Self.pciInterrupts[PCIBus.wire(device: address.device)]
        }
        try Self.placeTables(description, machine.memory)
        try machine.owner.machine.setIOAPIC(id: description.ioAPIC)
        var levels: UInt8 = 0
        for interrupt in Self.pciInterrupts + [UInt8(Self.systemControlInterrupt)] { levels |= 1 << (interrupt - 8) }
        try machine.owner.machine.setLevelTriggered(slave8259: levels)
      }
      bus = MachineBus(ports: ports, memory: addresses, pci: pci)
    } catch let error as HypervisorError {
      throw error
    } catch {
      throw HypervisorError(.configuration, "\(error)")
    }
    // Xen's console is the first serial port's once the guest knows it, until a system drives that port itself.
    try machine.makeConsole(configuration.serial, outbox: serial) { [unowned machine] bytes in
      guard let xen = machine.xen, !uart.isAwaited else { return uart.receive(bytes) }
      return xen.receive(bytes) ?? uart.receive(bytes)
    }
  }

  /// What firmware would tell the guest about the machine.
  private static func placeTables(_ description: ACPIDescription, _ memory: GuestRAM) throws(HypervisorError) {
    let tables = ACPITables(description)
    try tables.write(to: memory)
    // For systems that predate ACPI.
    try MPTable(description, at: tables.rootPointer + UInt64(tables.bytes.count)).write(to: memory)
  }

  private static func makePanicPort(
    _ end: MachineEnd, _ log: @escaping @Sendable (String) -> Void
  ) -> PanicPort {
    PanicPort { event in
      switch event {
      case .panicked: end.end(.panicked)
      case .dumping: log("the guest's kernel panicked and starts another one to save what is left")
      }
    }
  }

  /// The clock, whose interrupts the event loop's timer makes.
  private static func makeClock(_ machine: Machine) throws(HypervisorError) -> RealTimeClock {
    let box = ClockBox()
    let timer = try LoopTimer(machine.loop) { box.clock?.tick() }
    let line = machine.router.line(8)
    let clock = RealTimeClock(
      memoryBelow4GiB: machine.memory.lowCount, memoryAbove4GiB: machine.memory.highCount,
      nanoseconds: { WallClock.nanoseconds() }, interrupt: { line.set($0) },
      rearm: { deadline in
        if let deadline {
          timer.start(after: UInt64(max(1, deadline - WallClock.nanoseconds())))
        } else {
          timer.stop()
        }
      })
    box.clock = clock
    return clock
  }

  /// Lets the timer that the clock is made with find the clock. The event loop's.
  private final class ClockBox {
    weak var clock: RealTimeClock?
  }

  // MARK: The screen

  /// Where SeaBIOS's video BIOS for this adapter is.
  static let videoBIOS = "/usr/share/seabios/vgabios-stdvga.bin"

  private static func makeDisplay(
    _ machine: Machine, _ keyboard: KeyboardController
  ) throws(HypervisorError) -> (Display?, MemoryRegion?) {
    guard machine.configuration.hasDisplay else { return (nil, nil) }
    let memory = try VideoMemory()
    let display = Display(memory)
    if !machine.configuration.bootMethod.isFirmware {
      let rom = (try? Files.read(videoBIOS)) ?? []
      display.setTextMode(font: DisplayFont(videoROM: rom) ?? .frames)
    }
    let region = MemoryRegion(machine.owner, slot: MemorySlot.framebuffer, memory.memory, isReadOnly: false)
    machine.regions.append(region)
    for viewer in machine.configuration.viewers {
      machine.screens.append(
        try ScreenServer(
          viewer, machine.loop, display: display, keyboard: keyboard, name: machine.configuration.name,
          log: machine.configuration.log))
    }
    return (display, region)
  }

  /// Where no adapter is, ones are read and writes are lost. Kernels that draw text there without looking first (Plan 9)
  /// copy the whole screen for every line: KVM does that without us, with ones to read and a ring for the writes.
  private static func makeAbsentText(_ machine: Machine) throws(HypervisorError) {
    let window = AddressMap.textWindow
    let ones = try SharedMemory(zeros: window.count, "the screen that is not there")
    ones.mapping.fill(at: 0, count: window.count, with: 0xFF)
    let region = MemoryRegion(machine.owner, slot: MemorySlot.absentText, ones, isReadOnly: true)
    try region.show(at: window.lowerBound)
    machine.regions.append(region)
    try machine.owner.machine.coalesceWrites(to: window)
  }

  private static func attach(
    _ display: Display, _ ports: inout Bus<PortTarget>, _ addresses: inout Bus<MemoryTarget>
  ) throws(BusConflict) {
    for (base, count) in [(0x3B4, 2), (0x3BA, 1), (0x3C0, 16), (0x3D4, 2), (0x3DA, 1)] as [(UInt16, UInt64)] {
      try ports.attach(.display(Display.Ports(display, base: base)), at: UInt64(base), count: count)
    }
    try ports.attach(.dispi(Display.DispiPorts(display)), at: 0x1CE, count: 3)
    let window = AddressMap.videoWindow
    try addresses.attach(.display(Display.Window(display)), at: window.lowerBound, count: UInt64(window.count))
  }

  private static func attach(_ controller: IDEController, _ ports: inout Bus<PortTarget>) throws(BusConflict) {
    let (first, second) = (controller.primary, controller.secondary)
    let layout = PIIXIDELayout.self
    try ports.attach(.ide(IDEChannel.Ports(first, .command)), at: layout.commandPorts.0, count: 8)
    try ports.attach(.ide(IDEChannel.Ports(first, .control)), at: layout.controlPorts.0, count: 1)
    try ports.attach(.ide(IDEChannel.Ports(second, .command)), at: layout.commandPorts.1, count: 8)
    try ports.attach(.ide(IDEChannel.Ports(second, .control)), at: layout.controlPorts.1, count: 1)
  }

  /// A floppy drive with a disk, and the DMA controllers that it needs.
  private static func attachFloppy(_ path: String, _ machine: Machine, _ ports: inout Bus<PortTarget>) throws {
    // An image that cannot be written is a disk whose tab is set.
    let store = try (try? SectorFile(path: path, isReadOnly: false)) ?? SectorFile(path: path, isReadOnly: true)
    guard FloppyFormat(bytes: store.capacity) != nil else {
      throw HypervisorError(
        .configuration, "\(store.capacity) bytes are no floppy disk; give an image of 720 KiB, 1.2, 1.44 or 2.88 MB",
        path: path)
    }
    let dma = ISADMA(memory: machine.memory)
    let controller = FloppyDisks(drives: [.disk(store)], interrupt: machine.router.line(6), dma: dma)
    try ports.attach(.floppy(controller), at: 0x3F0, count: 6)
    try ports.attach(.floppyChange(controller.changePort), at: 0x3F7, count: 1)
    try ports.attach(.dma(ISADMA.Ports(dma, .first)), at: 0x00, count: 16)
    try ports.attach(.dma(ISADMA.Ports(dma, .pages)), at: 0x80, count: 16)
    try ports.attach(.dma(ISADMA.Ports(dma, .second)), at: 0xC0, count: 32)
    machine.bootable.floppies.append(.floppy(bridge: Self.isaBridge, drive: 0))
  }
}
