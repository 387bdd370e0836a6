/// Device status bits (virtio 1.2, 2.1).
enum VirtioStatus {
  static let acknowledge: UInt8 = 1
  static let driver: UInt8 = 2
  static let driverOK: UInt8 = 4
  static let featuresOK: UInt8 = 8
  static let needsReset: UInt8 = 64
  static let failed: UInt8 = 128
}

/// What every virtio transport keeps for a device, apart from how registers are laid out: negotiation, queues, status
/// (virtio 1.2, chapters 2 and 3). Two front ends (`VirtioCore+Modern.swift`, `VirtioCore+Legacy.swift`) map registers
/// to these operations. Guarded by its function's lock.
struct VirtioCore<Device: VirtioDevice>: Sendable {
  /// What the transport has to tell the driver.
  struct Notice: Sendable {
    /// A bit per queue whose buffers were used.
    var queues: UInt64 = 0
    /// Whether the configuration, or the status, changed.
    var configuration = false
    /// A bit per queue that has more buffers than one visit may serve: nobody to tell but the monitor.
    var backlog: UInt64 = 0
  }

  /// No MSI-X vector (4.1.5.1.2).
  static var noVector: UInt16 { 0xFFFF }

  var device: Device
  var queues: VirtioQueues<Device.Memory>
  let offeredFeatures: UInt64
  private(set) var driverFeatures: UInt64 = 0
  private(set) var status: UInt8 = 0
  /// The driver wrote status 0 and something is still in flight; the status reads as it was until that is done, as
  /// drivers wait for 0 (4.1.4.3.1).
  private(set) var isResetting = false
  /// The reset under way came from a driver that waits for 0. A legacy one does not (2.4.x has no such rule): its
  /// status is 0 at once and it may go on, but is not served before the reset is over.
  private var statusAwaitsReset = false
  /// The driver uses the legacy interface: no FEATURES_OK, and queues may be used before DRIVER_OK (3.1.2).
  private(set) var isLegacy = false
  /// The device was started for this driver.
  private var isLive = false
  private(set) var configurationGeneration: UInt8 = 0
  private(set) var failure: VirtioError?

  var deviceFeatureSelect: UInt32 = 0
  var driverFeatureSelect: UInt32 = 0
  var queueSelect: UInt16 = 0
  var configurationVector = Self.noVector
  var queueVectors: [UInt16]

  init(device: Device, memory: Device.Memory) {
    self.device = device
    queues = VirtioQueues(sizes: device.queueSizes, memory: memory)
    queueVectors = device.queueSizes.map { _ in Self.noVector }
    offeredFeatures =
      device.features | VirtioFeature.version1 | VirtioFeature.eventIndex | VirtioFeature.indirectDescriptors
  }

  /// The selected queue's index, where there is one.
  var selectedQueue: Int? {
    Int(queueSelect) < queues.queues.count ? Int(queueSelect) : nil
  }

  /// Whether queues are served.
  var isRunning: Bool { isLive && status & VirtioStatus.needsReset == 0 && !isResetting }

  // MARK: Negotiation

  /// 32 bits of the offered features; windows beyond the second are zero.
  func deviceFeatures(window: UInt32) -> UInt32 {
    window < 2 ? UInt32(truncatingIfNeeded: offeredFeatures >> (32 * UInt64(window))) : 0
  }

  /// 32 bits of what the driver accepted.
  func driverFeatures(window: UInt32) -> UInt32 {
    window < 2 ? UInt32(truncatingIfNeeded: driverFeatures >> (32 * UInt64(window))) : 0
  }

  /// The driver accepts features; ignored once it said FEATURES_OK (3.1.1).
  mutating func setDriverFeatures(_ value: UInt32, window: UInt32) {
    guard window < 2, status & VirtioStatus.featuresOK == 0, !isResetting else { return }
    let shift = 32 * UInt64(window)
    driverFeatures = driverFeatures & ~(0xFFFF_FFFF << shift) | UInt64(value) << shift
  }

  /// What the legacy interface offers: 32 bits, and so no VERSION_1.
  var legacyFeatures: UInt32 { UInt32(truncatingIfNeeded: offeredFeatures | VirtioFeature.anyLayout) }

  /// A legacy driver accepts features: what was not offered is left out, as it has no way to be refused.
  mutating func setLegacyFeatures(_ value: UInt32) {
    guard status & VirtioStatus.featuresOK == 0, !isLive else { return }
    isLegacy = true
    driverFeatures = UInt64(value & legacyFeatures)
  }

  /// The driver writes the device status.
  mutating func setStatus(_ value: UInt8) -> Notice {
    if value == 0 {
      reset()
      return Notice()
    }
    guard !isResetting else { return Notice() }
    var next = value | status & VirtioStatus.needsReset
    if next & VirtioStatus.featuresOK != 0, status & VirtioStatus.featuresOK == 0 {
      // Refused features show as FEATURES_OK reading back 0 (2.2, 3.1.1). Modern registers: no VERSION_1, no go.
      let isSubset = driverFeatures & ~offeredFeatures == 0
      if !isSubset || driverFeatures & VirtioFeature.version1 == 0 || isLive {
        next &= ~VirtioStatus.featuresOK
      } else {
        isLegacy = false
      }
    }
    // Going live without agreed features is the driver's mistake; DRIVER_OK does not take.
    if next & VirtioStatus.featuresOK == 0 { next &= ~VirtioStatus.driverOK }
    status = next
    return next & VirtioStatus.driverOK != 0 ? goLive() : Notice()
  }

