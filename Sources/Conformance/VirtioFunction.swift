import Machine

/// A virtio function with the modern interface (virtio 1.2, 4.1.4).
struct VirtioFunction {
  /// Status bits (2.1).
  enum Status {
    static let acknowledge: UInt8 = 1
    static let driver: UInt8 = 2
    static let driverOK: UInt8 = 4
    static let featuresOK: UInt8 = 8
    static let needsReset: UInt8 = 64
  }

  /// Feature bits (chapter 6).
  enum Feature {
    static let indirect: UInt64 = 1 << 28
    static let eventIndex: UInt64 = 1 << 29
    static let version1: UInt64 = 1 << 32
  }

  let function: PCI.Function
  private(set) var common: UInt32 = 0
  private(set) var notify: UInt32 = 0
  private(set) var notifyCount: UInt32 = 0
  private(set) var notifyMultiplier: UInt32 = 0
  private(set) var interruptStatus: UInt32 = 0
  private(set) var device: UInt32 = 0
  private(set) var deviceCount: UInt32 = 0
  /// Offset of the configuration access capability (4.1.4.9).
  private(set) var access: UInt32 = 0
  private(set) var accessBar: UInt32 = 0
  private(set) var commonOffset: UInt32 = 0

  /// Device type (chapter 5); transitional ids say it in the subsystem.
  let type: UInt16
  let isTransitional: Bool

  /// The function's structures, as its capabilities tell. Nil where it is no virtio function.
  init?(_ function: PCI.Function) {
    guard function.vendor == 0x1AF4, (0x1000...0x107F).contains(function.product) else { return nil }
    self.function = function
    isTransitional = function.product < 0x1040
    type = isTransitional ? PCI.read16(function, 0x2E) : function.product - 0x1040
    var offset = PCI.capability(function, id: 0x09)
    while offset != 0 {
      read(offset)
      offset = PCI.capability(function, id: 0x09, after: offset)
    }
  }

  private mutating func read(_ capability: UInt32) {
    let bar = UInt32(PCI.read8(function, capability &+ 4))
    let kind = PCI.read8(function, capability &+ 3)
    if kind == 5 {
      access = capability
      return
    }
    guard bar < 6 else { return }
    let base = PCI.address(function, bar: bar)
    guard base != 0 else { return }
    let offset = PCI.read32(function, capability &+ 8)
    let count = PCI.read32(function, capability &+ 12)
    // The first of each kind is the device's favourite (4.1.4).
    switch kind {
    case 1 where common == 0:
      common = base &+ offset
      commonOffset = offset
      accessBar = bar
    case 2 where notify == 0:
      notify = base &+ offset
      notifyCount = count
      notifyMultiplier = PCI.read32(function, capability &+ 16)
    case 3 where interruptStatus == 0: interruptStatus = base &+ offset
    case 4 where device == 0:
      device = base &+ offset
      deviceCount = count
    default: break
    }
  }

  var isModern: Bool { common != 0 && notify != 0 && interruptStatus != 0 }

  // MARK: Common configuration (4.1.4.3)

  func read8(_ offset: UInt32) -> UInt8 { machine_load8(UInt(common &+ offset)) }
  func read16(_ offset: UInt32) -> UInt16 { machine_load16(UInt(common &+ offset)) }
  func read32(_ offset: UInt32) -> UInt32 { machine_load32(UInt(common &+ offset)) }
  func write8(_ offset: UInt32, _ value: UInt8) { machine_store8(UInt(common &+ offset), value) }
  func write16(_ offset: UInt32, _ value: UInt16) { machine_store16(UInt(common &+ offset), value) }
  func write32(_ offset: UInt32, _ value: UInt32) { machine_store32(UInt(common &+ offset), value) }

  var status: UInt8 { read8(0x14) }
  func setStatus(_ value: UInt8) { write8(0x14, value) }
  var queueCount: UInt16 { read16(0x12) }
  func select(_ queue: UInt16) { write16(0x16, queue) }

  /// Queues that tests go over; no device of ours has more.
  var queues: UInt16 { min(queueCount, 64) }

  /// Back to the beginning: status reads 0 when the device is there (4.1.4.3.2).
  func reset() throws(Verdict) {
    setStatus(0)
    let isDone = wait { status == 0 }
    try require(isDone, "the status reads 0 after a reset")
  }

  var offeredFeatures: UInt64 {
    write32(0x00, 0)
    let low = read32(0x04)
    write32(0x00, 1)
    return UInt64(low) | UInt64(read32(0x04)) << 32
  }

  func accept(_ features: UInt64) {
    write32(0x08, 0)
    write32(0x0C, UInt32(truncatingIfNeeded: features))
    write32(0x08, 1)
    write32(0x0C, UInt32(truncatingIfNeeded: features >> 32))
  }

  /// Resets, and goes on to FEATURES_OK with `features`: whether the device agrees.
  func negotiate(_ features: UInt64) throws(Verdict) -> Bool {
    try reset()
    setStatus(Status.acknowledge)
    setStatus(Status.acknowledge | Status.driver)
    accept(features)
    setStatus(Status.acknowledge | Status.driver | Status.featuresOK)
    return status & Status.featuresOK != 0
  }

  /// As `negotiate`, where the device has to agree. VERSION_1 is added.
  func begin(_ features: UInt64) throws(Verdict) {
    let agrees = try negotiate(features | Feature.version1)
    try require(agrees, "the device accepts a subset of its features")
  }

  /// The driver is ready.
  func goLive() throws(Verdict) {
    setStatus(Status.acknowledge | Status.driver | Status.featuresOK | Status.driverOK)
    try require(status & 0xCF, equals: 0x0F, "status after DRIVER_OK")
  }

  /// Where the doorbell of the selected queue is (4.1.4.4).
  var doorbell: UInt32 { notify &+ UInt32(read16(0x1E)) &* notifyMultiplier }

  /// Reads and so clears the ISR status (4.1.4.5).
  func takeInterruptStatus() -> UInt8 { machine_load8(UInt(interruptStatus)) }

  /// Hands each virtio function to `body`.
  static func forEach(_ body: (VirtioFunction) -> Void) {
    PCI.forEachFunction { function in
      if let found = VirtioFunction(function) { body(found) }
    }
  }

  /// The first function of `type` that has the modern interface.
  static func first(type: UInt16) -> VirtioFunction? {
    var result: VirtioFunction?
    forEach { if $0.type == type, $0.isModern, result == nil { result = $0 } }
    return result
  }
}
