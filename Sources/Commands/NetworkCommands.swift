internal import ArgumentParser
internal import Control
internal import Manifest
internal import Platform
internal import Recipe

/// `roost network`: the appliance's networks.
struct NetworkCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "network",
    abstract: "Make networks, spoil cables, and see what goes over them, while domains run.",
    discussion: """
      Every appliance has the network "guests"; a recipe has others under `networks:`, and domains have cards on them. \
      What is made or changed here holds until the appliance is switched off.

      EXAMPLES:
        roost network list
        roost network create lab --mode isolated --subnet 10.80.1.0/24
        roost create --like debian --name web --network lab
        roost network link web --delay "20 ms" --loss "1 %" --rate "10 Mbit"
        roost network link web --down
        roost network link web --perfect
        roost network capture web -o web.pcapng
        roost network capture web --host root@lab-01 -o - | wireshark -k -i -
      """,
    subcommands: [
      NetworkListCommand.self,
      NetworkCreateCommand.self,
      NetworkRemoveCommand.self,
      NetworkLinkCommand.self,
      NetworkCaptureCommand.self,
    ])
}

/// How a network command shows what became of it.
struct NetworkOptions: ParsableArguments {
  @Flag(help: "Print JSON.")
  var json = false
  @OptionGroup var appliance: ApplianceOptions

  func ask(
    _ question: (ControlClient) throws(ControlError) -> NetworkList, _ words: (NetworkList) -> String
  ) throws {
    try appliance.orExplain { () throws(ControlError) in
      let list = try question(try appliance.connect())
      StandardStream.output.write(json ? try list.prettyJSON() + "\n" : words(list))
    }
  }
}

/// `roost network list`
struct NetworkListCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "list", abstract: "Show the networks, and whose cards are connected to them.")

  @OptionGroup var options: NetworkOptions

  func run() throws {
    try options.ask({ client throws(ControlError) in try client.networks() }, NetworkTable.text)
  }
}

/// `roost network create NAME`
struct NetworkCreateCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "create", abstract: "Make a network.",
    discussion: """
      nat       domains get addresses and names, and reach the outside behind the machine's address
      isolated  domains reach each other; with --subnet they get addresses and names
      bridged   the network is one with that of a card of the machine's

      It lasts as long as the appliance runs, and comes back with domains that
      'roost create' made on it. What is always to be there is in the recipe.

      EXAMPLES:
        roost network create class --subnet 10.80.0.0/24
        roost network create left --mode isolated --subnet 10.80.1.0/24 --router 10.80.1.254
        roost network create wire --mode isolated
        roost network create outside --mode bridged --card eth1
      """)

  @Argument(help: "What it is to be called.")
  var name: String
  @Option(help: "How it reaches the outside: nat, isolated, bridged.", transform: choice)
  var mode = NetworkMode.nat
  @Option(help: "Its addresses, as in 10.80.1.0/24; the appliance has the first.", transform: subnetwork)
  var subnet: IPv4Subnet?
  @Option(help: "The address of the domain that is the way out of an isolated network.")
  var router: String?
  @Option(help: "The machine's card that is bridged.")
  var card: String?
  @OptionGroup var options: NetworkOptions

  func validate() throws {
    if mode == .nat, subnet == nil { throw ValidationError("a network with the way out needs --subnet 10.80.1.0/24") }
  }

  func run() throws {
    let network = ApplianceManifest.VirtualNetwork(
      name: name, mode: mode, address: subnet?.gatewayDescription, router: router, card: card)
    try options.ask({ client throws(ControlError) in try client.createNetwork(network) }) { list in
      NetworkTable.text(NetworkList(networks: list.networks.filter { $0.name == name }))
    }
  }
}

/// `roost network remove NAME`
struct NetworkRemoveCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "remove", abstract: "Remove a network that `roost network create` made, to which nothing is connected."
  )

  @Argument(help: "The network's name.")
  var name: String
  @OptionGroup var options: NetworkOptions

  func run() throws {
    try options.ask({ client throws(ControlError) in try client.removeNetwork(name) }) { _ in "\(name): removed\n" }
  }
}

