import Devices

/// What a guest does with a virtio function: it finds it on the bus through ports, reads its capabilities, negotiates,
/// sets up rings in guest memory, posts buffers and looks at what comes back.
final class VirtioDriver {
  struct Ring {
    var index: UInt16
    var size: UInt16
    var descriptors: UInt64
    var available: UInt64
    var used: UInt64
    var nextAvailable: UInt16 = 0
    var lastUsed: UInt16 = 0
    var nextDescriptor: UInt16 = 0
    var doorbell: UInt64
  }

  struct Part {
    var address: UInt64
    var count: UInt32
    var writable = false
    /// Flags and next, when they are to be something else than right.
    var flags: UInt16?
    var next: UInt16?
  }

  let bus: PCIBus
  let memory: TestMemory
  let device: UInt8
  var rings: [Ring] = []
  private(set) var common: UInt64 = 0
  private(set) var isr: UInt64 = 0
  private(set) var configuration: UInt64 = 0
  private var notify: UInt64 = 0
  private var notifyMultiplier: UInt64 = 0
  private(set) var accessCapability: UInt8 = 0
  private(set) var msixCapability: UInt8 = 0
  private(set) var msixTable: UInt64 = 0
  private(set) var msixPending: UInt64 = 0
  /// Where the legacy interface is, once `startLegacy` has been called: doorbells then ring there.
  var ports: UInt64?
  /// Next free byte of guest memory for rings and buffers.
  private var heap: UInt64 = 0x10000

  init(bus: PCIBus, memory: TestMemory, device: UInt8 = 2) {
    self.bus = bus
    self.memory = memory
    self.device = device
    readCapabilities()
  }

  /// `count` zeroed bytes of guest memory.
  func allocate(_ count: Int, alignment: UInt64 = 16) -> UInt64 {
    heap = (heap + alignment - 1) & ~(alignment - 1)
    let start = heap
    heap += UInt64(count)
    do { try memory.write([UInt8](repeating: 0, count: count), at: GuestAddress(start)) } catch { heap = start }
    return start
  }

  func allocate(_ bytes: [UInt8]) throws -> UInt64 {
    let address = allocate(bytes.count)
    try memory.write(bytes, at: GuestAddress(address))
    return address
  }

  // MARK: Configuration space

  func readConfiguration(_ register: UInt8, _ width: AccessWidth = .doubleWord) -> UInt32 {
    bus.write(0x8000_0000 | UInt64(device) << 11 | UInt64(register & 0xFC), at: 0, width: .doubleWord)
    return UInt32(bus.read(at: 4 + UInt64(register & 3), width: width))
  }

  func writeConfiguration(_ value: UInt32, _ register: UInt8, _ width: AccessWidth = .doubleWord) {
    bus.write(0x8000_0000 | UInt64(device) << 11 | UInt64(register & 0xFC), at: 0, width: .doubleWord)
    bus.write(UInt64(value), at: 4 + UInt64(register & 3), width: width)
  }

  func bar(_ index: UInt32) -> UInt64 {
    UInt64(readConfiguration(UInt8(0x10 + 4 * index)) & ~0xF)
  }

  private func readCapabilities() {
    guard readConfiguration(0x06, .word) & 0x10 != 0 else { return }
    var pointer = UInt8(readConfiguration(0x34, .byte))
    var left = 48
    while pointer != 0, left > 0 {
      left -= 1
      let id = readConfiguration(pointer, .byte)
      if id == 0x11 {
        msixCapability = pointer
        let table = readConfiguration(pointer + 4)
        let pending = readConfiguration(pointer + 8)
        msixTable = bar(table & 7) + UInt64(table & ~7)
        msixPending = bar(pending & 7) + UInt64(pending & ~7)
      } else if id == 0x09 {
        let type = readConfiguration(pointer + 3, .byte)
        let base = bar(readConfiguration(pointer + 4, .byte)) + UInt64(readConfiguration(pointer + 8))
        switch type {
        case 1: common = base
        case 2:
          notify = base
          notifyMultiplier = UInt64(readConfiguration(pointer + 16))
        case 3: isr = base
        case 4: configuration = base
        case 5: accessCapability = pointer
        default: break
        }
      }
      pointer = UInt8(readConfiguration(pointer + 1, .byte))
    }
  }

  // MARK: Registers

  func read(_ offset: UInt64, _ width: AccessWidth) -> UInt64 {
    bus.readMemory(at: common + offset, width: width) ?? .max
  }

  func write(_ value: UInt64, _ offset: UInt64, _ width: AccessWidth) {
    bus.writeMemory(value, at: common + offset, width: width)
  }

  var status: UInt8 {
    get { UInt8(truncatingIfNeeded: read(20, .byte)) }
    set { write(UInt64(newValue), 20, .byte) }
  }

  var deviceFeatures: UInt64 {
    write(0, 0, .doubleWord)
    let low = read(4, .doubleWord)
    write(1, 0, .doubleWord)
    return low | read(4, .doubleWord) << 32
  }

  func setDriverFeatures(_ features: UInt64) {
    write(0, 8, .doubleWord)
    write(features & 0xFFFF_FFFF, 12, .doubleWord)
    write(1, 8, .doubleWord)
    write(features >> 32, 12, .doubleWord)
  }

  func readISR() -> UInt8 { UInt8(truncatingIfNeeded: bus.readMemory(at: isr, width: .byte) ?? 0xFF) }

  func readDevice(_ offset: UInt64, _ width: AccessWidth) -> UInt64 {
    bus.readMemory(at: configuration + offset, width: width) ?? .max
  }

