import Machine

/// A split virtqueue from the driver's side (virtio 1.2, 2.7).
struct VirtioRing {
  /// Descriptor flags (2.7.5).
  enum Flag {
    static let next: UInt16 = 1
    static let write: UInt16 = 2
    static let indirect: UInt16 = 4
  }

  let number: UInt16
  let size: UInt16
  let descriptors: UInt32
  let available: UInt32
  let used: UInt32
  private(set) var doorbell: UInt32 = 0
  private(set) var nextAvailable: UInt16 = 0
  private(set) var lastUsed: UInt16 = 0

  /// Memory for a ring of `size` descriptors.
  init(_ probe: inout Probe, number: UInt16 = 0, size: UInt16) throws(Verdict) {
    self.number = number
    self.size = size
    descriptors = try probe.allocate(16 &* UInt32(size))
    available = try probe.allocate(6 &+ 2 &* UInt32(size))
    used = try probe.allocate(6 &+ 8 &* UInt32(size))
  }

  /// Gives the ring to the device, with `vector` of its MSI-X table.
  mutating func enable(_ function: VirtioFunction, vector: UInt16 = 0xFFFF) throws(Verdict) {
    function.select(number)
    try require(function.read16(0x18) >= size, "the queue is at least as long as the test needs")
    function.write16(0x18, size)
    function.write32(0x20, descriptors)
    function.write32(0x24, 0)
    function.write32(0x28, available)
    function.write32(0x2C, 0)
    function.write32(0x30, used)
    function.write32(0x34, 0)
    function.write16(0x1A, vector)
    try require(function.read16(0x1A), equals: vector, "the queue's MSI-X vector")
    doorbell = function.doorbell
    function.write16(0x1C, 1)
  }

  func setDescriptor(_ index: UInt16, address: UInt32, count: UInt32, flags: UInt16, next: UInt16 = 0, high: UInt32 = 0)
  {
    Self.put(descriptors &+ 16 &* UInt32(index), address, count, flags, next, high)
  }

  /// Writes a descriptor, of a ring or of an indirect table.
  static func put(
    _ at: UInt32, _ address: UInt32, _ count: UInt32, _ flags: UInt16, _ next: UInt16, _ high: UInt32 = 0
  ) {
    machine_store32(UInt(at), address)
    machine_store32(UInt(at &+ 4), high)
    machine_store32(UInt(at &+ 8), count)
    machine_store16(UInt(at &+ 12), flags)
    machine_store16(UInt(at &+ 14), next)
  }

  /// Makes the chain at `head` available; the device sees it at `publish`.
  mutating func add(_ head: UInt16) {
    machine_store16(UInt(available &+ 4 &+ 2 &* UInt32(nextAvailable & (size &- 1))), head)
    nextAvailable &+= 1
  }

  func publish() {
    machine_fence()
    machine_store16(UInt(available &+ 2), nextAvailable)
    machine_fence()
  }

  /// Makes the available index say something else than the truth.
  func publish(index: UInt16) {
    machine_store16(UInt(available &+ 2), index)
    machine_fence()
  }

  func kick() { machine_store16(UInt(doorbell), number) }

  var usedIndex: UInt16 { machine_load16(UInt(used &+ 2)) }
  var hasUsed: Bool { usedIndex != lastUsed }

  /// The next buffer that the device gave back.
  mutating func takeUsed() -> (head: UInt32, written: UInt32)? {
    guard hasUsed else { return nil }
    machine_fence()
    let element = used &+ 4 &+ 8 &* UInt32(lastUsed & (size &- 1))
    lastUsed &+= 1
    return (machine_load32(UInt(element)), machine_load32(UInt(element &+ 4)))
  }

  /// Waits for a buffer to come back.
  mutating func waitUsed() throws(Verdict) -> (head: UInt32, written: UInt32) {
    let comes = wait { hasUsed }
    guard comes, let element = takeUsed() else { throw .failed("the device gives a buffer back") }
    return element
  }

  /// VRING_AVAIL_F_NO_INTERRUPT (2.7.7).
  func setNoInterrupt(_ on: Bool) { machine_store16(UInt(available), on ? 1 : 0) }
  /// used_event and avail_event (2.7.7, 2.7.8).
  func setUsedEvent(_ index: UInt16) { machine_store16(UInt(available &+ 4 &+ 2 &* UInt32(size)), index) }
  var availableEvent: UInt16 { machine_load16(UInt(used &+ 4 &+ 8 &* UInt32(size))) }
}