  /// A legacy driver writes the device status.
  mutating func setLegacyStatus(_ value: UInt8) -> Notice {
    if value == 0 {
      reset(awaited: false)
      return Notice()
    }
    guard !isResetting || !statusAwaitsReset else { return Notice() }
    let kept = status & (VirtioStatus.needsReset | VirtioStatus.featuresOK)
    if kept & VirtioStatus.featuresOK == 0 { isLegacy = true }
    status = value & ~(VirtioStatus.needsReset | VirtioStatus.featuresOK) | kept
    return status & VirtioStatus.driverOK != 0 ? goLive() : Notice()
  }

  /// Starts the device for this driver, once.
  private mutating func goLive() -> Notice {
    guard !isLive, !isResetting, status & VirtioStatus.needsReset == 0 else { return Notice() }
    if isLegacy { driverFeatures &= UInt64(legacyFeatures) }
    isLive = true
    device.start(features: driverFeatures)
    for index in queues.queues.indices { queues.queues[index].settle(features: driverFeatures) }
    // Buffers may have been made available, and notified of, before DRIVER_OK.
    var notice = Notice()
    for index in queues.queues.indices { notice.merge(serve(index)) }
    return notice
  }

  /// Back to the beginning (2.4), at once or when nothing is in flight any more; `awaited` by a driver that reads the
  /// status until it is 0.
  mutating func reset(awaited: Bool = true) {
    device.reset()
    queues.reset()
    driverFeatures = 0
    deviceFeatureSelect = 0
    driverFeatureSelect = 0
    queueSelect = 0
    configurationVector = Self.noVector
    for index in queueVectors.indices { queueVectors[index] = Self.noVector }
    failure = nil
    isLive = false
    isLegacy = false
    isResetting = true
    statusAwaitsReset = awaited
    if !awaited { status = 0 }
    _ = settleReset()
  }

  private mutating func settleReset() -> Notice {
    guard isResetting, device.isIdle else { return Notice() }
    isResetting = false
    if statusAwaitsReset { status = 0 }
    statusAwaitsReset = false
    // A legacy driver may have come this far meanwhile.
    return status & VirtioStatus.driverOK != 0 ? goLive() : Notice()
  }

  /// The driver enables the selected queue.
  mutating func enableSelectedQueue() -> Notice {
    guard let index = selectedQueue, !queues.queues[index].isEnabled, !isResetting else { return Notice() }
    return enable(index)
  }

  /// A legacy driver places the selected queue at a page and so enables it; page 0 takes the whole device back, as its
  /// driver is about to free the rings.
  mutating func placeSelectedQueue(page: UInt32) -> Notice {
    guard page != 0 else {
      reset(awaited: false)
      return Notice()
    }
    guard let index = selectedQueue, !queues.queues[index].isEnabled, !isResetting || !statusAwaitsReset else {
      return Notice()
    }
    isLegacy = status & VirtioStatus.featuresOK == 0
    queues.queues[index].placeLegacy(page: page)
    return enable(index)
  }

  private mutating func enable(_ index: Int) -> Notice {
    do {
      try queues.queues[index].enable(features: driverFeatures, queue: index, queues.memory)
      // After DRIVER_OK, which no driver should do (3.1.1): whoever serves it elsewhere has to be told of it.
      return isRunning ? serve(index) : Notice()
    } catch { return fail(error) }
  }

  // MARK: Work

  /// Serves one queue. Unless the visit `asksForNotice`, there is another one soon that nobody asks for.
  mutating func serve(_ index: Int, asksForNotice: Bool = true) -> Notice {
    guard index < queues.queues.count, queues.queues[index].isEnabled else { return Notice() }
    // Old drivers read the disk's partitions before they say DRIVER_OK (3.1.2). Serves all queues, this one included.
    if isLegacy, !isLive { return goLive() }
    guard isRunning else { return Notice() }
    queues.beginVisit(asksForNotice: asksForNotice)
    do {
      try device.serve(index, &queues)
      return Notice(queues: try queues.takeInterrupts(), backlog: queues.backlog)
    } catch { return fail(error) }
  }

  /// Lets `body` work on the device, whether or not its queues run (after a reset they are empty and take nothing).
  mutating func perform<Result>(
    _ body: (inout Device, inout VirtioQueues<Device.Memory>) throws(VirtioError) -> Result
  ) -> (Result?, Notice) {
    queues.beginVisit()
    do {
      let result = try body(&device, &queues)
      guard isRunning else { return (result, settleReset()) }
      return (result, Notice(queues: try queues.takeInterrupts(), backlog: queues.backlog))
    } catch {
      var notice = fail(error)
      notice.merge(settleReset())
      return (nil, notice)
    }
  }

  /// The driver broke the protocol: stop, and ask for a reset (2.1.2).
  private mutating func fail(_ error: VirtioError) -> Notice {
    failure = error
    status |= VirtioStatus.needsReset
    return Notice(configuration: isLive)
  }

  /// The device changed its configuration structure (2.5).
  mutating func configurationChanged() -> Notice {
    configurationGeneration &+= 1
    return Notice(configuration: isLive)
  }
}

extension VirtioCore.Notice {
  mutating func merge(_ other: Self) {
    queues |= other.queues
    configuration = configuration || other.configuration
    backlog |= other.backlog
  }
}
