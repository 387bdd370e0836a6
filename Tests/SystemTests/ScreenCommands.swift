/// What a person types who sees the screen of an appliance with three domains, where root is logged in on the console of
/// the guest `debian`. Commands are run one after the other, and each answers with a text.
extension Machine {
  /// A command, and what it answers; a text that is a part of what is typed would be found there already.
  typealias Command = (line: String, answer: String)

  /// Has a domain restart, and answers when another monitor runs it: the states in between may be over before they are
  /// seen.
  static func rebooting(_ domain: String) -> Command {
    (
      "m() { roost info \(domain) | sed -n 's/^monitor *//p'; }; a=$(m); [ \"$a\" ] && roost reboot \(domain) && "
        + "until m | grep -qvxF \"$a\"; do sleep 1; done && echo an''other-monitor",
      "another-monitor"
    )
  }

  /// Runs commands in the control domain.
  func inShell(_ commands: [Command], then summary: String = "All 3 domains are ready.") throws {
    try type("x")
    try wait(for: "#", seconds: 60)
    try run(commands)
    try type("exit\r")
    try wait(for: summary, seconds: 60)
  }

  /// Runs commands in the guest.
  func inGuest(_ commands: [Command]) throws {
    try type("1")
    try wait(for: "root@debian:~#", seconds: 60)
    try run(commands)
    try type("\u{1D}")
    try wait(for: "All 3 domains are ready.", seconds: 60)
  }

  private func run(_ commands: [Command]) throws {
    for command in commands {
      try type("\(command.line)\r")
      try wait(for: command.answer, seconds: 240)
      // Who leaves the console in the middle of a line does not see the rest of it.
      try wait(for: "\n", seconds: 60)
    }
  }
}
