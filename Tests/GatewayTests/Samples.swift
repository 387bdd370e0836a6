import Binary
import Control
import Manifest
@testable import Gateway

enum TestDigest {
  static func hex(_ text: String) -> String { SHA256.hash(text).description }
}

/// Values of everything that the interface says: with all fields, and with none that may be left out.
enum Samples {
  static func domain(_ name: String, _ state: DomainState = .ready) -> DomainStatus {
    DomainStatus(
      name: name, os: "Debian 13", state: state, reason: "because", cpus: 2, memoryBytes: 1 << 28,
      memory: memory, pid: 71,
      startedAt: 4.5, readySeconds: 9.25, restarts: 3, address: "10.77.0.10", console: "/run/c", log: "/var/log/l",
      screen: "/run/s", isPaused: true, isCreated: false, usableCPUs: 1)
  }

  static let memory = DomainMemoryStatus(
    minimumBytes: 1, maximumBytes: 2, builtMaximumBytes: 3, wantedBytes: 4, actualBytes: 5, balloon: .driven,
    growth: .idle, balance: "taken")

  static let limits: ResourceLimits = {
    var limits = ResourceLimits()
    limits.cpuWeight = 200
    limits.cpuCap = 150
    limits.cpus = "0-1"
    limits.diskRate = 1 << 20
    limits.diskOperations = 100
    limits.networkRate = 1_000_000
    return limits
  }()

  static let info = DomainInfo(
    status: domain("debian"), boot: "linux", cpuModel: "host", onReboot: "restart", onCrash: "preserve",
    readyText: "login:", disk: "debian", disks: ["data"], acceptsDisks: true, mac: "52:54:00:00:00:01",
    cards: [ApplianceManifest.NetworkCard(cardSpec, mac: "52:54:00:00:00:01", address: "10.80.1.10", model: .e1000)],
    limits: limits, after: ["db"], usage: usage.domains[0])

  static let link = LinkConditions(delay: 20_000, jitter: 100, loss: 0.5, rate: 1_000_000, isDown: true)
  static let cardSpec: CardSpec = {
    var card = CardSpec(network: "left")
    (card.address, card.vlan, card.vlans, card.filter, card.link) = ("10.80.1.10", 10, [10, 20], false, link)
    return card
  }()
  static let cardStatus = CardStatus(
    domain: "debian", index: 0, mac: "52:54:00:00:00:01", address: "10.80.1.10", interface: "tap-debian", vlan: 10,
    vlans: [10], isFiltered: false, link: link)
  static let networks = NetworkList(networks: [
    NetworkStatus(
      name: "left", mode: .isolated, address: "10.80.1.1/24", router: "10.80.1.254", bridge: "net-left",
      isCreated: true, cards: [cardStatus])
  ])

  static let spec: DomainSpec = {
    var spec = DomainSpec(name: "new")
    spec.like = "debian"
    spec.os = "Debian"
    (spec.cpus, spec.cpusMaximum) = (2, 4)
    spec.cpuModel = .host
    spec.memoryBytes = 1 << 28
    spec.diskBytes = 1 << 30
    spec.image = "/i"
    spec.clone = "data"
    spec.diskBus = .scsi
    spec.boot = .bios
    spec.kernel = "/k"
    spec.initrd = "/r"
    spec.commandLine = "quiet"
    spec.cdrom = "/c"
    spec.floppy = "/f"
    spec.cards = [cardSpec]
    spec.nic = .e1000
    spec.display = .vga
    spec.hotplug = true
    spec.autostart = false
    spec.after = ["db"]
    spec.readyText = "login:"
    spec.readySeconds = 60
    spec.onReboot = .restart
    spec.onCrash = .preserve
    return spec
  }()