/// `roost network link DOMAIN`
struct NetworkLinkCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "link", abstract: "Have the cable of a domain's network card delay, lose or slow what goes over it.",
    discussion: """
      All of it in each direction: with a delay of 20 ms an answer takes 40 ms longer. What is not said stays as it is.

      EXAMPLES:
        roost network link web --delay "20 ms" --jitter "5 ms"
        roost network link web --loss "0.5 %"
        roost network link router --card 1 --rate "2 Mbit"
        roost network link web --down         the cable is pulled
        roost network link web --up           and put back
        roost network link web --perfect      as a new one
      """)

  @Argument(help: "The domain's name; `roost list` shows them.", completion: .domains)
  var domain: String
  @Option(help: "Which of its cards, from 0.")
  var card = 0
  @Option(help: "How long everything takes longer, as in \"20 ms\"; 0 ms for not at all.", transform: time)
  var delay: Int?
  @Option(help: "By how much that varies, as in \"5 ms\".", transform: time)
  var jitter: Int?
  @Option(help: "How many packets get lost, as in \"1 %\".", transform: percent)
  var loss: Double?
  @Option(help: "The most that goes over it a second, as in \"10 Mbit\"; 0 bit for no limit.", transform: bits)
  var rate: Int?
  @Flag(exclusivity: .exclusive, help: "Whether the cable is in.")
  var state: State?
  @Flag(help: "Nothing is done to what goes over it any more.")
  var perfect = false
  @OptionGroup var options: NetworkOptions

  enum State: String, EnumerableFlag {
    case up, down
  }

  private var change: LinkConditions {
    perfect
      ? LinkConditions(delay: 0, jitter: 0, loss: 0, rate: 0, isDown: false)
      : LinkConditions(delay: delay, jitter: jitter, loss: loss, rate: rate, isDown: state.map { $0 == .down })
  }

  func validate() throws {
    if change.isPerfect {
      throw ValidationError("say what the cable is to do; `roost network list` shows what it does")
    }
    if perfect, state != nil || delay != nil || jitter != nil || loss != nil || rate != nil {
      throw ValidationError("--perfect says all")
    }
  }

  func run() throws {
    try options.ask({ client throws(ControlError) in try client.setLink(of: domain, card: card, change) }) { list in
      let remarks = list.cards(of: domain).first { $0.index == card }?.remarks ?? []
      return "\(domain): \(remarks.isEmpty ? "a perfect cable" : remarks.joined(separator: ", "))\n"
    }
  }
}

