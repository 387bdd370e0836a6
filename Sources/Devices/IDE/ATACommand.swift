/// How the data of a command moves.
enum ATATransport: Sendable {
  /// The data port, an interrupt for every sector.
  case single
  /// The data port, an interrupt for every block of as many sectors as SET MULTIPLE MODE said.
  case multiple
  /// The bus master.
  case dma
}

/// Commands of a disk, by the code in the command register (ATA/ATAPI-6, clause 8; codes that it has made obsolete,
/// ATA-3).
enum ATACommand: Sendable {
  case noOperation
  case recalibrate
  case read(ATATransport, isExtended: Bool)
  case write(ATATransport, isExtended: Bool)
  case verify(isExtended: Bool)
  case readNativeMaximum(isExtended: Bool)
  case seek
  case initializeParameters
  case setMultiple
  case power
  case checkPower
  case flush
  case identify
  case setFeatures
  case unknown(UInt8)

  /// The command with this code.
  init(_ code: UInt8) {
    switch code {
    case 0x00: self = .noOperation
    case 0x10...0x1F: self = .recalibrate
    case 0x20, 0x21: self = .read(.single, isExtended: false)
    case 0x24: self = .read(.single, isExtended: true)
    case 0x25: self = .read(.dma, isExtended: true)
    case 0x27: self = .readNativeMaximum(isExtended: true)
    case 0x29: self = .read(.multiple, isExtended: true)
    case 0x30, 0x31, 0x3C: self = .write(.single, isExtended: false)
    case 0x34: self = .write(.single, isExtended: true)
    case 0x35: self = .write(.dma, isExtended: true)
    case 0x39: self = .write(.multiple, isExtended: true)
    case 0x40, 0x41: self = .verify(isExtended: false)
    case 0x42: self = .verify(isExtended: true)
    case 0x70...0x7F: self = .seek
    case 0x91: self = .initializeParameters
    // Sleep ends like standby does, as nothing here spins down.
    case 0x94...0x97, 0x99, 0xE0...0xE3, 0xE6: self = .power
    case 0x98, 0xE5: self = .checkPower
    case 0xC4: self = .read(.multiple, isExtended: false)
    case 0xC5: self = .write(.multiple, isExtended: false)
    case 0xC6: self = .setMultiple
    case 0xC8, 0xC9: self = .read(.dma, isExtended: false)
    case 0xCA, 0xCB: self = .write(.dma, isExtended: false)
    case 0xE7, 0xEA: self = .flush
    case 0xEC: self = .identify
    case 0xEF: self = .setFeatures
    case 0xF8: self = .readNativeMaximum(isExtended: false)
    default: self = .unknown(code)
    }
  }
}
