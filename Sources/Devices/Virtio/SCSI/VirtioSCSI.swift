internal import Binary

/// A SCSI host (virtio 1.2, 5.6): control queue 0, event queue 1, request queue 2. Targets 0 to 254 of one logical unit
/// each; what they understand is `SCSITarget`'s. Where the host has places, targets come and go while it runs.
///
/// The backends do the work, elsewhere; `VirtioPCI.complete(_:)` brings results back, in any order.
public struct VirtioSCSI<Memory: GuestMemory, Backend: BlockBackend>: VirtioDevice {
  /// The type of device.
  public static var type: VirtioDeviceType { .scsi }

  static var controlQueue: Int { 0 }
  static var eventQueue: Int { 1 }
  static var requestQueue: Int { 2 }

  /// A target, and what its medium is kept on: nil for an empty drive.
  public struct Unit: Sendable {
    /// The state machine.
    public internal(set) var target: SCSITarget
    /// The medium.
    public internal(set) var backend: Backend?
    /// The unit is no target any more, but something of it is in flight.
    var isLeaving = false

    /// A disk on `backend`.
    public init(disk backend: Backend) {
      target = SCSITarget(
        kind: .disk, capacity: backend.capacity, blockSize: UInt32(clamping: backend.blockSize),
        serial: backend.identifier, isReadOnly: backend.isReadOnly, canDiscard: backend.canDiscard)
      self.backend = backend
    }

    /// A CD-ROM drive with the disc `backend` in it, or none.
    public init(cdrom backend: Backend?, serial: String) {
      target = SCSITarget(kind: .cdrom, capacity: backend?.capacity, serial: serial)
      self.backend = backend
    }
  }

  /// What is in flight for one buffer.
  struct Submitted: Sendable {
    var head: UInt16
    var tag: UInt64
    var target: Int
    var response: [GuestSegment]
    /// Bytes that the buffer will have had written into it, the response included.
    var written: Int
    var residual: Int
    var isRead: Bool
    /// A write that is to be flushed when it is done.
    var flushes: Bool
    /// What the driver is told instead of the result, as it has aborted the request.
    var abortion: UInt8?
  }

  /// A task management function that waits for requests to end.
  struct PendingFunction: Sendable {
    var head: UInt16
    var response: [GuestSegment]
    /// Requests that have to end, by their ids.
    var waitsFor: [UInt64]
  }

  /// The targets, by their numbers; nil where a place is free.
  var units: [Unit?]
  /// Largest size of each queue.
  public let queueSizes: [UInt16]
  /// The configuration structure.
  public private(set) var configuration: [UInt8]
  var chain = DescriptorChain()
  var inFlight: InFlight<Submitted>
  var functions: [PendingFunction] = []
  var scratch = [UInt8](repeating: 0, count: SCSIRequest.prefixCount + SCSIRequest.sizeLimit)
  /// An event had no buffer to go to.
  var hasMissedEvents = false
  /// What the driver accepted, once it is ready.
  var acceptedFeatures: UInt64 = 0
  /// The target that came last. The places after it have been free longest.
  var newestTarget: Int

  /// Feature bits (5.6.3).
  enum Feature {
    static var hotplug: UInt64 { 1 << 1 }
    static var change: UInt64 { 1 << 2 }
  }

  /// Feature bits of the type that are offered.
  public let features: UInt64

  /// A host with `units`, at most 255, whose indices are their targets' numbers.
  ///
  /// - Parameter places: how many targets there is room for, where they come and go; nil where those of `units` stay.
  ///   Drivers look for a target in every place.
  public init(_ units: [Unit], places: Int? = nil, queueSize: UInt16 = 128) {
    let first = Array(units.prefix(255))
    let free = max(0, min(places ?? 0, 255) - first.count)
    self.units = first + [Unit?](repeating: nil, count: free)
    newestTarget = first.count - 1
    features = places == nil ? Feature.change : Feature.change | Feature.hotplug
    queueSizes = [16, 16, queueSize]
    inFlight = InFlight(limit: Int(queueSize))
    // struct virtio_scsi_config (5.6.4).
    var writer = ByteWriter(capacity: 36)
    writer.little(UInt32(1))  // num_queues
    writer.little(UInt32(queueSize > 2 ? queueSize - 2 : 1))  // seg_max
    writer.little(UInt32(0xFFFF))  // max_sectors
    writer.little(UInt32(queueSize))  // cmd_per_lun
    writer.little(UInt32(16))  // event_info_size
    writer.little(UInt32(96))  // sense_size
    writer.little(UInt32(32))  // cdb_size
    writer.little(UInt16(0))  // max_channel
    writer.little(UInt16(clamping: max(1, self.units.count) - 1))  // max_target
    writer.little(UInt32(0))  // max_lun
    configuration = writer.bytes
  }

