internal import Binary
internal import Devices
internal import Platform

/// Debian's SeaBIOS or OVMF in a machine: its code below 4 GiB, what it asks through fw_cfg, and where it keeps its
/// variables.
struct Firmware {
  /// The machine as its tables describe it, but for what firmware decides.
  let machine: ACPIDescription
  let power: PIIX4PowerManagement<PinLine>
  let clock: RealTimeClock
  let functions: [PCIFunction]

  /// SeaBIOS (package seabios).
  static let bios = "/usr/share/seabios/bios-256k.bin"
  /// OVMF (package ovmf), the variant of 4 MiB without Secure Boot.
  static let uefi = "/usr/share/OVMF/OVMF_CODE_4M.fd"
  static let uefiVariables = "/usr/share/OVMF/OVMF_VARS_4M.fd"

  /// Puts firmware into the machine's memory, and its devices onto its buses.
  func install(
    _ machine: Machine, _ ports: inout Bus<PortTarget>, _ addresses: inout Bus<MemoryTarget>
  ) throws(HypervisorError) {
    let configuration = machine.configuration
    let isUEFI = configuration.bootMethod == .uefi
    let start = try installCode(machine, configuration.firmware ?? (isUEFI ? Self.uefi : Self.bios))
    var flash: (FlashMemory<FlashFile>, UInt64, UInt64)?
    if isUEFI { flash = try installVariables(machine, below: start) }
    clock.describe(
      cpus: configuration.cpus, floppies: (configuration.floppy == nil ? .none : .threeInch1440, .none),
      translations: configuration.disks.filter { $0.bus == .ide }.map { _ in .lba })
    do {
      let items = try items(machine, isUEFI: isUEFI)
      try ports.attach(
        .firmware(FirmwareConfiguration(items, memory: machine.memory)), at: FirmwareConfigurationLayout.base,
        count: FirmwareConfigurationLayout.portCount)
      if let (device, address, count) = flash { try addresses.attach(.flash(device), at: address, count: count) }
    } catch {
      throw HypervisorError(.configuration, "\(error)")
    }
  }

  /// Shows the firmware's code so that it ends at 4 GiB, and its last 128 KiB below 1 MiB, where the board has them
  /// after a reset. Its first address.
  private func installCode(_ machine: Machine, _ path: String) throws(HypervisorError) -> UInt64 {
    let package = path == Self.bios ? "; install the package seabios" : path == Self.uefi ? "; install ovmf" : ""
    let code = try refusal(.image, "the firmware \(path) cannot be read\(package)") { () throws(SystemError) in
      try Files.read(path)
    }
    guard code.count >= 128 << 10, code.count <= 16 << 20, code.count % 4096 == 0 else {
      throw HypervisorError(
        .image, "this is no firmware: it has \(code.count) bytes, and firmware has 128 KiB to 16 MiB in whole pages",
        path: path)
    }
    let memory = try SharedMemory(zeros: code.count, "the firmware")
    memory.mapping.write(at: 0, from: code.span)
    let start = AddressMap.firmwareEnd - UInt64(code.count)
    let region = MemoryRegion(machine.owner, slot: MemorySlot.firmware, memory, isReadOnly: true)
    try region.show(at: start)
    machine.regions.append(region)
    let shadow = Array(code.suffix(128 << 10))
    machine.memory.mapping.write(at: Int(AddressMap.firmwareShadow), from: shadow.span)
    return start
  }

  /// The flash chip with UEFI's variables, right below its code: a mapping while it is read, a device otherwise.
  private func installVariables(
    _ machine: Machine, below start: UInt64
  ) throws(HypervisorError) -> (FlashMemory<FlashFile>, UInt64, UInt64) {
    let file = try FlashFile(path: machine.configuration.firmwareVariables, template: Self.uefiVariables)
    let address = start - UInt64(file.count)
    let region = MemoryRegion(machine.owner, slot: MemorySlot.firmwareVariables, file.memory, isReadOnly: true)
    try region.show(at: address)
    machine.regions.append(region)
    let log = machine.configuration.log
    let device = FlashMemory(file) { isArrayMode in
      do throws(HypervisorError) {
        try region.show(at: isArrayMode ? address : nil)
      } catch {
        log("the firmware's variables are not mapped: \(error)")
      }
    }
    return (device, address, UInt64(file.count))
  }

  /// What firmware may ask for.
  private func items(_ machine: Machine, isUEFI: Bool) throws -> FirmwareItems {
    let configuration = machine.configuration
    let uuid = UUID(digest: SHA256.hash(configuration.name), name: "machine").bytes
    var items = FirmwareItems()
    items.setMachine(
      uuid: uuid, memory: machine.memory.count, cpus: configuration.cpus, hasScreen: configuration.hasDisplay)
    try items.add("etc/e820", Self.memoryMap(machine.memory))
    try addTables(&items, machine)
    let smbios = SMBIOS(
      SMBIOSDescription(
        uuid: uuid, name: configuration.name, cpus: configuration.cpus, lowMemory: machine.memory.lowCount,
        highMemory: machine.memory.highCount, isUEFI: isUEFI))
    try items.add(SMBIOS.tablesName, smbios.tables)
    try items.add(SMBIOS.anchorName, smbios.entryPoint(.version2))
    let order = machine.bootable.order
    if !order.isEmpty { try items.add("bootorder", BootOrder.file(order)) }
    if configuration.hasDisplay {
      if let rom = try? Files.read(Board.videoBIOS) { try items.add("pci1234,1111.rom", rom) }
    } else if !isUEFI {
      // SeaBIOS shows its text screen on the first serial port.
      try items.add("etc/sercon-port", [0xF8, 0x03])
    }
    return items
  }

  /// ACPI's tables: made when firmware asks for them, for it decides where some things lie.
  private func addTables(_ items: inout FirmwareItems, _ machine: Machine) throws {
    let (description, power, functions) = (self.machine, power, functions)
    let low = machine.memory.lowCount
    try ACPIFiles.add(to: &items, estimate: description) {
      var description = description
      if let base = power.powerBase { description.powerManagement = base }
      let windows = functions.flatMap(\.windows).filter { !$0.isIO }.map { $0.base..<($0.base + $0.count) }
      description.setWindows(windows, endOfLowMemory: low)
      return description
    }
  }

  /// Memory as firmware takes it: address, length and kind of each run, packed. RAM below 4 GiB is one run (OVMF stops
  /// at the first gap); KVM's own pages are not for the guest.
  private static func memoryMap(_ memory: GuestRAM) -> [UInt8] {
    var writer = ByteWriter()
    func add(_ address: UInt64, _ count: UInt64, _ kind: MemoryMapEntry.Kind) {
      writer.little(address)
      writer.little(count)
      writer.little(kind.rawValue)
    }
    add(0, memory.lowCount, .ram)
    if memory.highCount > 0 { add(AddressMap.fourGiB, memory.highCount, .ram) }
    add(AddressMap.identityMap, 4 * 4096, .reserved)
    return writer.bytes
  }
}
