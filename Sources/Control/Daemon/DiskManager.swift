internal import Manifest
internal import Platform

/// What requests about disks find around them.
protocol DiskSurroundings: AnyObject {
  /// The loop that all share.
  var loop: EventLoop { get }
  /// The storage, as `roost-storage` reported it last; nil before it has.
  var storage: StorageReport? { get }
  /// Whether what is asked of disks would wait for a stick that was pulled out.
  var isStickMissing: Bool { get }
  /// The domains.
  var supervisors: [DomainSupervisor] { get }
  /// Looks again at what `roost-storage` reported.
  func refreshStorage()
  /// A request is done: domains that waited for its end may start.
  func diskOrderEnded()
  /// So much of a request is done, in percent.
  func diskOrder(_ order: DiskOrder, isAt percent: Int)
}

/// Carries requests about disks out, one after the other: `roost-storage` changes volumes and keeps the records of who
/// has which, monitors are told what concerns them.
///
/// A disk is recorded before a monitor gets it and stays recorded until the monitor has let it go, so a domain that
/// starts anew at any moment finds no disk of another's. While a request is carried out, domains that it concerns do
/// not start. Lives on the loop's thread.
final class DiskManager {
  /// Requests that may wait for their turn.
  static let queueLimit = 32
  /// Seconds that the copying of an image may take.
  static let copyPatience = 3600.0

  /// What a request is answered with.
  enum Answer {
    case list(DiskList)
    case result(DiskResult)
    case remote(RemoteStatus)
  }

  typealias Reply = (Result<Answer, ControlError>) -> Void

  private struct Job {
    let order: DiskOrder
    let reply: Reply
  }

  private let program: String
  private let deadline: Double
  private let monitorsAreJailed: Bool
  private unowned let surroundings: any DiskSurroundings
  private var waiting: [Job] = []
  private var current: Job?
  private var heldDomains: Set<String> = []
  private var child: CapturedChild?
  private var call: MonitorCall?
  private var isClosed = false

  /// Runs `program`, which may take `deadline` seconds each time. Monitors in a jail get disks as open descriptors.
  init(program: String, deadline: Double, monitorsAreJailed: Bool, surroundings: any DiskSurroundings) {
    self.monitorsAreJailed = monitorsAreJailed
    self.program = program
    self.deadline = deadline
    self.surroundings = surroundings
  }

  private var loop: EventLoop { surroundings.loop }

  private var rules: DiskRules {
    DiskRules(
      disks: surroundings.storage?.disks ?? [], users: surroundings.supervisors.map(\.diskUser),
      remotes: surroundings.storage?.remotes ?? [])
  }

  /// True when nothing is being done.
  var isIdle: Bool { current == nil }

  /// Carries `order` out when all before it are done; then `reply` is called, once.
  func submit(_ order: DiskOrder, reply: @escaping Reply) {
    if isClosed {
      return reply(.failure(ControlError(.wrongState, "the appliance is shutting down: its disks stay as they are")))
    }
    guard waiting.count < Self.queueLimit else {
      return reply(.failure(ControlError(.wrongState, "too many requests about disks wait already; try again later")))
    }
    waiting.append(Job(order: order, reply: reply))
    advance()
  }

  /// Takes no more requests; what is being done is brought to its end.
  func close() {
    isClosed = true
    let refused = waiting
    waiting = []
    for job in refused {
      job.reply(
        .failure(ControlError(.wrongState, "the appliance is shutting down: `\(job.order.words)` was not done")))
    }
  }

  /// Why this domain must not start yet; nil when it may.
  func objection(toStarting domain: String) -> String? {
    guard let current, heldDomains.contains(domain) else { return nil }
    return "waits until `\(current.order.words)` is done"
  }

  // MARK: The queue

  private func advance() {
    guard current == nil, !waiting.isEmpty else { return }
    let job = waiting.removeFirst()
    current = job
    surroundings.refreshStorage()
    do throws(ControlError) {
      try checkStorage()
      let rules = self.rules
      try rules.check(job.order)
      heldDomains = rules.domains(of: job.order)
    } catch {
      return finish(.failure(error))
    }
    perform(job.order)
  }

  private func checkStorage() throws(ControlError) {
    if child?.isRunning == true {
      throw ControlError(
        .wrongState, "an earlier roost-storage hangs and cannot be ended; look at the kernel's log (dmesg)")
    }
    if surroundings.isStickMissing {
      throw ControlError(.wrongState, "the stick that the appliance runs from is not there; put it back first")
    }
    guard let storage = surroundings.storage else {
      throw ControlError(.wrongState, "the guests' storage is not up yet; try again in a moment")
    }
    if storage.state == .failed {
      throw ControlError(.wrongState, "the guests' storage failed: \(storage.error ?? "it did not say why")")
    }
  }

