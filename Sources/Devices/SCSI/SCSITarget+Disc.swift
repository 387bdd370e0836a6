internal import Binary

/// Commands of CD-ROM drives (MMC-5, chapter 6). The disc has one session with one data track.
extension SCSITarget {
  /// Blocks above which the disc passes for a DVD: 80 minutes of 60 seconds of 75 sectors.
  private static var discBlocks: UInt64 { 80 * 60 * 75 }

  /// Profiles (MMC-5, 5.4.1).
  private enum Profile {
    static let cd: UInt16 = 0x0008
    static let dvd: UInt16 = 0x0010
  }

  private var profile: UInt16 {
    guard isReady, let medium else { return 0 }
    return medium > Self.discBlocks ? Profile.dvd : Profile.cd
  }

  mutating func beginOnDisc(_ command: SCSICommand) throws(SCSISense) -> SCSIOutcome {
    switch command.operation {
    case SCSIOperation.readTOC: return try readTOC(command)
    case SCSIOperation.getConfiguration: return try configuration(command)
    case SCSIOperation.getEventStatus: return try eventStatus(command)
    case SCSIOperation.readDiscInformation: return try discInformation(command)
    case SCSIOperation.mechanismStatus:
      // No changer, no slots; door open is bit 4 of byte 1.
      return reply([0, isTrayOpen ? 0x10 : 0, 0, 0, 0, 0, 0, 0], limit: command.big(at: 8, count: 2))
    case SCSIOperation.unmapOrSubchannel: return try subchannel(command)
    case SCSIOperation.readFormatCapacities: return formatCapacities(command)
    case SCSIOperation.readDVDStructure: return try structure(command)
    case SCSIOperation.readCD: return try readCD(command)
    case SCSIOperation.setCDSpeed, SCSIOperation.synchronizeCache10: return .reply([])
    default: throw .invalidOperation
    }
  }

  // MARK: Table of contents

  /// A block address as the guest wants it: a number, or minutes, seconds and frames from the lead-in (MMC-5, 4.x).
  private func address(_ block: UInt64, minutes: Bool) -> [UInt8] {
    let block = UInt32(clamping: block)
    guard minutes else { return (0..<4).map { UInt8(truncatingIfNeeded: block >> (24 - 8 * $0)) } }
    let frames = UInt64(block) + 150
    return [0, UInt8(min(255, frames / 4500)), UInt8(frames / 75 % 60), UInt8(frames % 75)]
  }

  /// READ TOC/PMA/ATIP (6.27).
  private func readTOC(_ command: SCSICommand) throws(SCSISense) -> SCSIOutcome {
    let blocks = try blocks()
    let minutes = command[1] & 2 != 0
    let track = command[6]
    // The format's old place is the top of the control byte (SFF-8020i).
    let format = command[2] & 0x0F != 0 ? command[2] & 0x0F : command[9] >> 6
    var body: [UInt8] = [1, 1]
    switch format {
    case 0:
      guard track <= 1 || track == 0xAA else { throw .invalidField }
      // A data track that may not be copied: control 4 of ADR 1.
      if track <= 1 { body += [0, 0x14, 1, 0] + address(0, minutes: minutes) }
      body += [0, 0x14, 0xAA, 0] + address(blocks, minutes: minutes)
    case 1:
      body += [0, 0x14, 1, 0] + address(0, minutes: minutes)
    case 2:
      guard track <= 1 else { throw .invalidField }
      // First track, last track and lead-out of session 1, then track 1; always in minutes.
      body += [1, 0x14, 0, 0xA0, 0, 0, 0, 0, 1, 0, 0]
      body += [1, 0x14, 0, 0xA1, 0, 0, 0, 0, 1, 0, 0]
      body += [1, 0x14, 0, 0xA2, 0, 0, 0] + address(blocks, minutes: true)
      body += [1, 0x14, 0, 1, 0, 0, 0] + address(0, minutes: true)
    default:
      throw .invalidField
    }
    return reply(
      [UInt8(body.count >> 8), UInt8(body.count & 0xFF)] + body, limit: command.big(at: 7, count: 2))
  }

  /// READ SUB-CHANNEL (6.24): the header, which says that no audio is playing.
  private func subchannel(_ command: SCSICommand) throws(SCSISense) -> SCSIOutcome {
    _ = try blocks()
    guard command[2] & 0x40 == 0 else { throw .invalidField }
    return reply([0, 0x15, 0, 0], limit: command.big(at: 7, count: 2))
  }

  // MARK: The drive and its medium

