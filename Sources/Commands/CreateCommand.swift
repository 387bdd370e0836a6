internal import ArgumentParser
internal import Control
internal import Manifest
internal import Platform
internal import Recipe

/// `roost create`
struct CreateCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "create", abstract: "Make a domain while the appliance runs, and start it.",
    discussion: """
      What is not said comes from the domain of --like, or is what a recipe would have. A domain that was made this way is \
      kept where the guests' disks are: in a live session until the appliance is switched off, on a disk for good. \
      `roost remove` takes it away again.

      A file has `domains:` as a recipe has them, with sources of files: image, kernel and initrd, as they are in the \
      control domain. With --host such paths are of the appliance over there, from its root; the file itself is read here.

      An image is a disk as it is (raw), packed by gzip, xz, zstd or bzip2, or a qcow2 file; VMDK and VHDX take qemu-img in \
      the control domain (its package qemu-utils). One that is only a difference to another file is refused, and so is \
      what does not fit into the guests' storage.

      EXAMPLES:
        roost create --like debian --name web --memory "512 MiB"
        roost create --clone debian --like debian --name copy       debian's disk as it is now
        roost create --image disk.img --memory 1GiB --name foo
        roost create --image debian-13-nocloud-amd64.qcow2 --disk "8 GiB" --memory 1GiB --name bar
        roost create --cdrom install.iso --disk "8 GiB" --memory 1GiB --name new --boot uefi
        roost create --like hatchling --name h --count 50
        roost create --like debian --name router --network west --network east --no-filter
        roost create --like debian --name app --after web           starts once web is ready
        roost create lab.yaml
      """)

  @Argument(help: "A file with `domains:`.", completion: .file(extensions: ["yaml", "yml"]))
  var file: String?
  @Option(help: "The domain's name.")
  var name: String?
  @Option(
    help: "A domain whose machine and kernel it takes. Its disk begins as that one's image did.",
    completion: .domains)
  var like: String?
  @Option(help: "A disk image that its disk begins as: raw, packed, or qcow2.", completion: .file())
  var image: String?
  @Option(help: "A disk of this appliance that its disk begins as (roost disk list).", completion: .disks)
  var clone: String?
  @Option(help: "Size of its disk, as in \"2 GiB\".", transform: { try Size($0) })
  var disk: Size?
  @Option(help: "What its disk is attached to: virtio, ide, scsi.", transform: choice)
  var diskBus: DiskBus?
  @Option(help: "Memory, as in \"512 MiB\".", transform: { try Size($0) })
  var memory: Size?
  @Option(help: "Virtual CPUs.")
  var cpus: Int?
  @Option(help: "Virtual CPUs that it may have while it runs (roost vcpu-set).")
  var maxCpus: Int?
  @Option(help: "What processor it sees: host, baseline.", transform: choice)
  var cpu: CPUModel?
  @Option(help: "How it boots: bios, uefi, or how its kernel is entered.", transform: choice)
  var boot: BootMethod?
  @Option(help: "A kernel to be entered.", completion: .file())
  var kernel: String?
  @Option(help: "That kernel's initial RAM disk.", completion: .file())
  var initrd: String?
  @Option(help: "What the kernel is told.")
  var commandLine: String?
  @Option(help: "An image for its CD drive.", completion: .file(extensions: ["iso"]))
  var cdrom: String?
  @Option(help: "An image for its floppy drive.", completion: .file())
  var floppy: String?
  @Option(help: "A network that a card of its is connected to (roost network list); may be repeated.")
  var network: [String] = []
  @Flag(name: .customLong("no-network"), help: "No network card.")
  var hasNoNetwork = false
  @Flag(name: .customLong("no-filter"), help: "Its cards may send as others do, as a router's.")
  var isUnfiltered = false
  @Option(help: "What its cards are: virtio, e1000.", transform: choice)
  var nic: NetworkModel?
  @Option(help: "What it shows beside its serial line: none, vga.", transform: choice)
  var display: Display?
  @Flag(inversion: .prefixedNo, help: "Disks may come and go while it runs.")
  var hotplug: Bool?
  @Flag(inversion: .prefixedNo, help: "Start it with the appliance.")
  var autostart = true
  @Option(help: "A domain that it starts after, once that one is ready, and goes down before; may be given again.")
  var after: [String] = []
  @Flag(inversion: .prefixedNo, help: "Start it now.")
  var start = true
  @Option(help: "Text that its console shows when it is ready.")
  var ready: String?
  @Option(help: "Make so many, called NAME-1, NAME-2 and so on.")
  var count: Int?
  @Flag(help: "Print JSON.")
  var json = false
  @OptionGroup var appliance: ApplianceOptions

  func validate() throws {
    guard (file == nil) != (name == nil) else { throw ValidationError("give a file, or --name and what it is to be") }
    if isUnfiltered, hasNoNetwork || (like != nil && network.isEmpty) {
      throw ValidationError("--no-filter is of cards that --network names")
    }
    if hasNoNetwork, !network.isEmpty { throw ValidationError("--network and --no-network contradict each other") }
    if let count, !(1...Self.most).contains(count) {
      throw ValidationError("--count takes 1 to \(Self.most)")
    }
    if file != nil, [like, image, clone, kernel, cdrom].contains(where: { $0 != nil }) || count != nil {
      throw ValidationError("what is in the file is not said again on the command line")
    }
  }

  private static let most = 64

  func run() throws {
    let specs = try file.map { try read($0) } ?? wanted()
    try appliance.orExplain { () throws(ControlError) in
      let client = try appliance.connect()
      var made: [DomainStatus] = []
      let screen = CopyScreen(isLive: !json)
      if specs.contains(where: { $0.image != nil }), screen.isLive { _ = try client.subscribe() }
      for spec in specs {
        if spec.image != nil { screen.show("\(spec.name): looking at its image") }
        defer { screen.end() }
        let status = try client.create(spec, starts: start) { percent in
          let bar = Terminal.bar(Double(percent) / 100, width: 20)
          screen.show("\(spec.name): \(bar) \(percent) % of its image copied")
        }
        screen.end()
        made.append(status)
        guard !json else { continue }
        let reason = status.reason.map { ": \($0)" } ?? ""
        let address = status.address.map { ", \($0)" } ?? ""
        StandardStream.output.write("\(spec.name): \(status.activity)\(address)\(reason)\n")
      }
      if json { StandardStream.output.write(try made.prettyJSON() + "\n") }
    }
  }

  /// What the options say, once for each domain.
  private func wanted() throws -> [DomainSpec] {
    let name = name ?? ""
    var spec = DomainSpec(name: name)
    spec.like = like
    spec.cpus = cpus
    spec.cpusMaximum = maxCpus
    spec.cpuModel = cpu
    spec.memoryBytes = memory?.bytes
    spec.diskBytes = disk?.bytes
    spec.image = try image.map(path)
    spec.clone = clone
    spec.diskBus = diskBus
    spec.boot = boot
    spec.kernel = try kernel.map(path)
    spec.initrd = try initrd.map(path)
    spec.commandLine = commandLine
    spec.cdrom = try cdrom.map(path)
    spec.floppy = try floppy.map(path)
    // A machine of its own is of little use without a network; one that is like another has what that has.
    spec.cards = cards
    spec.nic = nic
    spec.display = display
    spec.hotplug = hotplug
    spec.autostart = autostart
    spec.after = after.isEmpty ? nil : after
    spec.readyText = ready
    guard let count else { return [spec] }
    return (1...count).map { number in
      var numbered = spec
      numbered.name = "\(name)-\(number)"
      return numbered
    }
  }

  private var cards: [CardSpec]? {
    if hasNoNetwork { return [] }
    if network.isEmpty, like != nil { return nil }
    let names: [String?] = network.isEmpty ? [nil] : network
    return names.map { name in
      var card = CardSpec(network: name)
      card.filter = isUnfiltered ? false : nil
      return card
    }
  }

  /// A file of the appliance's, which over there cannot be looked at from here.
  private func path(_ path: String) throws -> String {
    var machine: RemoteHost?
    try appliance.orExplain { () throws(ControlError) in machine = try appliance.machine() }
    if let machine {
      if path.hasPrefix("/") { return path }
      StandardStream.error.write("roost: \(path): name the file as it is at \(machine), from its root\n")
      throw ExitCode.failure
    }
    do throws(SystemError) {
      return try Files.resolve(path)
    } catch {
      StandardStream.error.write("roost: \(path): \(error.errno)\n")
      throw ExitCode.failure
    }
  }

  private func read(_ file: String) throws -> [DomainSpec] {
    let loaded: (domains: [Recipe.Domain], directory: String)
    do throws(RecipeError) {
      loaded = try Recipe.loadDomains(file)
    } catch {
      StandardStream.error.write("roost: \(error)\n")
      throw ExitCode.wrongFile
    }
    return try loaded.domains.map { try spec(of: $0, in: file, loaded.directory) }
  }

  private func spec(of domain: Recipe.Domain, in file: String, _ directory: String) throws -> DomainSpec {
    func refuse(_ text: String) -> ExitCode {
      StandardStream.error.write("roost: \(file): \(domain.name): \(text)\n")
      return .wrongFile
    }
    let isRemote = (try? appliance.machine()) != nil
    func full(_ reference: Recipe.FileReference?) throws -> String? {
      switch reference {
      case .path(let path)?: try self.path(path.hasPrefix("/") || isRemote ? path : "\(directory)/\(path)")
      case .source?: throw refuse("files of sources are for `roost build`; name a file")
      case nil: nil
      }
    }
    guard case .files(let files) = domain.source, files.modules.isEmpty, files.program == nil else {
      throw refuse("this source is for `roost build`; a running appliance takes image, kernel and initrd")
    }
    var spec = DomainSpec(name: domain.name)
    spec.os = domain.os
    spec.cpus = domain.cpus
    spec.cpusMaximum = domain.cpusMaximum
    spec.cpuModel = domain.hardware.cpu
    spec.memoryBytes = domain.memory.start
    spec.memoryMinimumBytes = domain.memory.minimum
    spec.memoryMaximumBytes = domain.memory.maximum
    spec.diskBytes = domain.diskBytes
    spec.image = try full(files.image)
    spec.diskBus = domain.hardware.diskBus
    spec.boot = domain.boot
    spec.kernel = try full(files.kernel)
    spec.initrd = try full(files.initrd)
    if domain.boot?.isFirmware != true, !domain.commandLine.isEmpty { spec.commandLine = domain.commandLine }
    spec.cdrom = try full(domain.hardware.cdrom)
    spec.floppy = try full(domain.hardware.floppy)
    spec.cards = domain.cards
    spec.nic = domain.hardware.nic
    spec.display = domain.hardware.display
    spec.hotplug = domain.hardware.hotplug
    spec.autostart = domain.autostart
    spec.after = domain.after.isEmpty ? nil : domain.after
    spec.readyText = domain.ready.consoleText
    spec.readySeconds = domain.ready.timeoutSeconds
    spec.onReboot = domain.onReboot
    spec.onCrash = domain.onCrash
    return spec
  }
}

