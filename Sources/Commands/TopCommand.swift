internal import ArgumentParser
internal import Control
internal import Platform

/// `roost top`
struct TopCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "top", abstract: "Show how busy the domains of this appliance are.",
    discussion: """
      CPU is a share of one processor: a domain with two of them may take 200 %. MEMORY USED is what the guest has \
      touched of its memory, with its monitor's own. On a terminal the table is drawn again until q or Ctrl-C; \
      otherwise it is printed once.

      EXAMPLES:
        roost top
        roost top --interval 5
        roost top --once
        roost top --json
      """)

  @Option(help: "Seconds between two measurements.")
  var interval: Double = 2
  @Flag(help: "Measure once, print, and end.")
  var once = false
  @Flag(help: "Measure once and print JSON.")
  var json = false
  @OptionGroup var appliance: ApplianceOptions

  func validate() throws {
    guard (0.1...3600).contains(interval) else { throw ValidationError("--interval takes 0.1 to 3600 seconds.") }
  }

  func run() throws {
    try appliance.orExplain { () throws(ControlError) in
      let client = try appliance.connect()
      let input = StandardStream.input.rawValue
      let isLive = !once && !json && Terminal.isTerminal(input) && Terminal.isTerminal(StandardStream.output.rawValue)
      guard isLive else { return try printOnce(client) }
      try TerminalSession.run(on: input) { stop throws(ControlError) in
        try UsageScreen(client, interval: interval, input: input, output: StandardStream.output.rawValue, stop: stop)
          .run()
      }
    }
  }

  private func printOnce(_ client: ControlClient) throws(ControlError) {
    var table = UsageTable()
    table.take(try client.usage(), try client.list())
    MonotonicClock.sleep(milliseconds: UInt32(interval * 1000))
    table.take(try client.usage(), try client.list())
    if json {
      StandardStream.output.write(try table.prettyJSON() + "\n")
    } else {
      let width = Terminal.size(of: StandardStream.output.rawValue)?.columns
      StandardStream.output.write(table.lines(width: width).map { $0 + "\n" }.joined())
    }
  }
}
