/// A CD-ROM drive on the ATA bus: the PACKET command feature set of ATA/ATAPI-6 (9.8 to 9.10, 8.33) around a SCSI
/// target, which knows the commands. A value type; its channel guards it.
public struct ATAPICD<Store: SectorStore>: Sendable {
  /// The disc; nil when the drive is empty.
  public internal(set) var store: Store?
  /// What the drive is called.
  public let identity: ATAIdentity

  var target: SCSITarget
  var transferMode = ATATransferMode.pio

  /// Length of a command packet in bytes.
  private static var packetBytes: Int { 12 }
  /// Most bytes that one interrupt may announce: the largest even number of the byte count registers.
  private static var burstMaximum: Int { 0xFFFE }

  /// What a transfer is for.
  private enum Phase: Sendable {
    case idle
    /// IDENTIFY PACKET DEVICE.
    case identify
    /// The packet is awaited.
    case packet
    /// Data goes to the host.
    case reply
    /// Parameters of a command are awaited.
    case parameters(SCSICommand, count: Int)
  }
  private var phase = Phase.idle
  /// Bytes in the buffer.
  private var loaded = 0
  /// Where the disc is read next.
  private var next: UInt64 = 0
  /// Bytes of the disc that are not in the buffer yet.
  private var remaining: UInt64 = 0
  /// Bytes that the last interrupt announced and that are not open yet.
  private var announced: UInt64 = 0
  /// Most bytes that one interrupt announces, as the host said.
  private var limit = 0
  /// The host wants the data by the bus master.
  private var isDMA = false
  /// The disc is another one than when the command began.
  private var isDiscChanged = false

  /// A drive with the disc `store`, or empty.
  public init(_ store: Store?, identity: ATAIdentity) {
    self.store = store
    self.identity = identity
    target = SCSITarget(
      kind: .cdrom, capacity: store?.capacity, revision: identity.firmware, serial: identity.serial, interface: .atapi)
  }

  /// Interrupt reason register bits (7.3.4).
  private enum Reason {
    static var command: UInt8 { 0x01 }
    static var toHost: UInt8 { 0x02 }
  }

  // MARK: Commands

  /// The host has written `code` into the command register.
  mutating func execute(_ code: UInt8, _ interface: inout ATAInterface) {
    phase = .idle
    switch code {
    case 0xA0: awaitPacket(&interface)
    case 0xA1:
      phase = .identify
      interface.transfer.begin(.toHost, isDMA: false)
      interface.transfer.load(identification.bytes)
      interface.request(0..<512, interrupts: true)
    case 0x08:  // DEVICE RESET, without an interrupt (8.6)
      interface.reset(isPacketDevice: true)
    case 0x20, 0x21, 0xEC:
      // How drivers of disks find out what this is (8.15.5.2, 8.27.5.2).
      interface.registers.setSignature(isPacketDevice: true)
      interface.abort()
    case 0xEF: setFeatures(&interface)
    case 0xE5:
      interface.registers.count.set(0xFF)  // active or idle
      interface.complete()
    case 0xE0...0xE3, 0xE6, 0xE7: interface.complete()
    default: interface.abort()
    }
  }

  private mutating func setFeatures(_ interface: inout ATAInterface) {
    switch interface.registers.features.current {
    case 0x03:
      guard let mode = ATATransferMode(interface.registers.count.current) else { return interface.abort() }
      transferMode = mode
    case 0x66, 0xCC: break
    default: return interface.abort()
    }
    interface.complete()
  }

  private mutating func awaitPacket(_ interface: inout ATAInterface) {
    let features = interface.registers.features.current
    // Overlapped commands are not there.
    guard features & 0x02 == 0 else { return interface.abort() }
    isDMA = features & 0x01 != 0
    let count = Int(interface.registers.high.current) << 8 | Int(interface.registers.middle.current)
    // 0 is not allowed, and an odd number is only for the last bytes (8.33.3).
    isDiscChanged = false
    limit = count == 0 ? Self.burstMaximum : max(2, min(count, Self.burstMaximum) & ~1)
    phase = .packet
    interface.transfer.begin(.fromHost, isDMA: false)
    interface.registers.count.set(Reason.command)
    interface.request(0..<Self.packetBytes, interrupts: false)
  }

  /// The host has moved all that was offered or asked for.
  mutating func advance(_ interface: inout ATAInterface) {
    switch phase {
    case .idle: interface.transfer.finish()
    case .identify:
      phase = .idle
      interface.complete(interrupts: false)
    case .packet:
      let command = SCSICommand(interface.transfer.buffer.span.extracting(0..<Self.packetBytes))
      begin(target.execute(command), command, &interface)
    case .reply: offer(&interface)
    case .parameters(let command, let count): collect(command, count, &interface)
    }
  }

