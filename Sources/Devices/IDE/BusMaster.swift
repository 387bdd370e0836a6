/// One channel's half of a bus master (Programming Interface for Bus Master IDE Controller, revision 1.0): three
/// registers, and a walk through a table of physical regions in guest memory.
struct BusMaster: Sendable {
  /// Status register bits (2.2).
  enum Status {
    static let active: UInt8 = 0x01
    static let error: UInt8 = 0x02
    static let interrupt: UInt8 = 0x04
    /// The two bits in which software notes which drives can do DMA.
    static let capable: UInt8 = 0x60
  }

  /// Entries of the largest table: 64 KiB of eight bytes each (1.2).
  private static let entryMaximum = 8192

  /// What the walk gives next.
  enum Step {
    case run(GuestAddress, count: Int)
    /// The table ended before the data did.
    case exhausted
    /// The table is not in RAM, or longer than one can be.
    case fault
  }

  private var command: UInt8 = 0
  private var status: UInt8 = 0
  private var table: UInt32 = 0
  /// Bus Master Enable of the function's command register.
  var isEnabled = false

  private var entry: UInt64 = 0
  private var entriesLeft = 0
  private var region = (address: UInt64(0), count: 0)
  private var isLastRegion = false

  /// Whether it moves data when the drive has some.
  var isActive: Bool { status & Status.active != 0 && isEnabled }

  /// Reads the byte at `offset`, 0 to 7.
  func read(at offset: UInt64) -> UInt8 {
    switch offset {
    case 0: command
    case 2: status
    case 4...7: UInt8(truncatingIfNeeded: table >> (8 * UInt32(truncatingIfNeeded: offset & 3)))
    default: 0
    }
  }

  /// Writes the byte at `offset`, 0 to 7.
  mutating func write(_ value: UInt8, at offset: UInt64) {
    switch offset {
    case 0:
      let before = command
      command = value & 0x09  // direction and start
      if command & 1 == 0 {
        status &= ~Status.active
      } else if before & 1 == 0 {
        status |= Status.active
        entry = UInt64(table)
        entriesLeft = Self.entryMaximum
        region = (0, 0)
        isLastRegion = false
      }
    case 2:
      let cleared = value & (Status.error | Status.interrupt)
      status = status & ~cleared & ~Status.capable | value & Status.capable
    case 4...7:
      let shift = 8 * UInt32(truncatingIfNeeded: offset & 3)
      table = (table & ~(0xFF << shift) | UInt32(value) << shift) & ~3
    default: break
    }
  }

  /// The drive's interrupt has risen.
  mutating func interrupt() {
    status |= Status.interrupt
  }

  /// Where the next bytes go to or come from, at most `limit`, which is not 0.
  mutating func next(limit: Int, _ memory: some GuestMemory) -> Step {
    if region.count == 0 {
      guard !isLastRegion else { return .exhausted }
      guard entriesLeft > 0, let low = try? memory.loadUInt32(at: GuestAddress(entry)),
        let high = try? memory.loadUInt32(at: GuestAddress(entry &+ 4))
      else { return .fault }
      entriesLeft -= 1
      entry &+= 8
      let count = Int(high & 0xFFFE)
      region = (UInt64(low & ~1), count == 0 ? 65_536 : count)
      isLastRegion = high & 0x8000_0000 != 0
    }
    return .run(GuestAddress(region.address), count: min(limit, region.count))
  }

  /// `count` bytes, at most what `next` gave, were moved.
  mutating func moved(_ count: Int) {
    region.address &+= UInt64(count)
    region.count -= count
  }

  /// The drive is done: the transfer is over when the table is too; otherwise it stays active, by which software sees
  /// that the table was longer (3.1).
  mutating func driveFinished() {
    if region.count == 0, isLastRegion { status &= ~Status.active }
  }

  /// The table has ended before the data.
  mutating func exhausted() {
    status &= ~Status.active
  }

  /// Guest memory could not be reached.
  mutating func fault() {
    status = status & ~Status.active | Status.error
  }
}
