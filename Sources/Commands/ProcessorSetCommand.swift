internal import ArgumentParser
internal import Control
internal import Platform

/// `roost vcpu-set NAME COUNT`
struct ProcessorSetCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "vcpu-set", abstract: "Say how many of its processors a running domain may use.",
    discussion: """
      From 1 to as many as it has. A domain whose recipe says `cpus: {start: 1, max: 4}` gets processors and gives them \
      back: its guest is told by ACPI, and does so in its own time. Linux that boots its kernel directly can; Debian's \
      guests use a processor as soon as it comes.

      Any other guest keeps all of its processors and is not told. In either case all of them together get the time of so \
      many, which the control domain's kernel shares out among them (cpu.max of the domain's control group): a guest that \
      is busy on more sees stolen time. The domain's devices work within the same time. A cap of `roost limit` holds \
      beside it.

      It holds until the domain's monitor ends, which a restart of the guest has it do as well. `roost list` shows 1/4 for \
      a domain that uses one of its four processors.

      Examples:
        roost vcpu-set debian 1
        roost vcpu-set debian 4         all of its four: no limit any more
        roost vcpu-set debian 2 --json
      """)

  @Argument(help: "The domain's name; `roost list` shows them.")
  var name: String
  @Argument(help: "How many of its processors.")
  var count: Int
  @Flag(help: "Print JSON: the domain as it is then.")
  var json = false
  @OptionGroup var appliance: ApplianceOptions

  func validate() throws {
    if count < 1 {
      throw ValidationError("a domain has the time of 1 processor at least; `roost pause` has it stand still")
    }
  }

  func run() throws {
    try appliance.orExplain { () throws(ControlError) in
      let domain = try appliance.connect().setProcessors(of: name, to: count)
      if json { return StandardStream.output.write(try domain.prettyJSON() + "\n") }
      StandardStream.output.write("\(name): has the time of \(count) of its \(domain.cpus) processors\n")
    }
  }
}
