import Fuzzing

@testable import Devices

/// A driver on a virtio function: its rings, and events that use them.
///
/// An input begins with a byte of how the driver starts (bit 0: by the legacy interface; bit 1: with vectors; bit 2: eight
/// bytes of features follow) and one of the queues' size.
private final class VirtioGuest {
  private static let buffers: UInt64 = 0x8_0000
  private let bus: PCIBus
  private let memory: TestMemory
  private var driver: VirtioDriver
  private let mode: UInt8
  private let features: UInt64
  private let queueSize: UInt16

  init(_ bus: PCIBus, _ memory: TestMemory, _ input: inout Input) throws {
    self.bus = bus
    self.memory = memory
    mode = input.byte()
    queueSize = 1 << UInt16(input.byte() & 7)
    features = mode & 4 != 0 ? input.integer(8) : .max
    driver = VirtioDriver(bus: bus, memory: memory)
    try start()
  }

  /// What a driver does that finds its device lost: everything from the beginning.
  private func start() throws {
    try assign(bus)
    driver = VirtioDriver(bus: bus, memory: memory)
    // Types that are younger than virtio 1.0 have no legacy interface (4.1.2.1).
    if mode & 1 != 0, driver.readConfiguration(0) >> 16 < 0x1040 {
      try driver.startLegacy(features: features, vectors: mode & 2 != 0)
    } else {
      _ = driver.start(features: features, queueSize: queueSize, vectors: mode & 2 != 0)
    }
  }

  /// Posts a chain: a byte of ring and flags (bit 7: indirect, bit 6: no doorbell), a byte of how many parts, and each
  /// part with a byte of flags (bit 0: writable; bit 1: bytes follow; bit 2: nothing of it is as it should be), a byte of
  /// place and two of length.
  func send(_ input: inout Input) throws {
    let control = input.byte()
    let count = Int(input.byte() & 7) + 1
    guard !driver.rings.isEmpty else { return }
    var parts: [VirtioDriver.Part] = []
    for _ in 0..<count {
      let flags = input.byte()
      var part = VirtioDriver.Part(
        address: Self.buffers + UInt64(input.byte()) << 8, count: UInt32(input.integer(2)), writable: flags & 1 != 0)
      if flags & 2 != 0 { try memory.write(input.run(), at: GuestAddress(part.address)) }
      if flags & 4 != 0 {
        part.address = input.integer(8)
        part.count = UInt32(input.integer(4))
        part.flags = UInt16(input.integer(2))
        part.next = UInt16(input.integer(2))
      }
      parts.append(part)
    }
    let ring = Int(control & 0x0F) % driver.rings.count
    if control & 0x80 != 0 {
      let table: UInt64 = 0x7_0000
      _ = try driver.chain(parts, ring: ring, table: table)
      parts = [.init(address: table, count: UInt32(16 * parts.count), flags: 4)]
    }
    try driver.send(parts, ring: ring, kick: control & 0x40 == 0)
  }

  /// Takes what was used from every ring; rings a doorbell; or begins again.
  func other(_ input: inout Input) throws {
    let code = input.byte()
    switch code & 3 {
    case 0:
      for ring in driver.rings.indices {
        for _ in 0..<8 { if try driver.takeUsed(ring: ring) == nil { break } }
      }
    case 1: if !driver.rings.isEmpty { driver.kick(Int(code >> 2) % driver.rings.count) }
    case 2: _ = driver.readISR()
    default: try start()
    }
  }
}

/// A target of one virtio function. `make` gives it, and what its backend may do.
private func virtio(
  _ name: String, _ seeds: @escaping @Sendable (inout Script) -> Void,
  make: @escaping @Sendable (TestMemory) -> (function: PCIFunction, events: [Rig.Event])
) -> FuzzTarget {
  FuzzTarget(
    "virtio-\(name)",
    seeds: {
      ([[0, 4], [1, 0], [2, 3]] as [[UInt8]]).map { start in
        var script = Script(start)
        seeds(&script)
        return script.bytes
      }
    },
    run: { input in
      let memory = TestMemory(count: 1 << 20)
      let (function, events) = make(memory)
      let functions: [(address: PCIAddress, function: PCIFunction)] = [(PCIAddress(device: 2), function)]
      let bus = try makeBus(functions)
      let guest = try VirtioGuest(bus, memory, &input)
      let rig = try Rig(
        memory: memory, pci: bus, functions: functions,
        events: [{ try guest.send(&$0) }, { try guest.other(&$0) }] + events)
      rig.run(&input)
    })
}

extension Script {
  /// A part of a chain as `VirtioGuest.send` reads it.
  struct Part {
    var place: UInt8
    var count: UInt16
    var data: [UInt8]?
  }

  static func readable(_ place: UInt8, _ data: [UInt8]) -> Part {
    Part(place: place, count: UInt16(data.count), data: data)
  }

  static func writable(_ place: UInt8, _ count: UInt16) -> Part { Part(place: place, count: count) }

