internal import Manifest
internal import Platform

/// The guests' storage: a volume group out of the read-only medium and a place for what guests write, a thin pool in
/// that place, and for every guest a thin volume whose external origin is its image on the medium. A guest costs only
/// what it writes.
///
/// The place is memory, unless a disk is the home of this medium's guests (`HomeSearch`). `activate` may be run again at
/// any time and only does what is missing.
///
/// Concurrency: one process at a time, by a lock file; within the process, LVM's commands are serialised.
public struct GuestStorage: Sendable {
  /// The thin pool's name, which no domain can have: LVM's names may have what is no DNS label.
  static let pool = "roost-pool.thin"
  /// Where a physical volume's first extent starts, in bytes.
  static let dataOffset = 1 << 20
  /// Size of what the pool hands out at a time, in bytes. A guest's first write to such a piece copies it from the
  /// medium.
  static let chunkBytes = 64 << 10

  /// Asks LVM about the group on a device, in a process of its own (`inspect`): the answer's bytes.
  public typealias Inspection = (_ device: String) throws(StorageError) -> [UInt8]

  /// Directory of everything that the running session keeps.
  public let directory: String
  /// Where the medium is mounted.
  public let medium: String
  /// Where the state is told.
  var statePath: String { "\(directory)/storage.json" }
  var imagesDirectory: String { "\(directory)/images" }
  var ramDirectory: String { "\(directory)/ram" }
  var ramFile: String { "\(directory)/ram/ram.pv" }
  private var configurationDirectory: String { "\(directory)/lvm" }

  /// Storage that keeps its mounts and files below `directory`.
  public init(directory: String = "/run/roost", medium: String = "/run/roost/medium") {
    self.directory = directory
    self.medium = medium
  }

  /// Brings the volumes up and returns what is there. The caller tells it to others (`StorageState.write`).
  ///
  /// - Parameters:
  ///   - plan: what the medium asks for.
  ///   - wanted: where the guests' changes are to live.
  ///   - inspect: asks LVM, in a process of its own, about the group on a device.
  public func activate(_ plan: LivePlan, wanted: WantedHome, inspect: Inspection) throws(StorageError) -> StorageState {
    try plan.check()
    let lock = try lock()
    defer { _ = lock.rawValue }  // held to the end
    let earlier = try StorageState.load(statePath).flatMap { $0.state == .ready ? $0 : nil }
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
    keepWritesWaiting()
    // What was told to come over the network, and did since, may be what the home waits for.
    let rooms = try StorageState.load(statePath).map { $0.remotes.filter { $0.use == .room }.compactMap(\.device) }
    let home = try findHome(
      plan, earlier: earlier, isLive: wanted == .memory, rooms: rooms ?? [], &warnings, inspect: inspect)
    if earlier == nil { try wanted.check(home) }
    let group: OpenGroup
    switch home {
    case .memory: group = try openInMemory(plan, medium: medium, beside: earlier?.devices ?? [], &warnings)
    case .fresh(let device): group = try openFresh(plan, medium: medium, device, &warnings)
    case .disks(let devices):
      do throws(StorageError) {
        group = try openOnDisks(plan, medium: medium, devices, &warnings)
      } catch {
        throw Self.unusable(error, devices)
      }
      if earlier == nil { try markSession(group.lvm, plan.volumeGroup) }
    }
    do throws(StorageError) {
      var state = try bringUp(plan, group, isFresh: home.isFresh, warnings)
      state.movingTo = earlier?.movingTo
      return state
    } catch {
      // What is half made must not keep the next attempt from beginning anew.
      if home.isFresh { _ = try? group.lvm.run(["vgchange", "--activate", "n", plan.volumeGroup]) }
      if case .disks(let devices) = home { throw Self.unusable(error, devices) }
      throw error
    }
  }

