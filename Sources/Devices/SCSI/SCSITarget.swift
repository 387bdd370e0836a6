/// What a command comes to. Offsets and counts are in bytes.
public enum SCSIOutcome: Hashable, Sendable {
  /// Done, with data for the guest: not longer than its allocation length, and often empty.
  case reply([UInt8])
  /// Data of the medium goes to the guest.
  case read(offset: UInt64, count: UInt64)
  /// Data of the guest goes to the medium; `flushes` says that it is to be durable before the command is done.
  case write(offset: UInt64, count: UInt64, flushes: Bool)
  /// What was written is to be made durable.
  case flush
  /// The range may be deallocated.
  case discard(offset: UInt64, count: UInt64)
  /// The range shall read as zeroes; `unmap` lets it be deallocated.
  case writeZeroes(offset: UInt64, count: UInt64, unmap: Bool)
  /// The guest has `count` bytes (1 to 65535) of parameters to hand over: `execute(_:parameters:)` goes on with them.
  case parameters(count: Int)
  /// The command is refused. The guest is told in the status, and by the transport or REQUEST SENSE why.
  case checkCondition(SCSISense)
}

/// A SCSI target of one logical unit: a disk (SPC-3, SBC-3) or a CD-ROM drive (MMC-5), as a state machine over command
/// descriptor blocks. It moves no data itself: it says what a command comes to, and its owner (a virtio-scsi device, an
/// ATAPI drive) does it, tells `failed(_:)` of an operation that failed, and guards the value with its lock.
public struct SCSITarget: Sendable {
  /// What the target is.
  public enum Kind: Hashable, Sendable {
    /// A direct access block device.
    case disk
    /// A drive with a removable read-only medium of 2048-byte blocks.
    case cdrom
  }

  /// How commands reach the target.
  public enum Interface: Hashable, Sendable {
    /// Sense data goes back with the status.
    case scsi
    /// Sense data is kept until REQUEST SENSE fetches it (SFF-8020i, MMC-5 annex on ATAPI).
    case atapi
  }

  /// What the target is.
  public let kind: Kind
  /// How commands reach it.
  public let interface: Interface
  /// Logical block size in bytes.
  public let blockSize: UInt32
  /// Whether writes are refused.
  public let isReadOnly: Bool
  /// Whether UNMAP and WRITE SAME are there.
  public let canDiscard: Bool

  let vendor: String
  let product: String
  let revision: String
  let serial: String

  /// Blocks of the medium; nil where there is none.
  var medium: UInt64?
  var isTrayOpen = false
  /// The guest stopped the disk.
  var isStopped = false
  /// What the next command but a few is told first (SPC-3, 5.x: unit attention condition).
  var attention: SCSISense? = .reset
  /// What REQUEST SENSE has to tell, on ATAPI.
  var kept: SCSISense = .none
  /// What GET EVENT STATUS NOTIFICATION has to tell.
  var mediaEvent = MediaEvent.none
  /// WCE of the caching mode page.
  var hasWriteCache = true

  /// Events of the media class (MMC-5, 6.7.2.5).
  enum MediaEvent: UInt8 {
    case none = 0
    case ejectRequest = 1
    case newMedium = 2
    case removal = 3
  }

  /// Whether the guest has locked the medium in (PREVENT ALLOW MEDIUM REMOVAL).
  public internal(set) var isLocked = false

  /// A target.
  ///
  /// - Parameters:
  ///   - capacity: size of the medium in bytes, of which the last part of a block is not shown; nil for an empty drive.
  ///   - blockSize: logical block size in bytes, a power of two; nil for what is usual: 512, or 2048 of a disc.
  ///   - vendor: up to 8 characters of ASCII.
  ///   - product: up to 16 characters of ASCII; nil for a name that says what it is.
  ///   - revision: up to 4 characters of ASCII.
  ///   - serial: up to 20 characters of ASCII.
  public init(
    kind: Kind, capacity: UInt64?, blockSize: UInt32? = nil, vendor: String = "ROOST", product: String? = nil,
    revision: String = "1.0", serial: String, isReadOnly: Bool = false, canDiscard: Bool = false,
    interface: Interface = .scsi
  ) {
    self.kind = kind
    self.interface = interface
    let size = max(1, blockSize ?? (kind == .cdrom ? 2048 : 512))
    self.blockSize = size
    self.isReadOnly = isReadOnly || kind == .cdrom
    self.canDiscard = canDiscard && !isReadOnly && kind == .disk
    self.vendor = vendor
    self.product = product ?? (kind == .cdrom ? "CD-ROM" : "DISK")
    self.revision = revision
    self.serial = String(serial.prefix(20))
    medium = capacity.map { $0 / UInt64(size) }
  }

