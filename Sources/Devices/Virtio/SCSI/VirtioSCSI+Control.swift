internal import Binary

/// The control and event queues (virtio 1.2, 5.6.6.2 and 5.6.6.3), and changes of targets and media.
extension VirtioSCSI {
  /// Requests of the control queue.
  private enum ControlType {
    static var taskManagement: UInt64 { 0 }
    static var asynchronousQuery: UInt64 { 1 }
    static var asynchronousSubscribe: UInt64 { 2 }
  }

  /// Task management functions.
  private enum Function: UInt64 {
    case abortTask = 0
    case abortTaskSet = 1
    case clearACA = 2
    case clearTaskSet = 3
    case nexusReset = 4
    case unitReset = 5
    case queryTask = 6
    case queryTaskSet = 7
  }

  /// Events, and the reasons of a transport's reset.
  private enum Event {
    static var missed: UInt32 { 0x8000_0000 }
    static var transportReset: UInt32 { 1 }
    static var parameterChange: UInt32 { 3 }
    static var rescan: UInt32 { 1 }
    static var removed: UInt32 { 2 }
  }

  /// Longest request of this queue, in bytes.
  private static var requestCount: Int { 24 }

  mutating func control(_ queues: inout VirtioQueues<Memory>) throws(VirtioError) {
    while try queues.pop(Self.controlQueue, into: &chain) {
      for index in 0..<Self.requestCount { scratch[index] = 0 }
      let segments = chain.readable
      var span = scratch.mutableSpan
      var part = span._mutatingExtracting(0..<Self.requestCount)
      let count = try DescriptorChain.copy(from: segments, at: 0, into: &part, queues.memory)
      switch BlockRequest.little(scratch, at: 0, count: 4) {
      case ControlType.taskManagement where count >= Self.requestCount:
        guard chain.writableCount >= 1 else {
          throw .malformedRequest("a task management request has no room for its response")
        }
        try manage(&queues)
      case ControlType.asynchronousQuery where count >= 16, ControlType.asynchronousSubscribe where count >= 16:
        // No event of these classes ever comes: event_actual is 0.
        try answerControl([0, 0, 0, 0, SCSIRequest.Response.ok], &queues)
      default:
        try answerControl([SCSIRequest.Response.failure], &queues)
      }
    }
  }

  private mutating func answerControl(
    _ bytes: [UInt8], _ queues: inout VirtioQueues<Memory>
  ) throws(VirtioError) {
    let written = try DescriptorChain.copy(bytes.span, to: chain.writable, at: 0, queues.memory)
    try queues.push(Self.controlQueue, head: chain.head, written: written)
  }

  /// What is in flight cannot be called back from its backend, so what aborts it is over when that is (SAM-3, 7).
  private mutating func manage(_ queues: inout VirtioQueues<Memory>) throws(VirtioError) {
    let address = SCSIUnitAddress(scratch, at: 8)
    let tag = BlockRequest.little(scratch, at: 16, count: 8)
    // Requests of a target that goes can be aborted still.
    guard let target = address.target, target < units.count, units[target] != nil else {
      return try answerControl([SCSIRequest.Response.badTarget], &queues)
    }
    guard let function = Function(rawValue: BlockRequest.little(scratch, at: 4, count: 4)) else {
      return try answerControl([SCSIRequest.Response.functionRejected], &queues)
    }
    // A nexus is a target's, whatever the unit.
    guard address.unit == 0 || function == .nexusReset else {
      return try answerControl([SCSIRequest.Response.incorrectUnit], &queues)
    }
    let affected = inFlight.ids { request in
      switch function {
      case .abortTask, .queryTask: request.target == target && request.tag == tag
      default: request.target == target
      }
    }
    switch function {
    case .clearACA:
      return try answerControl([SCSIRequest.Response.functionRejected], &queues)
    case .queryTask, .queryTaskSet:
      let response = affected.isEmpty ? SCSIRequest.Response.ok : SCSIRequest.Response.functionSucceeded
      return try answerControl([response], &queues)
    case .nexusReset, .unitReset: units[target]?.target.reset()
    case .abortTask, .abortTaskSet, .clearTaskSet: break
    }
    guard !affected.isEmpty else { return try answerControl([SCSIRequest.Response.ok], &queues) }
    let isReset = function == .nexusReset || function == .unitReset
    for id in affected {
      inFlight.update(id) { $0.abortion = isReset ? SCSIRequest.Response.reset : SCSIRequest.Response.aborted }
    }
    functions.append(
      PendingFunction(
        head: chain.head, response: DescriptorChain.slice(chain.writable, dropping: 0, limit: 1),
        waitsFor: affected))
  }

