public import Manifest

/// Constants of the control protocol: one JSON object a line, in both directions.
///
/// A request is `{"id":1,"op":"list"}`; its reply `{"id":1,"ok":true,"result":{…}}` or
/// `{"id":1,"ok":false,"error":{"code":"…","message":"…"}}`. After `subscribe`, lines without an id tell what
/// changed: `{"event":"domain","domain":{…}}`, `{"event":"removed","name":"…"}` and `{"event":"appliance","appliance":{…}}`. Empty lines are ignored, so
/// that a client on a serial port can begin with a newline and end what a predecessor left half-written.
public enum ControlProtocol {
  /// The version that `hello` compares.
  public static let version = 1
  /// Where the domain manager listens inside the appliance.
  public static let socketPath = "/run/roost/roostd.sock"
  /// The virtio-serial port through which the machine's host may ask.
  public static let portName = "org.roost.control"
  /// Bytes of a line, its newline not counted.
  public static let maximumLineLength = 1 << 20
  /// Most bytes of a console that one `tail` returns.
  public static let maximumTail = 128 << 10
}

/// Where a domain is in its life.
public enum DomainState: String, Codable, Hashable, Sendable, CaseIterable {
  /// Known, never started.
  case defined
  /// Its monitor is being started, or waits for its turn to be restarted.
  case starting
  /// Its monitor runs; the guest has not said that it is ready.
  case running
  /// The guest printed what the recipe waits for.
  case ready
  /// Asked to power off.
  case shuttingDown = "shutting-down"
  /// Powered off, or stopped by the user.
  case off
  /// The guest or its monitor came down; it is not restarted.
  case crashed
  /// It could not be started; the reason says why.
  case failed

  /// True while a monitor process may exist.
  public var isLive: Bool {
    switch self {
    case .starting, .running, .ready, .shuttingDown: true
    case .defined, .off, .crashed, .failed: false
    }
  }
}

/// A domain as the domain manager sees it.
public struct DomainStatus: Codable, Hashable, Sendable {
  /// Its name in the recipe.
  public var name: String
  /// The guest's system, for people.
  public var os: String
  /// Where it is in its life.
  public var state: DomainState
  /// Why it is in this state, where that is not obvious.
  public var reason: String?
  /// Virtual CPUs.
  public var cpus: Int
  /// Memory that it starts with, in bytes.
  public var memoryBytes: Int
  /// What it may have of memory while it runs, is to have, and has.
  public var memory: DomainMemoryStatus?
  /// True when it starts with the appliance.
  public var autostart: Bool
  /// Process id of its monitor, while it runs.
  public var pid: Int32?
  /// Seconds since the appliance's power-on (its boot-time clock) when the monitor was started last.
  public var startedAt: Double?
  /// Seconds from the monitor's start to readiness.
  public var readySeconds: Double?
  /// How often it was restarted by policy since it was last started by hand.
  public var restarts: Int
  /// Its IPv4 address on the appliance's network.
  public var address: String?
  /// The monitor's console socket.
  public var console: String
  /// The file that its console is recorded in.
  public var log: String
  /// The socket that shows its screen to VNC viewers, without a password, where it has a screen.
  public var screen: String?
  /// True while its processors stand still: it was paused, or the stick is away.
  public var isPaused: Bool?
  /// True when it was made on the fly, and can be removed.
  public var isCreated: Bool?
  /// How many of its virtual CPUs it has the time of while it runs; nil for all.
  public var usableCPUs: Int?

  /// All fields.
  public init(
    name: String, os: String, state: DomainState, reason: String? = nil, cpus: Int, memoryBytes: Int,
    memory: DomainMemoryStatus? = nil, autostart: Bool = true, pid: Int32? = nil, startedAt: Double? = nil,
    readySeconds: Double? = nil, restarts: Int = 0, address: String? = nil, console: String, log: String,
    screen: String? = nil, isPaused: Bool? = nil, isCreated: Bool? = nil, usableCPUs: Int? = nil
  ) {
    self.name = name
    self.os = os
    self.state = state
    self.reason = reason
    self.cpus = cpus
    self.memoryBytes = memoryBytes
    self.memory = memory
    self.autostart = autostart
    self.pid = pid
    self.startedAt = startedAt
    self.readySeconds = readySeconds
    self.restarts = restarts
    self.address = address
    self.console = console
    self.log = log
    self.screen = screen
    self.isPaused = isPaused
    self.isCreated = isCreated
    self.usableCPUs = usableCPUs
  }

  /// What it is doing, for people: its state, or that it is paused.
  public var activity: String { isPaused == true && state.isLive ? "paused" : state.rawValue }

  /// Why nobody needs to wait until it does `activity`: it came down, and will not be started again by itself. Nil when it
  /// may still come to that.
  public func objection(toWaitingFor activity: String) -> String? {
    guard state == .failed || state == .crashed, activity != self.activity else { return nil }
    return "\(name) is \(state.rawValue)\(reason.map { ": \($0)" } ?? "")"
  }
}

