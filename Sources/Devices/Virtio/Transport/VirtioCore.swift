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
/// (virtio 1.2, chapters 2 and 3). A front end (`VirtioPCI+Modern.swift`; a legacy one can stand beside it) maps
/// registers to these operations. Guarded by its function's lock.
struct VirtioCore<Device: VirtioDevice>: Sendable {
  /// What the transport has to tell the driver.
  struct Notice: Sendable {
    /// A bit per queue whose buffers were used.
    var queues: UInt64 = 0
    /// Whether the configuration, or the status, changed.
    var configuration = false
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
  var isRunning: Bool {
    status & (VirtioStatus.driverOK | VirtioStatus.needsReset) == VirtioStatus.driverOK && !isResetting
  }

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

  /// The driver writes the device status.
  mutating func setStatus(_ value: UInt8) -> Notice {
    if value == 0 {
      reset()
      return Notice()
    }
    guard !isResetting else { return Notice() }
    var next = value | status & VirtioStatus.needsReset
    if next & VirtioStatus.featuresOK != 0, status & VirtioStatus.featuresOK == 0 {
      // Refused features show as FEATURES_OK reading back 0 (2.2, 3.1.1). This transport is modern: no VERSION_1, no go.
      let isSubset = driverFeatures & ~offeredFeatures == 0
      if !isSubset || driverFeatures & VirtioFeature.version1 == 0 { next &= ~VirtioStatus.featuresOK }
    }
    // Going live without agreed features is the driver's mistake; DRIVER_OK does not take.
    if next & VirtioStatus.featuresOK == 0 { next &= ~VirtioStatus.driverOK }
    let goesLive = next & VirtioStatus.driverOK != 0 && status & VirtioStatus.driverOK == 0
    status = next
    guard goesLive else { return Notice() }
    device.start(features: driverFeatures)
    // Buffers may have been made available, and notified of, before DRIVER_OK.
    var notice = Notice()
    for index in queues.queues.indices { notice.merge(serve(index)) }
    return notice
  }

  /// Back to the beginning (2.4), at once or when nothing is in flight any more.
  mutating func reset() {
    device.reset()
    queues.reset()
    driverFeatures = 0
    deviceFeatureSelect = 0
    driverFeatureSelect = 0
    queueSelect = 0
    configurationVector = Self.noVector
    for index in queueVectors.indices { queueVectors[index] = Self.noVector }
    failure = nil
    isResetting = true
    settleReset()
  }

  private mutating func settleReset() {
    guard isResetting, device.isIdle else { return }
    isResetting = false
    status = 0
  }

  /// The driver enables the selected queue.
  mutating func enableSelectedQueue() -> Notice {
    guard let index = selectedQueue, !queues.queues[index].isEnabled, !isResetting else { return Notice() }
    do {
      try queues.queues[index].enable(features: driverFeatures, queue: index, queues.memory)
      return Notice()
    } catch { return fail(error) }
  }

  // MARK: Work

  /// Serves one queue.
  mutating func serve(_ index: Int) -> Notice {
    guard isRunning, index < queues.queues.count, queues.queues[index].isEnabled else { return Notice() }
    do {
      try device.serve(index, &queues)
      return Notice(queues: try queues.takeInterrupts())
    } catch { return fail(error) }
  }

  /// Lets `body` work on the device, whether or not its queues run (after a reset they are empty and take nothing).
  mutating func perform<Result>(
    _ body: (inout Device, inout VirtioQueues<Device.Memory>) throws(VirtioError) -> Result
  ) -> (Result?, Notice) {
    defer { settleReset() }
    do {
      let result = try body(&device, &queues)
      guard isRunning else { return (result, Notice()) }
      return (result, Notice(queues: try queues.takeInterrupts()))
    } catch { return (nil, fail(error)) }
  }

  /// The driver broke the protocol: stop, and ask for a reset (2.1.2).
  private mutating func fail(_ error: VirtioError) -> Notice {
    failure = error
    status |= VirtioStatus.needsReset
    return Notice(configuration: status & VirtioStatus.driverOK != 0)
  }

  /// The device changed its configuration structure (2.5).
  mutating func configurationChanged() -> Notice {
    configurationGeneration &+= 1
    return Notice(configuration: status & VirtioStatus.driverOK != 0)
  }
}

extension VirtioCore.Notice {
  mutating func merge(_ other: Self) {
    queues |= other.queues
    configuration = configuration || other.configuration
  }
}
