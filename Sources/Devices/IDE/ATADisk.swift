/// A disk with 512-byte sectors on the ATA bus: the general feature set, power management, write cache and 48-bit
/// addresses of ATA/ATAPI-6 (T13/1410D). A value type; its channel guards it.
///
/// Every command is over when its register write or its last data access is. A write reaches the store when its block
/// is whole, and with the write cache off it is flushed before the command ends.
public struct ATADisk<Store: SectorStore>: Sendable {
  /// What the disk holds.
  public let store: Store
  /// What it is called.
  public let identity: ATAIdentity

  /// Whole sectors, as many as 48 bits address.
  let sectors: UInt64
  /// The geometry that CHS addresses are translated by.
  var geometry: ATAGeometry
  /// Sectors of a block of READ and WRITE MULTIPLE; 0 until SET MULTIPLE MODE.
  var multiple = 0
  var isWriteCacheEnabled = true
  var isLookAheadEnabled = true
  var transferMode = ATATransferMode.pio

  /// Where the command that moves sectors is.
  struct Operation: Sendable {
    let isWrite: Bool
    let addressing: ATAAddressing
    /// Sectors of one block.
    let block: UInt64
    /// The first sector that is not in the buffer, or not yet written.
    var next: UInt64
    /// Sectors from there on.
    var remaining: UInt64
    /// Sectors in the buffer that the host has not been offered.
    var loaded: UInt64 = 0
  }
  /// Nil while a command moves something else than sectors, or nothing.
  private var operation: Operation?

  static var sectorBytes: UInt64 { 512 }
  /// Sectors that the buffer holds.
  private static var bufferSectors: UInt64 { UInt64(ATATransfer.capacity) / sectorBytes }
  /// Largest block of READ and WRITE MULTIPLE.
  static var multipleMaximum: Int { 16 }

  /// A disk on `store`.
  public init(_ store: Store, identity: ATAIdentity) {
    self.store = store
    self.identity = identity
    sectors = min(store.capacity / Self.sectorBytes, 1 << 48)
    geometry = ATAGeometry(sectors: sectors)
  }

  // MARK: Sectors

  /// Starts a command that moves sectors.
  mutating func begin(
    isWrite: Bool, _ transport: ATATransport, isExtended: Bool, _ interface: inout ATAInterface
  ) {
    let block: UInt64
    switch transport {
    case .single: block = 1
    case .multiple: block = UInt64(multiple)
    case .dma: block = Self.bufferSectors
    }
    guard block > 0, !isWrite || !store.isReadOnly else { return interface.abort() }
    guard let start = range(isExtended: isExtended, interface.registers) else {
      return interface.fail(ATARegisters.Failure.idNotFound)
    }
    let count = interface.registers.sectorCount(isExtended: isExtended)
    let operation = Operation(
      isWrite: isWrite, addressing: addressing(isExtended: isExtended, interface.registers), block: block, next: start,
      remaining: count)
    self.operation = operation
    let isDMA = if case .dma = transport { true } else { false }
    interface.transfer.begin(isWrite ? .fromHost : .toHost, isDMA: isDMA)
    if isWrite {
      interface.request(0..<Self.byteCount(min(block, count)), interrupts: false)
    } else {
      offer(operation, &interface)
    }
  }

  /// The first sector that a command names; nil when not all of its sectors are on the disk.
  func range(isExtended: Bool, _ registers: ATARegisters) -> UInt64? {
    guard let start = address(isExtended: isExtended, registers) else { return nil }
    let count = registers.sectorCount(isExtended: isExtended)
    return start <= sectors && count <= sectors - start ? start : nil
  }

  /// The sector that a command names, on the disk or beyond; nil for a CHS address that the geometry has not.
  func address(isExtended: Bool, _ registers: ATARegisters) -> UInt64? {
    switch addressing(isExtended: isExtended, registers) {
    case .chs:
      geometry.sector(
        cylinder: UInt64(registers.high.current) << 8 | UInt64(registers.middle.current),
        head: UInt64(registers.device & 0x0F), sector: UInt64(registers.low.current))
    case .lba28: registers.address28
    case .lba48: registers.address48
    }
  }

  private func addressing(isExtended: Bool, _ registers: ATARegisters) -> ATAAddressing {
    if isExtended { return .lba48 }
    return registers.device & ATARegisters.lbaBit == 0 ? .chs : .lba28
  }

  /// The host has moved all that was offered or asked for.
  mutating func advance(_ interface: inout ATAInterface) {
    // IDENTIFY DEVICE: the interrupt came with the data.
    guard var operation else { return interface.complete(interrupts: false) }
    guard operation.isWrite else { return offer(operation, &interface) }
    let count = min(operation.block, operation.remaining)
    guard write(operation.next, count: count, interface.transfer) else {
      return fail(operation, ATARegisters.Failure.aborted, status: ATARegisters.Status.deviceFault, &interface)
    }
    operation.next += count
    operation.remaining -= count
    self.operation = operation
    if operation.remaining > 0 {
      let next = Self.byteCount(min(operation.block, operation.remaining))
      let isDMA = interface.transfer.isDMA
      interface.request(0..<next, interrupts: !isDMA)
    } else {
      finish(operation, &interface)
    }
  }