/// The appliance as a whole.
public struct ApplianceStatus: Codable, Hashable, Sendable {
  /// What the appliance is doing.
  public enum State: String, Codable, Hashable, Sendable {
    case up
    case shuttingDown = "shutting-down"
  }

  /// The recipe's name.
  public var name: String
  /// The control domain's host name, the stick's own if it has one.
  public var hostname: String?
  /// Where it is in its life.
  public var state: State
  /// Seconds since power-on when this was said.
  public var uptimeSeconds: Double
  /// What the user should know: no hardware virtualisation, storage that did not come up, no network.
  public var notices: [String]

  /// All fields.
  public init(
    name: String, hostname: String? = nil, state: State, uptimeSeconds: Double, notices: [String] = []
  ) {
    self.name = name
    self.hostname = hostname
    self.state = state
    self.uptimeSeconds = uptimeSeconds
    self.notices = notices
  }
}

/// What a client may ask.
public enum ControlOperation: String, Codable, Hashable, Sendable, CaseIterable {
  /// Compares versions. Result: `Hello`.
  case hello
  /// Result: `Overview`.
  case list
  /// As `list`, and from then on events. Result: `Overview`.
  case subscribe
  /// The end of a domain's console. Result: `ConsoleTail`.
  case tail
  /// Starts a domain that is not live. Result: `DomainStatus`.
  case start
  /// Presses a domain's power button. Result: `DomainStatus`.
  case stop
  /// Presses a domain's power button and starts it again when it is off. Result: `DomainStatus`.
  case reboot
  /// Stops a domain at once. Result: `DomainStatus`.
  case destroy
  /// Has a running domain's guest come to `bytes` of memory, in its own time. Result: `DomainStatus`.
  case memorySet = "mem-set"
  /// Changes what a domain may be set to at most. Result: `DomainStatus`.
  case memoryMaximum = "mem-max"
  /// Gives a running domain the time of `cpus` of its virtual CPUs. Result: `DomainStatus`.
  case processorSet = "vcpu-set"
  /// Makes a domain out of `spec`, and starts it unless `start` is false. Result: `DomainStatus`.
  case create
  /// Forgets a domain that was made by `create`, and removes its disk. Result: `Nothing`.
  case remove
  /// Has a domain's processors stand still. Answered when they do. Result: `DomainStatus`.
  case pause
  /// Has them go on. Result: `DomainStatus`.
  case unpause
  /// Changes what a domain may take of the machine, by `limits`. Result: `DomainInfo`.
  case limit
  /// All that is known of a domain. Result: `DomainInfo`.
  case info
  /// Powers the appliance off, its domains first. Result: `Nothing`.
  case poweroff
  /// Restarts the appliance, its domains first. Result: `Nothing`.
  case rebootHost = "reboot-host"
  /// The volumes of the guests' storage. Result: `DiskList`.
  case diskList = "disk-list"
  /// Makes an empty disk. Result: `DiskResult`, as of all that follow up to `diskDestroy`.
  case diskCreate = "disk-create"
  /// Makes a disk larger; a domain that has it open sees that at once.
  case diskResize = "disk-resize"
  /// Keeps what a disk is now under a name of its own.
  case diskSnapshot = "disk-snapshot"
  /// Makes a disk what one of its snapshots is.
  case diskRollback = "disk-rollback"
  /// Makes a copy of a disk that goes its own way.
  case diskClone = "disk-clone"
  /// Gives a disk to a domain, beside its own.
  case diskAttach = "disk-attach"
  /// Takes a disk from the domain that has it.
  case diskDetach = "disk-detach"
  /// Removes a disk and what is on it.
  case diskDestroy = "disk-destroy"
  /// What running domains take of the machine. Result: `UsageReport`.
  case usage
  /// Connects a device over the network, named by `disk`. Result: `RemoteStatus`, as of the three that follow but
  /// `remoteDisconnect`, which has `DiskResult`.
  case remoteConnect = "remote-connect"
  /// Lets one go.
  case remoteDisconnect = "remote-disconnect"
  /// Has this machine write to a replicated volume.
  case remotePromote = "remote-promote"
  /// Has the other machine write to it.
  case remoteDemote = "remote-demote"
  /// The appliance's networks, and which cards are connected to them. Result: `NetworkList`.
  case networkList = "network-list"
  /// Makes the network `network`. Result: `NetworkList`, as of the two that follow.
  case networkCreate = "network-create"
  /// Removes the network of that name, to which nothing is connected.
  case networkRemove = "network-remove"
  /// Has the cable of a domain's `card` do what `link` says.
  case networkLink = "network-link"
  /// Whether the guests' storage is there, and how full it is. Result: `StorageStatus`.
  case storage
  /// Looks at once at what `roost-storage` reported, and not only in some seconds. Result: `StorageStatus`.
  case reload

  /// True when the request must name a domain.
  public var needsDomain: Bool {
    switch self {
    case .tail, .start, .stop, .reboot, .destroy, .memorySet, .memoryMaximum, .processorSet, .remove, .pause, .unpause,
      .limit, .info, .diskAttach, .networkLink:
      true
    default: false
    }
  }

