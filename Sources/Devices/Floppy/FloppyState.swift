/// The registers and the command phases of a floppy controller (Intel 82077AA, 290166-007). Commands are over when
/// their last byte is written; data moves through DMA channel 2 meanwhile.
struct FloppyState<Store: SectorStore, Memory: GuestMemory>: Sendable {
  /// Status register 0 (table 6-1): how the command ended, and with which head and drive.
  enum Status0 {
    static var abnormal: UInt8 { 0x40 }
    static var invalid: UInt8 { 0x80 }
    static var readyChanged: UInt8 { 0xC0 }
    static var seekEnd: UInt8 { 0x20 }
    static var equipmentCheck: UInt8 { 0x10 }
  }

  /// Status register 1 (table 6-2).
  enum Status1 {
    static var missingAddressMark: UInt8 { 0x01 }
    static var notWritable: UInt8 { 0x02 }
    static var noData: UInt8 { 0x04 }
    static var overrun: UInt8 { 0x10 }
    static var dataError: UInt8 { 0x20 }
    static var endOfCylinder: UInt8 { 0x80 }
  }

  /// Status register 2 (table 6-3).
  enum Status2 {
    static var wrongCylinder: UInt8 { 0x10 }
  }

  /// Digital output register (2.1.3).
  private enum Output {
    static var notReset: UInt8 { 0x04 }
    static var dmaGate: UInt8 { 0x08 }
  }

  var drives: [FloppyDrive<Store>?]
  private let dma: ISADMA<Memory>
  private var sector = [UInt8](repeating: 0, count: 512)

  /// DOR; the controller begins in reset.
  private var output: UInt8 = 0
  private var tape: UInt8 = 0
  /// Rate select bits of CCR and DSR.
  private var rate: UInt8 = 2
  /// Bytes of the command that have come.
  private var command: [UInt8] = []
  /// Bytes of the result that have not been read.
  private var results: [UInt8] = []
  /// What SENSE INTERRUPT STATUS has to tell: status register 0, by drive.
  private var seeks: [UInt8] = []
  private(set) var isInterruptPending = false
  private var isWireHigh = false

  // What SPECIFY, CONFIGURE, PERPENDICULAR MODE and LOCK set.
  private var specification: (UInt8, UInt8) = (0, 0)
  private var configuration: UInt8 = 0x20
  private var precompensation: UInt8 = 0
  private var perpendicular: UInt8 = 0
  private var isLocked = false
  private var lastSector: UInt8 = 0

  /// A controller with these drives, up to four.
  init(drives: [FloppyDrive<Store>?], dma: ISADMA<Memory>) {
    self.drives = Array(drives.prefix(4)) + Array(repeating: nil, count: max(0, 4 - drives.count))
    self.dma = dma
  }

  /// Brings the wire up to date.
  mutating func settle(_ line: some InterruptLine) {
    let level = isInterruptPending && output & Output.dmaGate != 0
    guard level != isWireHigh else { return }
    isWireHigh = level
    line.set(level)
  }

  // MARK: Registers

  /// Reads register `offset` of 0 to 7.
  mutating func read(_ offset: UInt64) -> UInt8 {
    switch offset {
    case 2: return output
    case 3: return tape
    case 4: return mainStatus
    case 5:
      guard !results.isEmpty else { return 0 }
      isInterruptPending = false
      return results.removeFirst()
    case 7:
      // DSKCHG of the selected drive, if its motor runs; other bits belong to the hard disk.
      let selected = Int(output & 3)
      let runs = output & 0x10 << UInt8(selected) != 0
      return runs && drives[selected]?.isChanged != false ? 0x80 : 0
    // Status registers A and B are of the PS/2 modes.
    default: return 0xFF
    }
  }

  /// MSR (2.1.5): ready for a byte, the direction, and busy with a command.
  private var mainStatus: UInt8 {
    guard output & Output.notReset != 0 else { return 0 }
    return 0x80 | (results.isEmpty ? 0 : 0x50) | (command.isEmpty ? 0 : 0x10)
  }

