public import Manifest

extension ApplianceManifest.Domain {
  /// What the recipe says of `domain`, with the files and the disk that the builder made for it.
  public init(
    _ domain: Recipe.Domain, in recipe: Recipe, boot: ApplianceManifest.Boot, disk: ApplianceManifest.Disk?,
    cdrom: String? = nil, floppy: String? = nil, vnc: ApplianceManifest.VNC? = nil
  ) {
    let hardware = domain.hardware
    // What is as usual is left out.
    self.init(
      name: domain.name, os: domain.os, cpus: domain.cpus, memoryBytes: domain.memoryBytes, boot: boot,
      disk: disk.map { disk in
        ApplianceManifest.Disk(
          imageVolume: disk.imageVolume, volume: disk.volume, bytes: disk.bytes,
          bus: hardware.diskBus == .virtio ? nil : hardware.diskBus)
      },
      network: recipe.macAddresses[domain.name].flatMap { mac in
        recipe.ipAddresses[domain.name].map {
          ApplianceManifest.NetworkCard(mac: mac, address: $0, model: hardware.nic == .virtio ? nil : hardware.nic)
        }
      },
      cdrom: cdrom, floppy: floppy, display: hardware.display == .nothing ? nil : hardware.display, vnc: vnc,
      cpuModel: hardware.cpu == .host ? nil : hardware.cpu, hotplug: hardware.hotplug ? true : nil,
      autostart: domain.autostart,
      ready: .init(consoleText: domain.ready.consoleText, timeoutSeconds: domain.ready.timeoutSeconds),
      onReboot: domain.onReboot, onCrash: domain.onCrash)
  }
}