  /// True when the request must name a disk.
  public var needsDisk: Bool {
    switch self {
    case .diskCreate, .diskResize, .diskSnapshot, .diskRollback, .diskClone, .diskAttach, .diskDetach, .diskDestroy,
      .remoteConnect, .remoteDisconnect, .remotePromote, .remoteDemote:
      true
    default: false
    }
  }
}

/// One request line.
public struct ControlRequest: Codable, Hashable, Sendable {
  /// Chosen by the client; the reply repeats it.
  public var id: Int
  /// What is asked.
  public var op: ControlOperation
  /// The domain's name, where the operation needs one.
  public var domain: String?
  /// `tail`: how many bytes at most. `disk-create` and `disk-resize`: the disk's size. `mem-set` and `mem-max`: how much
  /// memory, whole MiB.
  public var bytes: Int?
  /// `hello`: the client's version.
  public var version: Int?
  /// The disk's name, where the operation needs one.
  public var disk: String?
  /// `disk-snapshot`: what the snapshot is to be called. `disk-rollback`: which one.
  public var snapshot: String?
  /// `disk-clone`: what the copy is to be called.
  public var clone: String?
  /// `remote-connect`: where it is, as `nbd://server/export`.
  public var address: String?
  /// `remote-connect`: what it is there for, `disk` or `room`.
  public var use: String?
  /// `remote-connect`: what the device holds may be lost. `remote-promote`: this machine's copy is the right one.
  public var force: Bool?
  /// `create`: what is to be made.
  public var spec: DomainSpec?
  /// `create`: whether it is started at once; nil stands for yes.
  public var start: Bool?
  /// `vcpu-set`: how many virtual CPUs.
  public var cpus: Int?
  /// `limit`: what changes. Zero and the empty text take a limit away.
  public var limits: ResourceLimits?
  /// `network-create`: what is to be made. `network-remove`: what is to go, by its name.
  public var network: ApplianceManifest.VirtualNetwork?
  /// `network-link`: which of the domain's cards, from 0; nil stands for the first.
  public var card: Int?
  /// `network-link`: what changes. Zero, and false, are as of a perfect cable.
  public var link: LinkConditions?

  /// All fields.
  public init(
    id: Int, op: ControlOperation, domain: String? = nil, bytes: Int? = nil, version: Int? = nil, disk: String? = nil,
    snapshot: String? = nil, clone: String? = nil, address: String? = nil, use: String? = nil, force: Bool? = nil,
    spec: DomainSpec? = nil, start: Bool? = nil, cpus: Int? = nil, limits: ResourceLimits? = nil,
    network: ApplianceManifest.VirtualNetwork? = nil, card: Int? = nil, link: LinkConditions? = nil
  ) {
    self.id = id
    self.op = op
    self.domain = domain
    self.bytes = bytes
    self.version = version
    self.disk = disk
    self.snapshot = snapshot
    self.clone = clone
    self.address = address
    self.use = use
    self.force = force
    self.spec = spec
    self.start = start
    self.cpus = cpus
    self.limits = limits
    self.network = network
    self.card = card
    self.link = link
  }
}

/// Result of `hello`.
public struct Hello: Codable, Hashable, Sendable {
  /// The server's protocol version.
  public var version: Int
  /// The recipe's name.
  public var appliance: String

  /// All fields.
  public init(version: Int = ControlProtocol.version, appliance: String) {
    self.version = version
    self.appliance = appliance
  }
}

/// Result of `list` and `subscribe`.
public struct Overview: Codable, Hashable, Sendable {
  /// The appliance as a whole.
  public var appliance: ApplianceStatus
  /// In the recipe's order.
  public var domains: [DomainStatus]

  /// All fields.
  public init(appliance: ApplianceStatus, domains: [DomainStatus]) {
    self.appliance = appliance
    self.domains = domains
  }

  /// True when there are domains that start with the appliance and all of them are ready.
  public var isReady: Bool {
    let expected = domains.filter(\.autostart)
    return !expected.isEmpty && expected.allSatisfy { $0.state == .ready }
  }
}

/// Result of `tail`.
public struct ConsoleTail: Codable, Hashable, Sendable {
  /// The domain's name.
  public var domain: String
  /// The console's last bytes; what is not UTF-8 is replaced.
  public var text: String

  /// All fields.
  public init(domain: String, text: String) {
    self.domain = domain
    self.text = text
  }
}

/// Result of an operation that has none.
public struct Nothing: Codable, Hashable, Sendable {
  /// All fields.
  public init() {}
}

/// What a subscriber is told.
public enum ControlEvent: Hashable, Sendable {
  case domain(DomainStatus)
  case appliance(ApplianceStatus)
  /// A domain of this name is no more.
  case removed(String)
  /// A domain of this name is being made, and so much of its disk is written, in percent.
  case making(String, percent: Int)
}
