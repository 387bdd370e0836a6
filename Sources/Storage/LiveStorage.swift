internal import Manifest
internal import Platform

/// The guests' storage of a live session: a volume group out of the read-only medium and memory, a thin pool in the
/// memory, and for every guest a thin volume whose external origin is its image on the medium. A guest costs only
/// what it writes.
///
/// `activate` may be run again at any time and only does what is missing. Concurrency: one process at a time, by a
/// lock file; within the process, LVM's commands are serialised.
public struct LiveStorage: Sendable {
  /// The thin pool's name, which no domain can have: LVM's names may have what is no DNS label.
  static let pool = "roost-pool.thin"
  /// Where a physical volume's first extent starts, in bytes.
  static let dataOffset = 1 << 20
  /// Size of what the pool hands out at a time, in bytes. A guest's first write to such a piece copies it from the
  /// medium.
  static let chunkBytes = 64 << 10

  /// Directory of everything that the live session keeps.
  public let directory: String
  private var imagesDirectory: String { "\(directory)/images" }
  private var ramDirectory: String { "\(directory)/ram" }
  private var ramFile: String { "\(directory)/ram/ram.pv" }
  private var configurationDirectory: String { "\(directory)/lvm" }

  /// Storage that keeps its mounts and files below `directory`.
  public init(directory: String = "/run/roost") {
    self.directory = directory
  }

  /// Brings the volumes up and returns what is there. The caller tells it to others (`StorageState.write`).
  public func activate(_ plan: LivePlan) throws(StorageError) -> StorageState {
    try plan.check()
    let lock = try lock()
    defer { _ = lock.rawValue }  // held to the end
    var warnings: [String] = []
    try mountImages(plan)
    let medium = try attach("\(imagesDirectory)/\(plan.storage.physicalVolumeFile)", readOnly: true)
    let found = try Probe(medium.path)
    guard found.type == "LVM2_member", found.uuid == plan.storage.mediumUUID else {
      throw StorageError(
        .medium,
        "\(plan.storage.physicalVolumeFile) in \(plan.storage.images) is \(found.type ?? "nothing known") \(found.uuid ?? ""), "
          + "not the physical volume \(plan.storage.mediumUUID); write the medium again")
    }
    let (ram, extents) = try makeRAM(plan, &warnings)
    let lvm = try startLVM(devices: [medium, ram])
    if try lvm.report("vgs", columns: ["vg_name"]).contains(where: { $0["vg_name"] == plan.volumeGroup }) == false {
      try restoreGroup(plan, lvm, ram: ram, extents: extents)
    }
    let volumes = try activateVolumes(plan, lvm, extents: extents, &warnings)
    return StorageState(
      .ready, warnings: warnings, volumeGroup: plan.volumeGroup, ramBytes: extents * plan.storage.extentBytes,
      domains: volumes)
  }

  /// Takes the volumes down and frees the memory, **and what the guests wrote with it**. A volume that is in use
  /// throws, and nothing is taken down.
  public func deactivate(volumeGroup: String) throws(StorageError) {
    let lock = try lock()
    defer { _ = lock.rawValue }
    let loops = try ourLoops()
    if !loops.isEmpty {
      let lvm = try startLVM(devices: loops)
      let present = try lvm.report("vgs", columns: ["vg_name"]).contains { $0["vg_name"] == volumeGroup }
      if present {
        let open = try lvm.report("lvs", columns: ["lv_name", "lv_device_open"], [volumeGroup])
          .filter { $0["lv_device_open"] == "open" }.compactMap { $0["lv_name"] }
        guard open.isEmpty else {
          throw StorageError(
            .busy, "in use: \(open.joined(separator: ", ")); stop these domains or unmount these volumes first")
        }
        try lvm.run(["vgchange", "--activate", "n", volumeGroup])
      }
      for loop in loops { try storage("take storage down") { () throws(SystemError) in try loop.detach() } }
    }
    for target in [ramDirectory, imagesDirectory] { try unmount(target) }
    try storage("take storage down") { () throws(SystemError) in
      try Files.removeTree(configurationDirectory)
    }
  }

  /// How full the pool is; nil when the group is not there.
  public func usage(volumeGroup: String) throws(StorageError) -> StorageUsage? {
    let lock = try lock()
    defer { _ = lock.rawValue }
    let loops = try ourLoops()
    guard !loops.isEmpty else { return nil }
    let lvm = try startLVM(devices: loops)
    guard try lvm.report("vgs", columns: ["vg_name"]).contains(where: { $0["vg_name"] == volumeGroup }) else {
      return nil
    }
    let rows = try lvm.report(
      "lvs", columns: ["lv_name", "lv_size", "data_percent", "metadata_percent", "pool_lv", "lv_device_open"],
      [volumeGroup])
    func number(_ text: String?) -> Double { Double(text ?? "") ?? 0 }
    guard let pool = rows.first(where: { $0["lv_name"] == Self.pool }) else { return nil }
    let volumes = rows.filter { $0["pool_lv"] == Self.pool }.map { row in
      StorageUsage.Volume(
        name: row["lv_name"] ?? "", bytes: Int(row["lv_size"] ?? "") ?? 0, usedPercent: number(row["data_percent"]),
        isOpen: row["lv_device_open"] == "open")
    }
    return StorageUsage(
      poolBytes: Int(pool["lv_size"] ?? "") ?? 0, dataPercent: number(pool["data_percent"]),
      metadataPercent: number(pool["metadata_percent"]), volumes: volumes.sorted { $0.name < $1.name })
  }