  /// GET CONFIGURATION (6.6, 5.3): features from the one asked for on.
  private func configuration(_ command: SCSICommand) throws(SCSISense) -> SCSIOutcome {
    let first = UInt16(command.big(at: 2, count: 2))
    let wanted = command[1] & 3
    guard wanted != 3 else { throw .invalidField }
    let current = profile
    var body = ByteWriter(capacity: 64)
    body.zeros(2)
    body.big(current)
    /// A feature descriptor; `flags` is version, persistent and current.
    func add(_ code: UInt16, version: UInt8, isPersistent: Bool, isCurrent: Bool, _ data: [UInt8]) {
      guard wanted == 2 ? code == first : code >= first && (wanted == 0 || isCurrent) else { return }
      body.big(code)
      body.raw([version << 2 | (isPersistent ? 2 : 0) | (isCurrent ? 1 : 0), UInt8(data.count)])
      body.raw(data)
    }
    func entry(_ profile: UInt16) -> [UInt8] { [0, UInt8(profile), current == profile ? 1 : 0, 0] }
    let isReady = current != 0
    add(0x0000, version: 0, isPersistent: true, isCurrent: true, entry(Profile.dvd) + entry(Profile.cd))
    // The physical interface: ATAPI is 2, SCSI is 1.
    add(
      0x0001, version: 2, isPersistent: true, isCurrent: true,
      [0, 0, 0, interface == .atapi ? 2 : 1, 1, 0, 0, 0])
    // A tray that locks and ejects.
    add(0x0003, version: 0, isPersistent: true, isCurrent: true, [0x29, 0, 0, 0])
    add(0x0010, version: 0, isPersistent: false, isCurrent: isReady, [0, 0, 8, 0, 0, 1, 0, 0])
    add(0x001E, version: 2, isPersistent: false, isCurrent: current == Profile.cd, [0, 0, 0, 0])
    add(0x001F, version: 0, isPersistent: false, isCurrent: current == Profile.dvd, [])
    var writer = ByteWriter(capacity: body.count + 4)
    writer.big(UInt32(body.count))
    writer.raw(body.bytes)
    return reply(writer.bytes, limit: command.big(at: 7, count: 2))
  }

  /// GET EVENT STATUS NOTIFICATION (6.7): polled, and of the media class.
  private mutating func eventStatus(_ command: SCSICommand) throws(SCSISense) -> SCSIOutcome {
    guard command[1] & 1 != 0 else { throw .invalidField }
    let limit = command.big(at: 7, count: 2)
    guard command[4] & 0x10 != 0 else { return reply([0, 2, 0x80, 0x10], limit: limit) }
    let state: UInt8 = (isTrayOpen ? 1 : 0) | (medium != nil && !isTrayOpen ? 2 : 0)
    let event = mediaEvent
    // An event that does not fit stays.
    if limit >= 8 { mediaEvent = .none }
    return reply([0, 6, 4, 0x10, event.rawValue, state, 0, 0], limit: limit)
  }

  /// READ DISC INFORMATION (6.22): complete, one session, one track.
  private func discInformation(_ command: SCSICommand) throws(SCSISense) -> SCSIOutcome {
    _ = try blocks()
    guard command[1] & 7 == 0 else { throw .invalidField }
    var writer = ByteWriter(capacity: 34)
    writer.big(UInt16(32))
    writer.raw([0x0E, 1, 1, 1, 1, 0x20, 0, 0, 0, 0])
    writer.zeros(4)
    writer.raw([UInt8](repeating: 0xFF, count: 8))  // no lead-in nor lead-out to append to
    writer.zeros(10)
    return reply(writer.bytes, limit: command.big(at: 7, count: 2))
  }

  /// READ FORMAT CAPACITIES (6.23): the medium's, as formatted, or that there is none.
  private func formatCapacities(_ command: SCSICommand) -> SCSIOutcome {
    var writer = ByteWriter(capacity: 12)
    writer.raw([0, 0, 0, 8])
    writer.big(UInt32(clamping: isReady ? medium ?? 0 : 0))
    writer.big((isReady ? 2 : 3) << 24 | blockSize)
    return reply(writer.bytes, limit: command.big(at: 7, count: 2))
  }

  /// READ DVD STRUCTURE (MMC-5, READ DISC STRUCTURE): physical format and copyright.
  private func structure(_ command: SCSICommand) throws(SCSISense) -> SCSIOutcome {
    let blocks = try blocks()
    guard profile == Profile.dvd else { throw SCSISense(.illegalRequest, 0x30, 0x02) }
    guard command[6] == 0 else { throw .invalidField }
    var writer = ByteWriter(capacity: 2052)
    let limit = command.big(at: 8, count: 2)
    switch command[7] {
    case 0x00:
      writer.big(UInt16(2050))
      writer.zeros(2)
      // DVD-ROM of part version 1; 120 mm; one layer of embossed data.
      writer.raw([0x01, 0x0F, 0x01, 0x00])
      writer.big(UInt32(0x30000))
      writer.big(UInt32(clamping: 0x30000 + (blocks == 0 ? 0 : blocks - 1)))
      writer.zeros(2052 - writer.count)
    case 0x01:
      writer.big(UInt16(6))
      writer.zeros(6)  // not protected, any region
    default:
      throw .invalidField
    }
    return reply(writer.bytes, limit: limit)
  }

  /// READ CD (6.19) of the 2048 bytes of user data of each sector; other fields of a sector are not kept.
  private func readCD(_ command: SCSICommand) throws(SCSISense) -> SCSIOutcome {
    let blocks = try blocks()
    let first = command.big(at: 2, count: 4)
    let count = command.big(at: 6, count: 3)
    // Any type of sector, or mode 1.
    guard [0, 2].contains(command[1] >> 2 & 7), command[10] & 7 == 0 else { throw .wrongTrackMode }
    guard first <= blocks, count <= blocks - first else { throw .outOfRange }
    switch command[9] & 0xFE {
    case 0x00: return .reply([])
    case 0x10:
      guard count > 0 else { return .reply([]) }
      return .read(offset: first * UInt64(blockSize), count: count * UInt64(blockSize))
    default: throw .wrongTrackMode
    }
  }
}
