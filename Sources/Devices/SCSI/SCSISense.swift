/// Why a command ended with CHECK CONDITION (SPC-3, 4.5): sense key, additional sense code and its qualifier.
public struct SCSISense: Error, Hashable, Sendable {
  /// Sense keys (SPC-3, table 27).
  public enum Key: UInt8, Sendable {
    case noSense = 0x0
    case notReady = 0x2
    case mediumError = 0x3
    case hardwareError = 0x4
    case illegalRequest = 0x5
    case unitAttention = 0x6
    case dataProtect = 0x7
    case abortedCommand = 0xB
  }

  /// The sense key.
  public let key: Key
  /// Additional sense code (ASC).
  public let code: UInt8
  /// Additional sense code qualifier (ASCQ).
  public let qualifier: UInt8

  /// Sense data of these three.
  public init(_ key: Key, _ code: UInt8, _ qualifier: UInt8) {
    self.key = key
    self.code = code
    self.qualifier = qualifier
  }

  /// Length of `fixed` in bytes.
  public static let fixedCount = 18

  /// The 18 bytes of fixed format sense data (SPC-3, 4.5.3).
  public var fixed: [UInt8] {
    [0x70, 0, key.rawValue, 0, 0, 0, 0, 10, 0, 0, 0, 0, code, qualifier, 0, 0, 0, 0]
  }

  /// The 8 bytes of descriptor format sense data without descriptors (SPC-3, 4.5.2).
  var descriptors: [UInt8] { [0x72, key.rawValue, code, qualifier, 0, 0, 0, 0] }

  /// Nothing is wrong.
  public static let none = SCSISense(.noSense, 0x00, 0x00)
  /// INVALID COMMAND OPERATION CODE.
  public static let invalidOperation = SCSISense(.illegalRequest, 0x20, 0x00)
  /// LOGICAL BLOCK ADDRESS OUT OF RANGE.
  public static let outOfRange = SCSISense(.illegalRequest, 0x21, 0x00)
  /// INVALID FIELD IN CDB.
  public static let invalidField = SCSISense(.illegalRequest, 0x24, 0x00)
  /// LOGICAL UNIT NOT SUPPORTED.
  public static let noSuchUnit = SCSISense(.illegalRequest, 0x25, 0x00)
  /// PARAMETER LIST LENGTH ERROR.
  public static let parameterLength = SCSISense(.illegalRequest, 0x1A, 0x00)
  /// INVALID FIELD IN PARAMETER LIST.
  public static let invalidParameter = SCSISense(.illegalRequest, 0x26, 0x00)
  /// SAVING PARAMETERS NOT SUPPORTED.
  public static let noSaving = SCSISense(.illegalRequest, 0x39, 0x00)
  /// MEDIUM REMOVAL PREVENTED.
  public static let removalPrevented = SCSISense(.illegalRequest, 0x53, 0x02)
  /// ILLEGAL MODE FOR THIS TRACK: a disc's sectors are wanted in a form in which they are not there.
  public static let wrongTrackMode = SCSISense(.illegalRequest, 0x64, 0x00)
  /// WRITE PROTECTED.
  public static let writeProtected = SCSISense(.dataProtect, 0x27, 0x00)
  /// MEDIUM NOT PRESENT - TRAY CLOSED.
  public static let noMedium = SCSISense(.notReady, 0x3A, 0x01)
  /// MEDIUM NOT PRESENT - TRAY OPEN.
  public static let trayOpen = SCSISense(.notReady, 0x3A, 0x02)
  /// LOGICAL UNIT NOT READY, INITIALIZING COMMAND REQUIRED: the disk was stopped.
  public static let stopped = SCSISense(.notReady, 0x04, 0x02)
  /// POWER ON, RESET, OR BUS DEVICE RESET OCCURRED.
  public static let reset = SCSISense(.unitAttention, 0x29, 0x00)
  /// NOT READY TO READY CHANGE, MEDIUM MAY HAVE CHANGED.
  public static let mediumChanged = SCSISense(.unitAttention, 0x28, 0x00)
  /// CAPACITY DATA HAS CHANGED.
  public static let capacityChanged = SCSISense(.unitAttention, 0x2A, 0x09)
  /// UNRECOVERED READ ERROR.
  public static let readError = SCSISense(.mediumError, 0x11, 0x00)
  /// WRITE ERROR.
  public static let writeError = SCSISense(.mediumError, 0x0C, 0x00)
}