  // MARK: - The medium

  /// Mounts the squashfs that holds the physical volume.
  private func mountImages(_ plan: LivePlan) throws(StorageError) {
    let target = imagesDirectory
    if try storage("look at the mounts", { () throws(SystemError) in try Mount.find(at: target) }) != nil { return }
    guard Files.exists(plan.storage.images) else {
      throw StorageError(.medium, "the medium has no \(plan.storage.images); write it again")
    }
    let found = try Probe(plan.storage.images)
    guard found.type == "squashfs" else {
      throw StorageError(
        .medium, "\(plan.storage.images) is \(found.type ?? "nothing known"), not a squashfs; write it again")
    }
    try storage("open the guests' images") { () throws(SystemError) in
      try Files.makeDirectories(target)
      let loop = try LoopDevice.attach(plan.storage.images, readOnly: true)
      // Once mounted, the loop device goes with the mount; if not mounted, at once.
      defer { try? loop.detach() }
      try Mount.mount(loop.path, at: target, type: "squashfs", [.readOnly, .noDevices, .noSetUserID, .noExecution])
    }
  }

  /// The loop device of `file`: the one it has, or a new one.
  private func attach(_ file: String, readOnly: Bool) throws(StorageError) -> LoopDevice {
    try storage("attach \(file)") { () throws(SystemError) in
      let resolved = try Files.resolve(file)
      if let (device, _) = try LoopDevice.attached().first(where: { $0.file == resolved }) { return device }
      return try LoopDevice.attach(resolved, readOnly: readOnly)
    }
  }

  // MARK: - The memory

  /// Makes the sparse file in memory that takes the guests' changes, or finds it.
  private func makeRAM(
    _ plan: LivePlan, _ warnings: inout [String]
  ) throws(StorageError) -> (device: LoopDevice, extents: Int) {
    let (target, file) = (ramDirectory, ramFile)
    let memory = try Self.totalMemory()
    var (extents, warning) = try plan.affordableRAM(memory: memory)
    if let existing = try storage("look at \(file)", { () throws(SystemError) in try Files.status(file) }) {
      extents = (existing.size - Self.dataOffset) / plan.storage.extentBytes
    } else {
      let bytes = Self.dataOffset + extents * plan.storage.extentBytes
      try storage("make room for the guests' changes") { () throws(SystemError) in
        try Files.makeDirectories(target, permissions: 0o700)
        if try Mount.find(at: target) == nil {
          try Mount.mount(
            "tmpfs", at: target, type: "tmpfs", [.noDevices, .noSetUserID, .noExecution],
            options: "mode=0700,size=\(bytes + (1 << 20))")
        }
        // Under another name until it has its size: a file that is there is whole.
        try FileDescriptor(opening: "\(file).new", [.readWrite, .create], permissions: 0o600).truncate(to: bytes)
        try Files.rename("\(file).new", to: file)
      }
    }
    if let warning { warnings.append(warning) }
    return (try attach(file, readOnly: false), extents)
  }

  /// The machine's memory in bytes.
  private static func totalMemory() throws(StorageError) -> Int {
    let text = try storage("find the size of the memory") { () throws(SystemError) in
      try Files.readText("/proc/meminfo")
    }
    // MemTotal:       16384256 kB
    let words = text.prefix { $0 != "\n" }.split(separator: " ")
    guard words.count == 3, words[0] == "MemTotal:", let kibibytes = Int(words[1]) else {
      throw StorageError(.system, "/proc/meminfo does not tell the size of the memory")
    }
    return kibibytes << 10
  }

  // MARK: - The group

  /// Writes the configuration that shows LVM only these devices, and starts LVM.
  private func startLVM(devices: [LoopDevice]) throws(StorageError) -> LVM {
    let configuration = LVMConfiguration(directory: configurationDirectory, devices: devices.map(\.path))
    try configuration.write()
    return try LVM(configuration: configurationDirectory)
  }

  /// Makes the memory a physical volume and both of them the group.
  private func restoreGroup(
    _ plan: LivePlan, _ lvm: LVM, ram: LoopDevice, extents: Int
  ) throws(StorageError) {
    let path = "\(configurationDirectory)/\(plan.volumeGroup).conf"
    let text = try storage("read the volume group's description") { () throws(SystemError) in
      try Files.readText(plan.storage.metadataTemplate)
    }
    let template = try MetadataTemplate(text: text).withRAM(extents: extents, extentBytes: plan.storage.extentBytes)
    try storage("write the volume group's description") { () throws(SystemError) in
      try Files.replace(path, with: Array(template.text.utf8))
    }
    let found = try Probe(ram.path)
    // A volume of ours without its group is left from an attempt that did not get further.
    guard found.type == nil || found.uuid == plan.storage.ramUUID else {
      throw StorageError(.system, "\(ram.path) holds \(found.type ?? "something") already and is not overwritten")
    }
    if found.type == nil {
      try lvm.run(["pvcreate", "--yes", "--uuid", plan.storage.ramUUID, "--restorefile", path, ram.path])
    }
    try lvm.run(["vgcfgrestore", "--yes", "--file", path, plan.volumeGroup])
  }

