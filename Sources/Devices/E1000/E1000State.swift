/// Who the controller says it is (Intel 317453, table 5-1).
enum E1000Identity {
  static let vendor: UInt16 = 0x8086
  static let device: UInt16 = 0x100E
  static let subsystem: UInt16 = 0x001E  // PRO/1000 MT Desktop Adapter
  static let registerBar = 0
  static let registerCount: UInt64 = 0x20000  // bytes
  static let portBar = 1
  static let portCount: UInt64 = 64
}

/// Everything of the adapter that changes. Its function's lock guards it.
struct E1000State<Memory: GuestMemory, Frames: FrameBackend, Line: InterruptLine>: Sendable {
  let memory: Memory
  let frames: Frames
  private let line: Line
  private var isLineHigh = false
  var configuration: PCIConfiguration
  private(set) var eeprom: E1000EEPROM
  private(set) var phy = E1000PHY()
  var transmitter = E1000Transmitter()
  var receiver = E1000Receiver()
  /// By offset divided by four; what is beyond has no register.
  private var registers = [UInt32](repeating: 0, count: E1000Register.end / 4)
  private var causes: UInt32 = 0
  private var mask: UInt32 = 0
  /// IOADDR.
  private var portAddress: UInt32 = 0
  /// Frames may wait for room: `takeRoom` says when there is some.
  var isWaitingForRoom = false

  init(memory: Memory, frames: Frames, mac: [UInt8], line: Line) {
    self.memory = memory
    self.frames = frames
    self.line = line
    eeprom = E1000EEPROM(mac: mac)
    configuration = PCIConfiguration(
      PCIConfiguration.Identity(
        vendor: E1000Identity.vendor, device: E1000Identity.device, revision: 3, classCode: 0x020000,
        subsystemVendor: E1000Identity.vendor, subsystem: E1000Identity.subsystem), interruptPin: 1)
    configuration.addBar(E1000Identity.registerBar, .memory32(prefetchable: false), count: E1000Identity.registerCount)
    configuration.addBar(E1000Identity.portBar, .io, count: E1000Identity.portCount)
    reset()
  }

  // MARK: Registers as storage

  subscript(offset: Int) -> UInt32 {
    get { offset >= 0 && offset / 4 < registers.count ? registers[offset / 4] : 0 }
    set {
      if offset >= 0, offset / 4 < registers.count { registers[offset / 4] = newValue }
    }
  }

  /// What CTRL.RST does, and power-on (14.3): all but configuration space, EEPROM and PHY.
  private mutating func reset() {
    for index in registers.indices { registers[index] = 0 }
    self[E1000Register.control] = E1000Control.fullDuplex | E1000Control.speed1000
    self[E1000Register.packetBuffer] = 0x0010_0030
    self[E1000Register.vlanType] = 0x8100
    self[E1000Register.leds] = 0x0706_8302
    let words = eeprom.words
    self[E1000Register.receiveAddress] = UInt32(words[0]) | UInt32(words[1]) << 16
    self[E1000Register.receiveAddress + 4] = UInt32(words[2]) | 1 << 31
    causes = 0
    mask = 0
    transmitter.reset()
    receiver.reset()
    updateLine()
  }

  /// Whether the controller may reach memory.
  var isBusMaster: Bool { configuration.command & PCIConfiguration.Command.busMaster != 0 }

  // MARK: Configuration space

  /// True when what is decoded may have changed.
  mutating func writeConfiguration(_ value: UInt32, at offset: Int, width: AccessWidth) -> Bool {
    configuration.write(value, at: offset, width: width)
    switch offset & ~3 {
    case PCIConfiguration.commandOffset:
      updateLine()
      return true
    case 0x10...0x24: return true
    default: return false
    }
  }

  // MARK: Windows

  mutating func read(bar: Int, offset: UInt64, width: AccessWidth) -> UInt64 {
    switch bar {
    case E1000Identity.registerBar: return readMemory(at: offset, width: width)
    case E1000Identity.portBar:
      switch (offset, width) {
      case (0, .doubleWord): return UInt64(portAddress)
      case (4, .doubleWord): return UInt64(readRegister(at: Int(portAddress)))
      default: return 0
      }
    default: return width.mask
    }
  }

  mutating func write(_ value: UInt64, bar: Int, offset: UInt64, width: AccessWidth) {
    let low = UInt32(truncatingIfNeeded: value)
    switch (bar, width) {
    // Software writes whole double words (13.2); a pair of them comes in order.
    case (E1000Identity.registerBar, .doubleWord): writeRegister(low, at: Int(offset))
    case (E1000Identity.registerBar, .quadWord):
      writeRegister(low, at: Int(offset))
      writeRegister(UInt32(truncatingIfNeeded: value >> 32), at: Int(offset) + 4)
    case (E1000Identity.portBar, .doubleWord):
      if offset == 0 { portAddress = low }
      if offset == 4 { writeRegister(low, at: Int(portAddress)) }
    default: break
    }
  }

  private mutating func readMemory(at offset: UInt64, width: AccessWidth) -> UInt64 {
    if width == .quadWord {
      return UInt64(readRegister(at: Int(offset))) | UInt64(readRegister(at: Int(offset) + 4)) << 32
    }
    return UInt64(readRegister(at: Int(offset & ~3))) >> (offset & 3 * 8) & width.mask
  }