  private static var senseSizeOffset: Int { 20 }
  private static var commandSizeOffset: Int { 24 }

  private var senseCount: Int { Int(BlockRequest.little(configuration, at: Self.senseSizeOffset, count: 4)) }
  private var commandCount: Int { Int(BlockRequest.little(configuration, at: Self.commandSizeOffset, count: 4)) }

  /// The driver writes sense_size or cdb_size, at once or byte by byte.
  public mutating func writeConfiguration(_ value: UInt64, at offset: Int, width: AccessWidth) {
    guard offset >= Self.senseSizeOffset, offset + width.rawValue <= Self.commandSizeOffset + 4 else { return }
    for index in 0..<width.rawValue {
      configuration[offset + index] = UInt8(truncatingIfNeeded: value >> UInt64(8 * index))
    }
  }

  /// Takes note of what the driver accepted.
  public mutating func start(features: UInt64) {
    acceptedFeatures = features
  }

  /// What is in flight becomes orphaned: its end is awaited, and told to nobody.
  public mutating func reset() {
    inFlight.abandon()
    functions = []
    hasMissedEvents = false
    acceptedFeatures = 0
    for index in units.indices { units[index]?.target.reset() }
    configuration.replaceSubrange(20..<28, with: [96, 0, 0, 0, 32, 0, 0, 0])
  }

  /// Whether nothing is in flight, for this driver or one before its reset.
  public var isIdle: Bool { inFlight.isIdle }

  // MARK: Requests

  /// Serves a queue until it is empty.
  public mutating func serve(_ queue: Int, _ queues: inout VirtioQueues<Memory>) throws(VirtioError) {
    switch queue {
    case Self.controlQueue: try control(&queues)
    // Event buffers wait for an event, or for the news that one was missed.
    case Self.eventQueue: if hasMissedEvents { try send(event: 0, target: 0, reason: 0, &queues) }
    default:
      while try queues.pop(queue, into: &chain) {
        let (commands, senses) = (commandCount, senseCount)
        guard (1...SCSIRequest.sizeLimit).contains(commands), senses <= SCSIRequest.sizeLimit else {
          throw .malformedRequest("SCSI commands of \(commands) bytes or sense data of \(senses) were asked for")
        }
        let request = try SCSIRequest(
          chain, commandCount: commands, senseCount: senses, scratch: &scratch, queues.memory)
        try begin(request, &queues)
      }
    }
  }

  private mutating func begin(_ request: SCSIRequest, _ queues: inout VirtioQueues<Memory>) throws(VirtioError) {
    guard let index = request.address.target, isPresent(index) else {
      return try refuse(request, SCSIRequest.Response.badTarget, &queues)
    }
    // Without VIRTIO_SCSI_F_INOUT data goes one way (5.6.6.1.2).
    guard request.dataInCount == 0 || request.dataOutCount == 0 else {
      return try refuse(request, SCSIRequest.Response.failure, &queues)
    }
    guard request.address.unit == 0 else {
      let outcome = units[index]?.target.executeOnAbsentUnit(request.command)
      return try perform(outcome, request, index, &queues)
    }
    var outcome = units[index]?.target.execute(request.command)
    if case .parameters(let count) = outcome {
      guard count <= request.dataOutCount else {
        return try refuse(request, SCSIRequest.Response.overrun, &queues)
      }
      var parameters = [UInt8](repeating: 0, count: count)
      var span = parameters.mutableSpan
      _ = try DescriptorChain.copy(from: request.dataOut, at: 0, into: &span, queues.memory)
      outcome = units[index]?.target.execute(request.command, parameters: parameters)
    }
    try perform(outcome, request, index, &queues)
  }

  /// Whether `target` takes requests.
  func isPresent(_ target: Int) -> Bool {
    units.indices.contains(target) && units[target]?.isLeaving == false
  }