  /// Makes what is missing in an open group, and activates it.
  private func bringUp(
    _ plan: LivePlan, _ group: OpenGroup, isFresh: Bool, _ warnings: [String]
  ) throws(StorageError) -> StorageState {
    var warnings = warnings
    let lvm = group.lvm
    try makePool(plan, group)
    try waitWhenFull(plan.volumeGroup, lvm)
    try Self.tellPool(plan.volumeGroup, lvm)
    try Self.finishRollbacks(lvm, group: plan.volumeGroup)
    try Self.removeUnfinished(lvm, group: plan.volumeGroup)
    let volumes = try activateVolumes(plan, lvm, &warnings)
    if isFresh { try lvm.run(["vgchange", "--addtag", HomeSearch.tag, plan.volumeGroup]) }
    // A move that was at its end but for this, or a disk that was added and not used yet.
    if group.ramBytes == 0 { try enlargePool(lvm, plan.volumeGroup, keepingSpare: true) }
    var state = StorageState(
      .ready, warnings: warnings, volumeGroup: plan.volumeGroup, ramBytes: group.ramBytes, domains: volumes)
    state.group = try lvm.report("vgs", columns: ["vg_uuid"], [plan.volumeGroup]).first?["vg_uuid"]
    state.home = group.ramBytes > 0 ? .memory : .disk
    state.devices = group.devices
    let tags = try Self.tags(plan.volumeGroup, lvm)
    state.remotes = RemoteTags(tags).records(with: plan.remotes)
    for index in state.remotes.indices { state.remotes[index].refresh(directory) }
    let disks = try Disks.report(lvm, group: plan.volumeGroup)
    state.show(disks)
    state.show(try Definition.report(lvm, group: plan.volumeGroup), disks)
    return state
  }

  /// The tags of a group.
  static func tags(_ group: String, _ lvm: LVM) throws(StorageError) -> [String] {
    let row = try lvm.report("vgs", columns: ["vg_tags"], [group]).first
    return (row?["vg_tags"] ?? "").split(separator: ",").map(String.init)
  }

  /// Takes the volumes down, and frees the memory **and what the guests wrote to it**. A volume that is in use throws,
  /// and nothing is taken down.
  public func deactivate() throws(StorageError) {
    let lock = try lock()
    defer { _ = lock.rawValue }
    let state = try StorageState.load(statePath)
    let volumeGroup = state?.volumeGroup ?? "roost"
    let loops = try ourLoops()
    if let state { try refuseOpenRemotes(state) }
    if !loops.isEmpty {
      let lvm = try startLVM(loops.map(\.path) + (state?.devices ?? []))
      let present = try lvm.report("vgs", columns: ["vg_name"]).contains { $0["vg_name"] == volumeGroup }
      if present {
        let open = try lvm.report("lvs", columns: ["lv_name", "lv_device_open"], [volumeGroup])
          .filter { $0["lv_device_open"] == "open" }.compactMap { $0["lv_name"] }
          .filter { !$0.hasSuffix(Replica.suffix) }
        guard open.isEmpty else {
          throw StorageError(
            .busy, "in use: \(open.joined(separator: ", ")); stop these domains or unmount these volumes first")
        }
        if let state { disconnectReplicas(state) }
        try lvm.run(["vgchange", "--activate", "n", volumeGroup])
      }
      for loop in loops { try storage("take storage down") { () throws(SystemError) in try loop.detach() } }
    }
    // Servers that are away take time: the guests' group is down by now.
    if let state {
      disconnectAll(state, .disk)
      disconnectAll(state, .room)
    }
    for target in [ramDirectory, imagesDirectory] { try unmount(target) }
    try storage("take storage down") { () throws(SystemError) in
      try Files.removeTree(configurationDirectory)
    }
  }

  /// Has writes that wait for room fail, so that their programs can end: for the way out. False where none waits.
  public func failWaitingWrites() throws(StorageError) -> Bool {
    try withGroup { lvm, state throws(StorageError) in
      guard PoolStatus.of(pool: Self.pool, group: state.volumeGroup)?.mode == .outOfSpace else { return false }
      try lvm.run(["lvchange", "--errorwhenfull", "y", "\(state.volumeGroup)/\(Self.pool)"])
      return true
    }
  }

  /// How full the pool is; nil when it is not there.
  public func usage() throws(StorageError) -> StorageUsage? {
    try withGroup { lvm, state throws(StorageError) in
      let rows = try lvm.report(
        "lvs", columns: ["lv_name", "lv_size", "data_percent", "metadata_percent"], [state.volumeGroup])
      guard let pool = rows.first(where: { $0["lv_name"] == Self.pool }) else { return nil }
      let volumes = try Disks.report(lvm, group: state.volumeGroup).map { disk in
        StorageUsage.Volume(name: disk.name, bytes: disk.bytes, usedPercent: disk.usedPercent, isOpen: disk.isOpen)
      }
      func number(_ text: String?) -> Double { Double(text ?? "") ?? 0 }
      return StorageUsage(
        poolBytes: Int(pool["lv_size"] ?? "") ?? 0, dataPercent: number(pool["data_percent"]),
        metadataPercent: number(pool["metadata_percent"]), volumes: volumes)
    }
  }

