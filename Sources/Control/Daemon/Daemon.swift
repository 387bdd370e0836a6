internal import Manifest
internal import Platform

/// The domain manager: reads the manifest, makes the network, starts the domains and serves requests until it is told
/// to stop. One thread does everything; only `Stopper` may be used from others.
public final class Daemon: DomainSurroundings {
  let configuration: DaemonConfiguration
  let manifest: ApplianceManifest
  /// The control domain's address on the guests' network as the medium has it.
  private let builtAddress: String
  /// What is wrong with the stick's identity.
  private let identityProblems: [String]
  private let writeLog: (String) -> Void
  let loop: EventLoop
  private let stopper: Stopper
  private(set) var supervisors: [DomainSupervisor] = []
  private(set) var server: ControlServer?
  private var network: NetworkService?
  private var networkPlan: NetworkPlan?
  /// What `roost-storage` reports, looked at again and again.
  var storageFiles = StorageFiles()
  /// What the keeper of the stick tells.
  var stick = StickWatch()
  private(set) lazy var pauses = DomainPauses(
    loop: loop, log: { [unowned self] in log($0) }, domains: { [unowned self] in supervisors })
  private(set) lazy var disks = DiskManager(
    program: configuration.storageProgram, deadline: configuration.storageDeadline, surroundings: self)
  private(set) lazy var remotes = RemoteKeeper(configuration, loop: loop) { [unowned self] in
    !isStickMissing
  } ended: { [unowned self] problem in
    if let problem { log(problem) }
    refreshStorage()
    finishIfOff()
  }
  private(set) var notices = Notices()
  private(set) var phase = Phase.up
  private var stopRequests = 0

  enum Phase {
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
      identityProblems = stick.problems + problems
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
    server = try ControlServer(path: configuration.socket, loop: loop) { [unowned self] request, reply in
      answer(request, Responder(id: request.id, send: reply))
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
    if let missing = HardwareVirtualisation.objection(device: configuration.kvm) { notice(.hardware, missing) }
    for (number, problem) in identityProblems.enumerated() { notice(.identity(number), problem) }
    watchStorage()
    watchStick()
    guard configuration.network else {
      startDomains()
      return networkIsReady()
    }
    do throws(ControlError) {
      let plan = try NetworkPlan(manifest, builtAddress: builtAddress)
      networkPlan = plan
      let network = NetworkService(
        plan: plan, runtimeDirectory: configuration.runtimeDirectory, logDirectory: configuration.logDirectory,
        loop: loop, report: { [unowned self] in notice(.helper($0), $0) })
      self.network = network
      network.start { [unowned self] in
        startDomains()
        networkIsReady()
      }
    } catch {
      notice(.network, "the domains have no network: \(error.message)")
      startDomains()
      networkIsReady()
    }
  }

  /// What comes over the network can be connected from now on, as far as there is a network.
  private func networkIsReady() {
    guard phase == .up else { return }
    remotes.begin()
    remotes.consider(storage)
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
    if pauses.isWanted { return .wait("waits until the stick is back") }
    if let reason = disks.objection(toStarting: domain.name) { return .wait(reason) }
    if domain.disk != nil || storage?.state == .ready, let reason = storage?.wait(of: domain.name) {
      return .wait(reason)
    }
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
    let attached = storage?.disksAttached(to: domain.name) ?? []
    return .command(
      MonitorCommand.arguments(
        monitor: configuration.monitor, domain: domain, medium: configuration.medium, disk: disk, attached: attached,
        tap: tap, paths: paths),
      disks: Set(attached.map(\.name)))
  }

  func changed(_ supervisor: DomainSupervisor) {
    server?.broadcast(.domain(supervisor.status))
    if phase == .shuttingDown { finishIfOff() }
  }

  func log(_ line: String) {
    writeLog(line)
  }

  // MARK: What the user should know

  /// Sets what is to be said about a subject, nil for nothing any more, and tells subscribers and the log.
  func notice(_ subject: Notices.Subject, _ text: String?, isLogged: Bool = true) {
    guard notices.set(subject, text) else { return }
    if isLogged, let text { log(text) }
    server?.broadcast(.appliance(applianceStatus))
  }

  var applianceStatus: ApplianceStatus {
    ApplianceStatus(
      name: manifest.name, hostname: manifest.controlDomain.hostname, state: phase == .up ? .up : .shuttingDown,
      uptimeSeconds: loop.now, notices: notices.texts)
  }

  // MARK: Shutdown

  private func stop() {
    if phase == .done { return }
    if phase == .up {
      phase = .shuttingDown
      log("shutting down: \(liveCount) domains are running")
      server?.broadcast(.appliance(applianceStatus))
      disks.close()
      remotes.close()
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

  /// Ends when all domains are off and no disk is being changed.
  func finishIfOff() {
    guard phase == .shuttingDown, liveCount == 0, disks.isIdle else { return }
    phase = .done
    network?.stop()
    server?.close()
    log("all domains are off")
  }
}
