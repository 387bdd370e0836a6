internal import ArgumentParser
internal import Control
internal import Manifest
internal import Platform

/// `roost limit NAME`
struct LimitCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "limit", abstract: "Say what a domain may take of the machine, while it runs.",
    discussion: """
      Limits hold until the appliance is switched off; those of the recipe hold from its next start on. 0, or none where \
      a text is asked for, takes a limit away. `roost info` shows them.

      EXAMPLES:
        roost limit web --cpu-weight 300              three times the share of one that says nothing
        roost limit web --cpu-cap 50                  at most half of one processor
        roost limit web --cpus 0-1                    on these processors only
        roost limit web --disk-rate "20 MiB" --disk-operations 500
        roost limit web --network-rate "10 Mbit"
        roost limit web --cpu-cap 0 --cpus none       no such limits any more
      """)

  @Argument(help: "The domain's name; `roost list` shows them.", completion: .domains)
  var name: String
  @Option(help: "Its share of busy processors, 1 to 10000; 100 is everybody's.")
  var cpuWeight: Int?
  @Option(help: "The most of the processors' time, in percent of one.")
  var cpuCap: Int?
  @Option(help: "The processors that it keeps to, as in 0-1,3.")
  var cpus: String?
  @Option(help: "The most that its disks read, and write, a second.", transform: LimitCommand.bytes)
  var diskRate: Int?
  @Option(help: "The most reads, and writes, of its disks a second.")
  var diskOperations: Int?
  @Option(help: "The most that it sends, and receives, a second.", transform: LimitCommand.rate)
  var networkRate: Int?
  @Flag(help: "Print JSON.")
  var json = false
  @OptionGroup var appliance: ApplianceOptions

  private static func bytes(_ text: String) throws -> Int { text == "0" ? 0 : try Size(text).bytes }

  private static func rate(_ text: String) throws -> Int { text == "0" ? 0 : try bits(text) }

  private var change: ResourceLimits {
    var limits = ResourceLimits()
    limits.cpuWeight = cpuWeight
    limits.cpuCap = cpuCap
    limits.cpus = cpus == "none" ? "" : cpus
    limits.diskRate = diskRate
    limits.diskOperations = diskOperations
    limits.networkRate = networkRate
    return limits
  }

  func validate() throws {
    if change.isEmpty { throw ValidationError("say what is to be limited; `roost info \(name)` shows what is") }
  }

  func run() throws {
    try appliance.orExplain { () throws(ControlError) in
      let client = try appliance.connect()
      let info = try client.limit(name, change)
      if json { return StandardStream.output.write(try info.prettyJSON() + "\n") }
      let uptime = try client.list().appliance.uptimeSeconds
      StandardStream.output.write(info.lines(now: uptime).map { $0 + "\n" }.joined())
    }
  }
}
