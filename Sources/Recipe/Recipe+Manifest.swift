public import Manifest

extension ApplianceManifest.Domain {
  /// What the recipe says of `domain`, with the files and the disk that the builder made for it.
  public init(
    _ domain: Recipe.Domain, in recipe: Recipe, boot: ApplianceManifest.Boot, disk: ApplianceManifest.Disk?,
    cdrom: String? = nil, floppy: String? = nil, vnc: ApplianceManifest.VNC? = nil
  ) {
    let hardware = domain.hardware
    let memory = domain.memory
    let cards = recipe.networkCards[domain.name] ?? []
    // What is as usual is left out.
    self.init(
      name: domain.name, os: domain.os, cpus: domain.cpus, cpusMaximum: domain.cpusMaximum, memoryBytes: memory.start,
      memoryMinimumBytes: memory.statedMinimum, memoryMaximumBytes: memory.statedMaximum, boot: boot,
      disk: disk.map { disk in
        ApplianceManifest.Disk(
          imageVolume: disk.imageVolume, volume: disk.volume, bytes: disk.bytes,
          bus: hardware.diskBus == .virtio ? nil : hardware.diskBus)
      },
      network: cards.first, moreCards: cards.count > 1 ? Array(cards.dropFirst()) : nil,
      cdrom: cdrom, floppy: floppy, display: hardware.display == .nothing ? nil : hardware.display, vnc: vnc,
      cpuModel: hardware.cpu == .host ? nil : hardware.cpu, hotplug: hardware.hotplug ? true : nil,
      limits: domain.limits,
      autostart: domain.autostart, after: domain.after.isEmpty ? nil : domain.after,
      ready: .init(consoleText: domain.ready.consoleText, timeoutSeconds: domain.ready.timeoutSeconds),
      onReboot: domain.onReboot, onCrash: domain.onCrash)
  }
}

extension ApplianceManifest.VirtualNetwork {
  /// What the recipe says of a network.
  public init(_ network: Recipe.VirtualNetwork) {
    self.init(
      name: network.name, mode: network.mode, address: network.subnet?.gatewayDescription,
      router: network.router?.description, card: network.card)
  }
}

extension ApplianceManifest.API {
  /// What the recipe says of the HTTP interface; the builder puts the certificate where it belongs.
  public init(_ api: Recipe.API) {
    self.init(
      listen: api.listen?.description, certificate: api.certificate.map { _ in Self.certificatePath },
      key: api.certificate.map { _ in Self.keyPath }, tokens: api.tokens)
  }
}
