internal import Manifest
internal import Platform

/// The domain manager: reads the manifest, makes the network, starts the domains and serves requests until it is told
/// to stop. One thread does everything; only `Stopper` may be used from others.
public final class Daemon: DomainSurroundings {
  private let configuration: DaemonConfiguration
  private let manifest: ApplianceManifest
  /// The control domain's address on the guests' network as the medium has it.
  private let builtAddress: String
  private let writeLog: (String) -> Void
  let loop: EventLoop
  private let stopper: Stopper
  private var supervisors: [DomainSupervisor] = []
  private var server: ControlServer?
  private var network: NetworkService?
  private var networkPlan: NetworkPlan?
  private var storage: StorageReport?
  private var storageTimer: EventLoop.Token?
  private var storageDeadline = 0.0
  private var notices: [String]
  private var phase = Phase.up
  private var stopRequests = 0

  private enum Phase {
    case up, shuttingDown, done
  }

  /// Stops a daemon from another thread or from a signal's reader.
  public final class Stopper: Sendable {
    fileprivate let event: EventDescriptor

    fileprivate init() throws(SystemError) {
      event = try EventDescriptor()
    }

    /// Begins the orderly shutdown; the second time it is not orderly any more.
    public func stop() {
      try? event.signal()
    }
  }

  /// Reads the manifest and listens. `log` gets a line for each thing that an administrator may want to know.
  public init(_ configuration: DaemonConfiguration, log: @escaping (String) -> Void) throws(ControlError) {
    Signal.ignorePipe()
    self.configuration = configuration
    writeLog = log
    let manifestPath = configuration.manifest ?? configuration.medium + ApplianceManifest.path
    do throws(ManifestError) {
      let built = try ApplianceManifest.load(manifestPath)
      builtAddress = built.network.address
      let stick = StickSettings(configuration)
      let (applied, problems) = stick.identity.map { built.applying($0) } ?? (built, [])
      manifest = applied
      notices = stick.problems + problems
    } catch {
      throw ControlError(.system, "\(error)")
    }
    do throws(SystemError) {
      try Files.makeDirectories("\(configuration.runtimeDirectory)/domains")
      try Files.makeDirectories(configuration.logDirectory)
      loop = try EventLoop()
      stopper = try Stopper()
    } catch {
      throw ControlError(.system, "the domain manager cannot start: \(error)")
    }
    supervisors = manifest.domains.map { domain in
      DomainSupervisor(
        domain,
        paths: DomainPaths(
          name: domain.name, runtimeDirectory: configuration.runtimeDirectory, logDirectory: configuration.logDirectory),
        surroundings: self)
    }
    server = try ControlServer(path: configuration.socket, loop: loop) { [unowned self] request in
      let reply = answer(request)
      return (reply.line, reply.subscribes)
    }
  }

  /// The handle for other threads.
  public var stopHandle: Stopper { stopper }

  /// Lets SIGTERM and SIGINT stop the daemon. To be called before other threads start.
  public func stopOnSignals() throws(ControlError) {
    do throws(SystemError) {
      let signals = try SignalDescriptor([Signal.terminate, Signal.interrupt])
      let watch = SignalWatch(signals)
      _ = try loop.watch(watch.descriptor.file.rawValue, .readable) { [unowned self] _ in
        while (try? watch.descriptor.take()) != nil { stopRequests += 1 }
        stop()
      }
    } catch {
      throw ControlError(.system, "cannot take signals: \(error)")
    }
  }

  private final class SignalWatch {
    let descriptor: SignalDescriptor

    init(_ descriptor: consuming SignalDescriptor) {
      self.descriptor = descriptor
    }
  }

  /// Runs until it is stopped and all domains are off, or were ended after the patience is over.
  public func run() throws(ControlError) {
    do throws(SystemError) {
      _ = try loop.watch(stopper.event.file.rawValue, .readable) { [unowned self] _ in
        stopRequests += Int((try? stopper.event.take()) ?? 1)
        stop()
      }
      begin()
      try loop.run { phase == .done }
    } catch {
      throw ControlError(.system, "the domain manager's loop failed: \(error)")
    }
  }

