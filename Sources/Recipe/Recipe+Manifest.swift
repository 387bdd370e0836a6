public import Manifest

extension ApplianceManifest.Domain {
  /// What the recipe says of `domain`, with the files and the disk that the builder made for it.
  public init(_ domain: Recipe.Domain, in recipe: Recipe, boot: ApplianceManifest.Boot, disk: ApplianceManifest.Disk?) {
    self.init(
      name: domain.name, os: domain.os, cpus: domain.cpus, memoryBytes: domain.memoryBytes, boot: boot, disk: disk,
      network: recipe.macAddresses[domain.name].flatMap { mac in
        recipe.ipAddresses[domain.name].map { ApplianceManifest.NetworkCard(mac: mac, address: $0) }
      },
      autostart: domain.autostart,
      ready: .init(consoleText: domain.ready.consoleText, timeoutSeconds: domain.ready.timeoutSeconds),
      onReboot: domain.onReboot, onCrash: domain.onCrash)
  }
}