  private func finish(_ result: Result<Answer, ControlError>) {
    let job = current
    current = nil
    heldDomains = []
    call = nil
    if child?.isRunning != true { child = nil }
    job?.reply(result)
    surroundings.diskOrderEnded()
    advance()
  }

  private func finish(_ disk: DiskStatus?, note: String? = nil) {
    finish(.success(.result(DiskResult(disk: disk, note: note))))
  }

  // MARK: Steps

  private func perform(_ order: DiskOrder) {
    switch order {
    case .list:
      run(order, as: DiskList.self) { [unowned self] result in finish(result.map(Answer.list)) }
    case .connect, .promote, .demote:
      run(order, as: RemoteStatus.self) { [unowned self] result in finish(result.map(Answer.remote)) }
    case .destroy, .disconnect, .undefine:
      run(order, as: Nothing.self) { [unowned self] result in
        finish(result.map { _ in .result(DiskResult(disk: nil)) })
      }
    case .create, .snapshot, .rollback, .clone: change(order) { [unowned self] in finish($0) }
    case .define:
      // A domain without a disk has none to tell of.
      run(order, as: MadeDisk.self) { [unowned self] result in
        finish(result.map { .result(DiskResult(disk: $0.disk)) })
      }
    case .resize(let name, _): change(order) { [unowned self] in tellSize($0, name) }
    case .attach(_, let domain): change(order) { [unowned self] in plug($0, into: domain) }
    case .detach(let name): detach(name)
    }
  }

  /// A disk, or an empty object.
  private struct MadeDisk: Decodable {
    let disk: DiskStatus?

    init(from decoder: any Decoder) throws {
      let name = try decoder.container(keyedBy: Key.self).decodeIfPresent(String.self, forKey: .name)
      disk = name == nil ? nil : try DiskStatus(from: decoder)
    }

    private enum Key: CodingKey {
      case name
    }
  }

  /// Runs `roost-storage` and goes on with the disk that it answers with; what it refuses is the answer.
  private func change(_ order: DiskOrder, then next: @escaping (DiskStatus) -> Void) {
    run(order, as: DiskStatus.self) { [unowned self] result in
      switch result {
      case .success(let disk): next(disk)
      case .failure(let error): finish(.failure(error))
      }
    }
  }

  private func run<Value: Decodable>(
    _ order: DiskOrder, as type: Value.Type, then next: @escaping (Result<Value, ControlError>) -> Void
  ) {
    do throws(SystemError) {
      let deadline = order.isLong ? max(deadline, Self.copyPatience) : deadline
      child = try CapturedChild(
        [program] + order.arguments, deadline: deadline, loop: loop,
        onProgress: { [unowned self] in surroundings.diskOrder(order, isAt: $0) },
        onEnd: { [unowned self] outcome in
          surroundings.refreshStorage()
          next(StorageProgram.answer(outcome, to: order.words, as: type))
        })
    } catch {
      next(.failure(ControlError(.system, "roost-storage does not start: \(error)")))
    }
  }

  /// Asks a domain's monitor.
  private func tell(
    _ supervisor: DomainSupervisor, _ request: String, with files: [DescriptorBox] = [],
    then next: @escaping (MonitorCall.Outcome) -> Void
  ) {
    let pid = supervisor.machine.pid
    call = MonitorCall(
      request, with: files, path: supervisor.paths.control, loop: loop, isAlive: { supervisor.machine.pid == pid },
      onEnd: next)
  }

  private func supervisor(of domain: String) -> DomainSupervisor? {
    surroundings.supervisors.first { $0.domain.name == domain }
  }

  // MARK: Resizing

  private func tellSize(_ disk: DiskStatus, _ name: String) {
    guard let user = rules.holder(of: name), let supervisor = supervisor(of: user.domain) else { return finish(disk) }
    let identifier =
      user.ownDisk == name ? MonitorCommand.ownDiskIdentifier(of: user.domain) : DiskStatus.identifier(of: name)
    tell(supervisor, "resize \(identifier)") { [unowned self] outcome in
      switch outcome {
      case .done, .gone: finish(disk)
      case .refused(let reason), .unanswered(let reason, _):
        finish(disk, note: "\(user.domain) sees the new size from its next start: its monitor says: \(reason)")
      }
    }
  }

  // MARK: Attaching

