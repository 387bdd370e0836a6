internal import Devices
internal import Platform
internal import Synchronization

/// What may be asked of a running machine: to pause, to have its disks grow, come and go, and its memory grow and shrink.
///
/// Concurrency model: belongs to the event loop's thread. A thread per disk that goes waits for what is in flight there,
/// and says so through `departed`.
final class MachineControl: ControlTarget {
  typealias Later = (ControlAnswer) -> Void

  /// A disk that was detached.
  private struct Departure {
    let target: Int
    let thread: ThreadBox?
    let answer: Later
  }

  /// Targets of the SCSI controller in which nothing is in flight any more.
  private final class Departed: Sendable {
    private let targets = Mutex<[Int]>([])
    let event: EventDescriptor

    init() throws(HypervisorError) {
      event = try refusal(.system, "no event can be made") { () throws(SystemError) in try EventDescriptor() }
    }

    func add(_ target: Int) {
      targets.withLock { $0.append(target) }
      try? event.signal()
    }

    func take() -> [Int] {
      _ = try? event.take()
      return targets.withLock { targets in
        defer { targets = [] }
        return targets
      }
    }
  }

  private unowned let machine: Machine
  private let gate: CPUGate
  private let departed: Departed
  private var departures: [Departure] = []
  /// Those who wait until all CPUs are held.
  private var pausing: [Later] = []
  private var server: ControlServer?

  /// Serves the control socket of `machine`, which owns this object, at `path`.
  init(_ machine: Machine, gate: CPUGate, at path: String) throws(HypervisorError) {
    self.machine = machine
    self.gate = gate
    departed = try Departed()
    try refusal(.system, "the control socket's events cannot be awaited") { () throws(SystemError) in
      _ = try machine.loop.add(gate.allHeld.file.rawValue, .readable) { [unowned self] _ in
        _ = try? self.gate.allHeld.take()
        self.answerPauses()
      }
      _ = try machine.loop.add(departed.event.file.rawValue, .readable) { [unowned self] _ in
        for target in self.departed.take() { self.finishDeparture(of: target) }
      }
    }
    server = try ControlServer(at: path, machine.loop, for: self)
  }

  /// Gives the socket back, once no thread uses the machine any more.
  func finish(leavesPath: Bool) {
    for departure in departures { departure.thread?.join() }
    server?.finish(leavesPath: leavesPath)
  }

  func perform(
    _ request: ControlRequest, with descriptors: [DescriptorBox], later: @escaping Later
  ) -> ControlAnswer? {
    do throws(HypervisorError) {
      switch request {
      case .status: return .ok(gate.holdsAll ? "paused" : "running")
      case .pause: return pause(later)
      case .resume:
        resume()
        return .ok()
      case .resize(let id): return .ok("\(try resize(id))")
      case .attach(let disk):
        try attach(disk, descriptors)
        return .ok()
      case .detach(let id):
        try detach(id, later)
        return nil
      case .memory: return .ok(machine.memoryService.figures)
      case .statistics: return .ok(machine.statistics)
      case .setProcessors(let count):
        try setProcessors(count)
        return .ok()
      case .setMemory(let bytes): return .ok("\(try machine.memoryService.set(bytes))")
      }
    } catch {
      return .error("\(error)")
    }
  }

  // MARK: Pauses

  private func pause(_ later: @escaping Later) -> ControlAnswer? {
    if !gate.isClosed {
      gate.close()
      machine.interruptCPUs()
    }
    guard !gate.holdsAll else { return .ok() }
    pausing.append(later)
    return nil
  }

  private func answerPauses() {
    // They may have been let go again before this was heard of.
    guard gate.holdsAll else { return }
    for answer in takePausing() { answer(.ok()) }
  }

  private func resume() {
    gate.open()
    for answer in takePausing() { answer(.error("the domain was resumed before all its CPUs had stopped")) }
  }

  private func takePausing() -> [Later] {
    defer { pausing = [] }
    return pausing
  }

  // MARK: CPUs

  /// Has the guest come to `count` CPUs. It does so in its own time.
  private func setProcessors(_ count: Int) throws(HypervisorError) {
    let (start, most) = (machine.configuration.cpus, machine.configuration.maximumCPUs)
    guard let processors = machine.processors, let most else {
      throw HypervisorError(.configuration, "the domain was started with \(start) CPUs for good; see --cpus N,max=M")
    }
    guard (1...most).contains(count) else {
      throw HypervisorError(.configuration, "the domain can have 1 to \(most) CPUs, not \(count)")
    }
    processors.set(count)
  }

  // MARK: Disks

  /// Disks that are read in place: they stay as they were when the machine was made.
  private func fixedDisks(of id: String) -> [MachineConfiguration.Disk] {
    machine.configuration.disks.filter { $0.bus == .ide && $0.identifier == id }
  }