  /// Offers the host the next block of a read, filling the buffer when it is used up.
  private mutating func offer(_ previous: Operation, _ interface: inout ATAInterface) {
    var operation = previous
    var start = interface.transfer.position
    if operation.loaded == 0 {
      guard operation.remaining > 0 else { return finish(operation, &interface) }
      let count = load(operation, &interface.transfer)
      guard count > 0 else { return fail(operation, ATARegisters.Failure.uncorrectable, &interface) }
      operation.next += count
      operation.remaining -= count
      operation.loaded = count
      start = 0
    }
    let count = min(operation.block, operation.loaded)
    operation.loaded -= count
    self.operation = operation
    let isDMA = interface.transfer.isDMA
    interface.request(start..<(start + Self.byteCount(count)), interrupts: !isDMA)
  }

  /// Reads as much as fits the buffer; how many sectors are good. On a bad medium those before the first bad one.
  private func load(_ operation: Operation, _ transfer: inout ATATransfer) -> UInt64 {
    let wanted = min(operation.remaining, Self.bufferSectors)
    if read(operation.next, count: wanted, to: 0, &transfer) { return wanted }
    for index in 0..<wanted where !read(operation.next + index, count: 1, to: index, &transfer) { return index }
    return wanted
  }

  private func read(_ sector: UInt64, count: UInt64, to index: UInt64, _ transfer: inout ATATransfer) -> Bool {
    let start = Self.byteCount(index)
    var whole = transfer.buffer.mutableSpan
    var span = whole._mutatingExtracting(start..<(start + Self.byteCount(count)))
    return store.read(at: sector * Self.sectorBytes, into: &span)
  }

  private func write(_ sector: UInt64, count: UInt64, _ transfer: borrowing ATATransfer) -> Bool {
    store.write(at: sector * Self.sectorBytes, from: transfer.buffer.span.extracting(0..<Self.byteCount(count)))
  }

  /// Bytes of `sectors`, of which there are never more than the buffer holds.
  private static func byteCount(_ sectors: UInt64) -> Int { Int(sectors * sectorBytes) }

  private mutating func finish(_ operation: Operation, _ interface: inout ATAInterface) {
    self.operation = nil
    if operation.isWrite, !isWriteCacheEnabled, !store.flush() {
      return interface.fail(ATARegisters.Failure.aborted, status: ATARegisters.Status.deviceFault)
    }
    show(operation.next - 1, operation.addressing, &interface.registers)
    interface.registers.count.set(0)
    let isDMA = interface.transfer.isDMA
    interface.complete(interrupts: operation.isWrite || isDMA)
  }

  private mutating func fail(
    _ operation: Operation, _ error: UInt8, status: UInt8 = 0, _ interface: inout ATAInterface
  ) {
    self.operation = nil
    show(operation.next, operation.addressing, &interface.registers)
    interface.fail(error, status: status)
  }

  /// Shows a sector in the registers, by the way that the command named it.
  func show(_ sector: UInt64, _ addressing: ATAAddressing, _ registers: inout ATARegisters) {
    switch addressing {
    case .chs:
      let address = geometry.address(of: sector)
      registers.low.set(UInt8(truncatingIfNeeded: address.sector))
      registers.middle.set(UInt8(truncatingIfNeeded: address.cylinder))
      registers.high.set(UInt8(truncatingIfNeeded: address.cylinder >> 8))
      registers.device = registers.device & 0xF0 | UInt8(truncatingIfNeeded: address.head) & 0x0F
    case .lba28: registers.setAddress(sector, isExtended: false)
    case .lba48: registers.setAddress(sector, isExtended: true)
    }
  }

  /// Forgets the command that was on.
  mutating func abandon() {
    operation = nil
  }

  /// A software reset: settings of SET FEATURES stay (ATA/ATAPI-6, 9.2), the block size goes.
  mutating func reset() {
    operation = nil
    multiple = 0
  }
}

/// The translation of cylinder, head and sector (ATA/ATAPI-5, 6.2): 16 heads and 63 sectors from the start, what
/// INITIALIZE DEVICE PARAMETERS said later.
struct ATAGeometry: Hashable, Sendable {
  let heads: UInt64
  let sectorsPerTrack: UInt64
  /// At most 16,383 by default, the largest that IDENTIFY may show; 65,535 otherwise.
  let cylinders: UInt64

  /// The default of a disk with `sectors`.
  init(sectors: UInt64) {
    heads = 16
    sectorsPerTrack = 63
    cylinders = min(max(sectors / (16 * 63), 1), 16_383)
  }

  /// What the host sets; nil without sectors.
  init?(heads: UInt64, sectorsPerTrack: UInt64, sectors: UInt64) {
    guard heads > 0, sectorsPerTrack > 0 else { return nil }
    self.heads = heads
    self.sectorsPerTrack = sectorsPerTrack
    cylinders = min(max(sectors / (heads * sectorsPerTrack), 1), 65_535)
  }

  /// Sectors that CHS reaches.
  var count: UInt64 { cylinders * heads * sectorsPerTrack }

  /// The sector at an address; nil when there is none. Sectors of a track count from 1.
  func sector(cylinder: UInt64, head: UInt64, sector: UInt64) -> UInt64? {
    guard cylinder < cylinders, head < heads, sector >= 1, sector <= sectorsPerTrack else { return nil }
    return (cylinder * heads + head) * sectorsPerTrack + sector - 1
  }

  /// The address of `sector`.
  func address(of sector: UInt64) -> (cylinder: UInt64, head: UInt64, sector: UInt64) {
    let track = sector / sectorsPerTrack
    return (track / heads, track % heads, sector % sectorsPerTrack + 1)
  }
}
