import Machine

/// What the machine does in a second of what costs its guests most: exits, and requests to its disk.
///
/// Instead of the tests when the command line has the word `rates`. Each figure is a line `RATE name count`, of two
/// seconds' polling with interrupts off. The disk is written to only if it is made for this program
/// (`BlockDevice.isOurs`).
struct Rates: ~Copyable {
  private var probe: Probe
  private var console = Console()
  /// Time stamp counts of two seconds.
  private let duration: UInt64

  init?(_ probe: consuming Probe) {
    guard let counts = IntervalTimer.timestampsPerTenMilliseconds() else { return nil }
    self.probe = probe
    duration = UInt64(counts) &* 200
  }

  mutating func run() {
    // No device of a PC is there.
    report("port", rate { machine_out8(0xED, 0) })
    do throws(Verdict) {
      try disk()
    } catch {
      console.write(line: "RATE-FAILED")
    }
    console.drain()
  }

  private mutating func disk() throws(Verdict) {
    guard let function = VirtioFunction.first(type: 2) else { return }
    // Decoding and bus mastering, where firmware did not think of it.
    PCI.write16(function.function, 0x04, PCI.read16(function.function, 0x04) | 0b111)
    var idle = try BlockDevice(&probe)
    let isOurs = try idle.isOurs()
    report("doorbell", rate { idle.ring.kick() })
    try report("read-4k", requests(BlockDevice.Kind.read, count: 4096, depth: 32, isRandom: true))
    try report("read-1m", requests(BlockDevice.Kind.read, count: 1 << 20, depth: 4, isRandom: false))
    guard isOurs else { return }
    try report("write-4k", requests(BlockDevice.Kind.write, count: 4096, depth: 32, isRandom: true))
    try report("write-1m", requests(BlockDevice.Kind.write, count: 1 << 20, depth: 4, isRandom: false))
  }

  private mutating func report(_ name: StaticString, _ rate: UInt64) {
    console.write("RATE ")
    console.write(name)
    console.write(" ")
    console.write(decimal: rate)
    console.write("\n")
  }

  /// How often `action` is done in a second.
  private func rate(_ action: () -> Void) -> UInt64 {
    let start = machine_timestamp()
    var count: UInt64 = 0
    while machine_timestamp() &- start < duration {
      for _ in 0..<16 { action() }
      count &+= 16
    }
    return count >> 1
  }

  /// Requests of `count` bytes that the disk answers in a second, `depth` of them under way at any time.
  private mutating func requests(
    _ kind: UInt32, count: UInt32, depth: UInt16, isRandom: Bool
  ) throws(Verdict) -> UInt64 {
    guard let function = VirtioFunction.first(type: 2) else { throw .skip("no virtio disk") }
    var ring = try VirtioRing(&probe, size: 128)
    // As drivers do: doorbells only where they are asked for, and flushes only of their own.
    let features = function.offeredFeatures & (VirtioFunction.Feature.eventIndex | BlockDevice.flushFeature)
    let usesEventIndex = features & VirtioFunction.Feature.eventIndex != 0
    try function.begin(features)
    let sectors = machine_load32(UInt(function.device))
    try ring.enable(function)
    try function.goLive()
    let headers = try probe.reserve(32 &* UInt32(depth))
    let data = try probe.reserve(count &* UInt32(depth), alignment: 4096)
    // The first request's place stays free: there the disk says whose it is.
    let places = sectors / (count / 512) &- 1
    try require(places > 0 && places < 1 << 31, "the disk is larger than two requests")
    var random: UInt32 = 0x2545_F491
    var place: UInt32 = 0

    func submit(_ slot: UInt16) {
      random ^= random << 13
      random ^= random >> 17
      random ^= random << 5
      place = isRandom ? random : place &+ 1
      machine_store32(UInt(headers &+ 32 &* UInt32(slot) &+ 8), (1 &+ place % places) &* (count / 512))
      ring.add(slot &* 3)
    }
    for slot in 0..<depth {
      let header = headers &+ 32 &* UInt32(slot)
      for word in 0..<4 as Range<UInt32> { machine_store32(UInt(header &+ 4 &* word), word == 0 ? kind : 0) }
      let writes = kind == BlockDevice.Kind.write ? 0 : VirtioRing.Flag.write
      ring.setDescriptor(slot &* 3, address: header, count: 16, flags: VirtioRing.Flag.next, next: slot &* 3 &+ 1)
      ring.setDescriptor(
        slot &* 3 &+ 1, address: data &+ count &* UInt32(slot), count: count, flags: VirtioRing.Flag.next | writes,
        next: slot &* 3 &+ 2)
      ring.setDescriptor(slot &* 3 &+ 2, address: header &+ 16, count: 1, flags: VirtioRing.Flag.write)
      submit(slot)
    }
    ring.setNoInterrupt(true)
    let start = machine_timestamp()
    ring.publish()
    ring.kick()
    var published = ring.nextAvailable
    var done: UInt64 = 0
    while machine_timestamp() &- start < duration {
      var hasMore = false
      while let element = ring.takeUsed() {
        done &+= 1
        submit(UInt16(truncatingIfNeeded: element.head) / 3)
        hasMore = true
      }
      guard hasMore else {
        machine_pause()
        continue
      }
      let before = published
      ring.publish()
      published = ring.nextAvailable
      // The device says which buffer it wants to hear of, or whether of any (virtio 1.2, 2.7.10).
      let isWanted =
        usesEventIndex
        ? published &- ring.availableEvent &- 1 < published &- before : machine_load16(UInt(ring.used)) & 1 == 0
      if isWanted { ring.kick() }
    }
    try require(machine_load8(UInt(headers &+ 16)), equals: 0, "status of a request")
    try function.reset()
    return done >> 1
  }
}

extension StartInfo {
  /// Whether the command line has this word among its words.
  func hasWord(_ word: StaticString) -> Bool {
    var at = commandLine
    guard at != 0 else { return false }
    for _ in 0..<4096 {
      let end = PhysicalMemory.byte(at &+ UInt64(word.utf8CodeUnitCount))
      if PhysicalMemory.matches(word, at: at), end == 0 || end == 0x20 { return true }
      while PhysicalMemory.byte(at) != 0x20 {
        if PhysicalMemory.byte(at) == 0 { return false }
        at &+= 1
      }
      at &+= 1
    }
    return false
  }
}
