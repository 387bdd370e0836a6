internal import Devices
internal import Platform
internal import Synchronization

/// A tap whose frames the kernel moves itself between guest memory and the bridge: it hears the queues' doorbells and
/// signals their interrupts, and this process is told what it has to do with: an interrupt that is masked or goes by wire,
/// and a ring that the kernel refuses.
///
/// Concurrency model: vCPU threads call under the lock of the device; `showMemory` comes from the thread that plugs
/// memory.
final class VhostPort: NetworkQueueServer, Sendable {
  private let tap: TapPort
  private let device: VhostNetworkDevice
  private let memory: GuestRAM
  private let log: @Sendable (String) -> Void
  let ringFeatures: UInt64
  /// By queue: it used buffers, and it is for the monitor to interrupt.
  let used: [QueueEvent]
  /// By queue: it refuses what it found.
  let failed: [QueueEvent]
  private let wiring = Mutex<FunctionWiring?>(nil)

  /// The server of `tap`; nil, having told `log` why, where this kernel offers none.
  init?(_ tap: TapPort, memory: GuestRAM, log: @escaping @Sendable (String) -> Void) throws(HypervisorError) {
    do throws(SystemError) {
      device = try VhostNetworkDevice()
      ringFeatures = try device.features
    } catch {
      log("frames pass through this process, which is slower: \(error)")
      return nil
    }
    guard ServedNetwork<GuestRAM, VhostPort>.canBeServed(ringFeatures) else {
      log("frames pass through this process, which is slower: this kernel's vhost knows too little of virtio")
      return nil
    }
    self.tap = tap
    self.memory = memory
    self.log = log
    used = [try QueueEvent(), try QueueEvent()]
    failed = [try QueueEvent(), try QueueEvent()]
  }

  /// Takes note of the doorbells and interrupts of the function that it serves; before `own`.
  func wire(_ wiring: FunctionWiring) {
    self.wiring.withLock { $0 = wiring }
  }

  /// Gets its thread, in the jail that this process is in by now.
  func own() throws(HypervisorError) {
    try refusal(.system, "the kernel does not serve the network") { () throws(SystemError) in
      try device.own()
      try device.setMemory(memory.regions(limit: VhostNetworkDevice.regionLimit), in: memory.mapping)
      for queue in used.indices { try device.setCall(queue: queue, used[queue].event) }
    }
  }

  /// Shows the memory that has come, or hides what is going; whether the kernel took it.
  func showMemory() -> Bool {
    let regions = memory.regions(limit: VhostNetworkDevice.regionLimit)
    return attempt { () throws(SystemError) in try device.setMemory(regions, in: memory.mapping) }
  }

  var offloads: NetworkOffloads { tap.offloads }

  func setOffloads(_ offloads: NetworkOffloads) { tap.setOffloads(offloads) }

  func setHeaderCount(_ count: Int) -> Bool { tap.setHeaderCount(count) }

  func start(queue: Int, _ rings: VirtqueueRings, features: UInt64) -> Bool {
    let size = Int(rings.size)
    guard let descriptors = memory.offset(of: rings.descriptors, count: 16 * size),
      let available = memory.offset(of: rings.available, count: 6 + 2 * size),
      let used = memory.offset(of: rings.used, count: 6 + 8 * size), let bell = doorbell(queue)
    else { return false }
    return attempt { () throws(SystemError) in
      try device.setFeatures(features & ringFeatures)
      try device.setQueue(
        .init(number: queue, size: rings.size, descriptors: descriptors, available: available, used: used),
        in: memory.mapping, kick: bell.event, failed: failed[queue].event)
      try device.start(queue: queue, on: tap.file)
      // The driver may have rung before.
      try bell.event.signal()
    }
  }

  func kick(queue: Int) {
    try? doorbell(queue)?.event.signal()
  }

  func lead(queue: Int, to vector: Int?) {
    let interrupt = vector.flatMap { vector in wiring.withLock { $0?.interrupts.event(of: vector) } }
    attempt { () throws(SystemError) in
      if let interrupt {
        try device.setCall(queue: queue, interrupt.event)
      } else {
        try device.setCall(queue: queue, used[queue].event)
      }
    }
  }

  func stop(queue: Int) {
    attempt { () throws(SystemError) in try device.stop(queue: queue) }
  }

  private func doorbell(_ queue: Int) -> QueueEvent? {
    wiring.withLock { wiring in
      guard let wiring, wiring.doorbells.indices.contains(queue) else { return nil }
      return wiring.doorbells[queue]
    }
  }

  /// Whether the kernel did it; says so where it did not.
  @discardableResult
  private func attempt(_ body: () throws(SystemError) -> Void) -> Bool {
    do throws(SystemError) {
      try body()
      return true
    } catch {
      log("the kernel does not serve the network as it should: \(error)")
      return false
    }
  }
}
