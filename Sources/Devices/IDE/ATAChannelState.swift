/// Everything of a channel that changes.
struct ATAChannelState<Store: SectorStore>: Sendable {
  /// A drive and what the host sees of it.
  struct Place: Sendable {
    var drive: ATADrive<Store>
    var interface = ATAInterface()

    /// The host has written `code` into the command register: what was on is dropped.
    mutating func execute(_ code: UInt8) {
      guard drive.isPresent else { return }
      interface.isInterruptPending = false
      interface.transfer.finish()
      drive.execute(code, &interface)
    }

    /// Asks the drive what comes next, when all that it had offered or asked for was moved.
    mutating func advanceIfDone() {
      if interface.transfer.available == 0 { drive.advance(&interface) }
    }

    /// The bus master could not move the data.
    mutating func transferFailed() {
      drive.transferFailed(&interface)
    }

    /// A software reset holds the drive.
    mutating func holdInReset() {
      interface.transfer.finish()
      interface.isInterruptPending = false
      interface.registers.status = ATARegisters.Status.busy
    }

    /// A software reset, or diagnostics.
    mutating func reset() {
      drive.reset(&interface)
    }
  }

  /// Device control register bits (ATA/ATAPI-6, 7.8).
  private enum Control {
    static var interruptDisable: UInt8 { 0x02 }
    static var softwareReset: UInt8 { 0x04 }
    static var highOrderByte: UInt8 { 0x80 }
  }

  /// Device 0 and device 1.
  var places: [Place]
  var busMaster = BusMaster()
  /// The place that the device register selects.
  private var selected = 0
  private var control: UInt8 = 0
  /// What the wire was last set to.
  private var isWireHigh = false

  /// A channel after power-on.
  init(_ first: ATADrive<Store>, _ second: ATADrive<Store>) {
    places = [Place(drive: first), Place(drive: second)]
    resetDrives()
  }

  private var isInReset: Bool { control & Control.softwareReset != 0 }

  /// Brings the wire up to date. The bus master notes each rise.
  mutating func settle(_ line: some InterruptLine) {
    let level = places[selected].interface.isInterruptPending && control & Control.interruptDisable == 0
    guard level != isWireHigh else { return }
    isWireHigh = level
    if level { busMaster.interrupt() }
    line.set(level)
  }

  // MARK: Registers

  /// Reads register `index`, 1 to 7, of the command block.
  mutating func read(_ index: Int) -> UInt8 {
    // No drive answers for one that is not there: its registers read 0, and a probe that writes them and reads them
    // back ends at once.
    guard places[selected].drive.isPresent else { return 0 }
    let value = places[selected].interface.registers.read(
      at: index, previous: control & Control.highOrderByte != 0)
    if index == 7 { places[selected].interface.isInterruptPending = false }
    return value
  }

  /// The alternate status register: the status, with no effect on the interrupt.
  var alternateStatus: UInt8 { places[selected].drive.isPresent ? places[selected].interface.registers.status : 0 }

  /// Writes register `index`, 1 to 6, of the command block: of both drives (7.1).
  mutating func write(_ value: UInt8, _ index: Int) {
    control &= ~Control.highOrderByte
    guard !isInReset else { return }
    for place in places.indices { places[place].interface.registers.write(value, at: index) }
    if index == 6 { selected = value & ATARegisters.deviceBit == 0 ? 0 : 1 }
  }

  /// Writes the command register. A command that is on is dropped for the new one.
  mutating func execute(_ code: UInt8) {
    control &= ~Control.highOrderByte
    guard !isInReset else { return }
    if code == 0x90 {
      // EXECUTE DEVICE DIAGNOSTIC is for both drives, device 0 interrupts (8.9).
      resetDrives()
      places[0].interface.isInterruptPending = places[0].drive.isPresent
    } else {
      places[selected].execute(code)
    }
  }

  /// Writes the device control register.
  mutating func writeControl(_ value: UInt8) {
    let wasInReset = isInReset
    control = value & (Control.highOrderByte | Control.softwareReset | Control.interruptDisable)
    if isInReset, !wasInReset {
      for place in places.indices { places[place].holdInReset() }
    } else if wasInReset, !isInReset {
      resetDrives()
    }
  }

  private mutating func resetDrives() {
    selected = 0
    for place in places.indices { places[place].reset() }
  }

  // MARK: The data port

  /// Reads a word; 0 when there is none.
  mutating func readWord() -> UInt16 {
    guard places[selected].interface.transfer.isReadable else { return 0 }
    let word = places[selected].interface.transfer.takeWord()
    places[selected].advanceIfDone()
    return word
  }

  /// Writes a word; it is dropped when none is wanted.
  mutating func writeWord(_ word: UInt16) {
    guard places[selected].interface.transfer.isWritable else { return }
    places[selected].interface.transfer.putWord(word)
    places[selected].advanceIfDone()
  }

  /// Fills `destination`, of an even length, word by word as `readWord` would.
  mutating func readWords(into destination: inout MutableSpan<UInt8>) {
    var index = 0
    while index < destination.count {
      guard places[selected].interface.transfer.isReadable else {
        destination[index] = 0
        index &+= 1
        continue
      }
      index &+= places[selected].interface.transfer.take(into: &destination, from: index)
      // The other half of the last word of an odd length.
      if index & 1 != 0, index < destination.count {
        destination[index] = 0
        index &+= 1
      }
      places[selected].advanceIfDone()
    }
  }

  /// Takes `source`, of an even length, word by word as `writeWord` would.
  mutating func writeWords(_ source: Span<UInt8>) {
    var index = 0
    while index < source.count, places[selected].interface.transfer.isWritable {
      index &+= places[selected].interface.transfer.put(from: source, at: index)
      index = (index &+ 1) & ~1
      places[selected].advanceIfDone()
    }
  }

  // MARK: The bus master

  /// Moves data while the selected drive has or wants some and the table of the bus master says where. Bounded by
  /// both: a command moves a bounded number of bytes, and a table has a bounded number of entries.
  mutating func runBusMaster(_ memory: some GuestMemory) {
    while busMaster.isActive, places[selected].interface.transfer.isDMA {
      let available = places[selected].interface.transfer.available
      guard available > 0 else { return }
      switch busMaster.next(limit: available, memory) {
      case .exhausted: return busMaster.exhausted()
      case .fault: return failBusMaster()
      case .run(let address, let count):
        guard places[selected].interface.transfer.move(count, at: address, memory) else { return failBusMaster() }
        busMaster.moved(count)
        places[selected].advanceIfDone()
        if !places[selected].interface.transfer.isDMA { busMaster.driveFinished() }
      }
    }
  }

  /// The drive is told too, so that the host hears of it now and not by a time-out.
  private mutating func failBusMaster() {
    busMaster.fault()
    places[selected].transferFailed()
  }
}