  private mutating func readRegister(at offset: Int) -> UInt32 {
    guard offset & 3 == 0 else { return 0 }
    let offset = E1000Register.canonical(offset)
    switch offset {
    // Full duplex, 1000 Mb/s (SPEED and ASDV), and the link.
    case E1000Register.status: return 0x0000_0281 | (phy.isLinkUp ? 0x2 : 0)
    case E1000Register.eepromControl: return eeprom.control
    case E1000Register.interruptCauseRead:
      defer {
        causes = 0
        updateLine()
      }
      return causes
    case E1000Register.interruptMaskSet: return mask
    case E1000Register.interruptCauseSet, E1000Register.interruptMaskClear: return 0
    case E1000Statistic.first...E1000Statistic.last:
      let value = self[offset]
      guard !E1000Statistic.isLowerHalf(offset) else { return value }
      if E1000Statistic.isUpperHalf(offset) { self[offset - 4] = 0 }
      self[offset] = 0
      return value
    default: return self[offset]
    }
  }

  private mutating func writeRegister(_ value: UInt32, at offset: Int) {
    guard offset & 3 == 0 else { return }
    let offset = E1000Register.canonical(offset)
    switch offset {
    case E1000Register.control: setControl(value)
    case E1000Register.extendedControl: self[offset] = value & ~(1 << 13)  // EE_RST ends at once
    case E1000Register.eepromControl: eeprom.setControl(value)
    case E1000Register.eepromRead: self[offset] = eeprom.read(value)
    case E1000Register.mediaInterface:
      let (result, negotiated) = phy.access(value)
      self[offset] = result
      if result & E1000PHY.Access.interrupt != 0 { raise(E1000Cause.mediaInterface) }
      if negotiated, phy.isLinkUp { raise(E1000Cause.linkChange) }
    case E1000Register.interruptCauseRead:
      causes &= ~value
      updateLine()
    case E1000Register.interruptCauseSet: raise(value & E1000Cause.all)
    case E1000Register.interruptMaskSet:
      mask |= value & E1000Cause.all
      updateLine()
    case E1000Register.interruptMaskClear:
      mask &= ~value
      updateLine()
    case E1000Register.receiveControl: self[offset] = value & 0x06DF_BFFE
    case E1000Register.transmitControl:
      self[offset] = value & 0x03FF_FFFA
      transmit()
    case E1000Register.receiveDescriptors + 0x10, E1000Register.receiveDescriptors + 0x18,
      E1000Register.transmitDescriptors + 0x10:
      self[offset] = value & 0xFFFF
    case E1000Register.transmitDescriptors + 0x18:
      self[offset] = value & 0xFFFF
      transmit()
    default:
      let bits = E1000Register.storedBits(offset)
      if bits != 0 { self[offset] = value & bits }
    }
  }

  private mutating func setControl(_ value: UInt32) {
    if value & E1000Control.phyReset != 0 { phy.reset() }
    if value & E1000Control.reset != 0 {
      reset()
      return
    }
    let before = self[E1000Register.control]
    self[E1000Register.control] = value & ~E1000Control.phyReset
    let linksUp = value & ~before & E1000Control.setLinkUp != 0
    if phy.isLinkUp, linksUp || value & E1000Control.phyReset != 0 { raise(E1000Cause.linkChange) }
  }

  /// The cable is put in or pulled out.
  mutating func setLink(up: Bool) {
    guard up != phy.isLinkUp else { return }
    phy.isLinkUp = up
    raise(E1000Cause.linkChange)
  }

  // MARK: Interrupts (3.2.7)

  mutating func raise(_ cause: UInt32) {
    guard cause != 0 else { return }
    causes |= cause
    updateLine()
  }

  /// INTA# is low while a cause is there that the mask lets through.
  private mutating func updateLine() {
    let wanted = causes & mask != 0
    configuration.interruptStatus = wanted
    let high = wanted && configuration.command & PCIConfiguration.Command.interruptDisable == 0
    if high != isLineHigh {
      isLineHigh = high
      line.set(high)
    }
  }

  // MARK: Statistics

  /// Counters stick at their end (13.7).
  mutating func count(_ offset: Int, _ amount: Int = 1) {
    let (sum, overflow) = self[offset].addingReportingOverflow(UInt32(truncatingIfNeeded: amount))
    self[offset] = overflow ? .max : sum
  }

  mutating func countOctets(_ offset: Int, _ amount: Int) {
    let value = UInt64(self[offset]) | UInt64(self[offset + 4]) << 32
    let sum = value &+ UInt64(truncatingIfNeeded: amount)
    self[offset] = UInt32(truncatingIfNeeded: sum)
    self[offset + 4] = UInt32(truncatingIfNeeded: sum >> 32)
  }

  /// The counter for frames of `length` bytes with their check sequence, of the six that begin at `first`.
  static func sizeClass(_ first: Int, length: Int) -> Int {
    switch length {
    case ...64: first
    case ...127: first + 4
    case ...255: first + 8
    case ...511: first + 12
    case ...1023: first + 16
    default: first + 20
    }
  }
}