  /// `outcome` is nil where there is no target.
  private mutating func perform(
    _ outcome: SCSIOutcome?, _ request: SCSIRequest, _ index: Int, _ queues: inout VirtioQueues<Memory>
  ) throws(VirtioError) {
    switch outcome {
    case nil: try refuse(request, SCSIRequest.Response.badTarget, &queues)
    case .reply(let data):
      guard data.count <= request.dataInCount else {
        return try refuse(request, SCSIRequest.Response.overrun, &queues)
      }
      _ = try DescriptorChain.copy(data.span, to: request.dataIn, at: 0, queues.memory)
      let answer = DescriptorChain.count(request.response)
      try finish(
        head: chain.head, request.response, residual: request.dataInCount - data.count, written: answer + data.count,
        &queues)
    case .read(let offset, let count):
      try submit(.read, request, index, offset: offset, count: count, flushes: false, &queues)
    case .write(let offset, let count, let flushes):
      try submit(.write, request, index, offset: offset, count: count, flushes: flushes, &queues)
    case .flush:
      try submit(.flush, request, index, offset: 0, count: 0, flushes: false, &queues)
    case .discard(let offset, let count):
      try submit(.discard, request, index, offset: offset, count: count, flushes: false, &queues)
    case .writeZeroes(let offset, let count, let unmap):
      try submit(.writeZeroes(unmap: unmap), request, index, offset: offset, count: count, flushes: false, &queues)
    case .checkCondition(let sense):
      try finish(
        head: chain.head, request.response, residual: request.dataInCount + request.dataOutCount,
        written: DescriptorChain.count(request.response), sense: sense, &queues)
    case .parameters:
      try refuse(request, SCSIRequest.Response.failure, &queues)
    }
  }

  private mutating func submit(
    _ kind: BlockOperation.Kind, _ request: SCSIRequest, _ target: Int, offset: UInt64, count: UInt64, flushes: Bool,
    _ queues: inout VirtioQueues<Memory>
  ) throws(VirtioError) {
    guard let backend = units[target]?.backend else {
      return try refuse(request, SCSIRequest.Response.failure, &queues)
    }
    var segments: [GuestSegment] = []
    var written = DescriptorChain.count(request.response)
    var residual = request.dataInCount + request.dataOutCount
    var isRead = false
    switch kind {
    case .read, .write:
      if case .read = kind { isRead = true }
      let room = isRead ? request.dataInCount : request.dataOutCount
      guard count <= UInt64(room) else { return try refuse(request, SCSIRequest.Response.overrun, &queues) }
      segments = isRead ? request.dataIn : request.dataOut
      if count < UInt64(room) { segments = DescriptorChain.slice(segments, dropping: 0, limit: Int(count)) }
      residual -= Int(count)
      if isRead { written += Int(count) }
    case .flush: break
    case .discard, .writeZeroes: residual = 0  // the data was parameters
    }
    let submitted = Submitted(
      head: chain.head, tag: request.tag, target: target, response: request.response, written: written,
      residual: residual, isRead: isRead, flushes: flushes)
    // The queue lets no more buffers out than it has descriptors, so there is room.
    guard let id = inFlight.insert(submitted) else { throw .tooManyInFlight }
    let operation = BlockOperation(id: id, kind: kind, offset: offset, count: count, segments: segments)
    if let result = backend.submit(operation) { try complete(id, with: result, &queues) }
  }

  // MARK: Results

  /// The backend is done with operation `id`. One that is not in flight is none of this driver's: it is ignored.
  mutating func complete(
    _ id: UInt64, with result: BlockResult, _ queues: inout VirtioQueues<Memory>
  ) throws(VirtioError) {
    guard var submitted = inFlight.remove(id) else { return }
    if submitted.flushes, submitted.abortion == nil, case .success = result,
      let backend = units[submitted.target]?.backend
    {
      submitted.flushes = false
      guard let flush = inFlight.insert(submitted) else { throw .tooManyInFlight }
      replaceAwaited(id, by: flush)
      let operation = BlockOperation(id: flush, kind: .flush, offset: 0, count: 0, segments: [])
      if let result = backend.submit(operation) { try complete(flush, with: result, &queues) }
      return
    }
    let answer = DescriptorChain.count(submitted.response)
    if let abortion = submitted.abortion {
      try finish(
        head: submitted.head, submitted.response, residual: 0, written: answer, response: abortion, &queues)
      return try settle(id, &queues)
    }
    switch result {
    case .success:
      try finish(
        head: submitted.head, submitted.response, residual: submitted.residual, written: submitted.written, &queues)
    case .failure:
      let outcome: SCSIOutcome = submitted.isRead ? .read(offset: 0, count: 0) : .flush
      let sense = units[submitted.target]?.target.failed(outcome)
      try finish(
        head: submitted.head, submitted.response, residual: submitted.residual, written: answer,
        sense: sense ?? .noSuchUnit, &queues)
    case .unsupported:
      try finish(
        head: submitted.head, submitted.response, residual: submitted.residual, written: answer,
        sense: .invalidOperation, &queues)
    }
  }

