internal import Manifest
internal import Platform

/// Where what guests write lives: looked for, made, opened.
extension GuestStorage {
  /// Decides where the guests' changes live.
  func findHome(
    _ plan: LivePlan, earlier: StorageState?, isLive: Bool, rooms: [String], _ warnings: inout [String],
    inspect: Inspection
  ) throws(StorageError) -> Home {
    // What was decided when the machine started holds.
    if let earlier {
      if earlier.home == .memory { return .memory }
      let tree = BlockTree()
      let devices = earlier.devices.compactMap { tree.node(at: $0) }
      guard devices.count == earlier.devices.count else {
        throw StorageError(
          .home, "of \(earlier.devices.joined(separator: ", ")), which hold the guests, not all are there any more")
      }
      return .disks(devices)
    }
    if isLive { return .memory }
    let mount = try storage("look at the mounts") { () throws(SystemError) in try Mount.find(at: medium) }
    // Disks may still be on their way (USB, SCSI): without a home it is looked again when there are more of them.
    var tree = BlockTree()
    for _ in 0..<10 {
      var found: [String] = []
      let mediumDisk = mount.flatMap { tree.node(number: $0.device) }?.disk
      let outcome: Result<HomeSearch, StorageError>
      do throws(StorageError) {
        outcome = .success(
          try search(plan, tree.storage(rooms: rooms), mediumDisk: mediumDisk, &found, inspect: inspect))
      } catch {
        outcome = .failure(error)
      }
      var isHome = false
      if case .success(let search) = outcome, case .disks = search.home { isHome = true }
      if !isHome { MonotonicClock.sleep(milliseconds: 1500) }
      let now = isHome ? tree : BlockTree()
      if now.storage(rooms: rooms).map(\.name) == tree.storage(rooms: rooms).map(\.name) {
        let search = try outcome.get()
        warnings += found + search.warnings
        return search.home
      }
      tree = now
    }
    throw StorageError(
      .home, "disks keep coming and going, so the guests' home cannot be looked for; restart the machine")
  }

  private func search(
    _ plan: LivePlan, _ devices: [BlockNode], mediumDisk: String?, _ warnings: inout [String], inspect: Inspection
  ) throws(StorageError) -> HomeSearch {
    var candidates: [HomeSearch.Candidate] = []
    for device in devices {
      do throws(StorageError) {
        let found = try Probe(device.path)
        candidates.append(.init(device: device, type: found.type, uuid: found.uuid))
      } catch {
        if error.cause?.errno == .inputOutput {
          candidates.append(.init(device: device, failure: error.reason))
        } else {
          // Content of two minds is somebody else's trouble.
          warnings.append("\(error.message): it is not looked at for the guests' home")
        }
      }
    }
    var failures: [String] = []
    defer { warnings += failures }
    return try HomeSearch(
      candidates, mediumDisk: mediumDisk, mediumUUID: plan.storage.mediumUUID, ramUUID: plan.storage.ramUUID
    ) { device throws(StorageError) in
      do throws(StorageError) {
        if let report = try GroupReport.decode(try inspect(device.path), device: device.path) { return report }
      } catch {
        if error.cause?.errno == .timedOut { throw StorageError(.device, error.message, cause: error.cause) }
        try Target.proveReadable(device)
        if device.disk == mediumDisk { throw error }
        failures.append("\(error.message): it is not looked at for the guests' home")
      }
      try Target.proveReadable(device)
      return nil
    } isBlank: { device, offset throws(StorageError) in
      try Target.isBlank(device, from: offset)
    }
  }

  /// What LVM says of the group on one device, which is all that it sees; nil where there is no group. For a process
  /// of its own.
  public func inspect(_ device: String, configuration: String) throws(StorageError) -> [UInt8] {
    let settings = LVMConfiguration(directory: configuration, devices: [device])
    try settings.write()
    let lvm = try LVM(configuration: configuration)
    let groups = try lvm.report("vgs", columns: ["vg_name", "vg_uuid", "vg_tags"])
    guard let group = groups.first, let identifier = group["vg_uuid"], groups.count == 1 else {
      return Array("null\n".utf8)
    }
    // Of devices that LVM does not see the identifier is all there is.
    let volumes = try lvm.report("pvs", columns: ["pv_uuid", "vg_uuid"]).filter { $0["vg_uuid"] == identifier }
    let tags = (group["vg_tags"] ?? "").split(separator: ",").map(String.init)
    return try encodeJSON(
      GroupReport(
        group: identifier, name: group["vg_name"] ?? "", tags: tags, volumes: volumes.compactMap { $0["pv_uuid"] }))
  }

  /// A group that is there, with LVM that sees it.
  struct OpenGroup {
    let lvm: LVM
    /// Memory in it, in bytes.
    let ramBytes: Int
    /// Disks in it.
    let devices: [String]
  }

  /// Makes the group out of the medium and memory, or finds it, with disks that came to it since.
  func openInMemory(
    _ plan: LivePlan, medium: LoopDevice, beside devices: [String], _ warnings: inout [String]
  ) throws(StorageError) -> OpenGroup {
    let (ram, extents) = try makeRAM(plan, &warnings)
    let lvm = try startLVM([medium.path, ram.path] + devices)
    if try !isPresent(plan.volumeGroup, lvm) {
      // A group of its own, though its medium's other sessions are made of the same: disks tell them apart by it.
      let template = try template(plan).withRAM(extents: extents, extentBytes: plan.storage.extentBytes)
        .withIdentifiers(group: LVMIdentity.random(), volume: plan.storage.ramUUID)
      try restore(template, plan, lvm, device: ram.path, uuid: plan.storage.ramUUID)
    }
    return OpenGroup(lvm: lvm, ramBytes: extents * plan.storage.extentBytes, devices: devices)
  }