  static let appliance = ApplianceStatus(
    name: "sample", hostname: "lab-07", state: .up, uptimeSeconds: 12.5, notices: ["a notice"])
  static let overview = Overview(appliance: appliance, domains: [domain("debian"), domain("bsd", .off)])
  static let exits = UsageReport.Exits(
    io: 5, mmio: 4, msr: 3, signal: 2, other: 1, all: 100, halt: 40, hypercall: 7, interrupt: 30)
  static let diskUsage = UsageReport.DiskUsage(
    name: "data", reads: 3, readBytes: 12288, writes: 2, writtenBytes: 8192, flushes: 1, discards: 0, failures: 1,
    seconds: 0.25, longestSeconds: 0.125, classes: [1, 0, 2, 0, 0, 0, 0, 2, 0, 1])
  static let networkUsage = UsageReport.NetworkUsage(
    receivedFrames: 10, receivedBytes: 1000, receivedDrops: 3, sentFrames: 20, sentBytes: 2000, sentDrops: 1)
  static let usage = UsageReport(
    uptimeSeconds: 13,
    domains: [
      .init(
        name: "debian", pid: 71, cpuSeconds: 2.5, memoryBytes: 4096, guestAvailableBytes: 2048, stealSeconds: 0.5,
        exits: exits, disks: [diskUsage], network: networkUsage)
    ])
  static let disk = DiskStatus(
    name: "data", device: "/dev/roost/data", bytes: 1 << 30, usedPercent: 1.5, kind: .clone, origin: "debian",
    attachedTo: "bsd", isOpen: true, isAbsent: false, isSecondary: false)
  static let remote = RemoteStatus(
    name: "more", address: "nbd://s:10809/e", use: "room", isInRecipe: true, attachedTo: "bsd", device: "/dev/nbd0",
    bytes: 1 << 30, isPrimary: true, problem: "slow")
  static let pool = PoolStatus(
    poolBytes: 1 << 30, dataPercent: 25, metadataPercent: 12.5, isFull: true, home: "disk", degraded: "a disk is gone")
  static let storage = StorageStatus(state: .ready, error: "none", warnings: ["w"], pool: pool, remotes: [remote])

