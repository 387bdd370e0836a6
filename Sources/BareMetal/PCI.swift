import Machine

/// Configuration space of bus 0 by mechanism 1 (PCI Local Bus 3.0, section 3.2.2.3.2).
enum PCI {
  private static let addressPort: UInt16 = 0xCF8
  private static let dataPort: UInt16 = 0xCFC

  /// A function that answered.
  struct Function {
    let device: UInt32
    let function: UInt32
    let vendor: UInt16
    let product: UInt16
    /// Base class, subclass and programming interface.
    let code: UInt32

    var kind: StaticString {
      switch code >> 8 {
      case 0x0100, 0x0180: "mass storage"
      case 0x0101: "IDE"
      case 0x0106: "SATA"
      case 0x0200, 0x0280: "network"
      case 0x0300, 0x0380: "display"
      case 0x0600: "host bridge"
      case 0x0601: "ISA bridge"
      case 0x0604: "PCI bridge"
      case 0x0680: "bridge"
      case 0x0780: "communication"
      case 0x0C03: "USB"
      case 0x0C05: "SMBus"
      case 0x00FF, 0xFF00: "unclassified"
      default: code >> 16 == 0x0C ? "serial bus" : code >> 16 == 0x10 ? "entropy" : "other"
      }
    }
  }

  /// True when the address port keeps what is written to it.
  static var isPresent: Bool {
    let before = machine_in32(addressPort)
    machine_out32(addressPort, 0x8000_0000)
    let answer = machine_in32(addressPort)
    machine_out32(addressPort, before)
    return answer == 0x8000_0000
  }

  static func read32(device: UInt32, function: UInt32, offset: UInt32) -> UInt32 {
    machine_out32(addressPort, 0x8000_0000 | device << 11 | function << 8 | offset & 0xFC)
    return machine_in32(dataPort)
  }

  /// The function at that place, if there is one.
  static func function(device: UInt32, function: UInt32) -> Function? {
    let identity = read32(device: device, function: function, offset: 0)
    guard identity & 0xFFFF != 0xFFFF, identity != 0 else { return nil }
    return Function(
      device: device, function: function, vendor: UInt16(truncatingIfNeeded: identity),
      product: UInt16(truncatingIfNeeded: identity >> 16),
      code: read32(device: device, function: function, offset: 8) >> 8)
  }

  /// Hands each function of bus 0 to `body`, in order.
  static func forEachFunction(_ body: (Function) -> Void) {
    for device in UInt32(0)..<32 {
      guard let first = function(device: device, function: 0) else { continue }
      body(first)
      // Bit 7 of the header type says that there are more functions (section 6.2.1).
      guard read32(device: device, function: 0, offset: 12) & 1 << 23 != 0 else { continue }
      for number in UInt32(1)..<8 {
        if let found = function(device: device, function: number) { body(found) }
      }
    }
  }
}