  private func begin() {
    if configuration.port {
      server?.servePort(named: ControlProtocol.portName, devices: VirtioPorts()) { [unowned self] in log($0) }
    }
    for text in notices { log(text) }
    if let missing = HardwareVirtualisation.objection(device: configuration.kvm) { notice(missing) }
    storageDeadline = loop.now + configuration.storagePatience
    readStorage()
    guard configuration.network else { return startDomains() }
    do throws(ControlError) {
      let plan = try NetworkPlan(manifest, builtAddress: builtAddress)
      networkPlan = plan
      let network = NetworkService(
        plan: plan, runtimeDirectory: configuration.runtimeDirectory, logDirectory: configuration.logDirectory,
        loop: loop, report: { [unowned self] in notice($0) })
      self.network = network
      network.start { [unowned self] in startDomains() }
    } catch {
      notice("the domains have no network: \(error.message)")
      startDomains()
    }
  }

  private func startDomains() {
    guard phase == .up else { return }
    for supervisor in supervisors where !supervisor.adoptPredecessors() && supervisor.domain.autostart {
      supervisor.handle(.start)
    }
  }

  // MARK: Surroundings of domains

  func prepare(_ domain: ApplianceManifest.Domain, paths: DomainPaths) -> DomainPreparation {
    if let missing = HardwareVirtualisation.objection(device: configuration.kvm) { return .refuse(missing) }
    var disk: String?
    if domain.disk != nil {
      guard let storage else { return .wait("waits for the storage") }
      switch storage.disk(of: domain.name) {
      case .success(let device): disk = device
      case .failure(let missing): return .refuse(missing.reason)
      }
    }
    if let text = try? Files.readText("/proc/meminfo"),
      let available = MachineMemory.bytes(of: "MemAvailable", in: text),
      let objection = MachineMemory.objection(
        wanted: domain.memoryBytes, available: available,
        promised: supervisors.reduce(0) { $0 + $1.promisedBytes })
    {
      return .refuse(objection)
    }
    let tap = network?.isUp == true ? networkPlan?.tap(of: domain.name) : nil
    return .command(
      MonitorCommand.arguments(
        monitor: configuration.monitor, domain: domain, medium: configuration.medium, disk: disk, tap: tap,
        paths: paths))
  }

  func changed(_ supervisor: DomainSupervisor) {
    server?.broadcast(.domain(supervisor.status))
    if phase == .shuttingDown { finishIfOff() }
  }

  func log(_ line: String) {
    writeLog(line)
  }

  private func notice(_ text: String) {
    guard !notices.contains(text) else { return }
    notices.append(text)
    log(text)
    server?.broadcast(.appliance(applianceStatus))
  }

  private func readStorage() {
    if let bytes = try? Files.read(configuration.storage) {
      storage = StorageReport.decode(bytes, path: configuration.storage)
    } else if loop.now >= storageDeadline {
      storage = StorageReport(
        state: .failed, error: "there is no \(configuration.storage); /var/log/roost/init.log says more")
    } else {
      storageTimer = loop.after(0.5) { [unowned self] in readStorage() }
      return
    }
    if storage?.state == .failed, manifest.domains.contains(where: { $0.disk != nil }) {
      notice("the storage failed, so domains with disks do not run: \(storage?.error ?? "it did not say why")")
    }
    for supervisor in supervisors { supervisor.retry() }
  }

  // MARK: Shutdown

  private func stop() {
    if phase == .done { return }
    if phase == .up {
      phase = .shuttingDown
      log("shutting down: \(liveCount) domains are running")
      server?.broadcast(.appliance(applianceStatus))
      for supervisor in supervisors { supervisor.handle(.stop) }
      loop.after(configuration.shutdownPatience) { [unowned self] in destroyAll() }
      finishIfOff()
    } else if stopRequests > 1 {
      destroyAll()
    }
  }

  private func destroyAll() {
    for supervisor in supervisors where supervisor.machine.state.isLive {
      log("\(supervisor.domain.name): did not power off in time and is ended")
      supervisor.handle(.destroy)
    }
  }