  /// What the kernel says of the pool.
  public func poolReport(_ state: StorageState) -> PoolReport {
    let status = PoolStatus.of(pool: Self.pool, group: state.volumeGroup)
    return PoolReport(status, chunkBytes: Self.chunkBytes, home: state.home)
  }

  /// Runs `body` on the group of an activated storage and what is told of it, with nobody else changing either.
  /// `adding` names devices that LVM is to see beside the group's own.
  @discardableResult
  func withGroup<T>(
    adding: [String] = [], _ body: (LVM, StorageState) throws(StorageError) -> T
  ) throws(StorageError) -> T {
    let lock = try lock()
    defer { _ = lock.rawValue }
    guard let state = try StorageState.load(statePath) else {
      throw StorageError(.plan, "storage was not activated (there is no \(statePath)); run: roost-storage activate")
    }
    guard state.state == .ready else {
      throw StorageError(.plan, "the guests' storage is not up: \(state.error ?? "roost-storage status says more")")
    }
    var devices: [String] = []
    for path in try ourLoops().map(\.path) + state.devices + adding where !devices.contains(path) {
      devices.append(path)
    }
    return try body(try startLVM(devices), state)
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
  func attach(_ file: String, readOnly: Bool) throws(StorageError) -> LoopDevice {
    try storage("attach \(file)") { () throws(SystemError) in
      let resolved = try Files.resolve(file)
      if let (device, _) = try LoopDevice.attached().first(where: { $0.file == resolved }) { return device }
      return try LoopDevice.attach(resolved, readOnly: readOnly)
    }
  }

  // MARK: - The memory

  /// Makes the sparse file in memory that takes the guests' changes, or finds it.
  func makeRAM(
    _ plan: LivePlan, _ warnings: inout [String]
  ) throws(StorageError) -> (device: LoopDevice, extents: Int) {
    let (target, file) = (ramDirectory, ramFile)
    let memory = try Self.memory("MemTotal")
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

  /// A figure of the kernel's about the machine's memory in bytes, such as `MemTotal` (proc_meminfo(5)).
  static func memory(_ figure: String) throws(StorageError) -> Int {
    let text = try storage("find the size of the memory") { () throws(SystemError) in
      try Files.readText("/proc/meminfo")
    }
    for line in text.split(separator: "\n") {
      // MemTotal:       16384256 kB
      let words = line.split(separator: " ")
      if words.count == 3, words[0] == "\(figure):", let kibibytes = Int(words[1]) { return kibibytes << 10 }
    }
    throw StorageError(.system, "/proc/meminfo does not tell \(figure)")
  }

  // MARK: - The group

  /// Writes the configuration that shows LVM only these devices, and starts LVM.
  func startLVM(_ devices: [String]) throws(StorageError) -> LVM {
    let configuration = LVMConfiguration(directory: configurationDirectory, devices: devices)
    try configuration.write()
    return try LVM(configuration: configurationDirectory)
  }

  func isPresent(_ group: String, _ lvm: LVM) throws(StorageError) -> Bool {
    try lvm.report("vgs", columns: ["vg_name"]).contains { $0["vg_name"] == group }
  }

  func sizes(_ group: String, _ lvm: LVM) throws(StorageError) -> [String: Int] {
    let rows = try lvm.report("lvs", columns: ["lv_name", "lv_size"], [group])
    return Dictionary(rows.map { ($0["lv_name"] ?? "", Int($0["lv_size"] ?? "") ?? 0) }) { first, _ in first }
  }

  func template(_ plan: LivePlan) throws(StorageError) -> MetadataTemplate {
    MetadataTemplate(
      text: try storage("read the volume group's description") { () throws(SystemError) in
        try Files.readText(plan.storage.metadataTemplate)
      })
  }

  /// Makes `device` the physical volume `uuid`, and the group out of it and the medium.
  func restore(
    _ template: MetadataTemplate, _ plan: LivePlan, _ lvm: LVM, device: String, uuid: String
  ) throws(StorageError) {
    let path = "\(configurationDirectory)/\(plan.volumeGroup).conf"
    try storage("write the volume group's description") { () throws(SystemError) in
      try Files.replace(path, with: Array(template.text.utf8))
    }
    let found = try Probe(device)
    // A volume of ours without its group is left from an attempt that did not get further.
    guard found.type == nil || found.uuid == uuid else {
      throw StorageError(.system, "\(device) holds \(found.type ?? "something") already and is not overwritten")
    }
    if found.type == nil {
      try lvm.run(["pvcreate", "--yes", "--uuid", uuid, "--restorefile", path, device])
    }
    try lvm.run(["vgcfgrestore", "--yes", "--file", path, plan.volumeGroup])
  }

  /// Extents for the pool's own bookkeeping: 128 bytes a chunk are twice what one mapping takes, 2 MiB the least that
  /// device-mapper accepts, and 15.8 GiB the most that it uses.
  static func poolMetadataExtents(extents: Int, extentBytes: Int) -> Int {
    let bytes = min(max(2 << 20, extents * (extentBytes / chunkBytes) * 128), 15 << 30)
    return (bytes + extentBytes - 1) / extentBytes
  }

  /// Extents of a group that new volumes may have.
  static func freeExtents(of group: String, _ lvm: LVM) throws(StorageError) -> Int {
    let columns = ["vg_name", "pv_allocatable", "pv_pe_count", "pv_pe_alloc_count"]
    return allocatableExtents(of: group, in: try lvm.report("pvs", columns: columns))
  }

  /// The same, by what `pvs` says. What the group itself calls free has those of the
  /// medium in it.
  static func allocatableExtents(of group: String, in rows: [[String: String]]) -> Int {
    rows.filter { $0["vg_name"] == group && $0["pv_allocatable"]?.isEmpty == false }
      .reduce(0) { $0 + (Int($1["pv_pe_count"] ?? "") ?? 0) - (Int($1["pv_pe_alloc_count"] ?? "") ?? 0) }
  }

  /// Makes the pool if it is missing, also where the recipe has no disk: one may be made any time. On a disk it gets as
  /// much room again for a repair of its bookkeeping.
  private func makePool(_ plan: LivePlan, _ group: OpenGroup) throws(StorageError) {
    guard try sizes(plan.volumeGroup, group.lvm)[Self.pool] == nil else { return }
    let free = try Self.freeExtents(of: plan.volumeGroup, group.lvm)
    let metadata = Self.poolMetadataExtents(extents: free, extentBytes: plan.storage.extentBytes)
    let onDisk = group.ramBytes == 0
    let data = free - metadata * (onDisk ? 2 : 1)
    guard data > 0 else {
      throw StorageError(.memory, "the group \(plan.volumeGroup) has no room for the guests' changes")
    }
    // New chunks are zeroed: no guest may see what another wrote.
    try group.lvm.run([
      "lvcreate", "--yes", "--type", "thin-pool", "--name", Self.pool, "--extents", "\(data)",
      "--poolmetadatasize", "\(metadata * plan.storage.extentBytes)b", "--poolmetadataspare", onDisk ? "y" : "n",
      "--chunksize", "\(Self.chunkBytes)b", "--zero", "y", "--discards", "passdown",
      plan.volumeGroup,
    ])
  }

  /// Takes back what an earlier session's end did with a full pool (`failWaitingWrites`).
  private func waitWhenFull(_ group: String, _ lvm: LVM) throws(StorageError) {
    let rows = try lvm.report("lvs", columns: ["lv_name", "lv_when_full"], [group])
    guard rows.contains(where: { $0["lv_name"] == Self.pool && $0["lv_when_full"] == "error" }) else { return }
    try lvm.run(["lvchange", "--errorwhenfull", "n", "\(group)/\(Self.pool)"])
  }

  /// Has the pool make and delete what an interrupted command recorded in the group and did not tell the pool any more.
  ///
  /// LVM records a new volume first, with a message for the pool. A message that was left over is not sent when the
  /// pool is activated, only before the next volume is made in it (LVM, lib/metadata/thin_manip.c,
  /// `update_thin_pool_lv`): so one is made, and removed.
  private static func tellPool(_ group: String, _ lvm: LVM) throws(StorageError) {
    let rows = try lvm.report("lvs", columns: ["lv_name", "transaction_id"], [group])
    guard let recorded = rows.first(where: { $0["lv_name"] == pool })?["transaction_id"].flatMap({ Int($0) }),
      let status = PoolStatus.of(pool: pool, group: group), status.mode == .readWrite,
      recorded == status.transaction + 1
    else { return }
    // Left over itself, it is a rollback that was not ready, and goes.
    let messenger = Rollback.next("message")
    try lvm.run([
      "lvcreate", "--yes", "--type", "thin", "--virtualsize", "1M", "--thinpool", "\(group)/\(pool)", "--name",
      messenger,
    ])
    try lvm.run(["lvremove", "--yes", "\(group)/\(messenger)"])
  }

  /// Writes to a full pool wait for as long as it takes, not a minute: then they would fail.
  private func keepWritesWaiting() {
    // A kernel that lacks the setting waits for ever by itself.
    try? Files.write("0", to: "/sys/module/dm_thin_pool/parameters/no_space_timeout")
  }

  /// Makes the thin volumes that are missing, and activates all of them.
  private func activateVolumes(
    _ plan: LivePlan, _ lvm: LVM, _ warnings: inout [String]
  ) throws(StorageError) -> [String: StorageState.Volume] {
    let group = plan.volumeGroup
    var present = try sizes(group, lvm)
    for disk in plan.disks where present[disk.volume] == nil {
      guard present[disk.imageVolume] != nil else {
        throw StorageError(.medium, "the medium has no image \(disk.imageVolume) for the domain \(disk.volume)")
      }
      try lvm.run(Self.imageCommand(group, disk.volume, of: disk.imageVolume, tags: [Disk.Kind.domain.tag]))
    }
    present = try sizes(group, lvm)
    var volumes: [String: StorageState.Volume] = [:]
    for disk in plan.disks {
      let name = "\(group)/\(disk.volume)"
      let size = (disk.bytes + plan.storage.extentBytes - 1) / plan.storage.extentBytes * plan.storage.extentBytes
      let current = present[disk.volume] ?? 0
      if size > current { try lvm.run(["lvextend", "--yes", "--size", "\(size)b", name]) }
      // The user may have made it larger; what is smaller than the image cannot be.
      if size < current, let image = present[disk.imageVolume], current == image {
        warnings.append("the disk of \(disk.volume) has its image's \(current >> 20) MiB, not the \(size >> 20) wanted")
      }
      try lvm.run(["lvchange", "--activate", "y", "--ignoreactivationskip", name])
      volumes[disk.volume] = StorageState.Volume(
        device: "/dev/\(name)", bytes: try Self.length(of: disk.volume, at: "/dev/\(name)"))
    }
    for disk in try Disks.report(lvm, group: group) where volumes[disk.name] == nil {
      try lvm.run(["lvchange", "--activate", "y", "--ignoreactivationskip", "\(group)/\(disk.name)"])
    }
    return volumes
  }

  /// Size of the volume `name` in bytes, as the kernel has it.
  static func length(of name: String, at device: String) throws(StorageError) -> Int {
    try storage("use the volume \(name)") { () throws(SystemError) in try FileDescriptor(opening: device).length() }
  }

  // MARK: - Taking down

  /// Gives the memory back after nothing lies in it any more.
  func freeMemory() throws(StorageError) {
    try unmount(ramDirectory)
  }

  /// The loop devices of files below our directories.
  func ourLoops() throws(StorageError) -> [LoopDevice] {
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
  func lock() throws(StorageError) -> FileDescriptor {
    let directory = directory
    return try storage("lock the storage") { () throws(SystemError) in
      try Files.makeDirectories(directory)
      let file = try FileDescriptor(opening: "\(directory)/storage.lock", [.readWrite, .create], permissions: 0o600)
      try file.lock(waiting: true)
      // How often it was taken: who keeps the stick sees by it that the group may have changed.
      let count = Int(String(decoding: try file.read(upTo: 32, at: 0), as: UTF8.self)) ?? 0
      try file.writeAll(Array("\(count &+ 1)".utf8), at: 0)
      return file
    }
  }
}