  /// Makes a group of its own out of the medium and a partition that waits for that. What an earlier attempt left in
  /// the partition goes: no guest has run from it, or the group would have its tag.
  func openFresh(
    _ plan: LivePlan, medium: LoopDevice, _ device: BlockNode, _ warnings: inout [String]
  ) throws(StorageError) -> OpenGroup {
    let extents = (device.size - Self.dataOffset) / plan.storage.extentBytes
    let least = Self.poolMetadataExtents(extents: max(extents, 0), extentBytes: plan.storage.extentBytes) * 2 + 1
    guard extents >= least else {
      throw StorageError(
        .home,
        "\(device.path) has \(device.size >> 20) MiB, too little for the guests' changes; choose the live session in "
          + "the boot menu, or use a larger stick")
    }
    try Target.claim(device.path)
    try Probe.wipe(device.path)
    let lvm = try startLVM([medium.path, device.path])
    let uuid = try LVMIdentity.random()
    let template = try template(plan).withRAM(extents: extents, extentBytes: plan.storage.extentBytes)
      .withIdentifiers(group: LVMIdentity.random(), volume: uuid)
    try restore(template, plan, lvm, device: device.path, uuid: uuid)
    warnings.append("\(device.path) is the guests' home from now on: what they write stays")
    return OpenGroup(lvm: lvm, ramBytes: 0, devices: [device.path])
  }

  /// Opens the group on disks that are its home.
  func openOnDisks(
    _ plan: LivePlan, medium: LoopDevice, _ devices: [BlockNode], _ warnings: inout [String]
  ) throws(StorageError) -> OpenGroup {
    let lvm = try startLVM([medium.path] + devices.map(\.path))
    guard try isPresent(plan.volumeGroup, lvm) else {
      throw StorageError(
        .home,
        "the guests' home on \(devices.map(\.path).joined(separator: ", ")) has another name than "
          + "\(plan.volumeGroup), or LVM does not see it", log: try lvm.run(["vgs"]))
    }
    // The memory of the session that moved here is listed until somebody takes it off the list; nothing lies on it.
    let missing = try lvm.report("vgs", columns: ["vg_missing_pv_count"], [plan.volumeGroup]).first
    if let count = missing?["vg_missing_pv_count"], count != "0" {
      try lvm.run(["vgreduce", "--removemissing", plan.volumeGroup])
    }
    try checkPool(plan, lvm, &warnings)
    return OpenGroup(lvm: lvm, ramBytes: 0, devices: devices.map(\.path))
  }

  /// Leaves a mark of this session in the group. A stick that was pulled out of a running machine and started from
  /// elsewhere is told from one that was not by it: without it, activation writes nothing that LVM keeps.
  func markSession(_ lvm: LVM, _ group: String) throws(StorageError) {
    let row = try lvm.report("vgs", columns: ["vg_tags"], [group]).first
    let earlier = (row?["vg_tags"] ?? "").split(separator: ",").filter { $0.hasPrefix(HomeSearch.sessionTag) }
    try lvm.run(
      ["vgchange"] + earlier.flatMap { ["--deltag", String($0)] }
        + ["--addtag", HomeSearch.sessionTag + LVMIdentity.random(), group])
  }

  /// Activates the pool, which checks its bookkeeping (thin_check), and repairs it where that is needed and possible.
  private func checkPool(_ plan: LivePlan, _ lvm: LVM, _ warnings: inout [String]) throws(StorageError) {
    let name = "\(plan.volumeGroup)/\(Self.pool)"
    guard try sizes(plan.volumeGroup, lvm)[Self.pool] != nil else { return }
    let isActive = PoolStatus.of(pool: Self.pool, group: plan.volumeGroup) != nil
    let metadata = try PoolMetadata(lvm, group: plan.volumeGroup, pool: Self.pool)
    // The check takes the mark away.
    let isMarked = isActive ? false : try metadata.needsCheck()
    do throws(StorageError) {
      try lvm.run(["lvchange", "--activate", "y", name])
      if isMarked {
        warnings.append(
          "the guests' storage met with errors of its disk when it was last used; its bookkeeping was checked and is "
            + "whole. Let the guests check their file systems, and think of another disk: roost storage persist DEVICE")
      }
    } catch {
      let first = error
      // A repair out of what can still be read would be made on a disk that loses what it holds.
      try metadata.proveReadable()
      guard first.log.contains(where: { $0.contains("Check of pool") }) else { throw first }
      do throws(StorageError) {
        try lvm.run(["lvconvert", "--yes", "--repair", name])
        try lvm.run(["lvchange", "--activate", "y", name])
        warnings.append(
          "the bookkeeping of the guests' storage was damaged and has been repaired; what it was is kept in the group "
            + "(a volume whose name ends in _meta0). Let the guests check their file systems")
      } catch {
        throw StorageError(
          .home,
          "the bookkeeping of the guests' storage is damaged and cannot be repaired. Choose the live session in the "
            + "boot menu, which does not touch it; thin_dump(8) may save what is left", log: first.log + error.log)
      }
    }
  }

  /// What keeps a home on disks from coming up, with the way around it.
  static func unusable(_ error: StorageError, _ devices: [BlockNode]) -> StorageError {
    guard [.lvm, .system, .device].contains(error.code) else { return error }
    let cause = error.cause.map { ": \($0.errno)" } ?? ""
    return StorageError(
      .home,
      "the guests' home on \(devices.map(\.path).joined(separator: ", ")) cannot be used: \(error.message)\(cause). "
        + "Choose the live session in the boot menu, which does not touch it", log: error.log)
  }
}