  private var liveCount: Int { supervisors.count { $0.machine.state.isLive } }

  private func finishIfOff() {
    guard phase == .shuttingDown, liveCount == 0 else { return }
    phase = .done
    network?.stop()
    server?.close()
    log("all domains are off")
  }

  // MARK: Requests

  private var applianceStatus: ApplianceStatus {
    ApplianceStatus(
      name: manifest.name, hostname: manifest.controlDomain.hostname, state: phase == .up ? .up : .shuttingDown,
      uptimeSeconds: loop.now, notices: notices)
  }

  private var overview: Overview {
    Overview(appliance: applianceStatus, domains: supervisors.map(\.status))
  }

  private func answer(_ request: ControlRequest) -> (line: [UInt8], subscribes: Bool) {
    do throws(ControlError) {
      switch request.op {
      case .hello:
        let version = request.version ?? ControlProtocol.version
        guard version == ControlProtocol.version else {
          throw ControlError(
            .unsupportedVersion,
            "the client speaks version \(version) and this appliance version \(ControlProtocol.version); "
              + "use the Roost that the appliance was built with")
        }
        return (try reply(request, Hello(appliance: manifest.name)), false)
      case .list: return (try reply(request, overview), false)
      case .subscribe: return (try reply(request, overview), true)
      case .tail:
        let supervisor = try find(request)
        let text = String(decoding: supervisor.tail(request.bytes ?? 4000), as: UTF8.self)
        return (try reply(request, ConsoleTail(domain: supervisor.domain.name, text: text)), false)
      case .start: return (try perform(.start, request), false)
      case .stop: return (try perform(.stop, request), false)
      case .reboot: return (try perform(.reboot, request), false)
      case .destroy: return (try perform(.destroy, request), false)
      case .poweroff: try command(configuration.powerOffCommand)
      case .rebootHost: try command(configuration.rebootCommand)
      }
      return (try reply(request, Nothing()), false)
    } catch {
      let refusal = ReplyLine<Nothing>(id: request.id, ok: false, result: nil, error: error)
      return ((try? ControlCoding.encode(refusal)) ?? [], false)
    }
  }

  private func reply<Value: Codable>(_ request: ControlRequest, _ value: Value) throws(ControlError) -> [UInt8] {
    try ControlCoding.encode(ReplyLine(id: request.id, ok: true, result: value, error: nil))
  }

  private func find(_ request: ControlRequest) throws(ControlError) -> DomainSupervisor {
    let name = request.domain ?? ""
    if let found = supervisors.first(where: { $0.domain.name == name }) { return found }
    throw UnknownDomain.error(name, among: supervisors.map(\.domain.name))
  }

  private func perform(_ event: DomainMachine.Event, _ request: ControlRequest) throws(ControlError) -> [UInt8] {
    let supervisor = try find(request)
    if phase != .up, request.op == .start || request.op == .reboot {
      throw ControlError(.wrongState, "the appliance is shutting down: it starts no domains any more")
    }
    if let objection = supervisor.machine.objection(to: request.op) {
      throw ControlError(.wrongState, "\(supervisor.domain.name) \(objection)")
    }
    supervisor.handle(event)
    return try reply(request, supervisor.status)
  }

  private func command(_ arguments: [String]) throws(ControlError) {
    do throws(SystemError) {
      var request = ChildRequest(arguments)
      request.newSession = true
      let process = try ChildProcess.start(request)
      // It only tells PID 1, and is gone at once.
      guard try process.wait().isSuccess else {
        throw SystemError("run \(arguments.joined(separator: " "))", errno: .inputOutput)
      }
    } catch {
      throw ControlError(.system, "the appliance's init was not reached: \(error)")
    }
  }
}

/// What to say of a name that no domain has.
enum UnknownDomain {
  static func error(_ name: String, among names: [String]) -> ControlError {
    let shown = Text.printable(String(name.prefix(64)))
    let advice =
      Spelling.nearest(to: name, in: names).map { "did you mean \($0)?" }
      ?? "there are \(names.joined(separator: ", "))"
    return ControlError(.unknownDomain, "there is no domain \"\(shown)\"; \(advice)")
  }
}
