/// Offsets of the registers of the 82540EM (Intel 317453, "PCI/PCI-X Family of Gigabit Ethernet Controllers Software
/// Developer's Manual", chapter 13), in bytes.
enum E1000Register {
  static let control = 0x0000
  static let status = 0x0008
  static let eepromControl = 0x0010
  static let eepromRead = 0x0014
  static let extendedControl = 0x0018
  static let mediaInterface = 0x0020
  static let flowControlAddressLow = 0x0028
  static let flowControlAddressHigh = 0x002C
  static let flowControlType = 0x0030
  static let vlanType = 0x0038
  static let interruptCauseRead = 0x00C0
  static let interruptThrottling = 0x00C4
  static let interruptCauseSet = 0x00C8
  static let interruptMaskSet = 0x00D0
  static let interruptMaskClear = 0x00D8
  static let receiveControl = 0x0100
  static let flowControlTransmitTimer = 0x0170
  static let transmitConfiguration = 0x0178
  static let transmitControl = 0x0400
  static let interPacketGap = 0x0410
  static let adaptiveSpacing = 0x0458
  static let leds = 0x0E00
  static let packetBuffer = 0x1000
  static let receiveDescriptors = 0x2800
  static let transmitDescriptors = 0x3800
  static let receiveChecksum = 0x5000
  static let multicastTable = 0x5200
  static let receiveAddress = 0x5400
  static let vlanTable = 0x5600
  static let end = 0x6000

  /// Where the registers that the 82542 had elsewhere are (table 13-2, the alternate offsets in parentheses).
  static func canonical(_ offset: Int) -> Int {
    switch offset {
    case 0x0040..<0x00C0: receiveAddress + offset - 0x0040
    case 0x0108: receiveDescriptors + 0x20
    case 0x0110..<0x0130: receiveDescriptors + offset - 0x0110
    case 0x0160: 0x2168
    case 0x0168: 0x2160
    case 0x0200..<0x0400: multicastTable + offset - 0x0200
    case 0x0420..<0x0440: transmitDescriptors + offset - 0x0420
    case 0x0440: transmitDescriptors + 0x20
    case 0x0600..<0x0800: vlanTable + offset - 0x0600
    default: offset
    }
  }

  /// The bits that software may change in registers that only keep what is written, or whose effect is read from
  /// there; 0 for the others.
  static func storedBits(_ offset: Int) -> UInt32 {
    switch offset {
    case flowControlAddressLow, flowControlAddressHigh, flowControlType, vlanType, transmitConfiguration,
      interPacketGap, adaptiveSpacing, leds, packetBuffer:
      0xFFFF_FFFF
    case interruptThrottling, flowControlTransmitTimer: 0xFFFF
    // RDFH to RDFPC and TDFH to TDFPC, FCRTL and FCRTH: the packet buffer's pointers and thresholds.
    case 0x2160, 0x2168, 0x2410...0x2430, 0x3410...0x3430: 0xFFFF_FFFF
    case receiveDescriptors, transmitDescriptors: 0xFFFF_FFF0
    case receiveDescriptors + 0x04, transmitDescriptors + 0x04: 0xFFFF_FFFF
    case receiveDescriptors + 0x08, transmitDescriptors + 0x08: 0x000F_FF80
    // RDTR (without the self-clearing FPD), RXDCTL, RADV, RSRPD; TIDV, TXDCTL, TADV, TSPMT.
    case receiveDescriptors + 0x20, receiveDescriptors + 0x2C, 0x2C00, transmitDescriptors + 0x20,
      transmitDescriptors + 0x2C:
      0xFFFF
    case receiveDescriptors + 0x28, 0x3000, transmitDescriptors + 0x28, transmitDescriptors + 0x30: 0xFFFF_FFFF
    case receiveChecksum: 0x0000_07FF
    case multicastTable..<(multicastTable + 0x200): 0xFFFF_FFFF
    case receiveAddress..<(receiveAddress + 0x80): offset & 4 == 0 ? 0xFFFF_FFFF : 0x8003_FFFF
    case vlanTable..<(vlanTable + 0x200): 0xFFFF_FFFF
    // Wake up: control, filter, status, address filters, packet lengths and memory; manageability.
    case 0x5800...0x5810, 0x5820, 0x5828, 0x5838...0x5878, 0x5900...0x5AFC, 0x5F00...0x5F28: 0xFFFF_FFFF
    default: 0
    }
  }
}

