internal import Synchronization

/// A virtio device as a PCI function (virtio 1.2, 4.1).
///
/// Register 4 decodes 16 KiB of memory: common configuration at 0, ISR at 0x1000, device configuration at 0x2000 and
/// one doorbell per queue at 0x3000. Register 1 decodes the MSI-X table and pending bits. Register 0 of a transitional
/// function decodes the ports of the legacy interface, for drivers that know no other; the others find the modern
/// capabilities.
///
/// Concurrency model: safe from any thread. `state` holds everything that changes, the device model included; vCPU
/// threads take it for configuration accesses, the monitor's device threads for `serve(queue:)` and completions. It is
/// held while the backend's and the interrupt sink's methods run, which must not wait nor call back. Lock order: PCI
/// bus, then this, then what those two take.
public final class VirtioPCI<Device: VirtioDevice, Interrupts: PCIInterrupts>: PCIFunction, @unchecked Sendable {
  private let state: Mutex<VirtioPCIState<Device, Interrupts>>
  private let onFailure: @Sendable (VirtioError) -> Void
  private let onStart: @Sendable () -> Void
  private let onBacklog: (@Sendable (Int) -> Void)?
  /// Number of queues.
  public let queueCount: Int
  /// Number of MSI-X vectors: one per queue and one for configuration changes.
  public let vectorCount: Int
  /// Whether there is a legacy interface.
  public let isTransitional: Bool

  /// Puts `device` behind PCI.
  ///
  /// - Parameters:
  ///   - memory: the guest's RAM.
  ///   - interrupts: where its interrupts go.
  ///   - isTransitional: whether drivers from before virtio 1.0 find their interface too, where the type has one.
  ///   - onFailure: told, once per failure and without the lock, when the driver breaks the protocol.
  ///   - onStart: told, without the lock, that the driver is ready (DRIVER_OK): the time to look at what waits for it.
  ///   - onBacklog: told, without the lock, that a queue has more buffers than one visit may serve: `serve(queue:)` is
  ///     to be called soon, on whichever thread. Nil to go on at once, in the thread that found it so, with the lock
  ///     let go in between.
  public init(
    _ device: Device, memory: Device.Memory, interrupts: Interrupts, isTransitional: Bool = true,
    onFailure: @escaping @Sendable (VirtioError) -> Void = { _ in }, onStart: @escaping @Sendable () -> Void = {},
    onBacklog: (@Sendable (Int) -> Void)? = nil
  ) {
    queueCount = device.queueSizes.count
    vectorCount = queueCount + 1
    self.onStart = onStart
    self.onFailure = onFailure
    self.onBacklog = onBacklog
    self.isTransitional = isTransitional && Device.type.transitionalDevice != nil
    state = Mutex(
      VirtioPCIState(device: device, memory: memory, interrupts: interrupts, isTransitional: isTransitional))
    super.init()
  }

  // MARK: For the monitor

  /// The base address register that holds the doorbells.
  public static var doorbellBar: Int { 4 }

  /// Offset of `queue`'s doorbell in the window of `doorbellBar`: where an ioeventfd goes (no data match; accesses are
  /// two bytes wide, and of no length where KVM is asked for the fast path).
  public static func doorbellOffset(queue: Int) -> UInt64 {
    VirtioPCILayout.notify + VirtioPCILayout.notifyMultiplier * UInt64(queue)
  }

  /// The legacy interface's one doorbell, of a transitional function: where an ioeventfd per queue goes that is `width`
  /// wide and matches the queue's number.
  public static var legacyDoorbell: (bar: Int, offset: UInt64, width: AccessWidth) {
    (VirtioLegacyLayout.bar, VirtioLegacyLayout.notify, .word)
  }

  /// Serves `queue`: what a doorbell does. For the thread that waits on its ioeventfd.
  ///
  /// - Parameter asksForNotice: whether the driver is to ring for what it adds from now on. Who says no calls again
  ///   soon, and does not wait for the doorbell before it has asked.
  public func serve(queue: Int, asksForNotice: Bool = true) {
    withState { $0.notify($0.core.serve(queue, asksForNotice: asksForNotice)) }
  }

  /// Interrupts for what was used in `queue`: for whoever hears that from a server that could not interrupt by itself.
  public func interrupt(queue: Int) {
    withState { $0.interrupt(queue: queue) }
  }

  /// Lets `body` work on the device and its queues, and interrupts for what it gave back. Nil when it threw.
  @discardableResult
  public func withDevice<Result: Sendable>(
    _ body: (inout Device, inout VirtioQueues<Device.Memory>) throws(VirtioError) -> Result
  ) -> Result? {
    withState { state in
      let (result, notice) = state.core.perform(body)
      state.notify(notice)
      return result
    }
  }

  /// Lets `body` change the configuration structure, and tells the driver by a new generation and an interrupt when it
  /// returns true. All of it is one step: no driver reads the new structure with the old generation (4.1.4.3.1).
  @discardableResult
  public func changeConfiguration(_ body: (inout Device) -> Bool) -> Bool {
    withState { state in
      guard body(&state.core.device) else { return false }
      state.notify(state.core.configurationChanged())
      return true
    }
  }

  /// How the driver broke the protocol, until it resets the device.
  public var failure: VirtioError? { state.withLock { $0.core.failure } }

  /// Whether the driver has the device running.
  public var isRunning: Bool { state.withLock { $0.core.isRunning } }

  /// Runs `body` under the lock and reports a start or a new failure after it.
  private func withState<Result: Sendable>(_ body: (inout VirtioPCIState<Device, Interrupts>) -> Result) -> Result {
    let (result, started, failure, backlog) = state.withLock { state in
      let failed = state.core.failure != nil
      let ran = state.core.isRunning
      let result = body(&state)
      return (result, !ran && state.core.isRunning, failed ? nil : state.core.failure, state.takeBacklog())
    }
    if started { onStart() }
    if let failure { onFailure(failure) }
    if backlog != 0 { work(off: backlog) }
    return result
  }

  /// Has the queues in `backlog` visited again.
  private func work(off backlog: UInt64) {
    var left = backlog
    while left != 0 {
      for queue in 0..<queueCount where left & (1 << UInt64(queue)) != 0 {
        left &= ~(1 << UInt64(queue))
        if let onBacklog {
          onBacklog(queue)
          continue
        }
        let (failure, more) = state.withLock { state in
          let failed = state.core.failure != nil
          state.notify(state.core.serve(queue))
          return (failed ? nil : state.core.failure, state.takeBacklog())
        }
        if let failure { onFailure(failure) }
        left |= more
      }
    }
  }

  // MARK: For the bus

  /// Reads configuration space.
  public override func readConfiguration(at offset: Int, width: AccessWidth) -> UInt32 {
    withState { $0.readConfiguration(at: offset, width: width) }
  }

  /// Writes configuration space; true when what is decoded may have changed.
  public override func writeConfiguration(_ value: UInt32, at offset: Int, width: AccessWidth) -> Bool {
    withState { $0.writeConfiguration(value, at: offset, width: width) }
  }

  /// Lends configuration space.
  public override func withConfiguration(_ body: (inout PCIConfiguration) -> Void) {
    state.withLock { body(&$0.configuration) }
  }

  /// Reads in a window.
  public override func read(bar: Int, offset: UInt64, width: AccessWidth) -> UInt64 {
    withState { $0.read(bar: bar, offset: offset, width: width) }
  }

  /// Writes in a window.
  public override func write(_ value: UInt64, bar: Int, offset: UInt64, width: AccessWidth) {
    withState { $0.write(value, bar: bar, offset: offset, width: width) }
  }
}
