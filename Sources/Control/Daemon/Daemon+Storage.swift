internal import Manifest
internal import Platform

/// What `roost-storage` reports in files, as last seen.
struct StorageFiles {
  /// The volumes; nil before they were reported.
  var report: StorageReport?
  /// How full they are, where that is known.
  var pool: PoolStatus?
  /// The files as they were read, to see that they changed: they are small, and replaced as a whole.
  fileprivate var reportBytes: [UInt8]?
  fileprivate var poolBytes: [UInt8]?
  fileprivate var poolWatch = PoolWatch()
  fileprivate var remoteBytes: [UInt8]?
  /// What is wrong with remotes that were connected, by their names.
  fileprivate var lostRemotes: [String: String] = [:]
  /// Until when the report may be missing.
  fileprivate var deadline = 0.0

  /// Seconds between looks while domains wait for the volumes.
  fileprivate static let impatience = 0.5
}

/// The guests' storage, as `roost-storage` reports it: in one file what volumes there are, in another how full.
extension Daemon: DiskSurroundings {
  var storage: StorageReport? { storageFiles.report }

  func diskOrderEnded() {
    for supervisor in supervisors { supervisor.retry() }
    finishIfOff()
  }

  func diskOrder(_ order: DiskOrder, isAt percent: Int) {
    if case .define(let name, _, _) = order { server?.broadcast(.making(name, percent: percent)) }
  }

  /// Looks at the reports from now on, every few seconds.
  func watchStorage() {
    storageFiles.deadline = loop.now + configuration.storagePatience
    look()
  }

  private func look() {
    lookAtStorage()
    lookAtGateway()
    let pause =
      storage == nil ? min(StorageFiles.impatience, configuration.storageInterval) : configuration.storageInterval
    loop.after(pause) { [unowned self] in look() }
  }

  func lookAtStorage() {
    refreshStorage()
    refreshPool()
    refreshRemotes()
  }

  func refreshStorage() {
    if let bytes = try? Files.read(configuration.storage) {
      guard bytes != storageFiles.reportBytes else { return }
      storageFiles.reportBytes = bytes
      storageFiles.report = StorageReport.decode(bytes, path: configuration.storage)
    } else if storage == nil, loop.now >= storageFiles.deadline {
      storageFiles.report = StorageReport(
        state: .failed, error: "there is no \(configuration.storage); /var/log/roost/init.log says more")
    } else {
      return
    }
    let isMissed = storage?.state == .failed && manifest.domains.contains { $0.disk != nil }
    let isAwaited = storage?.waitingFor?.isEmpty == false
    let problem = isAwaited ? "domains with disks wait" : "the storage failed, so domains with disks do not run"
    notice(.storage, isMissed ? "\(problem): \(storage?.error ?? "it did not say why")" : nil)
    noticeRemotes()
    remotes.consider(storage)
    followDefinitions()
    for supervisor in supervisors { supervisor.retry() }
  }

  /// Looks at what `roost-storage watch` tells of lost connections.
  private func refreshRemotes() {
    let bytes = try? Files.read(configuration.remotes)
    guard bytes != storageFiles.remoteBytes else { return }
    storageFiles.remoteBytes = bytes
    storageFiles.lostRemotes = bytes.flatMap(StorageReport.lostRemotes) ?? [:]
    noticeRemotes()
  }

  /// Says which remotes are not there.
  private func noticeRemotes() {
    let known = storage?.remotes ?? []
    for name in notices.remotes where !known.contains(where: { $0.name == name }) { notice(.remote(name), nil) }
    for remote in known {
      let isHere = remote.device != nil
      let problem =
        isHere ? storageFiles.lostRemotes[remote.name] ?? remote.problem : remote.problem ?? "it is being connected"
      let text = isHere ? "has a problem" : "is not connected"
      notice(.remote(remote.name), problem.map { "\(remote.name) (\(remote.address)) \(text): \(Text.printable($0))" })
    }
  }

  private func refreshPool() {
    let bytes = try? Files.read(configuration.pool)
    guard bytes != storageFiles.poolBytes else { return }
    storageFiles.poolBytes = bytes
    if let bytes {
      guard let pool = PoolStatus.decode(bytes) else { return log("\(configuration.pool) is not understood") }
      storageFiles.pool = pool
    } else {
      storageFiles.pool = nil
    }
    let change = storageFiles.poolWatch.take(storageFiles.pool)
    change.log.forEach(log)
    // Its numbers change while its state does not; the log has a line for each state.
    notice(.room, change.room, isLogged: false)
    notice(.degraded, change.degraded, isLogged: false)
  }

  var storageStatus: StorageStatus {
    let state: StorageStatus.State =
      switch storage?.state {
      case .ready?: .ready
      case .failed?: .failed
      case nil: .waiting
      }
    return StorageStatus(
      state: state, error: storage?.error, warnings: storage?.warnings ?? [], pool: storageFiles.pool,
      remotes: storage?.remotes?.map { remote in
        var remote = remote
        if remote.device != nil, let lost = storageFiles.lostRemotes[remote.name] { remote.problem = lost }
        return remote
      })
  }
}
