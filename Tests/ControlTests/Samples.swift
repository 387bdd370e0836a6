import Manifest
import Platform
@testable import Control

/// Values that tests share.
enum Samples {
  /// One that has an hour to be ready: however busy the machine is, no test meets that deadline.
  static func domain(
    _ name: String, memory: Int = 64 << 20, disk: Bool = false, network: Bool = true, autostart: Bool = true,
    after: [String]? = nil, ready: String = "login:", timeout: Int = 3600, onReboot: LifecycleAction = .restart,
    onCrash: LifecycleAction = .preserve, hotplug: Bool = false
  ) -> ApplianceManifest.Domain {
    ApplianceManifest.Domain(
      name: name, os: "Test OS", cpus: 1, memoryBytes: memory,
      boot: ApplianceManifest.Boot(
        method: .linux, kernel: "/roost/domains/\(name)/kernel", initrd: "/roost/domains/\(name)/initrd",
        commandLine: "root=/dev/vda console=ttyS0"),
      disk: disk ? ApplianceManifest.Disk(imageVolume: "image-\(name)", volume: name, bytes: 1 << 30) : nil,
      network: network ? ApplianceManifest.NetworkCard(mac: "52:54:00:00:00:01", address: "10.77.0.10") : nil,
      hotplug: hotplug ? true : nil, autostart: autostart, after: after,
      ready: ApplianceManifest.Ready(consoleText: ready, timeoutSeconds: timeout),
      onReboot: onReboot, onCrash: onCrash)
  }

  static func manifest(_ domains: [ApplianceManifest.Domain]) -> ApplianceManifest {
    ApplianceManifest(
      name: "sample", recipeDigest: "00", epoch: 0, controlDomain: .init(hostname: "roost", suite: "trixie"),
      storage: .init(ramBytes: 1 << 30, extentBytes: 4 << 20, mediumUUID: "m", ramUUID: "r"),
      network: .init(address: "10.77.0.1/24"), domains: domains)
  }

  static func status(
    _ name: String, _ state: DomainState, reason: String? = nil, ready: Double? = nil, started: Double? = nil
  ) -> DomainStatus {
    DomainStatus(
      name: name, os: "Debian 13", state: state, reason: reason, cpus: 1, memoryBytes: 320 << 20, startedAt: started,
      readySeconds: ready, address: "10.77.0.10", console: "/run/\(name).sock", log: "/var/log/\(name).log")
  }

  /// A domain that has its console there.
  static func console(_ path: String) -> DomainStatus {
    var domain = status("guest", .ready)
    domain.console = path
    return domain
  }

  /// A domain that has its screen there.
  static func screen(_ path: String) -> DomainStatus {
    var domain = status("guest", .ready)
    domain.screen = path
    return domain
  }

  static func disk(
    _ name: String, kind: DiskStatus.Kind = .disk, bytes: Int = 1 << 30, origin: String? = nil,
    attachedTo: String? = nil
  ) -> DiskStatus {
    DiskStatus(
      name: name, device: "/dev/roost/\(name)", bytes: bytes, usedPercent: 1.5, kind: kind, origin: origin,
      attachedTo: attachedTo)
  }

  /// Runs `body` with a directory that is gone afterwards.
  static func withDirectory<T>(_ body: (String) throws -> T) throws -> T {
    let path = try Files.makeTemporaryDirectory(prefix: "/tmp/roost-control-")
    defer { try? Files.removeTree(path) }
    return try body(path)
  }
}
