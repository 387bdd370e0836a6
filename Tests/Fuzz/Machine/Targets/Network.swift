import Fuzzing

@testable import Devices

extension FuzzTarget {
  /// Functions: the adapter. Events: descriptors to send, their doorbell, a frame that arrives, receive buffers, the link.
  static let e1000 = FuzzTarget(
    "e1000",
    seeds: {
      var script = Script([3])
      let window: UInt8 = 0
      // The EEPROM, the PHY, interrupts; then descriptors of each kind, a frame, and a reset.
      for word in UInt64(0)..<3 { script.writeWindow(0, window, 0x14, word << 8 | 1) }
      script.readWindow(0, window, 0x14)
      script.writeWindow(0, window, 0x20, 0x0820_0000)
      script.readWindow(0, window, 0x20)
      script.writeWindow(0, window, 0xD0, 0xFFFF_FFFF)
      script.writeWindow(0, window, 0x5400, 0x1200_5452)
      // Two frames of IPv4 and TCP in one buffer, which begins with their headers.
      var headers: [UInt8] = [
        0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 2, 0, 0, 0, 0, 1, 8, 0, 0x45, 0, 0, 240, 0, 1, 0x40, 0,
      ]
      headers += [
        64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 0, 80, 0, 80, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 0x18, 1, 0, 0, 0, 0, 0,
      ]
      script.poke(E1000Driver.transmitBuffer, headers)
      func queue(_ high: UInt64, _ low: UInt64?) {
        script.event(0)
        script.number(high, 8)
        script.number(low == nil ? 1 : 0, 1)
        script.number(low ?? 0, low == nil ? 1 : 8)
      }
      queue(0x0B00_0040, nil)  // legacy: 64 bytes, EOP, IFCS, RS
      script.event(1)
      let context: UInt64 = 14 | 24 << 8 | 33 << 16 | 34 << 32 | 50 << 40
      queue(200 | 0x2F << 24 | 54 << 40 | 100 << 48, context)
      queue(254 | 1 << 20 | 0x2F << 24 | 3 << 40, nil)  // segments, both checksums
      script.event(1)
      queue(0x2B << 24, context)
      queue(100 | 1 << 20 | 0x2B << 24 | 3 << 40, nil)  // one frame, both checksums
      script.event(1)
      script.event(3, [0xFF])
      script.event(2, [60, 0x52])
      script.readWindow(0, window, 0xC0)
      script.writeWindow(0, 1, 0, 8)
      script.readWindow(0, 1, 4)
      script.writeWindow(0, window, 0, 0x0400_0000)
      return [script.bytes, [0] + script.bytes.dropFirst()]
    },
    run: { input in
      let driver = try E1000Driver()
      let mode = input.byte()
      if mode & 1 != 0 { driver.startTransmit() }
      if mode & 2 != 0 { try driver.startReceive() }
      let rig = try Rig(
        memory: driver.memory, pci: driver.bus, functions: [(PCIAddress(device: 2), driver.function)],
        events: [
          { input in
            let high = input.integer(8)
            // A buffer, or what a context descriptor has in its place.
            let isBuffer = input.bool()
            try driver.queue(
              isBuffer ? E1000Driver.transmitBuffer + UInt64(input.byte()) * 16 : input.integer(8), high)
          },
          { _ in driver.kick() },
          { input in
            driver.frames.offer([UInt8](repeating: input.byte(), count: 8 * Int(input.byte())))
            _ = driver.function.receiveFrames()
          },
          { input in try driver.startReceive(control: 0x0400_8002 | UInt32(input.integer(3)) << 2) },
          { input in driver.function.isLinkUp = input.bool() },
        ])
      rig.run(&input)
    })
}