  /// A request goes on under another id.
  mutating func replaceAwaited(_ id: UInt64, by next: UInt64) {
    for index in functions.indices {
      if let place = functions[index].waitsFor.firstIndex(of: id) { functions[index].waitsFor[place] = next }
    }
  }

  /// An aborted request has ended: functions that waited for it alone are done.
  mutating func settle(_ id: UInt64, _ queues: inout VirtioQueues<Memory>) throws(VirtioError) {
    for index in functions.indices { functions[index].waitsFor.removeAll { $0 == id } }
    while let index = functions.firstIndex(where: { $0.waitsFor.isEmpty }) {
      let function = functions.remove(at: index)
      let ok: [UInt8] = [SCSIRequest.Response.ok]
      let written = try DescriptorChain.copy(ok.span, to: function.response, at: 0, queues.memory)
      try queues.push(Self.controlQueue, head: function.head, written: written)
    }
  }

  // MARK: Events

  /// Tells the driver (`struct virtio_scsi_event`, 5.6.6.3), or notes that it could not be told.
  mutating func send(
    event: UInt32, target: Int, reason: UInt32, _ queues: inout VirtioQueues<Memory>
  ) throws(VirtioError) {
    guard try queues.pop(Self.eventQueue, into: &chain) else {
      hasMissedEvents = true
      return
    }
    var writer = ByteWriter(capacity: 16)
    writer.little(event | (hasMissedEvents ? Event.missed : 0))
    writer.raw([1, UInt8(truncatingIfNeeded: target), 0, 0, 0, 0, 0, 0])
    writer.little(reason)
    hasMissedEvents = false
    let bytes = writer.bytes
    let written = try DescriptorChain.copy(bytes.span, to: chain.writable, at: 0, queues.memory)
    try queues.push(Self.eventQueue, head: chain.head, written: written)
  }

  /// The same for a driver that accepted `feature`; others are told nothing (5.6.6.3.1).
  private mutating func tell(
    _ feature: UInt64, event: UInt32, target: Int, reason: UInt32, _ queues: inout VirtioQueues<Memory>
  ) throws(VirtioError) {
    guard acceptedFeatures & feature != 0 else { return }
    try send(event: event, target: target, reason: reason, &queues)
  }

  // MARK: Targets

  /// A unit takes the place that has been free longest, as drivers may hear of a target's end and of the next one's
  /// beginning at once, and in any order. `announce(_:isNew:)` is to follow.
  mutating func attach(_ unit: Unit) -> Int? {
    guard features & Feature.hotplug != 0 else { return nil }
    for step in units.indices {
      let target = (newestTarget + 1 + step) % units.count
      guard units[target] == nil else { continue }
      units[target] = unit
      newestTarget = target
      return target
    }
    return nil
  }

  /// `announce(_:isNew:)` is to follow where there was such a target.
  mutating func detach(_ target: Int) -> Bool {
    guard features & Feature.hotplug != 0, isPresent(target) else { return false }
    units[target]?.isLeaving = true
    return true
  }

  /// Tells the driver that a target has come or gone.
  mutating func announce(
    _ target: Int, isNew: Bool, _ queues: inout VirtioQueues<Memory>
  ) throws(VirtioError) {
    try tell(
      Feature.hotplug, event: Event.transportReset, target: target, reason: isNew ? Event.rescan : Event.removed,
      &queues)
  }

  mutating func remove(_ target: Int) -> Bool {
    guard units.indices.contains(target), units[target]?.isLeaving == true,
      inFlight.ids(where: { $0.target == target }).isEmpty
    else { return false }
    units[target] = nil
    return true
  }

  // MARK: Media

  /// Another disc, or none, in a drive; disks stay as they are.
  mutating func insert(_ backend: Backend?, target: Int) {
    guard units.indices.contains(target), units[target]?.target.kind == .cdrom else { return }
    units[target]?.backend = backend
    units[target]?.target.insert(capacity: backend?.capacity)
  }

  mutating func resize(
    target: Int, capacity: UInt64, _ queues: inout VirtioQueues<Memory>
  ) throws(VirtioError) {
    guard units.indices.contains(target), units[target] != nil else { return }
    units[target]?.target.resize(capacity: capacity)
    let sense = SCSISense.capacityChanged
    try tell(
      Feature.change, event: Event.parameterChange, target: target,
      reason: UInt32(sense.code) | UInt32(sense.qualifier) << 8, &queues)
  }
}
