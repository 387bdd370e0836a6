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
  var supervisors: [DomainSupervisor] = []
  private(set) var server: ControlServer?
  private(set) var network: NetworkService?
  /// What was done to networks while the appliance runs.
  var networkChanges = NetworkChanges()
  /// What domains may take of the machine; nil where the kernel has no control groups.
  private(set) var groups: ControlGroups?
  /// Domains that are made on the fly.
  var making = DomainMaking()
  /// What `roost-storage` reports, looked at again and again.
  var storageFiles = StorageFiles()
  /// Domains that come after others.
  var order = OrderWatch()
  /// What the keeper of the stick tells.
  var stick = StickWatch()
  private(set) lazy var pauses = DomainPauses(
    loop: loop, log: { [unowned self] in log($0) }, domains: { [unowned self] in supervisors })
  /// What domains' CPUs and disks did.
  private(set) lazy var statistics = StatisticsKeeper(loop: loop)
  /// What domains' guests have of memory.
  private(set) lazy var memory = MemoryKeeper(
    loop: loop, pace: memoryPace, domains: { [unowned self] in supervisors })
  /// Moves memory between domains, where the recipe asks for it.
  var balance = MemoryBalance()
  /// Monitors that are being told how many processors their guests are to come to.
  var processorOrders: [String: MonitorCall] = [:]
  private(set) lazy var disks = DiskManager(
    program: configuration.storageProgram, deadline: configuration.storageDeadline,
    monitorsAreJailed: configuration.jail, surroundings: self)
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
  private var jailUsers = JailUsers()

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
    supervisors = manifest.domains.map { supervisor(of: $0) }
    server = try ControlServer(path: configuration.socket, loop: loop) { [unowned self] request, reply in
      answer(request, Responder(id: request.id, send: reply))
    }
    if manifest.api != nil { try server?.listen(at: configuration.gatewaySocket, group: configuration.gatewayGroup) }
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
    do throws(SystemError) {
      groups = try ControlGroups(root: configuration.controlGroups)
    } catch {
      log("what domains may take cannot be limited: \(error)")
    }
    watchStorage()
    watchStick()
    memory.begin()
    if manifest.balancesMemory { beginBalancing() }
    guard configuration.network else {
      startDomains()
      return networkIsReady()
    }
    do throws(ControlError) {
      let plan = try keptNetworks(NetworkPlan(manifest, builtAddress: builtAddress))
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
    making.mayStart = true
    for supervisor in supervisors { supervisor.isDue = true }
    for supervisor in supervisors {
      guard supervisor.isCreated else {
        startFirst(supervisor)
        continue
      }
      // The recipe's network has no place for it yet.
      connect(supervisor.domain) { [unowned self, weak supervisor] in
        if let supervisor { startFirst(supervisor) }
      }
    }
    sweep()
  }

  /// Takes a domain over from a domain manager before this one, or starts it if it starts with the appliance.
  func startFirst(_ supervisor: DomainSupervisor) {
    supervisor.isDue = false
    lookAtOrder()
    guard phase == .up, !supervisor.adoptPredecessors(), supervisor.domain.autostart else { return }
    supervisor.handle(.start)
  }

  func supervisor(of domain: ApplianceManifest.Domain, isCreated: Bool = false) -> DomainSupervisor {
    DomainSupervisor(
      domain,
      paths: DomainPaths(
        name: domain.name, runtimeDirectory: configuration.runtimeDirectory, logDirectory: configuration.logDirectory),
      surroundings: self, isCreated: isCreated)
  }

  // MARK: Surroundings of domains

  func prepare(_ domain: ApplianceManifest.Domain, paths: DomainPaths) -> DomainPreparation {
    if let missing = HardwareVirtualisation.objection(device: configuration.kvm) { return .refuse(missing) }
    if pauses.isWanted { return .wait("waits until the stick is back") }
    if let reason = orderWait(of: domain) { return .wait(reason) }
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
    if let objection = memoryObjection(to: domain) { return .refuse(objection) }
    noticeOrder(of: domain)
    let attached = storage?.disksAttached(to: domain.name) ?? []
    return .command(
      MonitorCommand.arguments(
        monitor: configuration.monitor, domain: domain, medium: configuration.medium, disk: disk, attached: attached,
        taps: network?.taps(of: domain.name) ?? [], paths: paths,
        jailUser: configuration.jail ? jailUser(of: domain) : nil),
      disks: Set(attached.map(\.name)))
  }

  /// The user that the domain's monitor becomes, and no other.
  private func jailUser(of domain: ApplianceManifest.Domain) -> UInt32 {
    let others = supervisors.filter { $0.domain.name != domain.name }
    return jailUsers.user(
      of: domain.name, place: manifest.domains.firstIndex { $0.name == domain.name },
      taken: Set(others.compactMap { $0.machine.pid.flatMap(JailUsers.user) }))
  }

  func changed(_ supervisor: DomainSupervisor) {
    server?.broadcast(.domain(supervisor.status))
    lookAtOrder()
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
      // Who stands still hears no power button.
      pauses.releaseAll()
      beginGoingDown()
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
