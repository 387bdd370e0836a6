internal import Devices
internal import Platform

extension Machine {
  /// The IDE controller with its disks and CD-ROM drives, if there are any: disks from the first place on, CD-ROMs up to
  /// the last, as PCs have them.
  func makeIDE() throws(HypervisorError) -> IDEController? {
    let files = configuration.disks.filter { $0.bus == .ide }
    guard !files.isEmpty || !configuration.cdroms.isEmpty else { return nil }
    guard files.count + configuration.cdroms.count <= 4 else {
      throw HypervisorError(.configuration, "the IDE controller has four places for disks and CD-ROMs")
    }
    var drives = [ATADrive<SectorFile>](repeating: .none, count: 4)
    let place = PCIAddress(device: 1, function: 1)
    for (index, disk) in files.enumerated() {
      drives[index] = .disk(
        ATADisk(
          try SectorFile(path: disk.path, isReadOnly: disk.isReadOnly),
          identity: ATAIdentity(model: "ROOST DISK", serial: disk.identifier.isEmpty ? "\(index)" : disk.identifier)))
    }
    // A single one is the secondary master.
    let first = configuration.cdroms.count == 1 && files.count <= 2 ? 2 : 4 - configuration.cdroms.count
    for (index, path) in configuration.cdroms.enumerated() {
      drives[first + index] = .cdrom(
        ATAPICD(
          try SectorFile(path: path, isReadOnly: true),
          identity: ATAIdentity(model: "ROOST CD-ROM", serial: "\(first + index)")))
    }
    for number in drives.indices {
      let device = BootOrder.Device.ide(place, isSecondary: number >= 2, isSlave: number % 2 == 1)
      switch drives[number] {
      case .disk: bootable.disks.append(device)
      case .cdrom: bootable.discs.append(device)
      case .none: break
      }
    }
    return PIIXIDE(
      primary: (drives[0], drives[1]), secondary: (drives[2], drives[3]),
      interrupts: (
        router.line(UInt32(PIIXIDELayout.interrupts.0)), router.line(UInt32(PIIXIDELayout.interrupts.1))
      ), memory: memory)
  }

  /// Targets that a SCSI controller has room for where disks come and go; drivers look at each.
  private static var hotplugPlaces: Int { 16 }

  /// The virtio SCSI controller with its disks, if there are any or more may come.
  func makeSCSI() throws(HypervisorError) {
    let files = configuration.disks.filter { $0.bus == .scsi }
    guard !files.isEmpty || configuration.hasHotplug else { return }
    var backends: [FileDisk] = []
    for disk in files {
      backends.append(
        try FileDisk(path: disk.path, isReadOnly: disk.isReadOnly, identifier: disk.identifier, memory: memory))
    }
    let device = VirtioSCSI<GuestRAM, FileDisk>(
      backends.map { VirtioSCSI<GuestRAM, FileDisk>.Unit(disk: $0) },
      places: configuration.hasHotplug ? max(Self.hotplugPlaces, backends.count) : nil)
    let function = try attach(device, named: "the SCSI controller")
    if configuration.hasHotplug { hotplug = function }
    let address = functions[functions.count - 1].0
    for (target, backend) in backends.enumerated() {
      disks.append(
        DiskService(disk: backend, complete: { [unowned function] in function.complete($0) }, target: target) {
          [unowned function] capacity in
          function.resize(target: target, capacity: capacity)
        })
      bootable.disks.append(.virtioSCSI(address, target: UInt8(target), unit: 0))
    }
  }
}
