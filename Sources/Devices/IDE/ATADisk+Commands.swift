extension ATADisk {
  /// The host has written `code` into the command register.
  mutating func execute(_ code: UInt8, _ interface: inout ATAInterface) {
    abandon()
    switch ATACommand(code) {
    case .read(let transport, let isExtended):
      begin(isWrite: false, transport, isExtended: isExtended, &interface)
    case .write(let transport, let isExtended):
      begin(isWrite: true, transport, isExtended: isExtended, &interface)
    case .verify(let isExtended):
      check(range(isExtended: isExtended, interface.registers), &interface)
    case .seek:
      check(address(isExtended: false, interface.registers).flatMap { $0 < sectors ? $0 : nil }, &interface)
    case .identify:
      interface.transfer.begin(.toHost, isDMA: false)
      interface.transfer.load(identification.bytes)
      interface.request(0..<512, interrupts: true)
    case .readNativeMaximum(let isExtended):
      let last = sectors == 0 ? 0 : sectors - 1
      interface.registers.setAddress(isExtended ? last : min(last, 0x0FFF_FFFF), isExtended: isExtended)
      interface.complete()
    case .recalibrate:
      interface.registers.middle.set(0)
      interface.registers.high.set(0)
      interface.complete()
    case .checkPower:
      interface.registers.count.set(0xFF)  // active or idle
      interface.complete()
    case .power: interface.complete()
    case .flush:
      guard store.isReadOnly || store.flush() else {
        return interface.fail(ATARegisters.Failure.aborted, status: ATARegisters.Status.deviceFault)
      }
      interface.complete()
    case .initializeParameters: initializeParameters(&interface)
    case .setMultiple: setMultiple(&interface)
    case .setFeatures: setFeatures(&interface)
    // NOP is defined to end so (8.26).
    case .noOperation, .unknown: interface.abort()
    }
  }

  private func check(_ sector: UInt64?, _ interface: inout ATAInterface) {
    if sector == nil { interface.fail(ATARegisters.Failure.idNotFound) } else { interface.complete() }
  }

  private mutating func initializeParameters(_ interface: inout ATAInterface) {
    guard
      let geometry = ATAGeometry(
        heads: UInt64(interface.registers.device & 0x0F) + 1,
        sectorsPerTrack: UInt64(interface.registers.count.current), sectors: sectors)
    else { return interface.abort() }
    self.geometry = geometry
    interface.complete()
  }

  private mutating func setMultiple(_ interface: inout ATAInterface) {
    let count = Int(interface.registers.count.current)
    guard count <= Self.multipleMaximum, count & (count &- 1) == 0 else { return interface.abort() }
    multiple = count
    interface.complete()
  }

  /// SET FEATURES (8.46).
  private mutating func setFeatures(_ interface: inout ATAInterface) {
    switch interface.registers.features.current {
    case 0x02: isWriteCacheEnabled = true
    case 0x82:
      // What was cached before must not stay so.
      guard store.isReadOnly || store.flush() else { return interface.abort() }
      isWriteCacheEnabled = false
    case 0x03:
      guard let mode = ATATransferMode(interface.registers.count.current) else { return interface.abort() }
      transferMode = mode
    case 0x55: isLookAheadEnabled = false
    case 0xAA: isLookAheadEnabled = true
    case 0x66, 0xCC: break  // what a software reset does with settings: they stay anyhow
    default: return interface.abort()
    }
    interface.complete()
  }

  /// What IDENTIFY DEVICE returns (8.15).
  var identification: ATAIdentification {
    var words = ATAIdentification(identity, transferMode: transferMode)
    let standard = ATAGeometry(sectors: sectors)
    words[0] = 0x0040  // ATA, fixed
    words[1] = UInt16(standard.cylinders)
    words[3] = UInt16(standard.heads)
    words[6] = UInt16(standard.sectorsPerTrack)
    words[47] = 0x8000 | UInt16(Self.multipleMaximum)
    words[48] = 1  // the data port takes 32 bits (ATA-1)
    words[49] = 0x2F00  // standard standby timer, IORDY, LBA, DMA
    words[50] = 0x4000
    words[51] = 0x0200
    words[52] = 0x0200
    words[53] |= 0x0001  // words 54 to 58 are valid
    words[54] = UInt16(geometry.cylinders)
    words[55] = UInt16(geometry.heads)
    words[56] = UInt16(geometry.sectorsPerTrack)
    words.set(UInt32(truncatingIfNeeded: min(geometry.count, sectors)), at: 57)
    words[59] = multiple == 0 ? 0 : 0x0100 | UInt16(multiple)
    words.set(UInt32(min(sectors, 0x0FFF_FFFF)), at: 60)
    // NOP, look-ahead, write cache, power management; FLUSH CACHE (EXT) and 48-bit addresses; nothing more.
    words[82] = 0x4068
    words[83] = 0x7400
    words[84] = 0x4000
    words[85] = 0x4008 | (isWriteCacheEnabled ? 0x20 : 0) | (isLookAheadEnabled ? 0x40 : 0)
    words[86] = 0x3400
    words[87] = 0x4000
    words.set(sectors, at: 100)
    return words
  }
}