  /// Writes register `offset` of 0 to 7.
  mutating func write(_ value: UInt8, _ offset: UInt64) {
    switch offset {
    case 2:
      let before = output
      output = value
      if output & Output.notReset == 0 {
        enterReset()
      } else if before & Output.notReset == 0 {
        leaveReset()
      }
    case 3: tape = value & 3
    case 4:
      rate = value & 3
      if value & 0x80 != 0 {
        enterReset()
        if output & Output.notReset != 0 { leaveReset() }
      }
    case 5:
      guard output & Output.notReset != 0, results.isEmpty else { return }
      command.append(value)
      let kind = FloppyCommand(command[0])
      if command.count >= kind.count { execute(kind) }
    case 7: rate = value & 3
    default: break
    }
  }

  private mutating func enterReset() {
    command = []
    results = []
    seeks = []
    isInterruptPending = false
    guard !isLocked else { return }
    configuration = 0x20
    precompensation = 0
  }

  /// With polling on, every drive is found to have changed its readiness (6.1).
  private mutating func leaveReset() {
    seeks = (0..<4).map { Status0.readyChanged | $0 }
    isInterruptPending = true
  }

  // MARK: Commands

  private mutating func execute(_ kind: FloppyCommand) {
    let bytes = command
    command = []
    switch kind {
    case .specify: specification = (bytes[1], bytes[2])
    case .senseDriveStatus: results = [driveStatus(bytes[1])]
    case .recalibrate: seek(Int(bytes[1] & 3), head: 0, to: 0)
    case .seek: seek(bytes)
    case .senseInterrupt: senseInterrupt()
    case .dumpRegisters:
      results = drives.map { $0?.cylinder ?? 0 }
      results += [specification.0, specification.1, lastSector]
      results += [(isLocked ? 0x80 : 0) | perpendicular, configuration, precompensation]
    case .version: results = [0x90]
    case .perpendicular:
      // OW lets the drives' bits be written.
      perpendicular = bytes[1] & 0x80 != 0 ? bytes[1] & 0x3F : perpendicular & 0x3C | bytes[1] & 0x03
    case .configure: (configuration, precompensation) = (bytes[2] & 0x7F, bytes[3])
    case .lock:
      isLocked = bytes[0] & 0x80 != 0
      results = [isLocked ? 0x10 : 0]
    case .readID: readID(bytes[1])
    case .read, .verify, .write, .readTrack: transfer(kind, bytes)
    case .format:
      // Sectors are where they are.
      finish(bytes[1] & 7, Status0.abnormal, Status1.notWritable, 0, (0, 0, 0, bytes[2]))
    case .unknown: results = [Status0.invalid]
    }
  }

  /// Status register 3 (table 6-4): write protect, track 0, two sides.
  private func driveStatus(_ unit: UInt8) -> UInt8 {
    guard let drive = drives[Int(unit & 3)] else { return unit & 7 }
    return 0x28 | unit & 7 | (drive.cylinder == 0 ? 0x10 : 0) | (drive.disk?.store.isReadOnly == true ? 0x40 : 0)
  }

  /// SEEK; with bit 7, by so many tracks inwards (bit 6) or outwards.
  private mutating func seek(_ bytes: [UInt8]) {
    let unit = Int(bytes[1] & 3)
    var cylinder = bytes[2]
    if bytes[0] & 0x80 != 0 {
      let now = Int(drives[unit]?.cylinder ?? 0)
      let target = bytes[0] & 0x40 != 0 ? now + Int(bytes[2]) : now - Int(bytes[2])
      cylinder = UInt8(clamping: target)
    }
    seek(unit, head: bytes[1] & 4, to: cylinder)
  }

  private mutating func seek(_ unit: Int, head: UInt8, to cylinder: UInt8) {
    let place = UInt8(truncatingIfNeeded: unit) | head
    seeks.removeAll { $0 & 3 == place & 3 }
    if drives[unit] == nil {
      // No track 0 came after 80 steps.
      seeks.append(Status0.abnormal | Status0.seekEnd | Status0.equipmentCheck | place)
    } else {
      drives[unit]?.seek(to: cylinder)
      seeks.append(Status0.seekEnd | place)
    }
    isInterruptPending = true
  }

  private mutating func senseInterrupt() {
    isInterruptPending = false
    guard !seeks.isEmpty else {
      results = [Status0.invalid]
      return
    }
    let status = seeks.removeFirst()
    results = [status, drives[Int(status & 3)]?.cylinder ?? 0]
  }

  // MARK: Data

