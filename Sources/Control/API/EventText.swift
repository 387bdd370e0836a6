extension ControlEvent {
  /// What happened, a line for each thing that a person would notice beside what was known before. `overview` is what is
  /// known from then on; `uptime` the seconds since power-on that the lines begin with.
  public func lines(after overview: inout Overview, uptime: Double) -> [String] {
    words(after: &overview).map { "\(Text.seconds(uptime))  \($0)" }
  }

  private func words(after overview: inout Overview) -> [String] {
    switch self {
    case .domain(let status):
      let index = overview.domains.firstIndex { $0.name == status.name }
      let before = index.map { overview.domains[$0] }
      if let index { overview.domains[index] = status } else { overview.domains.append(status) }
      var lines: [String] = []
      if let balance = status.memory?.balance, let before, before.memory?.balance != balance {
        lines.append("\(status.name)  memory \(balance)")
      }
      guard before?.activity != status.activity || before?.reason != status.reason else { return lines }
      var words = "\(status.name)  \(status.activity)"
      if status.state == .ready, status.isPaused != true, let seconds = status.readySeconds {
        words += " after \(Text.seconds(seconds))"
      }
      return [words + (status.reason.map { ": \($0)" } ?? "")] + lines
    case .removed(let name):
      overview.domains.removeAll { $0.name == name }
      return ["\(name)  removed"]
    case .making(let name, let percent):
      // The beginning and the end are news; what is between is for those who watch one.
      return percent == 0 || percent == 100 ? ["\(name)  its disk is written: \(percent) %"] : []
    case .appliance(let status):
      let before = overview.appliance
      overview.appliance = status
      var lines: [String] = []
      if before.state != status.state { lines.append("appliance  \(status.state.rawValue)") }
      lines += status.notices.filter { !before.notices.contains($0) }.map { "appliance  ! \($0)" }
      lines += before.notices.filter { !status.notices.contains($0) }.map { "appliance  over: \($0)" }
      return lines
    }
  }
}