  // MARK: For the owner

  /// Whether there is a medium to read.
  public var isReady: Bool { medium != nil && !isTrayOpen && !isStopped }

  /// Whether the tray is out.
  public var isOpen: Bool { isTrayOpen }

  /// The unit was reset, by the bus or the controller.
  public mutating func reset() {
    attention = .reset
    kept = .none
    isLocked = false
    isStopped = false
    hasWriteCache = true
  }

  /// Puts a medium of `capacity` bytes in and closes the tray; nil takes it out. What was there is gone, locked or not.
  public mutating func insert(capacity: UInt64?) {
    let had = medium != nil
    medium = capacity.map { $0 / UInt64(blockSize) }
    isTrayOpen = false
    if medium != nil {
      mediaEvent = .newMedium
      if attention == nil { attention = .mediumChanged }
    } else if had {
      mediaEvent = .removal
    }
  }

  /// The user presses the drive's button: the guest is asked to eject.
  public mutating func requestEject() {
    mediaEvent = .ejectRequest
  }

  /// The disk has another size, in bytes, from now on.
  public mutating func resize(capacity: UInt64) {
    medium = capacity / UInt64(blockSize)
    if attention == nil { attention = .capacityChanged }
  }

  /// The operation that `outcome` called for failed: what the guest is told.
  public mutating func failed(_ outcome: SCSIOutcome) -> SCSISense {
    let sense: SCSISense
    if case .read = outcome { sense = .readError } else { sense = .writeError }
    return keep(sense)
  }

  /// The sense data that REQUEST SENSE would fetch now.
  public var pendingSense: SCSISense { kept }

  // MARK: Commands

  /// Begins the command in `bytes`.
  public mutating func execute(_ bytes: [UInt8]) -> SCSIOutcome {
    execute(SCSICommand(bytes))
  }

  /// Begins `command`.
  public mutating func execute(_ command: SCSICommand) -> SCSIOutcome {
    do throws(SCSISense) {
      if command.operation != SCSIOperation.requestSense { kept = .none }
      try raiseAttention(command)
      // NACA, which standard INQUIRY data says is not there.
      if let control = command.control, interface == .scsi, control & 0x04 != 0 { throw .invalidField }
      return try begin(command)
    } catch {
      return .checkCondition(keep(error))
    }
  }

  /// Goes on with a command that came to `.parameters`, now that they are there. Fewer bytes than were asked for are an
  /// error of the guest.
  public mutating func execute(_ command: SCSICommand, parameters: [UInt8]) -> SCSIOutcome {
    do throws(SCSISense) {
      switch (command.operation, kind) {
      case (SCSIOperation.modeSelect6, _), (SCSIOperation.modeSelect10, _):
        return try selectModes(command, parameters)
      case (SCSIOperation.unmapOrSubchannel, .disk):
        return try unmap(parameters)
      case (SCSIOperation.writeSame10, .disk), (SCSIOperation.writeSame16, .disk):
        return try writeSame(command, block: parameters)
      default:
        throw .invalidOperation
      }
    } catch {
      return .checkCondition(keep(error))
    }
  }

  /// What a logical unit number other than 0 answers (SPC-3, 4.5.x and 6.4.2): that it is not there.
  public mutating func executeOnAbsentUnit(_ command: SCSICommand) -> SCSIOutcome {
    do throws(SCSISense) {
      switch command.operation {
      case SCSIOperation.inquiry:
        guard command[1] & 1 == 0 else { throw .invalidField }
        // Peripheral qualifier 3, device type 0x1F.
        return reply([0x7F] + standardInquiry().dropFirst(), limit: command.big(at: 3, count: 2))
      case SCSIOperation.reportLUNs: return try reportLUNs(command)
      case SCSIOperation.requestSense: return senseReply(.noSuchUnit, command)
      default: throw .noSuchUnit
      }
    } catch {
      return .checkCondition(error)
    }
  }

