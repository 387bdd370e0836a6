import Fuzzing

@testable import Devices

/// Command descriptor blocks, most of them of SPC-3, SBC-3 and MMC-5.
private let blocks: [[UInt8]] = [
  [0], [3, 0, 0, 0, 18], [0x12, 0, 0, 0, 96], [0x12, 1, 0x83, 0, 96], [0x1A, 0, 0x3F, 0, 255],
  [0x28, 0, 0, 0, 0, 1, 0, 0, 1], [0x2A, 8, 0, 0, 0, 1, 0, 0, 1], [0x35], [0x25],
  [0x9E, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32], [0x43, 2, 0, 0, 0, 0, 0, 0, 255],
  [0x46, 0, 0, 0, 0, 0, 0, 0, 64], [0x4A, 1, 0, 0, 16, 0, 0, 0, 8], [0x51, 0, 0, 0, 0, 0, 0, 0, 34],
  [0x1B, 0, 0, 0, 2], [0x1E, 0, 0, 0, 1], [0xA0, 0, 0, 0, 0, 0, 0, 0, 0, 16],
  [0x88, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 4], [0x42, 0, 0, 0, 0, 0, 0, 0, 24],
  [0x55, 0x10, 0, 0, 0, 0, 0, 0, 20], [0x93, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
  [0xBE, 0, 0, 0, 0, 1, 0, 0, 1, 0x10], [0xAD, 0, 0, 0, 0, 0, 0, 0, 8, 0],
]

/// A parameter list of UNMAP, with its length before it.
private let parameters: [UInt8] = [24, 0, 22, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 4, 0, 0, 0, 0]

extension FuzzTarget {
  /// Command blocks for a disk, a drive, and a drive behind ATA: a byte of which, then operations.
  static let scsi = FuzzTarget(
    "scsi",
    seeds: {
      (UInt8(0)..<3).map { kind in
        [kind] + blocks.flatMap { (block: [UInt8]) -> [UInt8] in [0, UInt8(block.count)] + block + parameters }
      }
    },
    run: { input in
      let kind = input.byte()
      let capacity: UInt64 = 1_024_000
      var target = SCSITarget(
        kind: kind & 1 == 0 ? .disk : .cdrom, capacity: capacity, serial: "serial", isReadOnly: kind & 4 != 0,
        canDiscard: kind & 8 == 0, interface: kind & 2 == 0 ? .scsi : .atapi)
      func check(_ offset: UInt64, _ count: UInt64) {
        precondition(offset <= capacity && count <= capacity - offset, "beyond the medium")
      }
      while !input.isEmpty {
        switch input.byte() & 7 {
        case 1: target.reset()
        case 2: target.insert(capacity: input.bool() ? capacity : nil)
        case 3: target.requestEject()
        case 4: target.resize(capacity: input.integer(2))
        case 5: _ = target.executeOnAbsentUnit(SCSICommand(input.run()))
        default:
          let command = SCSICommand(input.take(Int(input.byte() & 31)))
          let parameters = input.run()
          var outcome = target.execute(command)
          if case .parameters(let count) = outcome {
            precondition((1...65535).contains(count))
            outcome = target.execute(command, parameters: parameters)
          }
          switch outcome {
          case .read(let offset, let count), .discard(let offset, let count): check(offset, count)
          case .write(let offset, let count, _), .writeZeroes(let offset, let count, _):
            precondition(!target.isReadOnly, "a write to a read-only medium")
            check(offset, count)
          case .reply(let data): precondition(data.count <= 65536)
          case .flush, .checkCondition: break
          case .parameters: preconditionFailure("parameters are asked for twice")
          }
          if input.byte() == 1 { _ = target.failed(outcome) }
        }
      }
    })

  /// Ranges: command and control ports of both channels. Events: a command with its registers, a packet, the bus
  /// master, a disc put in or taken out.
  static let ide = FuzzTarget(
    "ide",
    seeds: {
      var disk = Script()
      disk.event(0, [0xEC, 0x40, 0, 0, 0, 0, 0, 0])
      disk.readRun(0, 0, 128, .doubleWord)
      disk.event(0, [0x20, 0x40, 2, 5, 0, 0, 0, 0])
      disk.readRun(0, 0, 255, .word)
      disk.event(0, [0xC6, 0x40, 4, 0, 0, 0, 0, 0])
      disk.event(0, [0x91, 0x4F, 63, 0, 0, 0, 0, 63])
      disk.event(0, [0x30, 0x40, 1, 5, 0, 0, 0, 0])
      disk.writeRun(0, 0, [UInt8](repeating: 0x5A, count: 512), .doubleWord)
      disk.event(0, [0xEF, 0x40, 0x42, 0, 0, 0, 3, 0])
      disk.poke(0x1000, [0, 0, 2, 0, 0, 2, 0, 0, 0, 4, 2, 0, 0, 2, 0, 0x80])
      disk.event(0, [0xC8, 0x40, 2, 9, 0, 0, 0, 0])
      disk.event(2, [8])
      disk.readWindow(0, 0, 2, .byte)
      disk.event(0, [0xCA, 0x40, 2, 9, 0, 0, 0, 0])
      disk.event(2, [0])
      disk.read(0, 7)
      disk.event(0, [0xE7, 0x40, 0, 0, 0, 0, 0, 0])
      disk.write(1, 0, 4)
      disk.write(1, 0, 0)
      var disc = Script()
      for packet in [
        [0], [0x12, 0, 0, 0, 36], [0x28, 0, 0, 0, 0, 1, 0, 0, 1], [0x43, 2, 0, 0, 0, 0, 0, 0, 12],
        [0x5A, 0, 0x3F, 0, 0, 0, 0, 0, 64],
      ] as [[UInt8]] {
        disc.event(1, [0x40, 0] + packet + .zeros(12 - packet.count))
        disc.readRun(0, 0, 255, .word)
        disc.read(0, 7)
      }
      disc.poke(0x1000, [0, 0, 2, 0, 0, 8, 0, 0x80])
      disc.event(1, [0x50, 1, 0x28, 0, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0])
      disc.event(2, [8])
      disc.event(3, [0, 0])
      disc.event(1, [0x40, 0] + .zeros(12))
      disc.event(3, [1, 0])
      return [[0] + disk.bytes, [1] + disc.bytes]
    },
    run: { input in
      let isSwapped = input.bool()
      let disk = ATADrive.disk(ATADisk(TestStore(sectors: 300), identity: ATAIdentity(model: "D", serial: "1")))
      let disc = ATADrive.cdrom(ATAPICD(TestStore(bytes: 40 * 2048), identity: ATAIdentity(model: "C", serial: "2")))
      let driver = isSwapped ? IDEDriver(disc, disk) : IDEDriver(disk, disc)
      let functions: [(address: PCIAddress, function: PCIFunction)] = [(PCIAddress(device: 1, function: 1), driver.ide)]
      let rig = try Rig(
        memory: driver.memory, pci: try makeBus(functions), functions: functions,
        ranges: [
          (driver.command, 8), (driver.control, 1), (TestATAChannel.Ports(driver.ide.secondary, .command), 8),
          (TestATAChannel.Ports(driver.ide.secondary, .control), 1),
        ],
        events: [
          { input in
            let (code, device) = (input.byte(), input.byte())
            driver.write(device, .device)
            // The high halves first, as 48-bit commands want them.
            for register in [IDEDriver.Register.count, .low, .middle, .high] { driver.write(input.byte(), register) }
            if input.byte() & 1 != 0 { driver.write(input.byte(), .error) } else { driver.write(input.byte(), .count) }
            driver.write(code, .status)
          },
          { input in
            driver.write(input.byte(), .device)
            driver.write(input.byte(), .error)
            driver.write(0xFE, .middle)
            driver.write(0x07, .high)
            driver.write(0xA0, .status)
            driver.writeData(input.take(12))
          },
          { input in
            driver.ide.write(0x1000, bar: 4, offset: 4, width: .doubleWord)
            driver.ide.write(UInt64(input.byte() & 8 | 1), bar: 4, offset: 0, width: .byte)
          },
          { input in
            let store = input.bool() ? TestStore(bytes: 40 * 2048) : nil
            _ = driver.ide.primary.insert(store, drive: input.index(3))
          },
        ])
      rig.run(&input)
    })

  /// Ranges: the controller, the change line's port, the DMA controllers and page registers. Events: a command's bytes, the
  /// DMA channel set up, a disk put in or taken out.
  static let floppy = FuzzTarget(
    "floppy",
    seeds: {
      var script = Script()
      script.write(0, 2, 0)
      script.write(0, 2, 0x1C)
      for _ in 0..<4 { script.event(0, [1, 8]) }
      for command in [
        [3, 0xAF, 2], [7, 0], [8], [0x0F, 0, 5], [8], [0x4A, 0], [0x0E], [0x10], [0x13, 0, 0x5A, 7], [4, 0],
      ] as [[UInt8]] {
        script.event(0, [UInt8(command.count)] + command)
        for _ in 0..<3 { script.read(0, 5) }
      }
      script.event(1, [0x46, 0, 0, 2, 0xFF, 3])
      script.event(0, [9, 0xE6, 0, 0, 0, 1, 2, 18, 0x1B, 0xFF])
      for _ in 0..<7 { script.read(0, 5) }
      script.event(1, [0x4A, 0, 0, 2, 0xFF, 1])
      script.event(0, [9, 0xC5, 0, 5, 0, 3, 2, 18, 0x1B, 0xFF])
      script.event(2, [0])
      script.event(2, [1])
      script.read(1, 0)
      return [script.bytes]
    },
    run: { input in
      let memory = TestMemory()
      let dma = ISADMA(memory: memory)
      let store = TestStore(sectors: 2880)
      let floppy = FloppyController(drives: [.disk(store), .empty], interrupt: TestLine(), dma: dma)
      let rig = try Rig(
        memory: memory,
        ranges: [
          (floppy, 6), (floppy.changePort, 1), (ISADMA.Ports(dma, .first), 16), (ISADMA.Ports(dma, .second), 32),
          (ISADMA.Ports(dma, .pages), 16),
        ],
        events: [
          { input in
            for byte in input.run() { floppy.write(UInt64(byte), at: 5, width: .byte) }
          },
          { input in
            let (first, pages) = (ISADMA.Ports(dma, .first), ISADMA.Ports(dma, .pages))
            first.write(0, at: 0x0C, width: .byte)
            first.write(UInt64(input.byte()), at: 0x0B, width: .byte)
            for _ in 0..<2 { first.write(UInt64(input.byte()), at: 4, width: .byte) }
            pages.write(UInt64(input.byte()), at: 1, width: .byte)
            for _ in 0..<2 { first.write(UInt64(input.byte()), at: 5, width: .byte) }
            first.write(2, at: 0x0A, width: .byte)
          },
          { input in _ = floppy.insert(input.bool() ? store : nil, drive: 0) },
        ])
      rig.run(&input)
    })
}

extension [UInt8] {
  /// Zeroes.
  static func zeros(_ count: Int) -> [UInt8] { [UInt8](repeating: 0, count: count) }
}
