/// What the tables say about the machine.
struct ACPIDescription: Hashable {
  var cpus: Int
  /// CPUs that it may have, where more can come.
  var maximumCPUs: Int?
  /// First port of the power management block: event at 0, control at 4, timer at 8. Firmware moves it, so that it is
  /// known only when the tables are made.
  var powerManagement: UInt16
  /// What the guest writes into SLP_TYP to power off.
  var powerOffType: UInt8
  /// The interrupt of the power button and the timer.
  var systemControlInterrupt: UInt8 = 9
  /// PCI's windows.
  var memoryWindow: Range<UInt64>
  /// PCI's window above 4 GiB, where firmware put base address registers there.
  var highMemoryWindow: Range<UInt64>?
  /// The global interrupt of PIRQA to PIRQD, which is also the ISA interrupt that each is wired to.
  var pciInterrupts: [UInt8]
  /// Which of those a device's pin (1...4) reaches.
  var wire: @Sendable (_ device: UInt8, _ pin: UInt8) -> Int
  /// Devices on bus 0 that interrupt.
  var devices: Range<UInt8> = 1..<32
  var hasSerial = true
  /// A second serial port at 0x2F8 on interrupt 3.
  var hasSecondSerial = false
  var hasClock = true
  var hasKeyboard = true
  /// A PS/2 mouse on interrupt 12.
  var hasMouse = false
  /// Whether a VGA answers its old ports.
  var hasScreen = false
  /// Whether fw_cfg answers at 0x510.
  var hasFirmwareConfiguration = false
  /// RAM, and where more of it may come; empty where the guest learns all of that elsewhere.
  var memory: [MemoryRun] = []

  /// A run of addresses where RAM is or may come to be.
  struct MemoryRun: Hashable {
    var addresses: Range<UInt64>
    var isPluggable = false
  }

  /// The id by which tables name the I/O APIC, and which the guest reads from it. CPUs have those from 0 on. I/O APICs
  /// have others in an MP table (MultiProcessor Specification 1.4, 5: CPUs 0 and 1, I/O APIC 2), and must: Plan 9 keeps
  /// both in one array by id (sys/src/9/pc/mp.c). So it is the first that no CPU has. But SeaBIOS makes that table
  /// itself and gives the I/O APIC id 0 there (src/fw/mptable.c), which is also the chip's after a reset.
  var ioAPIC: UInt8 { hasFirmwareConfiguration ? 0 : UInt8(truncatingIfNeeded: allCPUs) }

  /// CPUs of which the tables speak.
  var allCPUs: Int { maximumCPUs ?? cpus }

  static func == (left: Self, right: Self) -> Bool {
    left.cpus == right.cpus && left.maximumCPUs == right.maximumCPUs && left.powerManagement == right.powerManagement
      && left.memoryWindow == right.memoryWindow
  }

  func hash(into hasher: inout Hasher) { hasher.combine(cpus) }

  /// Says where PCI lies after firmware has set it up. SeaBIOS uses the addresses from the end of RAM, but at least
  /// 2 GiB, to the I/O APIC (src/fw/pciinit.c), and OVMF fewer of them; both put 64-bit registers above all RAM.
  ///
  /// - Parameters:
  ///   - memory: what the functions' memory registers decode now.
  ///   - endOfLowMemory: the first address behind RAM below 4 GiB.
  mutating func setWindows(_ memory: [Range<UInt64>], endOfLowMemory: UInt64) {
    memoryWindow = max(endOfLowMemory, 0x8000_0000)..<AddressMap.ioAPIC
    // Whole GiB: a guest may move registers within.
    let high = memory.filter { $0.lowerBound >= AddressMap.fourGiB && $0.upperBound <= 1 << 52 }
    let mask: UInt64 = (1 << 30) - 1
    highMemoryWindow = nil
    if let first = high.map(\.lowerBound).min(), let end = high.map(\.upperBound).max(), end > first {
      highMemoryWindow = (first & ~mask)..<((end + mask) & ~mask)
    }
  }
}