  private func plug(_ disk: DiskStatus, into domain: String) {
    guard let supervisor = supervisor(of: domain) else { return finish(disk) }
    let user = supervisor.diskUser
    guard user.isRunning else { return finish(disk, note: "\(domain) has it from its next start") }
    if user.holds(disk.name) { return finish(disk) }
    guard user.isHotpluggable else {
      return finish(
        disk, note: "\(domain) has it from its next start, as there is no 'hotplug: true' for it in the recipe")
    }
    hand(disk, to: supervisor) { [unowned self] outcome in
      switch outcome {
      case .done:
        supervisor.hasAttached(disk.name)
        finish(disk)
      case .gone: finish(disk, note: "\(domain) has it from its next start")
      case .refused(let reason): unrecord(disk, from: domain, because: "refuses it: \(reason)")
      case .unanswered(let reason, let mayBeDone):
        // It may be open in the guest all the same: until the domain is off, nobody else gets it.
        if mayBeDone { supervisor.hasAttached(disk.name) }
        unrecord(disk, from: domain, because: "did not say whether it has it (\(reason))")
      }
    }
  }

  /// Gives a disk to a domain's monitor: its path, or the disk itself to one that can open nothing.
  private func hand(
    _ disk: DiskStatus, to supervisor: DomainSupervisor, then next: @escaping (MonitorCall.Outcome) -> Void
  ) {
    guard monitorsAreJailed else { return tell(supervisor, "attach \(disk.monitorWords)", then: next) }
    do throws(SystemError) {
      let mode: OpenMode = disk.isReadOnly ? .readOnly : .readWrite
      var files = [DescriptorBox(try FileDescriptor(opening: disk.device, mode))]
      // What a guest wrote is in its own cache already; not every device can leave the page cache out.
      if !disk.isReadOnly, let direct = try? FileDescriptor(opening: disk.device, [.readWrite, .direct]) {
        files.append(DescriptorBox(direct))
      }
      tell(supervisor, "attach \(disk.monitorWords(at: "fd"))", with: files, then: next)
    } catch {
      next(.refused("it was not given to it: \(error)"))
    }
  }

  /// Takes back that a domain has a disk, as its monitor does not.
  private func unrecord(_ disk: DiskStatus, from domain: String, because reason: String) {
    let text = "\(disk.name) is not attached: the monitor of \(domain) \(reason)"
    run(.detach(disk.name), as: DiskStatus.self) { [unowned self] result in
      switch result {
      case .success: finish(.failure(ControlError(.wrongState, text)))
      case .failure(let error):
        finish(
          .failure(
            ControlError(
              .wrongState,
              "\(text); but it stays recorded as attached (\(error.message)): `roost disk detach \(disk.name)`")))
      }
    }
  }

  // MARK: Detaching

  private func detach(_ name: String) {
    let rules = self.rules
    guard let disk = rules.disks.first(where: { $0.name == name }) else { return finish(nil) }
    guard let user = rules.holder(of: name), let supervisor = supervisor(of: user.domain) else {
      return forget(disk, note: nil) { [unowned self] in finish(.failure($0)) }
    }
    guard user.isHotpluggable else {
      let note = "\(user.domain) has it until it is off, as there is no 'hotplug: true' for it in the recipe"
      return forget(disk, note: note) { [unowned self] in finish(.failure($0)) }
    }
    tell(supervisor, "detach \(DiskStatus.identifier(of: name))") { [unowned self] outcome in
      switch outcome {
      case .done:
        supervisor.hasDetached(name)
        forget(disk, note: nil) { [unowned self] in replug(disk, supervisor, after: $0) }
      case .gone: forget(disk, note: nil) { [unowned self] in finish(.failure($0)) }
      case .refused(let reason), .unanswered(let reason, _):
        finish(
          .failure(ControlError(.wrongState, "\(name) stays attached: the monitor of \(user.domain) says: \(reason)")))
      }
    }
  }

  /// Removes the record, where there is one.
  private func forget(_ disk: DiskStatus, note: String?, orElse failed: @escaping (ControlError) -> Void) {
    guard disk.attachedTo != nil else { return finish(disk, note: note) }
    run(.detach(disk.name), as: DiskStatus.self) { [unowned self] result in
      switch result {
      case .success(let disk): finish(disk, note: note)
      case .failure(let error): failed(error)
      }
    }
  }

  /// Gives a disk back whose record cannot be removed: record and monitor stay one.
  private func replug(_ disk: DiskStatus, _ supervisor: DomainSupervisor, after error: ControlError) {
    hand(disk, to: supervisor) { [unowned self] outcome in
      if case .done = outcome { supervisor.hasAttached(disk.name) }
      finish(.failure(error))
    }
  }
}
