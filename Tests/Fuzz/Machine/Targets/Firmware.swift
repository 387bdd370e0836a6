import Fuzzing

@testable import Devices

extension FuzzTarget {
  /// Range: the device's ports. Event: a descriptor for DMA, big-endian in guest memory, and its start.
  static let firmwareConfiguration = FuzzTarget(
    "firmware-configuration",
    seeds: {
      var script = Script()
      for key in [0, 1, 2, 0x19, 0x20, 0x21, 0x22, 0x23] as [UInt64] {
        script.write(0, 0, key, .word)
        for _ in 0..<6 { script.read(0, 1) }
        script.readRun(0, 1, 70, .byte)
        // Select and read; skip; read on; write.
        for (control, length) in [(0x0A, 16), (0x04, 3), (0x02, 0xFF), (0x18, 4)] as [(UInt8, UInt8)] {
          script.event(0, [0, UInt8(key), 0, control, 0, 0, 0, length, 0, 0, 0, 0, 0, 2, 0, 0])
        }
      }
      return [script.bytes]
    },
    run: { input in
      let memory = TestMemory(count: 1 << 18)
      var items = FirmwareItems()
      items.setMachine(uuid: Array(1...16), memory: 0x1_4000_0000, cpus: 2, hasScreen: true)
      try items.add("etc/plain", Array(0..<200))
      try items.addGenerated([("etc/tables", 4096), ("etc/short", 8)]) { [[1, 2, 3], .zeros(100)] }
      let device = FirmwareConfiguration(items, memory: memory)
      let rig = try Rig(
        memory: memory, ranges: [(device, FirmwareConfigurationLayout.portCount)],
        events: [
          { input in
            try memory.write(input.take(16), at: GuestAddress(0x1000))
            device.write(UInt64(UInt32(0x1000).byteSwapped), at: 8, width: .doubleWord)
          }
        ])
      rig.run(&input)
    })

  /// Range: the chip. An input begins with whether it may be written.
  static let flash = FuzzTarget(
    "flash",
    seeds: {
      var script = Script([0])
      for (offset, value) in [
        (1, 0x50), (1, 0x70), (1, 0x10), (1, 0x55), (0x1000, 0x20), (0x1000, 0xD0), (1, 0x90), (0, 0x98), (1, 0xFF),
        (0x20, 0xE8), (0x20, 1), (0x20, 0xAA), (0x21, 0xBB), (0x20, 0xD0), (0, 0x60), (0, 0x01), (0, 0x70), (0, 0xFF),
      ] as [(UInt64, UInt64)] {
        script.writeFar(0, offset, value)
        script.readFar(0, offset)
      }
      script.readFar(0, 0x20, .quadWord)
      script.writeFar(0, 0x40, 0x4040_4040, .doubleWord)
      return [script.bytes, [1] + script.bytes.dropFirst()]
    },
    run: { input in
      let flash = FlashMemory(FuzzFlash(isReadOnly: input.bool()))
      let rig = try Rig(ranges: [(flash, 16384)], events: [{ _ in _ = flash.isArrayMode }])
      rig.run(&input)
    })
}