  /// By the schema's name.
  static let all: [(schema: String, full: any Encodable & Sendable, least: any Encodable & Sendable)] = [
    (
      "DomainStatus", domain("debian"),
      DomainStatus(name: "d", os: "o", state: .off, cpus: 1, memoryBytes: 1, console: "c", log: "l")
    ),
    (
      "DomainMemoryStatus", memory, DomainMemoryStatus(minimumBytes: 1, maximumBytes: 2, builtMaximumBytes: 3)
    ),
    ("DomainList", DomainList(domains: [domain("debian")]), DomainList(domains: [])),
    ("Overview", overview, overview),
    ("ConsoleTail", ConsoleTail(domain: "d", text: "t"), ConsoleTail(domain: "d", text: "t")),
    ("ApplianceStatus", appliance, ApplianceStatus(name: "a", state: .up, uptimeSeconds: 0.5)),
    ("UsageReport", usage, usage),
    ("DomainUsage", usage.domains[0], UsageReport.Domain(name: "d", pid: 1, cpuSeconds: 1, memoryBytes: 1)),
    ("VMExits", exits, UsageReport.Exits()), ("DiskUsage", diskUsage, diskUsage),
    ("NetworkUsage", networkUsage, networkUsage),
    ("DiskStatus", disk, DiskStatus(name: "d", device: "/d", bytes: 1, kind: .disk)),
    ("DiskList", DiskList(disks: [disk]), DiskList(disks: [])),
    ("DiskResult", DiskResult(disk: disk, note: "n"), DiskResult(disk: nil)),
    ("RemoteStatus", remote, RemoteStatus(name: "r", address: "a")),
    ("RemoteList", RemoteList(remotes: [remote]), RemoteList(remotes: [])),
    ("PoolStatus", pool, PoolStatus(poolBytes: 1, dataPercent: 1.5)),
    ("StorageStatus", storage, StorageStatus(state: .waiting)),
    (
      "DomainInfo", info,
      DomainInfo(
        status: domain("debian"), boot: "linux", cpuModel: "host", onReboot: "restart", onCrash: "preserve",
        readyText: "x")
    ),
    ("ResourceLimits", limits, ResourceLimits()), ("DomainSpec", spec, DomainSpec(name: "new")),
    ("NetworkList", networks, networks),
    ("NetworkStatus", networks.networks[0], NetworkStatus(name: "w", mode: .nat, bridge: "net-w")),
    ("CardStatus", cardStatus, CardStatus(domain: "d", index: 0, mac: "m", interface: "tap-d")),
    ("CardSpec", cardSpec, CardSpec()),
    (
      "NetworkCard", ApplianceManifest.NetworkCard(cardSpec, mac: "m", address: "10.80.1.10", model: .e1000),
      ApplianceManifest.NetworkCard(mac: "m", address: nil)
    ),
    ("LinkConditions", link, LinkConditions()),
    (
      "NewNetwork",
      ApplianceManifest.VirtualNetwork(
        name: "n", mode: .isolated, address: "10.80.1.1/24", router: "10.80.1.254", card: "eth0"),
      ApplianceManifest.VirtualNetwork(name: "n", mode: .isolated)
    ),
    ("NewDomain", NewDomain(spec: spec, start: true), NewDomain(spec: spec)),
    ("RemovedDomain", RemovedDomain(name: "n"), RemovedDomain(name: "n")),
    ("DomainBeingMade", DomainBeingMade(name: "n", percent: 1), DomainBeingMade(name: "n", percent: 1)),
    ("NewDisk", NewDisk(name: "d", bytes: 1), NewDisk(name: "d", bytes: 1)),
    ("NewProcessors", NewProcessors(cpus: 1), NewProcessors(cpus: 1)),
    ("NewSize", NewSize(bytes: 1), NewSize(bytes: 1)),
    ("SnapshotName", SnapshotName(snapshot: "s"), SnapshotName(snapshot: "s")),
    ("CloneName", CloneName(clone: "c"), CloneName(clone: "c")),
    ("DomainName", DomainName(domain: "d"), DomainName(domain: "d")),
    ("NewRemote", NewRemote(name: "r", address: "a", use: "room", wipe: true), NewRemote(name: "r", address: "a")),
    ("Promotion", Promotion(force: true), Promotion(force: false)),
    ("Error", ErrorBody(error: ControlError(.system, "m")), ErrorBody(error: ControlError(.system, "m"))),
    ("ErrorDetail", ControlError(.system, "m"), ControlError(.system, "m")), ("Nothing", Nothing(), Nothing()),
  ]

  /// What a domain manager says that knows two domains and one disk.
  static let answer: FakeManager.Answer = { request in
    do {
      if request.op.needsDomain, !["debian", "bsd"].contains(request.domain) {
        return .failure(ControlError(.unknownDomain, "there is no domain \(request.domain ?? "")"))
      }
      switch request.op {
      case .list, .subscribe: return .success(try json(overview))
      case .tail: return .success(try json(ConsoleTail(domain: request.domain ?? "", text: "login:")))
      case .start, .stop, .reboot, .destroy, .pause, .unpause, .processorSet:
        return .success(try json(domain(request.domain ?? "")))
      case .create: return .success(try json(domain(request.spec?.name ?? "")))
      case .info, .limit: return .success(try json(info))
      case .remove: return .success(try json(Nothing()))
      case .usage: return .success(try json(usage))
      case .storage: return .success(try json(storage))
      case .networkList, .networkCreate, .networkRemove, .networkLink: return .success(try json(networks))
      case .diskList: return .success(try json(DiskList(disks: [disk])))
      case .remoteConnect, .remotePromote, .remoteDemote: return .success(try json(remote))
      case .poweroff, .rebootHost: return .success(try json(Nothing()))
      default: return .success(try json(DiskResult(disk: disk)))
      }
    } catch {
      return .failure(ControlError(.system, "\(error)"))
    }
  }

  static func json(_ value: some Encodable) throws -> String {
    String(decoding: try ControlCoding.encode(value), as: UTF8.self)
  }
}