  private mutating func readID(_ unit: UInt8) {
    guard let drive = drives[Int(unit & 3)], let disk = drive.disk, disk.format.rate == rate,
      drive.cylinder < disk.format.cylinders
    else {
      return finish(unit & 7, Status0.abnormal, Status1.missingAddressMark, 0, (0, 0, 0, 0))
    }
    finish(unit & 7, 0, 0, 0, (drive.cylinder, unit >> 2 & 1, 1, 2))
  }

  /// READ, WRITE, VERIFY and READ TRACK (5.1): sectors until DMA's terminal count or the last of the track, or of the
  /// cylinder with MT. At most all sectors of a cylinder.
  private mutating func transfer(_ kind: FloppyCommand, _ bytes: [UInt8]) {
    let unit = bytes[1] & 3
    var head = bytes[1] >> 2 & 1
    var id = (bytes[2], bytes[3], bytes[4], bytes[5])
    lastSector = bytes[6]
    func place() -> UInt8 { unit | head << 2 }
    // Implied seek.
    if configuration & 0x40 != 0 { drives[Int(unit)]?.seek(to: bytes[2]) }
    guard let drive = drives[Int(unit)], let disk = drive.disk, disk.format.rate == rate else {
      return finish(place(), Status0.abnormal, Status1.missingAddressMark, 0, id)
    }
    if kind == .write, disk.store.isReadOnly {
      return finish(place(), Status0.abnormal, Status1.notWritable, 0, id)
    }
    guard id.0 == drive.cylinder else {
      return finish(place(), Status0.abnormal, Status1.noData, Status2.wrongCylinder, id)
    }
    if kind == .readTrack { id.2 = 1 }
    while true {
      guard id.1 == head, id.3 == 2, let offset = disk.format.offset(cylinder: id.0, head: head, sector: id.2) else {
        return finish(place(), Status0.abnormal, Status1.noData, 0, id)
      }
      let step = move(kind, disk.store, at: offset)
      if let error = step.error { return finish(place(), Status0.abnormal, error, 0, id) }
      let isLast = id.2 == bytes[6]
      let turns = isLast && bytes[0] & 0x80 != 0 && head == 0
      // The result names the sector after the last one (table 5-4).
      switch (isLast, turns) {
      case (false, _): id.2 &+= 1
      case (true, true): (id.1, id.2) = (1, 1)
      case (true, false):
        id = (id.0 &+ 1, bytes[0] & 0x80 != 0 ? 0 : id.1, 1, id.3)
      }
      if step.isTerminal { return finish(place(), 0, 0, 0, id) }
      if isLast, !turns {
        // VERIFY without EC, and any transfer that DMA would have gone on with.
        let isEnd = kind == .verify
        return finish(place(), isEnd ? 0 : Status0.abnormal, isEnd ? 0 : Status1.endOfCylinder, 0, id)
      }
      if turns { head = 1 }
    }
  }

  /// Moves one sector. A write that DMA ends in the middle is filled with zeros.
  private mutating func move(
    _ kind: FloppyCommand, _ store: Store, at offset: UInt64
  ) -> (error: UInt8?, isTerminal: Bool) {
    let dma = self.dma
    if kind == .write {
      for index in sector.indices { sector[index] = 0 }
      var span = sector.mutableSpan
      let progress = dma.move(channel: 2, fromMemory: &span)
      guard progress.isTerminal || progress.count == 512 else { return (Status1.overrun, false) }
      return (store.write(at: offset, from: sector.span) ? nil : Status1.dataError, progress.isTerminal)
    }
    var span = sector.mutableSpan
    guard store.read(at: offset, into: &span) else { return (Status1.dataError, false) }
    if kind == .verify { return (nil, false) }
    let progress = dma.move(channel: 2, toMemory: sector.span)
    return (progress.isTerminal || progress.count == 512 ? nil : Status1.overrun, progress.isTerminal)
  }

  /// The result phase of a command on data, and its interrupt.
  private mutating func finish(
    _ place: UInt8, _ status0: UInt8, _ status1: UInt8, _ status2: UInt8, _ id: (UInt8, UInt8, UInt8, UInt8)
  ) {
    results = [status0 | place, status1, status2, id.0, id.1, id.2, id.3]
    isInterruptPending = true
  }
}
