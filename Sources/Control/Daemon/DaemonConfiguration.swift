internal import Manifest
internal import Platform

/// Where the domain manager finds and leaves things. The defaults are the appliance's.
public struct DaemonConfiguration: Hashable, Sendable {
  /// The manifest; nil: the one on the medium.
  public var manifest: String?
  /// Where the medium is mounted.
  public var medium = "/run/roost/medium"
  /// What `roost-storage` reported.
  public var storage = "/run/roost/storage.json"
  /// What `roost-storage watch` keeps current.
  public var pool = "/run/roost/pool.json"
  /// What `roost-storage watch` tells of connections that are lost.
  public var remotes = "/run/roost/remotes.json"
  /// How long remotes may take to be connected, all of them together, in seconds.
  public var remoteDeadline = 600.0
  /// Seconds until it is tried again to connect what is not there: the first time, and at most, as it waits longer each
  /// time.
  public var remotePause = 5.0...60.0
  /// Carries out what is asked of disks.
  public var storageProgram = "/usr/sbin/roost-storage"
  /// For sockets and generated files.
  public var runtimeDirectory = "/run/roost"
  /// For logs.
  public var logDirectory = "/var/log/roost"
  /// The monitor.
  public var monitor = "/usr/sbin/roost-vmm"
  /// Each monitor goes into a jail before its guest runs (`roost-vmm --jail`), which takes this program's privileges.
  public var jail = true
  /// Makes the bridge, the taps, names and the way out.
  public var network = true
  /// Serves the virtio-serial port, if the machine has one.
  public var port = true
  /// Where the kernel's control groups are.
  public var controlGroups = "/sys/fs/cgroup"
  /// The group of the program that serves the HTTP interface.
  public var gatewayGroup: UInt32? = GatewayAccount.id
  /// The device without which no domain runs.
  public var kvm = "/dev/kvm"
  /// Powers the appliance off.
  public var powerOffCommand = ["/usr/sbin/roost-init", "poweroff"]
  /// Restarts the appliance.
  public var rebootCommand = ["/usr/sbin/roost-init", "reboot"]
  /// How long domains may take to power off when the appliance stops, in seconds.
  public var shutdownPatience = 30.0
  /// How long a domain waits for the storage's report, in seconds.
  public var storagePatience = 60.0
  /// How often what the storage reported is looked at, in seconds.
  public var storageInterval = 2.0
  /// How often it is looked whether the stick is there, in seconds.
  public var stickInterval = 0.5
  /// How long guests stay paused after the stick is back, in seconds: what waited is done by then.
  public var stickRest = 1.0
  /// Seconds until a monitor is asked again what its guest has of memory: while that changes, and at most.
  public var memoryPace = 1.0...10.0
  /// How often memory is moved between domains, where the recipe asks for it, in seconds.
  public var balanceInterval = 5.0
  /// How long the machine's programs wait for memory, as the kernel counts it.
  public var memoryPressure = "/proc/pressure/memory"
  /// How long one request about a disk may take, in seconds.
  public var storageDeadline = 120.0

  /// The appliance's defaults.
  public init() {}

  /// The stick's identity, as the init leaves it.
  var identity: String { "\(runtimeDirectory)/identity.json" }

  /// Why the stick's identity cannot be used, as the init leaves it.
  var identityProblem: String { "\(runtimeDirectory)/identity.problem" }

  /// Whether the stick that the appliance runs from is there, as its keeper tells.
  var mediumReport: String { "\(runtimeDirectory)/medium.json" }

  /// Whether the appliance runs from a stick that may be pulled out.
  public var hasKeeper: Bool { Files.exists(mediumReport) }

  /// The init's program where it needs nothing of such a stick.
  public var keeper: String { "\(runtimeDirectory)/keeper" }

  /// The control socket.
  public var socket: String { "\(runtimeDirectory)/roostd.sock" }

  /// The control socket of the program that serves the HTTP interface. It may ask everything: what its own clients may
  /// is for it to decide.
  public var gatewaySocket: String { "\(runtimeDirectory)/gateway.sock" }

  /// What that program found out and a user should know, a line each.
  var gatewayReport: String { "\(runtimeDirectory)/gateway.notices" }
}