/// `roost network capture DOMAIN`
struct NetworkCaptureCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "capture", abstract: "Write what a domain's network card sends and gets into a file (pcapng).",
    discussion: """
      It goes on until Ctrl-C, or as long as is said. Domains hand over large pieces that are cut only on a real wire, and \
      leave checksums to it: packets are shown as they are handed over. It takes root in the control domain.

      EXAMPLES:
        roost network capture web -o web.pcapng
        roost network capture router --card 1 --seconds 10 -o left.pcapng
        roost network capture web --host root@lab-01 -o - | wireshark -k -i -
      """)

  @Argument(help: "The domain's name; `roost list` shows them.", completion: .domains)
  var domain: String
  @Option(help: "Which of its cards, from 0.")
  var card = 0
  @Option(name: .shortAndLong, help: "The file; - for standard output.")
  var output: String
  @Option(help: "End after so many seconds.")
  var seconds: Int?
  @Option(help: "End after so many packets.")
  var packets: Int?
  @Option(help: "Bytes of a packet that are kept.")
  var snap = 262_144
  @OptionGroup var appliance: ApplianceOptions

  func validate() throws {
    if !(64...262_144).contains(snap) { throw ValidationError("--snap takes 64 to 262144 bytes") }
    if let seconds, seconds < 1 { throw ValidationError("--seconds takes 1 or more") }
    if let packets, packets < 1 { throw ValidationError("--packets takes 1 or more") }
    if output == "-", Terminal.isTerminal(StandardStream.output.rawValue) {
      throw ValidationError("packets are nothing for a terminal: -o FILE, or -o - into another program")
    }
  }

  func run() throws {
    var status: ExitStatus?
    try appliance.orExplain { () throws(ControlError) in
      if let command = try appliance.link().remoteCommand(words, onTerminal: false) {
        status = try captureThere(command)
        return
      }
      let interface = try interface(try appliance.connect())
      do throws(SystemError) {
        let count = try capture(interface)
        StandardStream.error.write("\(domain): \(count) packet\(count == 1 ? "" : "s")\n")
      } catch  where error.errno == .brokenPipe {
        // Whoever looked has seen enough.
      } catch {
        throw ControlError(.system, "the packets of \(interface) are not captured: \(error)")
      }
    }
    if let status { try ExitCode.pass(status) }
  }

  /// The same command in the control domain of another machine.
  private var words: [String] {
    let limits = [("--seconds", seconds), ("--packets", packets)].flatMap { name, value in
      value.map { [name, "\($0)"] } ?? []
    }
    return ["roost", "network", "capture", domain, "--card", "\(card)", "--snap", "\(snap)", "--output", "-"] + limits
  }

  /// What is captured over there goes into the file here.
  private func captureThere(_ command: [String]) throws(ControlError) -> ExitStatus {
    do throws(SystemError) {
      let null = try FileDescriptor(opening: "/dev/null")
      let file = try output == "-" ? nil : OutputFile(output)
      var request = ChildRequest(command)
      request.descriptors = [null.rawValue, file?.file.rawValue ?? 1, 2]
      return try ChildProcess.start(request).wait()
    } catch {
      throw ControlError(.system, "packets are not captured: \(error)")
    }
  }

  private func interface(_ client: ControlClient) throws(ControlError) -> String {
    _ = try appliance.domain(domain, of: client)
    let cards = try client.networks().cards(of: domain)
    if let found = cards.first(where: { $0.index == card }) { return found.interface }
    throw ControlError(
      .wrongState,
      cards.isEmpty
        ? "\(domain) has no network card" : "\(domain)'s cards are counted from 0 to \(cards.count - 1)")
  }

  private func capture(_ interface: String) throws(SystemError) -> Int {
    Signals.ignore(Signals.brokenPipe)
    var source = try PacketSocket(interface, keeping: snap)
    let signals = try SignalDescriptor([Signal.interrupt, Signal.terminate, Signal.hangUp])
    let poller = try Poller()
    try poller.add(source.file.rawValue, .readable, token: 1)
    try poller.add(signals.file.rawValue, .readable, token: 2)
    let format = PacketCapture(interface: interface, snapLength: snap)
    let file = try output == "-" ? nil : OutputFile(output)
    func write(_ bytes: [UInt8]) throws(SystemError) {
      if let file { try file.file.writeAll(bytes) } else { try StandardStream.output.writeAll(bytes) }
    }
    try write(format.header)
    let end = seconds.map { MonotonicClock.now() + UInt64($0) * 1_000_000_000 }
    var count = 0
    while true {
      let now = MonotonicClock.now()
      if let end, now >= end { return count }
      let ready = try poller.wait(timeout: end.map { Int32(($0 - now) / 1_000_000) + 1 } ?? -1)
      if ready.contains(where: { $0.token == 2 }) { return count }
      while let packet = try source.receive() {
        try write(format.block(of: packet))
        count += 1
        if let packets, count >= packets { return count }
      }
    }
  }
}

/// A file that is written from its beginning.
private final class OutputFile {
  let file: FileDescriptor

  init(_ path: String) throws(SystemError) {
    file = try FileDescriptor(opening: path, [.writeOnly, .create, .truncate], permissions: 0o600)
  }
}
