internal import Manifest

/// What is known of domains that come after others.
struct OrderWatch {
  /// A look is about to be taken.
  fileprivate var isLooking = false
  /// How domains go down, and when that began: seconds of the loop's clock.
  fileprivate var goingDown: (plan: GoingDown, began: Double)?
}

/// Domains start after others, and go down before them.
extension Daemon {
  private var startOrder: StartOrder {
    StartOrder(supervisors.map { ($0.domain.name, $0.domain.after ?? []) })
  }

  private func decision(about domain: ApplianceManifest.Domain) -> DomainOrder.Decision {
    guard domain.after != nil else { return .start(without: nil) }
    return DomainOrder.decision(after: startOrder.predecessors(of: domain.name)) { name in
      supervisors.first { $0.domain.name == name }?.standing
    }
  }

  /// What a domain's start waits for; nil for nothing.
  func orderWait(of domain: ApplianceManifest.Domain) -> String? {
    if case .wait(let reason) = decision(about: domain) { reason } else { nil }
  }

  /// The domain starts: says whom it has to do without.
  func noticeOrder(of domain: ApplianceManifest.Domain) {
    guard domain.after != nil, case .start(let without) = decision(about: domain) else { return }
    notice(.order(domain.name), without.map { "\(domain.name) \($0)" })
  }

  /// Something changed: has those start, or go down, whose turn has come. A little later, when all that changes with it
  /// has changed.
  func lookAtOrder() {
    guard !order.isLooking else { return }
    order.isLooking = true
    loop.after(0) { [unowned self] in
      order.isLooking = false
      if phase == .shuttingDown { return goDown() }
      for supervisor in supervisors where supervisor.domain.after != nil {
        supervisor.retry()
        if !supervisor.machine.state.isLive || isComplete(supervisor) { notice(.order(supervisor.domain.name), nil) }
      }
    }
  }

  /// Whether all are ready that the domain comes after.
  private func isComplete(_ supervisor: DomainSupervisor) -> Bool {
    (supervisor.domain.after ?? []).allSatisfy { name in
      supervisors.first { $0.domain.name == name }?.machine.state == .ready
    }
  }

  /// The appliance ends: asks all domains to power off, those first that others wait for.
  func beginGoingDown() {
    // What has not begun needs no time to end.
    for supervisor in supervisors where supervisor.machine.pid == nil { supervisor.handle(.stop) }
    let patience = configuration.shutdownPatience
    let plan = GoingDown(live.map(\.domain.name), order: startOrder, patience: patience)
    order.goingDown = (plan, loop.now)
    for seconds in plan.looks { loop.after(seconds) { [unowned self] in goDown() } }
    goDown()
  }

  private var live: [DomainSupervisor] { supervisors.filter { $0.machine.state.isLive } }

  private func goDown() {
    guard let (plan, began) = order.goingDown else { return }
    let due = plan.due(live.map(\.domain.name), elapsed: loop.now - began)
    for supervisor in live where due.contains(supervisor.domain.name) || supervisor.machine.pid == nil {
      supervisor.handle(.stop)
    }
  }
}
