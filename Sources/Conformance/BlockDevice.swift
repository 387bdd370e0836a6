import Machine

/// A virtio disk with one queue, driven by polling (virtio 1.2, 5.2).
struct BlockDevice {
  /// Request types and status (5.2.6).
  enum Kind {
    static let read: UInt32 = 0
    static let write: UInt32 = 1
    static let flush: UInt32 = 4
    static let identify: UInt32 = 8
  }

  static let readOnlyFeature: UInt64 = 1 << 5
  static let flushFeature: UInt64 = 1 << 9
  /// What a request's status is before the device writes it.
  static let untouched: UInt8 = 0xEE

  let function: VirtioFunction
  var ring: VirtioRing
  /// Header, data, status of each descriptor's request.
  private let buffers: UInt32
  private static let stride: UInt32 = 1024

  /// The first disk, running with `features` of those that it offers.
  init(_ probe: inout Probe, size: UInt16 = 8, features: UInt64 = 0, vector: UInt16 = 0xFFFF) throws(Verdict) {
    guard let function = VirtioFunction.first(type: 2) else { throw .skip("no virtio disk") }
    self.function = function
    ring = try VirtioRing(&probe, size: size)
    buffers = try probe.reserve(Self.stride &* UInt32(size))
    try function.begin(features & function.offeredFeatures)
    try ring.enable(function, vector: vector)
    try function.goLive()
  }

  /// Size in sectors; what is beyond 2^32 does not show.
  var sectors: UInt32 { machine_load32(UInt(function.device)) }

  func header(_ slot: UInt16) -> UInt32 { buffers &+ Self.stride &* UInt32(slot) }
  func data(_ slot: UInt16) -> UInt32 { header(slot) &+ 16 }
  func statusAddress(_ slot: UInt16) -> UInt32 { header(slot) &+ 16 &+ 512 }
  func status(_ slot: UInt16) -> UInt8 { machine_load8(UInt(statusAddress(slot))) }

  func prepare(_ slot: UInt16, _ kind: UInt32, sector: UInt32) {
    machine_store32(UInt(header(slot)), kind)
    machine_store32(UInt(header(slot) &+ 4), 0)
    machine_store32(UInt(header(slot) &+ 8), sector)
    machine_store32(UInt(header(slot) &+ 12), 0)
    machine_store8(UInt(statusAddress(slot)), Self.untouched)
  }

  /// Puts a request into the descriptors from `head` on, which is also its slot; the device does not see it yet.
  mutating func add(_ kind: UInt32, sector: UInt32, count: UInt32 = 512, head: UInt16 = 0) {
    prepare(head, kind, sector: sector)
    let writes = kind == Kind.write ? 0 : VirtioRing.Flag.write
    ring.setDescriptor(head, address: header(head), count: 16, flags: VirtioRing.Flag.next, next: head &+ 1)
    if count > 0 {
      ring.setDescriptor(
        head &+ 1, address: data(head), count: count, flags: VirtioRing.Flag.next | writes, next: head &+ 2)
    }
    let last = count > 0 ? head &+ 2 : head &+ 1
    ring.setDescriptor(last, address: statusAddress(head), count: 1, flags: VirtioRing.Flag.write)
    ring.add(head)
  }

  /// A whole request: its status, and how many bytes the device says that it wrote.
  mutating func perform(
    _ kind: UInt32, sector: UInt32, count: UInt32 = 512
  ) throws(Verdict) -> (status: UInt8, written: UInt32) {
    add(kind, sector: sector, count: count)
    ring.publish()
    ring.kick()
    let element = try ring.waitUsed()
    try require(element.head, equals: 0, "the buffer that comes back")
    return (status(0), element.written)
  }

  /// Reads a sector into slot 0.
  mutating func read(_ sector: UInt32) throws(Verdict) {
    let result = try perform(Kind.read, sector: sector)
    try require(result.status, equals: 0, "status of a read")
    try require(result.written, equals: 513, "bytes written by a read")
  }

  /// Whether the disk is made for this program: each sector begins with "ROOSTPRB" and its own number. Only such a
  /// disk is written to, and only its last sectors.
  mutating func isOurs() throws(Verdict) -> Bool {
    try read(0)
    return PhysicalMemory.matches("ROOSTPRB", at: UInt64(data(0)))
  }

  /// That slot `slot` holds sector `sector` of a disk of ours.
  func requireSector(_ sector: UInt32, in slot: UInt16 = 0) throws(Verdict) {
    try require(machine_load32(UInt(data(slot) &+ 8)), equals: sector, "the sector's own number")
  }
}