  private mutating func keep(_ sense: SCSISense) -> SCSISense {
    if interface == .atapi { kept = sense }
    return sense
  }

  /// A pending unit attention goes before any command but those that must not be held up by it.
  private mutating func raiseAttention(_ command: SCSICommand) throws(SCSISense) {
    guard let pending = attention else { return }
    switch command.operation {
    case SCSIOperation.inquiry, SCSIOperation.reportLUNs, SCSIOperation.requestSense: return
    case SCSIOperation.getConfiguration, SCSIOperation.getEventStatus: if kind == .cdrom { return }
    default: break
    }
    attention = nil
    throw pending
  }

  private mutating func begin(_ command: SCSICommand) throws(SCSISense) -> SCSIOutcome {
    switch command.operation {
    case SCSIOperation.testUnitReady:
      _ = try blocks()
      return .reply([])
    case SCSIOperation.requestSense: return requestSense(command)
    case SCSIOperation.inquiry: return try inquiry(command)
    case SCSIOperation.reportLUNs: return try reportLUNs(command)
    case SCSIOperation.modeSense6, SCSIOperation.modeSense10: return try modeSense(command)
    case SCSIOperation.modeSelect6:
      return command[4] == 0 ? .reply([]) : .parameters(count: Int(command[4]))
    case SCSIOperation.modeSelect10:
      let count = Int(command.big(at: 7, count: 2))
      return count == 0 ? .reply([]) : .parameters(count: count)
    case SCSIOperation.startStop: return try startStop(command)
    case SCSIOperation.preventAllow:
      isLocked = command[4] & 1 != 0
      return .reply([])
    case SCSIOperation.readCapacity10: return try readCapacity10(command)
    case SCSIOperation.read6, SCSIOperation.read10, SCSIOperation.read12, SCSIOperation.read16:
      return try read(command)
    case SCSIOperation.verify10, SCSIOperation.verify12, SCSIOperation.verify16: return try verify(command)
    case SCSIOperation.seek10:
      guard command.big(at: 2, count: 4) < (try blocks()) else { throw .outOfRange }
      return .reply([])
    case SCSIOperation.serviceActionIn16:
      guard command[1] & 0x1F == 0x10 else { throw .invalidField }
      return try readCapacity16(command)
    default:
      return kind == .disk ? try beginOnDisk(command) : try beginOnDisc(command)
    }
  }

  // MARK: Shared by the commands

  /// Blocks of the medium, which must be ready.
  func blocks() throws(SCSISense) -> UInt64 {
    guard !isTrayOpen else { throw .trayOpen }
    guard let medium else { throw .noMedium }
    guard !isStopped else { throw .stopped }
    return medium
  }

  /// `data`, cut to the allocation length `limit`.
  func reply(_ data: [UInt8], limit: UInt64) -> SCSIOutcome {
    UInt64(data.count) <= limit ? .reply(data) : .reply(Array(data.prefix(Int(limit))))
  }

  /// START STOP UNIT (SBC-3, 5.25; MMC-5, 6.42).
  private mutating func startStop(_ command: SCSICommand) throws(SCSISense) -> SCSIOutcome {
    // A power condition; the two low bits then mean nothing.
    guard command[4] >> 4 == 0 else { return .reply([]) }
    let starts = command[4] & 1 != 0
    guard command[4] & 2 != 0 else {
      if kind == .disk {
        isStopped = !starts
        // NO_FLUSH: without it, stopping writes the cache back.
        if !starts, command[4] & 4 == 0, !isReadOnly { return .flush }
      }
      return .reply([])
    }
    guard kind == .cdrom else { throw .invalidField }
    guard starts || !isLocked else { throw .removalPrevented }
    if isTrayOpen, starts, medium != nil {
      attention = .mediumChanged
      mediaEvent = .newMedium
    } else if !isTrayOpen, !starts, medium != nil {
      mediaEvent = .removal
    }
    isTrayOpen = !starts
    return .reply([])
  }
}
