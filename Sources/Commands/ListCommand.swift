internal import ArgumentParser
internal import Control
internal import Platform

/// `roost list`
struct ListCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "list", abstract: "Show the domains of this appliance and what they are doing.")

  @Flag(help: "Print JSON.")
  var json = false
  @OptionGroup var appliance: ApplianceOptions

  func run() throws {
    try appliance.orExplain { () throws(ControlError) in
      let overview = try appliance.connect().list()
      if json {
        StandardStream.output.write(try overview.prettyJSON() + "\n")
        return
      }
      let width = Terminal.size(of: StandardStream.output.rawValue)?.columns
      let lines = DomainTable.lines(overview.domains, width: width, now: overview.appliance.uptimeSeconds)
      StandardStream.output.write(lines.map { $0 + "\n" }.joined())
      let reasons = overview.domains.compactMap { domain in domain.reason.map { "\(domain.name): \($0)\n" } }
      let notices = overview.appliance.notices.map { "! \($0)\n" }
      if !(reasons + notices).isEmpty { StandardStream.output.write("\n" + (reasons + notices).joined()) }
    }
  }
}