  /// Goes on with what a command came to.
  private mutating func begin(_ outcome: SCSIOutcome, _ command: SCSICommand, _ interface: inout ATAInterface) {
    switch outcome {
    case .reply(let bytes) where !bytes.isEmpty:
      interface.transfer.begin(.toHost, isDMA: isDMA)
      interface.transfer.load(bytes)
      reply(loaded: min(bytes.count, ATATransfer.capacity), from: 0, count: 0, &interface)
    case .read(let offset, let count) where count > 0:
      interface.transfer.begin(.toHost, isDMA: isDMA)
      reply(loaded: 0, from: offset, count: count, &interface)
    case .parameters(let count):
      interface.transfer.begin(.fromHost, isDMA: isDMA)
      phase = .parameters(command, count: min(count, ATATransfer.capacity))
      collect(command, min(count, ATATransfer.capacity), &interface)
    case .checkCondition(let sense): fail(sense, &interface)
    case .reply, .read, .write, .flush, .discard, .writeZeroes: finish(&interface)
    }
  }

  // MARK: Data to the host

  private mutating func reply(loaded: Int, from offset: UInt64, count: UInt64, _ interface: inout ATAInterface) {
    phase = .reply
    self.loaded = loaded
    next = offset
    remaining = count
    announced = 0
    offer(&interface)
  }

  /// Offers the host what the buffer has, announcing as much as it allows by one interrupt. The buffer may be filled
  /// several times for one announcement, and the other way about.
  private mutating func offer(_ interface: inout ATAInterface) {
    var start = interface.transfer.position
    let isNew = announced == 0
    if isNew {
      let left = UInt64(loaded - start) + remaining
      guard left > 0 else { return finish(&interface) }
      announced = isDMA ? left : min(UInt64(limit), left)
      announce(&interface)
    }
    if start == loaded {
      guard load(&interface.transfer) else { return fail(target.failed(.read(offset: next, count: 0)), &interface) }
      start = 0
    }
    let count = min(announced, UInt64(loaded - start))
    announced -= count
    interface.request(start..<(start + Int(count)), interrupts: isNew && !isDMA)
  }

  private func announce(_ interface: inout ATAInterface) {
    interface.registers.count.set(Reason.toHost)
    guard !isDMA else { return }
    interface.registers.middle.set(UInt8(truncatingIfNeeded: announced))
    interface.registers.high.set(UInt8(truncatingIfNeeded: announced >> 8))
  }

  /// Fills the buffer from the disc.
  private mutating func load(_ transfer: inout ATATransfer) -> Bool {
    guard let store, !isDiscChanged else { return false }
    let count = Int(min(remaining, UInt64(ATATransfer.capacity)))
    var whole = transfer.buffer.mutableSpan
    var span = whole._mutatingExtracting(0..<count)
    guard store.read(at: next, into: &span) else { return false }
    next += UInt64(count)
    remaining -= UInt64(count)
    loaded = count
    return true
  }

  // MARK: Parameters from the host

  private mutating func collect(_ command: SCSICommand, _ count: Int, _ interface: inout ATAInterface) {
    let start = interface.transfer.position
    guard start < count else {
      let parameters = Array(interface.transfer.buffer[0..<count])
      return begin(target.execute(command, parameters: parameters), command, &interface)
    }
    let burst = isDMA ? count : min(limit, count - start)
    interface.registers.count.set(0)
    if !isDMA {
      interface.registers.middle.set(UInt8(truncatingIfNeeded: burst))
      interface.registers.high.set(UInt8(truncatingIfNeeded: burst >> 8))
    }
    interface.request(start..<(start + burst), interrupts: !isDMA)
  }

  // MARK: The end of a command

  private mutating func finish(_ interface: inout ATAInterface) {
    phase = .idle
    interface.registers.count.set(Reason.command | Reason.toHost)
    interface.complete()
  }

  /// CHECK CONDITION: the sense key is in the error register.
  private mutating func fail(_ sense: SCSISense, _ interface: inout ATAInterface) {
    phase = .idle
    interface.registers.count.set(Reason.command | Reason.toHost)
    interface.fail(sense.key.rawValue << 4)
  }

  /// The bus master could not move the data.
  mutating func transferFailed(_ interface: inout ATAInterface) {
    fail(SCSISense(.abortedCommand, 0, 0), &interface)
  }

  /// A software reset; it is none of the target's (9.3).
  mutating func reset() {
    phase = .idle
  }

  // MARK: The disc

  /// Puts `store` in and closes the tray; nil takes the disc out. A command that reads the old disc fails.
  mutating func insert(_ store: Store?) {
    self.store = store
    target.insert(capacity: store?.capacity)
    isDiscChanged = true
  }

  /// What IDENTIFY PACKET DEVICE returns (8.16).
  var identification: ATAIdentification {
    var words = ATAIdentification(identity, transferMode: transferMode)
    words[0] = 0x85C0  // ATAPI, CD-ROM, removable, DRQ within 50 us of PACKET, 12-byte packets
    words[49] = 0x0F00  // IORDY, LBA, DMA
    words[71] = 30  // nanoseconds from PACKET to bus release, which never happens
    words[72] = 30
    words[82] = 0x4218  // NOP, DEVICE RESET, PACKET, power management
    words[83] = 0x4000
    words[84] = 0x4000
    words[85] = 0x4218
    words[87] = 0x4000
    return words
  }
}
