/// The format of a floppy disk, as its size in bytes tells it.
public struct FloppyFormat: Hashable, Sendable {
  /// Tracks of one side.
  public let cylinders: UInt8
  /// Sectors of a track.
  public let sectors: UInt8
  /// The data rate at which it can be read, as the rate select bits have it (82077AA, 2.1.6): 0 is 500 kb/s, 1 is 300,
  /// 2 is 250, 3 is 1000.
  public let rate: UInt8
  /// The type of drive that is made for it, as CMOS register 0x10 names drives.
  public let driveType: UInt8

  /// Two sides.
  public static let heads: UInt8 = 2

  /// The format of a disk of this many bytes: 360 KB, 720 KB, 1.2, 1.44 and 2.88 MB; nil for another.
  public init?(bytes: UInt64) {
    switch bytes {
    case 720 * 512: (cylinders, sectors, rate, driveType) = (40, 9, 2, 1)
    case 1440 * 512: (cylinders, sectors, rate, driveType) = (80, 9, 2, 3)
    case 2400 * 512: (cylinders, sectors, rate, driveType) = (80, 15, 0, 2)
    case 2880 * 512: (cylinders, sectors, rate, driveType) = (80, 18, 0, 4)
    case 5760 * 512: (cylinders, sectors, rate, driveType) = (80, 36, 3, 5)
    default: return nil
    }
  }

  /// Offset in bytes of a sector; nil where there is none. Sectors count from 1.
  func offset(cylinder: UInt8, head: UInt8, sector: UInt8) -> UInt64? {
    guard cylinder < cylinders, head < Self.heads, sector >= 1, sector <= sectors else { return nil }
    let track = UInt64(cylinder) * UInt64(Self.heads) + UInt64(head)
    return (track * UInt64(sectors) + UInt64(sector) - 1) * 512
  }
}

/// A floppy drive, with a disk or without. A value type; its controller guards it.
struct FloppyDrive<Store: SectorStore>: Sendable {
  /// The disk and its format.
  private(set) var disk: (store: Store, format: FloppyFormat)?
  /// Where the heads are.
  var cylinder: UInt8 = 0
  /// DSKCHG: the disk was changed, and the heads have not moved with one in the drive since.
  private(set) var isChanged = true

  /// A drive with `store`, which must have the size of a disk.
  init(_ store: Store?) {
    insert(store)
  }

  /// Puts a disk in, or takes it out. False when it is no disk's size; the drive is empty then.
  @discardableResult
  mutating func insert(_ store: Store?) -> Bool {
    isChanged = true
    disk = nil
    guard let store else { return true }
    guard let format = FloppyFormat(bytes: store.capacity) else { return false }
    disk = (store, format)
    return true
  }

  /// The heads step to `cylinder`.
  mutating func seek(to cylinder: UInt8) {
    self.cylinder = cylinder
    if disk != nil { isChanged = false }
  }
}
