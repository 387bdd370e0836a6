import Devices

typealias TestIDE = PIIXIDE<TestStore, TestLine, TestMemory>
typealias TestATAChannel = ATAChannel<TestStore, TestLine, TestMemory>

/// A driver of the primary channel, as simple ones are.
struct IDEDriver {
  let memory = TestMemory()
  let line = TestLine()
  let ide: TestIDE
  let command: TestATAChannel.Ports
  let control: TestATAChannel.Ports

  init(_ first: ATADrive<TestStore>, _ second: ATADrive<TestStore> = .none) {
    ide = TestIDE(
      primary: (first, second), secondary: (.none, .none), interrupts: (line, TestLine()), memory: memory)
    command = TestATAChannel.Ports(ide.primary, .command)
    control = TestATAChannel.Ports(ide.primary, .control)
    ide.enable(interruptLine: 0)
  }

  /// With a disk of `store` as device 0.
  init(disk store: TestStore) {
    self.init(.disk(ATADisk(store, identity: ATAIdentity(model: "ROOST DISK", serial: "0042"))))
  }

  /// With a CD-ROM drive as device 0, whose first unit attention is over.
  init(disc store: TestStore?) {
    self.init(.cdrom(ATAPICD(store, identity: ATAIdentity(model: "ROOST CD-ROM", serial: "CD01"))))
    _ = packet([0x00])
  }

  // MARK: Registers

  enum Register: UInt64 {
    case data, error, count, low, middle, high, device, status
  }

  func read(_ register: Register) -> UInt8 { UInt8(command.read(at: register.rawValue, width: .byte)) }
  func write(_ value: UInt8, _ register: Register) {
    command.write(UInt64(value), at: register.rawValue, width: .byte)
  }

  var alternateStatus: UInt8 { UInt8(control.read(at: 0, width: .byte)) }
  func setControl(_ value: UInt8) { control.write(UInt64(value), at: 0, width: .byte) }

  /// Writes the registers for sectors from `lba`, and the command.
  func begin(_ code: UInt8, lba: UInt64 = 0, count: Int = 0, features: UInt8 = 0, isExtended: Bool = false) {
    write(0x40 | (isExtended ? 0 : UInt8(truncatingIfNeeded: lba >> 24) & 0x0F), .device)
    if isExtended {
      write(UInt8(truncatingIfNeeded: count >> 8), .count)
      write(UInt8(truncatingIfNeeded: lba >> 24), .low)
      write(UInt8(truncatingIfNeeded: lba >> 32), .middle)
      write(UInt8(truncatingIfNeeded: lba >> 40), .high)
    }
    write(features, .error)
    write(UInt8(truncatingIfNeeded: count), .count)
    write(UInt8(truncatingIfNeeded: lba), .low)
    write(UInt8(truncatingIfNeeded: lba >> 8), .middle)
    write(UInt8(truncatingIfNeeded: lba >> 16), .high)
    write(code, .status)
  }

  // MARK: Data

  func readData(_ count: Int) -> [UInt8] {
    var bytes: [UInt8] = []
    while bytes.count < count {
      let word = command.read(at: 0, width: .word)
      bytes.append(UInt8(word & 0xFF))
      bytes.append(UInt8(word >> 8))
    }
    return bytes
  }

  func writeData(_ bytes: [UInt8]) {
    for index in stride(from: 0, to: bytes.count, by: 2) {
      let high = index + 1 < bytes.count ? UInt64(bytes[index + 1]) : 0
      command.write(UInt64(bytes[index]) | high << 8, at: 0, width: .word)
    }
  }

  /// IDENTIFY (PACKET) DEVICE.
  func identify(_ code: UInt8 = 0xEC) -> [UInt16] {
    write(code, .status)
    guard read(.status) == 0x58 else { return [] }
    let bytes = readData(512)
    return (0..<256).map { UInt16(bytes[2 * $0]) | UInt16(bytes[2 * $0 + 1]) << 8 }
  }

  /// What PACKET came to.
  struct Reply {
    var data: [UInt8] = []
    var bursts: [Int] = []
    var status: UInt8 = 0
    var error: UInt8 = 0
  }

  /// Sends a packet, and parameters, and takes what comes, by the data port.
  func packet(_ bytes: [UInt8], limit: Int = 0xFFFE, parameters: [UInt8] = []) -> Reply {
    write(0, .error)
    write(UInt8(truncatingIfNeeded: limit), .middle)
    write(UInt8(truncatingIfNeeded: limit >> 8), .high)
    write(0xA0, .status)
    writeData(bytes + [UInt8](repeating: 0, count: 12 - bytes.count))
    var reply = Reply()
    var sent = 0
    reply.status = read(.status)
    while reply.status & 0x08 != 0, reply.bursts.count < 10_000 {
      let count = Int(read(.middle)) | Int(read(.high)) << 8
      reply.bursts.append(count)
      if read(.count) == 0x02 {
        reply.data += readData(count).prefix(count)
      } else {
        writeData(Array(parameters.dropFirst(sent).prefix(count)))
        sent += count
      }
      reply.status = read(.status)
    }
    reply.error = read(.error)
    return reply
  }

  // MARK: The bus master

  /// Writes a table of regions at `table` and starts the bus master.
  func startDMA(_ regions: [(address: UInt64, count: Int)], table: UInt64 = 0x1000, toMemory: Bool) throws {
    for (index, region) in regions.enumerated() {
      let at = table + UInt64(8 * index)
      try memory.storeUInt32(UInt32(region.address), at: GuestAddress(at))
      let last: UInt32 = index == regions.count - 1 ? 0x8000_0000 : 0
      try memory.storeUInt32(UInt32(region.count & 0xFFFF) | last, at: GuestAddress(at + 4))
    }
    ide.write(UInt64(table), bar: 4, offset: 4, width: .doubleWord)
    ide.write(0x06, bar: 4, offset: 2, width: .byte)
    ide.write(toMemory ? 0x09 : 0x01, bar: 4, offset: 0, width: .byte)
  }

  func stopDMA() { ide.write(0, bar: 4, offset: 0, width: .byte) }
  var busMasterStatus: UInt8 { UInt8(ide.read(bar: 4, offset: 2, width: .byte)) }
}

/// What sectors of a `TestStore` hold from the start.
func sectors(_ first: Int, _ count: Int) -> [UInt8] {
  (first..<(first + count)).flatMap { sector in (0..<512).map { UInt8(truncatingIfNeeded: sector + $0) } }
}