/// Statistics registers (13.7): reading one clears it; of the 64-bit ones, reading the upper half clears both.
enum E1000Statistic {
  static let first = 0x4000
  static let last = 0x40FC
  static let missed = 0x4010
  /// PRC64: frames of 64 bytes, and the five larger classes behind it.
  static let receivedBySize = 0x405C
  static let goodReceived = 0x4074
  static let broadcastReceived = 0x4078
  static let multicastReceived = 0x407C
  static let goodTransmitted = 0x4080
  static let goodOctetsReceived = 0x4088
  static let goodOctetsTransmitted = 0x4090
  static let receiveNoBuffers = 0x40A0
  static let receiveUndersize = 0x40A4
  static let receiveOversize = 0x40AC
  static let totalOctetsReceived = 0x40C0
  static let totalOctetsTransmitted = 0x40C8
  static let totalReceived = 0x40D0
  static let totalTransmitted = 0x40D4
  /// PTC64, and the five larger classes behind it.
  static let transmittedBySize = 0x40D8
  static let multicastTransmitted = 0x40F0
  static let broadcastTransmitted = 0x40F4
  static let segmentationContexts = 0x40F8

  /// Whether `offset` is the upper half of a 64-bit counter.
  static func isUpperHalf(_ offset: Int) -> Bool {
    switch offset {
    case goodOctetsReceived + 4, goodOctetsTransmitted + 4, totalOctetsReceived + 4, totalOctetsTransmitted + 4: true
    default: false
    }
  }

  /// Whether `offset` is the lower half of a 64-bit counter.
  static func isLowerHalf(_ offset: Int) -> Bool { isUpperHalf(offset + 4) }
}

/// Device control (13.4.1).
enum E1000Control {
  static let fullDuplex: UInt32 = 1 << 0
  static let setLinkUp: UInt32 = 1 << 6
  static let speed1000: UInt32 = 2 << 8
  static let reset: UInt32 = 1 << 26
  static let phyReset: UInt32 = 1 << 31
}

/// Causes of interrupts (13.4.17).
enum E1000Cause {
  static let transmitWritten: UInt32 = 1 << 0
  static let transmitQueueEmpty: UInt32 = 1 << 1
  static let linkChange: UInt32 = 1 << 2
  static let receiveThreshold: UInt32 = 1 << 4
  static let receiveOverrun: UInt32 = 1 << 6
  static let receiveTimer: UInt32 = 1 << 7
  static let mediaInterface: UInt32 = 1 << 9
  /// All that the controller has.
  static let all: UInt32 = 0x0001_F6DF
}

/// Receive control (13.4.22).
enum E1000ReceiveControl {
  static let enable: UInt32 = 1 << 1
  static let unicastPromiscuous: UInt32 = 1 << 3
  static let multicastPromiscuous: UInt32 = 1 << 4
  static let longFrames: UInt32 = 1 << 5
  static let acceptBroadcast: UInt32 = 1 << 15
  static let sizeExtension: UInt32 = 1 << 25
  static let stripCRC: UInt32 = 1 << 26

  /// Length of each receive buffer in bytes (BSIZE with BSEX).
  static func bufferCount(_ control: UInt32) -> Int {
    let size = control >> 16 & 3
    // BSIZE 0 with BSEX is reserved.
    if control & sizeExtension != 0, size != 0 { return 32768 >> Int(size) }
    return 2048 >> Int(size)
  }

  /// Whether what is transmitted stays inside (LBM).
  static func isLoopback(_ control: UInt32) -> Bool { control & 0xC0 != 0 }

  /// The part of a multicast address that looks up the table: 12 bits from where MO says.
  static func multicastBit(_ control: UInt32, fifth: UInt8, sixth: UInt8) -> Int {
    let bits = Int(sixth) << 8 | Int(fifth)
    let shift =
      switch control >> 12 & 3 {
      case 0: 4
      case 1: 3
      case 2: 2
      default: 0
      }
    return bits >> shift & 0xFFF
  }

  /// How many descriptors are left when the threshold interrupt comes (RDMTS), of `count`.
  static func threshold(_ control: UInt32, of count: Int) -> Int {
    count >> (Int(control >> 8 & 3) + 1)
  }
}

/// Transmit control (13.4.33).
enum E1000TransmitControl {
  static let enable: UInt32 = 1 << 1
  static let padShort: UInt32 = 1 << 3
}
