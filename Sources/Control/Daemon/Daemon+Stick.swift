internal import Identity
internal import Platform

/// What is known of the stick that the appliance runs from.
struct StickWatch {
  /// Whether it is there.
  fileprivate(set) var isMissing = false
  fileprivate var bytes: [UInt8]?
  fileprivate var release: EventLoop.Token?
}

/// The stick that the appliance runs from may be pulled out: domains are paused then, and go on when it is back. Its
/// keeper (of the init) says when; what the keeper tells lies in memory, so that nothing here waits for the stick.
extension Daemon {
  var isStickMissing: Bool { stick.isMissing }

  /// Looks at what the keeper tells from now on.
  func watchStick() {
    lookAtStick()
    loop.after(configuration.stickInterval) { [unowned self] in watchStick() }
  }

  private func lookAtStick() {
    // Domains that came since, and monitors of an earlier domain manager.
    pauses.advance()
    guard let bytes = try? Files.read(configuration.mediumReport), bytes != stick.bytes else { return }
    stick.bytes = bytes
    guard let report = MediumReport(json: bytes) else { return log("\(configuration.mediumReport) is not understood") }
    notice(.stick, report.notice.map(Text.printable))
    guard (report.state == .missing) != stick.isMissing else { return }
    stick.isMissing = report.state == .missing
    loop.cancel(stick.release)
    if stick.isMissing {
      pauses.isWanted = true
    } else {
      log("the stick is back")
      stick.release = loop.after(configuration.stickRest) { [unowned self] in
        pauses.isWanted = false
        for supervisor in supervisors { supervisor.retry() }
        remotes.consider(storage)
      }
    }
  }
}
