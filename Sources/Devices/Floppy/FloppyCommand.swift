/// Commands of the 82077AA by the low five bits of their first byte (Intel 82077AA, 290166-007, table 5-1).
enum FloppyCommand: Sendable {
  case readTrack, specify, senseDriveStatus, write, read, recalibrate, senseInterrupt, readID, format, dumpRegisters
  case seek, version, perpendicular, configure, lock, verify
  case unknown

  /// The command that `byte` begins.
  init(_ byte: UInt8) {
    switch byte & 0x1F {
    case 0x02: self = .readTrack
    case 0x03: self = .specify
    case 0x04: self = .senseDriveStatus
    case 0x05, 0x09: self = .write
    case 0x06, 0x0C: self = .read
    case 0x07: self = .recalibrate
    case 0x08: self = .senseInterrupt
    case 0x0A: self = .readID
    case 0x0D: self = .format
    case 0x0E: self = .dumpRegisters
    case 0x0F: self = .seek
    case 0x10: self = .version
    case 0x12: self = .perpendicular
    case 0x13: self = .configure
    case 0x14: self = .lock
    case 0x16: self = .verify
    default: self = .unknown
    }
  }

  /// Length in bytes, the first one included.
  var count: Int {
    switch self {
    case .senseInterrupt, .dumpRegisters, .version, .lock, .unknown: 1
    case .senseDriveStatus, .recalibrate, .readID, .perpendicular: 2
    case .specify, .seek: 3
    case .configure: 4
    case .format: 6
    case .readTrack, .write, .read, .verify: 9
    }
  }
}
