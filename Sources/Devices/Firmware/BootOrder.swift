/// Renders the file "bootorder": Open Firmware paths of what to boot from, in order. SeaBIOS (src/boot.c) compares
/// them with patterns such as `/pci@i0cf8/*@4`, OVMF (QemuBootOrderLib) reads the names of the nodes too.
public enum BootOrder {
  /// Something to boot from.
  public enum Device: Hashable, Sendable {
    /// A virtio block device.
    case virtioBlock(PCIAddress)
    /// A logical unit behind a virtio SCSI adapter.
    case virtioSCSI(PCIAddress, target: UInt8, unit: UInt16)
    /// A disk or CD drive of an IDE controller.
    case ide(PCIAddress, isSecondary: Bool, isSlave: Bool)
    /// A floppy drive of the controller at port 0x3F0, behind the ISA bridge; 0 or 1.
    case floppy(bridge: PCIAddress, drive: UInt8)
    /// A network interface: its option ROM, or OVMF's driver.
    case network(PCIAddress)
    /// A file that firmware was given: "genroms/linuxboot_dma.bin", "floppyimg/NAME".
    case file(String)
    /// Nothing that is not in the list is tried after it. Must come last.
    case halt
  }

  /// The path of one device.
  public static func path(_ device: Device) -> String {
    switch device {
    case .virtioBlock(let address): node("scsi", address) + "/disk@0,0"
    case .virtioSCSI(let address, let target, let unit):
      node("scsi", address) + "/channel@0/disk@\(hex(target)),\(hex(unit))"
    case .ide(let address, let isSecondary, let isSlave):
      node("ide", address) + "/drive@\(isSecondary ? 1 : 0)/disk@\(isSlave ? 1 : 0)"
    case .floppy(let bridge, let drive): node("isa", bridge) + "/fdc@03f0/floppy@\(hex(drive))"
    case .network(let address): node("ethernet", address) + "/ethernet-phy@0"
    case .file(let name): "/rom@" + name
    case .halt: "HALT"
    }
  }

  /// The file: a path a line, and a NUL in the last line's end, which OVMF insists on. Empty without devices: do not
  /// offer it then.
  public static func file(_ devices: [Device]) -> [UInt8] {
    devices.isEmpty ? [] : Array(devices.map(path).joined(separator: "\n").utf8) + [0]
  }

  private static func node(_ name: String, _ address: PCIAddress) -> String {
    "/pci@i0cf8/\(name)@\(hex(address.device))" + (address.function == 0 ? "" : ",\(hex(address.function))")
  }

  private static func hex(_ value: some BinaryInteger) -> String {
    String(value, radix: 16)
  }
}