  // MARK: Initialization (virtio 1.2, 3.1.1)

  /// Reset, ACKNOWLEDGE, DRIVER, features, FEATURES_OK, queues, DRIVER_OK. False where FEATURES_OK does not stick.
  func start(features wanted: UInt64 = .max, queueSize: UInt16 = 16, vectors: Bool = false, live: Bool = true) -> Bool {
    status = 0
    guard status == 0 else { return false }
    status = 1
    status |= 2
    setDriverFeatures(deviceFeatures & wanted)
    status |= 8
    guard status & 8 != 0 else { return false }
    if vectors {
      writeConfiguration(0x8000, msixCapability + 2, .word)
      write(0, 16, .word)
    }
    rings = []
    for index in 0..<UInt16(read(18, .word)) { addRing(index, size: queueSize, vector: vectors ? index + 1 : nil) }
    guard live else { return true }
    status |= 4
    return status & 4 != 0
  }

  private func addRing(_ index: UInt16, size: UInt16, vector: UInt16?) {
    write(UInt64(index), 22, .word)
    write(UInt64(size), 24, .word)
    let descriptors = allocate(16 * Int(size), alignment: 16)
    let available = allocate(6 + 2 * Int(size), alignment: 2)
    let used = allocate(6 + 8 * Int(size), alignment: 4)
    for (offset, address) in [(UInt64(32), descriptors), (40, available), (48, used)] {
      write(address & 0xFFFF_FFFF, offset, .doubleWord)
      write(address >> 32, offset + 4, .doubleWord)
    }
    if let vector { write(UInt64(vector), 26, .word) }
    let doorbell = notify + read(30, .word) * notifyMultiplier
    write(1, 28, .word)
    rings.append(
      Ring(
        index: index, size: size, descriptors: descriptors, available: available, used: used, doorbell: doorbell))
  }

  /// Makes vector `vector` deliver `data`.
  func setVector(_ vector: UInt64, data: UInt64, masked: Bool = false) {
    let entry = msixTable + 16 * vector
    bus.writeMemory(0xFEE0_0000, at: entry, width: .doubleWord)
    bus.writeMemory(0, at: entry + 4, width: .doubleWord)
    bus.writeMemory(data, at: entry + 8, width: .doubleWord)
    bus.writeMemory(masked ? 1 : 0, at: entry + 12, width: .doubleWord)
  }

  // MARK: Buffers

  /// Writes a chain's descriptors; its head. Descriptors are taken round and round.
  func chain(_ parts: [Part], ring number: Int = 0, table: UInt64? = nil) throws -> UInt16 {
    let ring = rings[number]
    let first = table == nil ? ring.nextDescriptor : 0
    for (offset, part) in parts.enumerated() {
      let index = table == nil ? (first + UInt16(offset)) % ring.size : UInt16(offset)
      let next = table == nil ? (index + 1) % ring.size : index + 1
      let isLast = offset == parts.count - 1
      let address = (table ?? ring.descriptors) + 16 * UInt64(index)
      try memory.storeUInt64(part.address, at: GuestAddress(address))
      try memory.storeUInt32(part.count, at: GuestAddress(address + 8))
      let flags = part.flags ?? ((part.writable ? 2 : 0) | (isLast ? 0 : 1))
      try memory.storeUInt16(flags, at: GuestAddress(address + 12))
      try memory.storeUInt16(part.next ?? next, at: GuestAddress(address + 14))
    }
    if table == nil { rings[number].nextDescriptor = (first + UInt16(parts.count)) % ring.size }
    return first
  }

  /// Makes the chain at `head` available.
  func post(head: UInt16, ring number: Int = 0) throws {
    let ring = rings[number]
    try memory.storeUInt16(
      head, at: GuestAddress(ring.available + 4 + 2 * UInt64(ring.nextAvailable % ring.size)))
    rings[number].nextAvailable &+= 1
    try memory.storeUInt16(rings[number].nextAvailable, at: GuestAddress(ring.available + 2))
  }

  /// Writes a chain, makes it available and, if wanted, rings the doorbell. Its head.
  @discardableResult
  func send(_ parts: [Part], ring: Int = 0, kick: Bool = true) throws -> UInt16 {
    let head = try chain(parts, ring: ring)
    try post(head: head, ring: ring)
    if kick { self.kick(ring) }
    return head
  }

  func kick(_ ring: Int = 0) {
    if let ports {
      bus.writePort(UInt64(rings[ring].index), at: ports + 16, width: .word)
    } else {
      bus.writeMemory(UInt64(rings[ring].index), at: rings[ring].doorbell, width: .word)
    }
  }

  /// The next used buffer: its head and how much was written into it.
  func takeUsed(ring number: Int = 0) throws -> (head: UInt32, written: UInt32)? {
    let ring = rings[number]
    let index = try memory.loadUInt16(at: GuestAddress(ring.used + 2))
    guard index != ring.lastUsed else { return nil }
    let element = ring.used + 4 + 8 * UInt64(ring.lastUsed % ring.size)
    rings[number].lastUsed &+= 1
    return (
      try memory.loadUInt32(at: GuestAddress(element)), try memory.loadUInt32(at: GuestAddress(element + 4))
    )
  }

  /// Sets the used event: interrupt when the used index passes it.
  func setUsedEvent(_ value: UInt16, ring: Int = 0) throws {
    try memory.storeUInt16(value, at: GuestAddress(rings[ring].available + 4 + 2 * UInt64(rings[ring].size)))
  }
}