  /// Extents for the pool's own bookkeeping: 128 bytes a chunk are twice what one mapping takes, 2 MiB the least that
  /// device-mapper accepts.
  static func poolMetadataExtents(extents: Int, extentBytes: Int) -> Int {
    let bytes = max(2 << 20, extents * (extentBytes / chunkBytes) * 128)
    return (bytes + extentBytes - 1) / extentBytes
  }

  /// Makes the pool and the thin volumes that are missing, and activates all of them.
  private func activateVolumes(
    _ plan: LivePlan, _ lvm: LVM, extents: Int, _ warnings: inout [String]
  ) throws(StorageError) -> [String: StorageState.Volume] {
    guard !plan.disks.isEmpty else { return [:] }
    let group = plan.volumeGroup
    func sizes() throws(StorageError) -> [String: Int] {
      let rows = try lvm.report("lvs", columns: ["lv_name", "lv_size"], [group])
      return Dictionary(rows.map { ($0["lv_name"] ?? "", Int($0["lv_size"] ?? "") ?? 0) }) { first, _ in first }
    }
    var present = try sizes()
    if present[Self.pool] == nil {
      let metadata = Self.poolMetadataExtents(extents: extents, extentBytes: plan.storage.extentBytes)
      // New chunks are zeroed: no guest may see what another wrote.
      try lvm.run([
        "lvcreate", "--yes", "--type", "thin-pool", "--name", Self.pool, "--extents", "100%FREE",
        "--poolmetadatasize", "\(metadata * plan.storage.extentBytes)b", "--poolmetadataspare", "n",
        "--chunksize", "\(Self.chunkBytes)b", "--zero", "y", "--discards", "passdown", group,
      ])
    }
    for disk in plan.disks where present[disk.volume] == nil {
      guard present[disk.imageVolume] != nil else {
        throw StorageError(.medium, "the medium has no image \(disk.imageVolume) for the domain \(disk.volume)")
      }
      try lvm.run([
        "lvcreate", "--yes", "--snapshot", "--name", disk.volume, "--thinpool", Self.pool, "--permission", "rw",
        "--setactivationskip", "n", "\(group)/\(disk.imageVolume)",
      ])
    }
    present = try sizes()
    var volumes: [String: StorageState.Volume] = [:]
    for disk in plan.disks {
      let name = "\(group)/\(disk.volume)"
      let size = (disk.bytes + plan.storage.extentBytes - 1) / plan.storage.extentBytes * plan.storage.extentBytes
      let current = present[disk.volume] ?? 0
      if size > current { try lvm.run(["lvextend", "--yes", "--size", "\(size)b", name]) }
      if size < current {
        warnings.append("the disk of \(disk.volume) has its image's \(current >> 20) MiB, not the \(size >> 20) wanted")
      }
      try lvm.run(["lvchange", "--activate", "y", "--ignoreactivationskip", name])
      let device = "/dev/\(name)"
      let bytes = try storage("use the volume of \(disk.volume)") { () throws(SystemError) in
        try FileDescriptor(opening: device).length()
      }
      volumes[disk.volume] = StorageState.Volume(device: device, bytes: bytes)
    }
    return volumes
  }

  // MARK: - Taking down

  /// The loop devices of files below our directories.
  private func ourLoops() throws(StorageError) -> [LoopDevice] {
    let prefixes = [imagesDirectory, ramDirectory].map { "\($0)/" }
    return try storage("look at the loop devices") { () throws(SystemError) in
      try LoopDevice.attached().filter { loop in prefixes.contains { loop.file.hasPrefix($0) } }.map(\.device)
    }
  }

  /// Unmounts `target` if it is mounted. The kernel may need a moment to let go of a detached loop device.
  private func unmount(_ target: String) throws(StorageError) {
    try storage("take storage down") { () throws(SystemError) in
      for attempt in 1... {
        guard try Mount.find(at: target) != nil else { return }
        do throws(SystemError) {
          try Mount.unmount(target)
        } catch {
          if error.errno != .busy || attempt == 40 { throw error }
          MonotonicClock.sleep(milliseconds: 50)
        }
      }
    }
  }

  /// Held by whoever changes the storage.
  private func lock() throws(StorageError) -> FileDescriptor {
    let directory = directory
    return try storage("lock the storage") { () throws(SystemError) in
      try Files.makeDirectories(directory)
      let file = try FileDescriptor(opening: "\(directory)/storage.lock", [.readWrite, .create], permissions: 0o600)
      try file.lock(waiting: true)
      return file
    }
  }
}