  fileprivate mutating func send(_ ring: UInt8, _ parts: [Part], isIndirect: Bool = false) {
    event(0, [ring | (isIndirect ? 0x80 : 0), UInt8(parts.count - 1)])
    for part in parts {
      bytesOf(part)
    }
  }

  private mutating func bytesOf(_ part: Part) {
    number(part.data == nil ? 1 : 2, 1)
    number(UInt64(part.place), 1)
    number(UInt64(part.count), 2)
    guard let data = part.data else { return }
    number(UInt64(data.count), 1)
    for byte in data { number(UInt64(byte), 1) }
  }

  /// What was used is taken.
  fileprivate mutating func takeUsed() { event(1, [0]) }
}

private func result(_ input: inout Input) -> BlockResult {
  switch input.byte() & 3 {
  case 0: .failure
  case 1: .unsupported
  default: .success
  }
}

let virtioTargets: [FuzzTarget] = [
  virtio(
    "block",
    { script in
      func request(_ type: UInt8, _ sector: UInt8) -> [UInt8] {
        [type, 0, 0, 0, 0, 0, 0, 0, sector, 0, 0, 0, 0, 0, 0, 0]
      }
      let range: [UInt8] = [8, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0]
      script.send(0, [Script.readable(0, request(0, 3)), Script.writable(1, 512), Script.writable(5, 1)])
      script.send(
        0, [Script.readable(0, request(1, 2)), .init(place: 1, count: 512), Script.writable(5, 1)], isIndirect: true)
      script.event(2, [2])
      for (type, data) in [(4, []), (8, [Script.writable(1, 20)]), (11, [Script.readable(1, range)])]
        as [(UInt8, [Script.Part])]
      {
        script.send(0, [Script.readable(0, request(type, 0))] + data + [Script.writable(5, 1)])
      }
      script.send(0, [Script.readable(0, request(13, 0)), Script.readable(1, range), Script.writable(5, 1)])
      script.event(2, [2])
      script.event(3, [0, 0x40])
      script.takeUsed()
    },
    make: { memory in
      let disk = TestDisk(memory: memory, deferred: true)
      let function = VirtioPCI(VirtioBlock(disk), memory: memory, interrupts: TestInterrupts())
      return (
        function,
        [
          { input in
            // The latest first now and then: completions come in any order.
            let (isBackwards, fails) = (input.bool(), input.byte())
            let waiting = disk.takeWaiting()
            for operation in isBackwards ? waiting.reversed() : waiting {
              let done = disk.perform(operation)
              function.complete(operation.id, with: fails == 1 ? result(&input) : done)
            }
          },
          // No more than the double has.
          { input in function.resize(capacity: min(disk.capacity, input.integer(2))) },
        ]
      )
    }),
  virtio(
    "network",
    { script in
      script.send(0, [Script.writable(0, 1600)])
      script.event(2, [60])
      script.send(1, [Script.readable(8, [UInt8](repeating: 0, count: 12)), Script.readable(9, Array(1...60))])
      script.takeUsed()
    },
    make: { memory in
      let port = FuzzPort(memory)
      let function = VirtioPCI(
        VirtioNetwork(port, mac: [0x52, 0x54, 0, 0, 0, 1]), memory: memory, interrupts: TestInterrupts())
      return (
        function,
        [
          { input in
            port.offer([UInt8](repeating: 7, count: 12 + Int(input.byte()) * 8))
            _ = function.receiveFrames()
          }
        ]
      )
    }),
  virtio(
    "served-network",
    { script in
      script.send(0, [Script.writable(0, 64)])
      script.send(1, [Script.readable(1, Array("frame".utf8))])
      script.event(2, [1])
      script.event(2, [0])
    },
    make: { memory in
      let function = VirtioPCI(
        ServedNetwork(FuzzServer(memory), mac: [0x52, 0x54, 0, 0, 0, 1]), memory: memory, interrupts: TestInterrupts())
      return (
        function,
        [
          { input in function.interrupt(queue: Int(input.byte())) },
          { input in function.serverRefused(queue: Int(input.byte()) & 1) },
        ]
      )
    }),
  virtio(
    "console",
    { script in
      script.send(0, [Script.writable(0, 64)])
      script.event(2, [3, 0x61, 0x62, 0x63])
      script.send(1, [Script.readable(1, Array("out".utf8))])
      script.takeUsed()
    },
    make: { memory in
      let function = VirtioPCI(VirtioConsole(TestSink()), memory: memory, interrupts: TestInterrupts())
      return (
        function,
        [
          { input in _ = function.receive(input.run()) },
          { input in
            let (columns, rows) = (UInt16(input.byte()), UInt16(input.byte()))
            function.withDevice { device, _ throws(VirtioError) in device.resize(columns: columns, rows: rows) }
          },
        ]
      )
    }),
  virtio(
    "entropy",
    { script in
      script.send(0, [Script.writable(0, 64), Script.writable(1, 8)])
      script.takeUsed()
    },
    make: { memory in
      (VirtioPCI(VirtioEntropy(TestEntropy()), memory: memory, interrupts: TestInterrupts()), [])
    }),
  virtio(
    "balloon",
    { script in
      script.event(2, [0x40, 0])
      script.send(0, [Script.readable(0, [0x20, 0, 0, 0, 0x21, 0, 0, 0])])
      script.send(1, [Script.readable(0, [0x20, 0, 0, 0])])
      script.send(2, [Script.readable(0, [4, 0, 1, 0, 0, 0, 0, 0, 0, 0])])
      script.event(3)
      script.send(3, [Script.writable(16, 0x1000)])
      script.takeUsed()
    },
    make: { memory in
      let function = VirtioPCI(VirtioBalloon(FuzzBalloon(memory: memory)), memory: memory, interrupts: TestInterrupts())
      return (
        function,
        [
          { input in function.setBalloonTarget(input.integer(4) << 12) },
          { _ in _ = function.requestStatistics() },
        ]
      )
    }),
  virtio(
    "mem",
    { script in
      func request(_ type: UInt8, _ block: UInt8, _ count: UInt8) -> [Script.Part] {
        let address: [UInt8] = [0, 0, block << 5, 0, 1, 0, 0, 0]
        return [
          Script.readable(0, [type, 0, 0, 0, 0, 0, 0, 0] + address + [count, 0, 0, 0, 0, 0, 0, 0]),
          Script.writable(4, 10),
        ]
      }
      script.event(2, [16])
      script.send(0, request(0, 0, 4))
      script.send(0, request(3, 2, 4))
      script.send(0, request(1, 1, 2), isIndirect: true)
      script.event(3, [1])
      script.send(0, request(0, 5, 1))
      script.send(0, request(2, 0, 0))
      script.takeUsed()
    },
    make: { memory in
      let blocks = FuzzBlocks()
      let device = VirtioMem<TestMemory, FuzzBlocks>(
        blocks, region: GuestAddress(FuzzBlocks.region), blockCount: FuzzBlocks.count, blockBytes: FuzzBlocks.blockBytes
      )
      let function = VirtioPCI(device, memory: memory, interrupts: TestInterrupts())
      return (
        function,
        [
          { input in
            function.requestMemory(UInt64(input.byte()) * FuzzBlocks.blockBytes / 2)
            precondition(
              function.withDevice { device, _ throws(VirtioError) in device.plugged } == blocks.bytes,
              "what is plugged is not what is told")
          },
          { input in blocks.refuse(Int(input.byte() & 3)) },
        ]
      )
    }),
  virtio(
    "scsi",
    { script in
      func command(_ target: UInt8, _ bytes: [UInt8]) -> Script.Part {
        Script.readable(
          0,
          [1, target, 0x40, 0] + [UInt8](repeating: 0, count: 15) + bytes
            + [UInt8](repeating: 0, count: 32 - bytes.count))
      }
      for target in UInt8(0)..<2 {
        for bytes in [[0], [0x12, 0, 0, 0, 96], [0x28, 0, 0, 0, 0, 1, 0, 0, 1], [0x43, 2, 0, 0, 0, 0, 0, 0, 255]]
          as [[UInt8]]
        {
          script.send(2, [command(target, bytes), Script.writable(2, 108), Script.writable(4, 2048)])
          script.event(2, [2, 0])
        }
      }
      script.send(
        2,
        [
          command(0, [0x2A, 0, 0, 0, 0, 1, 0, 0, 1]), .init(place: 8, count: 512), Script.writable(2, 108),
        ])
      script.event(2, [2, 0])
      script.send(
        0, [Script.readable(0, [0, 0, 0, 0, 5, 0, 0, 0, 1, 0, 0x40, 0] + Array(1...12)), Script.writable(2, 1)])
      script.send(1, [Script.writable(6, 16)])
      script.event(3, [1])
      for step in [0x80, 0, 0x40] as [UInt8] {
        script.send(1, [Script.writable(6, 16)])
        script.event(5, [step])
      }
      script.takeUsed()
    },
    make: { memory in
      let disk = TestDisk(memory: memory, deferred: true)
      let disc = TestDisk(memory: memory, isReadOnly: true)
      let function = VirtioPCI(
        VirtioSCSI([.init(disk: disk), .init(cdrom: disc, serial: "drive")], places: 4), memory: memory,
        interrupts: TestInterrupts())
      return (
        function,
        [
          { input in
            let fails = input.byte()
            for operation in disk.takeWaiting() {
              let done = disk.perform(operation)
              function.complete(operation.id, with: fails == 1 ? result(&input) : done)
            }
          },
          { input in function.insert(input.bool() ? disc : nil, target: input.index(4)) },
          { input in function.resize(target: input.index(4), capacity: input.integer(2) & 0x7FFF) },
          // A target comes, goes, or is let go of.
          { input in
            let step = input.byte()
            let target = Int(step & 0x3F) - 1
            switch step >> 6 {
            case 0: _ = function.detach(target: target + 1)
            case 1: _ = function.removeTarget(target + 1)
            case 2: _ = function.attach(disk: disk)
            default: _ = function.detach(target: target) && function.removeTarget(target)
            }
          },
        ]
      )
    }),
]
