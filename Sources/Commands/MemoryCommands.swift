internal import ArgumentParser
internal import Control
internal import Platform

/// `roost mem-set NAME SIZE`
struct MemorySetCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "mem-set", abstract: "Have a running domain come to another size of memory.",
    discussion: """
      Below what it started with, the guest's balloon driver (virtio-balloon) takes memory from the guest and gives it \
      back to the machine; a guest that needs it badly takes it again. Above, memory is added by virtio-mem, as far as \
      `max` under `memory` in the recipe allows. Either happens in the guest's own time: --wait shows how far it is, \
      and fails when that is not to be expected any more. A domain that starts anew starts with what its recipe says.

      Examples:
        roost mem-set debian "256 MiB"
        roost mem-set debian 1GiB --wait
        roost mem-set debian 1GiB --json
      """)

  @Argument(help: "The domain's name; `roost list` shows them.", completion: .domains)
  var name: String
  @Argument(help: "The size to come to, in whole MiB, such as \"256 MiB\".", transform: Size.init)
  var size: Size
  @Flag(help: "Wait until the guest has come to it, or is not to be expected to.")
  var wait = false
  @Flag(help: "Print JSON: the domain as it is then.")
  var json = false
  @OptionGroup var appliance: ApplianceOptions

  func run() throws {
    try appliance.orExplain { () throws(ControlError) in
      let client = try appliance.connect()
      var domain = try client.setMemory(of: name, bytes: size.bytes)
      if wait {
        domain = try watch(domain, client)
      } else if !json {
        StandardStream.output.write(MemoryProgress.summary(domain) + "\n")
        let wanted = domain.memory?.wantedBytes ?? size.bytes
        if let missing = MemoryProgress.missingDriver(domain, wanted) { StandardStream.output.write("! \(missing)\n") }
      }
      if json { StandardStream.output.write(try domain.prettyJSON() + "\n") }
    }
  }

  /// Tells how far the guest is until it is there; the domain as it is then.
  private func watch(_ asked: DomainStatus, _ client: ControlClient) throws(ControlError) -> DomainStatus {
    func now() -> Double { Double(MonotonicClock.now()) / 1e9 }
    func say(_ line: String) {
      if !json { StandardStream.output.write(line + "\n") }
    }
    var progress = MemoryProgress(name, wanted: asked.memory?.wantedBytes ?? size.bytes, now: now())
    while true {
      let domain = try appliance.domain(name, of: client)
      switch progress.take(domain, now: now()) {
      case .done(let line):
        say(line)
        return domain
      case .onward(let line): if let line { say(line) }
      case .stuck(let reason): throw ControlError(.timedOut, reason)
      }
      MonotonicClock.sleep(milliseconds: 500)
    }
  }
}

/// `roost mem-max NAME SIZE`
struct MemoryMaximumCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "mem-max", abstract: "Change how far a domain's memory may grow.",
    discussion: """
      From what the domain starts with up to `max` under `memory` in its recipe, which is how it is as long as nobody \
      changes it. It holds for `roost mem-set` until the appliance ends, whether or not the domain runs.

      Examples:
        roost mem-max debian "768 MiB"
        roost mem-max debian 1GiB --json
      """)

  @Argument(help: "The domain's name; `roost list` shows them.", completion: .domains)
  var name: String
  @Argument(help: "What it may be set to at most, in whole MiB, such as \"768 MiB\".", transform: Size.init)
  var size: Size
  @Flag(help: "Print JSON: the domain as it is then.")
  var json = false
  @OptionGroup var appliance: ApplianceOptions

  func run() throws {
    try appliance.orExplain { () throws(ControlError) in
      let domain = try appliance.connect().limitMemory(of: name, bytes: size.bytes)
      if json {
        StandardStream.output.write(try domain.prettyJSON() + "\n")
      } else {
        StandardStream.output.write("\(name): may have \(size) at most\n")
      }
    }
  }
}