/// One line on a terminal that tells how far something is; nothing where the error output is none.
private final class CopyScreen {
  let isLive: Bool
  private var isShown = false

  init(isLive: Bool) {
    self.isLive = isLive && Terminal.isTerminal(StandardStream.error.rawValue)
  }

  func show(_ text: String) {
    guard isLive else { return }
    let width = (Terminal.size(of: StandardStream.error.rawValue)?.columns ?? 80) - 1
    StandardStream.error.write("\r\u{1B}[K\(text.prefix(width))")
    isShown = true
  }

  /// Takes it away.
  func end() {
    if isShown { StandardStream.error.write("\r\u{1B}[K") }
    isShown = false
  }
}

/// `roost remove NAME...`
struct RemoveCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "remove", abstract: "Take domains away that `roost create` made, with their disks.",
    discussion: """
      What is on their disks is lost; snapshots and clones of them stay. The recipe's domains cannot be removed.

      EXAMPLES:
        roost remove web
        roost remove h-1 h-2 h-3 --force --yes
      """)

  @Argument(help: "The domains' names.", completion: .domains)
  var names: [String]
  @Flag(help: "End those that run, as if their power cords were pulled.")
  var force = false
  @Flag(name: .shortAndLong, help: "Do not ask.")
  var yes = false
  @OptionGroup var appliance: ApplianceOptions

  func validate() throws {
    if names.isEmpty { throw ValidationError("name the domains that are to be removed") }
  }

  func run() throws {
    let what = names.count == 1 ? "\(names[0]) and what is on its disk" : "\(names.count) domains and their disks"
    try Confirmation.ask("Remove \(what)?", unless: yes)
    try appliance.orExplain { () throws(ControlError) in
      let client = try appliance.connect()
      for name in names {
        let overview = try client.list()
        guard let domain = overview.domain(name) else { throw overview.unknown(name) }
        if force, domain.state.isLive { try end(name, client) }
        try client.remove(name)
        StandardStream.output.write("\(name): removed\n")
      }
    }
  }

  /// Ends a domain, and waits for its end.
  private func end(_ name: String, _ client: ControlClient) throws(ControlError) {
    var status = try client.perform(.destroy, on: name)
    for _ in 0..<300 where status.state.isLive {
      MonotonicClock.sleep(milliseconds: 50)
      let overview = try client.list()
      guard let now = overview.domain(name) else { throw overview.unknown(name) }
      status = now
    }
  }
}