  func refuse(
    _ request: SCSIRequest, _ response: UInt8, _ queues: inout VirtioQueues<Memory>
  ) throws(VirtioError) {
    try finish(
      head: chain.head, request.response, residual: 0, written: DescriptorChain.count(request.response),
      response: response, &queues)
  }

  /// Writes `struct virtio_scsi_req_cmd`'s response with what sense data there is room for, and gives the buffer back.
  private func finish(
    head: UInt16, _ segments: [GuestSegment], residual: Int, written: Int,
    response: UInt8 = SCSIRequest.Response.ok, sense: SCSISense? = nil, _ queues: inout VirtioQueues<Memory>
  ) throws(VirtioError) {
    let room = DescriptorChain.count(segments) - SCSIRequest.responseCount
    let senses = sense == nil ? 0 : min(SCSISense.fixedCount, room)
    var writer = ByteWriter(capacity: SCSIRequest.responseCount + senses)
    writer.little(UInt32(senses))
    writer.little(UInt32(clamping: residual))
    writer.little(UInt16(0))
    writer.raw([sense == nil ? SCSIRequest.Status.good : SCSIRequest.Status.checkCondition, response])
    if let sense { writer.raw(sense.fixed.prefix(senses)) }
    let bytes = writer.bytes
    _ = try DescriptorChain.copy(bytes.span, to: segments, at: 0, queues.memory)
    try queues.push(Self.requestQueue, head: head, written: written)
  }
}

extension VirtioPCI {
  /// The targets' backends are done with these operations. Any thread; not from within `submit`.
  public func complete<Memory, Backend>(
    _ completions: [BlockCompletion]
  ) where Device == VirtioSCSI<Memory, Backend> {
    withDevice { device, queues throws(VirtioError) in
      for completion in completions { try device.complete(completion.id, with: completion.result, &queues) }
    }
  }

  /// Puts the disc `backend` into the drive that is target `target`, or takes it out (nil). The guest hears of it with
  /// its next command.
  public func insert<Memory, Backend>(
    _ backend: Backend?, target: Int
  ) where Device == VirtioSCSI<Memory, Backend> {
    withDevice { device, _ throws(VirtioError) in device.insert(backend, target: target) }
  }

  /// The disk that is target `target` has another size from now on, in bytes.
  public func resize<Memory, Backend>(
    target: Int, capacity: UInt64
  ) where Device == VirtioSCSI<Memory, Backend> {
    withDevice { device, queues throws(VirtioError) in
      try device.resize(target: target, capacity: capacity, &queues)
    }
  }

  /// A disk becomes a target of a host that has places for more; the driver hears of it. Its number; nil where no place
  /// is free.
  public func attach<Memory, Backend>(
    disk backend: Backend
  ) -> Int? where Device == VirtioSCSI<Memory, Backend> {
    let unit = VirtioSCSI<Memory, Backend>.Unit(disk: backend)
    guard let target = withDevice({ device, _ throws(VirtioError) in device.attach(unit) }) ?? nil else { return nil }
    // A driver whose event queue is broken loses its device, but the target is there all the same.
    withDevice { device, queues throws(VirtioError) in try device.announce(target, isNew: true, &queues) }
    return target
  }

  /// Target `target` takes no requests any more, and the driver hears of it. Its place stays taken, as requests may be in
  /// flight, until `removeTarget(_:)`. False where there is no such target, or where targets do not go.
  public func detach<Memory, Backend>(target: Int) -> Bool where Device == VirtioSCSI<Memory, Backend> {
    guard withDevice({ device, _ throws(VirtioError) in device.detach(target) }) == true else { return false }
    withDevice { device, queues throws(VirtioError) in try device.announce(target, isNew: false, &queues) }
    return true
  }

  /// Lets go of the backend of a target that was detached, and frees its place. False where something is still in flight.
  public func removeTarget<Memory, Backend>(_ target: Int) -> Bool where Device == VirtioSCSI<Memory, Backend> {
    withDevice { device, _ throws(VirtioError) in device.remove(target) } ?? false
  }
}