  private func place(of id: String) throws(HypervisorError) -> Int {
    let places = machine.disks.indices.filter { machine.disks[$0].disk.identifier == id }
    let fixed = fixedDisks(of: id)
    guard places.count + fixed.count < 2 else {
      throw HypervisorError(.configuration, "several disks have the id \(id); give each its own")
    }
    guard fixed.isEmpty else {
      throw HypervisorError(
        .configuration, "the disk \(id) is an IDE disk, which cannot change while the domain runs; start it again")
    }
    guard let place = places.first else {
      throw HypervisorError(.configuration, "no disk has the id \(id)")
    }
    guard !machine.disks[place].isLeaving else {
      throw HypervisorError(.configuration, "the disk \(id) is being detached")
    }
    return place
  }

  /// The disk's size in bytes, which the guest knows from now on.
  private func resize(_ id: String) throws(HypervisorError) -> UInt64 {
    let service = machine.disks[try place(of: id)]
    let before = service.disk.capacity
    let capacity = try service.disk.remeasure()
    if capacity != before { service.resize(capacity) }
    return capacity
  }

  private func attach(_ disk: MachineConfiguration.Disk, _ files: [DescriptorBox]) throws(HypervisorError) {
    guard let scsi = machine.hotplug else {
      throw HypervisorError(.configuration, "the domain was started without --hotplug, which disks that come need")
    }
    let isTaken =
      machine.disks.contains { $0.disk.identifier == disk.identifier } || !fixedDisks(of: disk.identifier).isEmpty
    guard !isTaken else {
      throw HypervisorError(.configuration, "a disk has the id \(disk.identifier) already")
    }
    let file = try open(disk, files)
    let complete: DiskEngine.Completion = { [unowned scsi] in scsi.complete($0) }
    try machine.start(file, complete: complete)
    guard let target = scsi.attach(disk: file) else {
      file.stop()
      throw HypervisorError(.configuration, "the SCSI controller has no place for another disk; detach one")
    }
    machine.disks.append(
      DiskService(disk: file, complete: complete, target: target) { [unowned scsi] capacity in
        scsi.resize(target: target, capacity: capacity)
      })
  }

  /// The disk, which comes open or is at a path.
  private func open(
    _ disk: MachineConfiguration.Disk, _ files: [DescriptorBox]
  ) throws(HypervisorError) -> FileDisk {
    guard disk.path == ControlRequest.passedFile else {
      guard machine.configuration.jailUser == nil else {
        throw HypervisorError(
          .configuration, "in a jail no path can be opened; send the disk's open descriptor with 'attach fd,id=…'")
      }
      return try FileDisk(
        path: disk.path, isReadOnly: disk.isReadOnly, identifier: disk.identifier, memory: machine.memory)
    }
    func copy(_ index: Int) throws(HypervisorError) -> FileDescriptor? {
      guard files.indices.contains(index) else { return nil }
      return try refusal(.system, "the disk's descriptor cannot be kept") { () throws(SystemError) in
        try files[index].file.duplicate()
      }
    }
    guard let file = try copy(0) else {
      throw HypervisorError(.configuration, "no descriptor came with 'attach fd'")
    }
    return try FileDisk(
      file, direct: try copy(1), path: disk.identifier, isReadOnly: disk.isReadOnly, identifier: disk.identifier,
      memory: machine.memory)
  }

  private func detach(_ id: String, _ later: @escaping Later) throws(HypervisorError) {
    let place = try place(of: id)
    guard let scsi = machine.hotplug, let target = machine.disks[place].target, scsi.detach(target: target) else {
      throw HypervisorError(
        .configuration, "the disk \(id) cannot be detached; only those on the SCSI controller of --hotplug can")
    }
    machine.disks[place].isLeaving = true
    let (disk, departed) = (machine.disks[place].disk, departed)
    var thread: ThreadBox?
    do throws(SystemError) {
      // A medium may take its time, and the loop has others to serve.
      thread = ThreadBox(
        try Thread("disk-detach") {
          disk.stop()
          departed.add(target)
        })
    } catch {
      disk.stop()
      departed.add(target)
    }
    departures.append(Departure(target: target, thread: thread, answer: later))
  }

  private func finishDeparture(of target: Int) {
    guard let index = departures.firstIndex(where: { $0.target == target }) else { return }
    let departure = departures.remove(at: index)
    // The thread's hold on the disk goes with it; then the device's, and ours: the file is closed.
    departure.thread?.join()
    _ = machine.hotplug?.removeTarget(target)
    machine.disks.removeAll { $0.target == target }
    departure.answer(.ok())
  }
}
