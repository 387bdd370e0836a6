public import Manifest
internal import Platform

/// Devices that come over the network.
///
/// Whoever connects or disconnects holds a lock of its own, as that takes time; the storage's lock is held for what is
/// recorded only. Lock order: this one, that of moves, the storage's.
extension GuestStorage {
  /// Connects a device and remembers it in the group's tags.
  ///
  /// - Parameters:
  ///   - wipe: whether the user gives up what the device holds, where it becomes room.
  ///   - inspect: asks LVM, in a process of its own, about the group on a device.
  public func connect(
    _ request: RemoteRequest, wipe: Bool, inspect: Inspection
  ) throws(StorageError) -> RemoteRecord {
    if let problem = request.problem { throw StorageError(.plan, problem) }
    let lock = try remoteLock()
    defer { _ = lock.rawValue }
    let (name, address) = (request.name, request.address)
    // What is there already and was not taken as room is taken when the user gives up what it holds.
    if request.use == .room, wipe, let known = try loadState().remotes.first(where: { $0.name == name }),
      known.use == .room, known.address == address.description
    {
      try takeRoom(name, wipe: true, inspect: inspect)
      return try tell(name)
    }
    let group = try withGroup { lvm, state throws(StorageError) in
      let taken = try lvm.report("lvs", columns: ["lv_name"], ["--all", state.volumeGroup]).compactMap { $0["lv_name"] }
      if taken.contains(name) || state.remotes.contains(where: { $0.name == name }) || state.domains[name] != nil {
        throw StorageError(.plan, "there is a disk, a remote or a domain named \(name) already")
      }
      if let other = state.remotes.first(where: { $0.address == address.description }) {
        throw StorageError(.plan, "\(address) is connected already, as \(other.name)")
      }
      var twin = RemoteRecord(request, isInRecipe: false)
      twin.refresh(directory)
      if let other = Self.twin(of: twin, among: state.remotes) {
        throw StorageError(.plan, "\(address) is \(other.name) already (\(other.address)), under another address")
      }
      return state.volumeGroup
    }
    // What an attempt that was cut off left.
    try takeBack(name, address)
    var record = RemoteRecord(request, isInRecipe: false)
    do throws(StorageError) {
      try prepare(record, address)
      record.device = try address.driver(directory, group: group).connect(record, to: address)
      record.refresh(directory)
      try withGroup { lvm, state throws(StorageError) in
        try lvm.run(["vgchange", "--addtag", RemoteTags.tag(request), group])
        var state = state
        state.remotes = (state.remotes + [record]).sorted { $0.name < $1.name }
        state.showRemotes()
        try state.write(to: statePath)
      }
      if request.use == .room { try takeRoom(name, wipe: wipe, inspect: inspect) }
    } catch {
      try? takeBack(name, address)
      throw error
    }
    return try find(name)
  }

  /// Lets a device go that was connected by hand, and forgets it.
  public func disconnect(_ name: String) throws(StorageError) {
    let lock = try remoteLock()
    defer { _ = lock.rawValue }
    let record = try find(name)
    if record.isInRecipe {
      throw StorageError(
        .plan, "\(name) is part of the recipe, so every start would connect it again; change the recipe instead")
    }
    if let domain = record.attachedTo {
      throw StorageError(.busy, "\(name) is attached to \(domain); detach it first (roost disk detach \(name))")
    }
    if let device = record.device {
      let isMember = try withGroup { lvm, state throws(StorageError) in
        try PhysicalVolume.list(lvm).contains { $0.path == device && $0.group == state.volumeGroup }
      }
      if isMember {
        throw StorageError(
          .busy,
          "what guests wrote is on \(name), which is part of their room; `roost storage persist DEVICE` moves all of it "
            + "to a disk of this machine, and then \(name) is free")
      }
      if DeviceUse.isOpen(device) { throw StorageError(.busy, "\(name) (\(device)) is in use") }
    }
    guard let address = record.place else { throw StorageError(.plan, "\(record.address) is no address") }
    try takeBack(name, address)
  }

  /// Connects what is recorded and not connected. What cannot be had says why in its record; that is no failure.
  public func connectAll(inspect: Inspection) throws(StorageError) -> [RemoteRecord] {
    let lock = try remoteLock()
    defer { _ = lock.rawValue }
    let state = try loadState()
    let isUp = state.state == .ready
    var records = state.remotes
    for index in records.indices {
      let problem = records[index].problem
      records[index].refresh(directory)
      if let twin = Self.twin(of: records[index], among: Array(records[..<index])) {
        records[index].problem = "it is \(twin.name) already: one device under two addresses"
        (records[index].device, records[index].bytes) = (nil, nil)
        continue
      }
      // Why it was not taken holds until it is.
      if records[index].use == .room { records[index].problem = problem }
      guard records[index].device == nil, let address = records[index].place else { continue }
      // A replicated volume's own part is in the guests' group.
      if address.scheme == .drbd, !isUp { continue }
      do throws(StorageError) {
        if isUp { try prepare(records[index], address) }
        let driver = address.driver(directory, group: state.volumeGroup)
        records[index].device = try driver.connect(records[index], to: address)
        records[index].refresh(directory)
      } catch {
        records[index].problem = error.line
      }
      // Servers may take their time: what is there is told before the next one is asked.
      try note([records[index]])
    }
    try note(records)
    let rooms = records.filter { $0.use == .room && $0.device != nil }
    guard isUp, !rooms.isEmpty else { return records }
    let members = try withGroup { lvm, state throws(StorageError) in
      try PhysicalVolume.list(lvm).filter { $0.group == state.volumeGroup }.map(\.path)
    }
    for record in rooms {
      do throws(StorageError) {
        if record.device.map(members.contains) != true {
          try takeRoom(record.name, wipe: false, inspect: inspect)
        }
        _ = try tell(record.name)
      } catch {
        var failed = record
        failed.problem = "it is connected and not taken: \(error.line)"
        try note([failed])
      }
    }
    return try loadState().remotes
  }

  /// What there is, as it is now.
  public func remotes() throws(StorageError) -> [RemoteRecord] {
    var records = try loadState().remotes
    for index in records.indices { records[index].look(directory) }
    return records
  }

  /// Has this machine write to a replicated volume.
  public func promote(_ name: String, isForced: Bool) throws(StorageError) -> RemoteRecord {
    try changeRole(name) { () throws(StorageError) in try DRBDDriver.promote(name, isForced: isForced) }
  }

  /// Has this machine write to a replicated volume no more, so that the other may.
  public func demote(_ name: String) throws(StorageError) -> RemoteRecord {
    let record = try find(name)
    if let device = record.device, record.isPrimary == true, DeviceUse.isOpen(device) {
      throw StorageError(
        .busy, "\(name) is in use\(record.attachedTo.map { " by \($0)" } ?? ""): detach it or stop the domain first")
    }
    return try changeRole(name) { () throws(StorageError) in try DRBDDriver.demote(name) }
  }

  private func changeRole(
    _ name: String, _ body: () throws(StorageError) -> Void
  ) throws(StorageError) -> RemoteRecord {
    let lock = try remoteLock()
    defer { _ = lock.rawValue }
    guard try find(name).place?.scheme == .drbd else {
      throw StorageError(.plan, "\(name) is no replicated volume, so there is nobody to agree with on who writes to it")
    }
    try body()
    var record = try find(name)
    record.refresh(directory)
    try note([record])
    return record
  }

  /// Records that a domain has a remote, or with nil that none has. Nil where no remote has the name.
  func changeRemote(_ name: String, attachedTo domain: String?) throws(StorageError) -> Disk? {
    guard try loadState().remotes.contains(where: { $0.name == name }) else { return nil }
    return try withGroup { lvm, state throws(StorageError) in
      var state = state
      guard let index = state.remotes.firstIndex(where: { $0.name == name }) else { return nil }
      var record = state.remotes[index]
      record.refresh(directory)
      if let twin = Self.twin(of: record, among: state.remotes) {
        throw StorageError(.plan, "\(name) is \(twin.name) under another address; attach that one")
      }
      guard record.use == .disk else {
        throw StorageError(.plan, "\(name) is room for all guests; it cannot be attached to one")
      }
      if let domain {
        guard record.device != nil else {
          throw StorageError(.remote, "\(name) is not connected\(record.problem.map { ": \($0)" } ?? "")")
        }
        guard record.isPrimary != false else {
          throw StorageError(
            .busy,
            "\(name) is a replicated volume that the other machine may write to: `roost storage promote \(name)` gives "
              + "it to this one")
        }
        if let other = record.attachedTo, other != domain {
          throw StorageError(.busy, "\(name) is attached to \(other); detach it first: two systems on one disk ruin it")
        }
      } else if record.attachedTo == nil {
        throw StorageError(.plan, "\(name) is not attached to a domain")
      }
      let group = state.volumeGroup
      for tag in try RemoteTags.attachments(of: name, in: Self.tags(group, lvm)) {
        try lvm.run(["vgchange", "--deltag", tag, group])
      }
      if domain != nil || record.isInRecipe {
        try lvm.run(["vgchange", "--addtag", RemoteTags.tag(name, attachedTo: domain), group])
      }
      record.attachedTo = domain
      state.remotes[index] = record
      state.showRemotes()
      try state.write(to: statePath)
      return Disk(record)
    }
  }

  // MARK: - While the appliance runs and at its end

  /// Brings lost connections up again where the kernel does not do so by itself, and tells what is lost. For a process
  /// that runs all the time; a server that is asked for has a bounded time to answer.
  public func mendRemotes() -> RemoteReport {
    var lost: [String: String] = [:]
    guard let records = try? StorageState.load(statePath)?.remotes else { return RemoteReport(lost: lost) }
    for record in records {
      guard record.device != nil, let address = record.place else { continue }
      let driver = address.driver(directory)
      guard driver.trouble(with: record, at: address) != nil else { continue }
      if let lock = try? remoteLock(waiting: false) {
        try? driver.mend(record, at: address)
        _ = lock.rawValue
      }
      if let trouble = driver.trouble(with: record, at: address) { lost[record.name] = trouble }
    }
    return RemoteReport(lost: lost)
  }

  /// Refuses where a remote that is a guest's disk is in use.
  func refuseOpenRemotes(_ state: StorageState) throws(StorageError) {
    let open = state.remotes.filter { record in
      record.use == .disk && record.device.map { DeviceUse.isOpen($0) } == true
    }
    guard open.isEmpty else {
      throw StorageError(.busy, "in use: \(open.map(\.name).joined(separator: ", ")); stop these domains first")
    }
  }

  /// Lets replicated volumes go, which hold their parts of the guests' group.
  func disconnectReplicas(_ state: StorageState) {
    for record in state.remotes {
      guard let address = record.place, address.scheme == .drbd else { continue }
      try? address.driver(directory, group: state.volumeGroup).disconnect(record, from: address, others: [])
    }
  }

  /// Lets all remotes of a use go. The room of a session that lived in memory is of no use without it: it is marked as
  /// free, so that the next one can take it.
  func disconnectAll(_ state: StorageState, _ use: RemoteUse) {
    // Disks go before room does.
    var rest = state.remotes.filter { use == .disk || $0.use == .room }
    for record in state.remotes where record.use == use {
      rest.removeAll { $0.name == record.name }
      guard let address = record.place else { continue }
      if use == .room, state.home == .memory, let device = record.device, state.devices.contains(device),
        address.driver(directory).trouble(with: record, at: address) == nil
      {
        _ = try? Probe.wipe(device)
      }
      try? address.driver(directory).disconnect(record, from: address, others: rest)
    }
  }

  /// Gives up what waits for connections that are lost, so that its programs can end: for the way out.
  public func abandonLostRemotes() {
    for record in (try? StorageState.load(statePath)?.remotes) ?? [] {
      guard record.device != nil, let address = record.place, address.scheme == .nbd else { continue }
      let driver = address.driver(directory)
      guard driver.trouble(with: record, at: address) != nil else { continue }
      try? driver.disconnect(record, from: address, others: [])
    }
  }

  // MARK: - What they share

  private func loadState() throws(StorageError) -> StorageState {
    if let state = try StorageState.load(statePath) { return state }
    throw StorageError(.plan, "storage was not activated (there is no \(statePath)); run: roost-storage activate")
  }

  private func find(_ name: String) throws(StorageError) -> RemoteRecord {
    let records = try loadState().remotes
    guard var record = records.first(where: { $0.name == name }) else {
      let names = records.map(\.name).joined(separator: ", ")
      throw StorageError(.plan, "there is no remote named \(name); there is \(names.isEmpty ? "none at all" : names)")
    }
    record.refresh(directory)
    return record
  }

  /// Another of `records` that is the same device: two addresses may lead to one, by another spelling of the server or
  /// over another interface.
  private static func twin(of record: RemoteRecord, among records: [RemoteRecord]) -> RemoteRecord? {
    guard let device = record.device else { return nil }
    return records.first { $0.name != record.name && $0.device == device }
  }

  /// Tells how a remote is now, and returns that.
  private func tell(_ name: String) throws(StorageError) -> RemoteRecord {
    let record = try find(name)
    try note([record])
    return record
  }

  /// Tells what is known of remotes now.
  private func note(_ records: [RemoteRecord]) throws(StorageError) {
    let lock = try lock()
    defer { _ = lock.rawValue }
    var state = try loadState()
    for record in records {
      guard let index = state.remotes.firstIndex(where: { $0.name == record.name }) else { continue }
      state.remotes[index].device = record.device
      state.remotes[index].bytes = record.bytes
      state.remotes[index].isPrimary = record.isPrimary
      state.remotes[index].problem = record.problem
    }
    state.showRemotes()
    try state.write(to: statePath)
  }

  /// Makes a connected device part of the guests' room. It may be run again after it was cut off anywhere: the name of
  /// the physical volume is recorded before there is one.
  private func takeRoom(_ name: String, wipe: Bool, inspect: Inspection) throws(StorageError) {
    let record = try find(name)
    guard let device = record.device.flatMap({ BlockTree().node(at: $0) }) else {
      throw StorageError(.remote, "\(name) is not connected")
    }
    guard !device.isReadOnly else {
      throw StorageError(.remote, "\(name) takes no writes, so it is no room for guests")
    }
    let lock = try moveLock()
    defer { _ = lock.rawValue }
    let identifier: String
    if let known = record.volume {
      identifier = known
    } else {
      identifier = try LVMIdentity.random()
      try withGroup { lvm, state throws(StorageError) in
        try lvm.run(["vgchange", "--addtag", RemoteTags.tag(room: name, is: identifier), state.volumeGroup])
        var state = state
        if let index = state.remotes.firstIndex(where: { $0.name == name }) { state.remotes[index].volume = identifier }
        try state.write(to: statePath)
      }
    }
    try join(device, wipe: wipe, isMoving: false, identifier: identifier, inspect: inspect)
    try withGroup { lvm, state throws(StorageError) in
      try enlargePool(lvm, state.volumeGroup, keepingSpare: state.home == .disk)
    }
  }

  /// Lets a device go and forgets it. One that the guests' group has by now stays.
  private func takeBack(_ name: String, _ address: RemoteAddress) throws(StorageError) {
    var record = RemoteRecord(RemoteRequest(name: name, address: address), isInRecipe: false)
    record.refresh(directory)
    let (others, group) = try withGroup { lvm, state throws(StorageError) in
      let group = state.volumeGroup
      if let device = record.device,
        try PhysicalVolume.list(lvm).contains(where: { $0.path == device && $0.group == group })
      {
        throw StorageError(.busy, "\(name) is part of the guests' room")
      }
      return (state.remotes.filter { $0.name != name }, group)
    }
    // Under another address it may be another remote's, which keeps it.
    if Self.twin(of: record, among: others) == nil {
      try address.driver(directory, group: group).disconnect(record, from: address, others: others)
    }
    try withGroup { lvm, state throws(StorageError) in
      // The copy goes before what tells of it: a later volume of the name must not begin with it.
      let volume = Replica.volume(of: name)
      if address.scheme == .drbd, try sizes(group, lvm)[volume] != nil {
        try lvm.run(["lvremove", "--yes", "\(group)/\(volume)"])
      }
      for tag in try RemoteTags.all(of: name, in: Self.tags(group, lvm)) {
        try lvm.run(["vgchange", "--deltag", tag, group])
      }
      var state = state
      state.remotes.removeAll { $0.name == name }
      state.devices.removeAll { $0 == record.device }
      state.showRemotes()
      try state.write(to: statePath)
    }
  }

  /// Makes what a device needs in the guests' group before it can be connected: a replicated volume's own part.
  private func prepare(_ record: RemoteRecord, _ address: RemoteAddress) throws(StorageError) {
    guard case .drbd(_, let bytes) = address else { return }
    let volume = Replica.volume(of: record.name)
    try withGroup { lvm, state throws(StorageError) in
      let name = "\(state.volumeGroup)/\(volume)"
      if try sizes(state.volumeGroup, lvm)[volume] == nil {
        try lvm.run([
          "lvcreate", "--yes", "--type", "thin", "--virtualsize", "\(Replica.size(for: bytes))b", "--thinpool",
          "\(state.volumeGroup)/\(Self.pool)", "--name", volume,
        ])
      }
      try lvm.run(["lvchange", "--activate", "y", "--ignoreactivationskip", name])
      let tags = try lvm.report("lvs", columns: ["lv_tags"], [name]).first?["lv_tags"] ?? ""
      guard !tags.split(separator: ",").contains(Substring(Replica.tag)) else { return }
      try DRBDDriver(group: state.volumeGroup).prepare(record.name)
      try lvm.run(["lvchange", "--addtag", Replica.tag, name])
    }
  }

  private func remoteLock(waiting: Bool = true) throws(StorageError) -> FileDescriptor {
    let path = "\(directory)/remote.lock"
    do throws(SystemError) {
      let file = try FileDescriptor(opening: path, [.readWrite, .create], permissions: 0o600)
      if try file.lock(waiting: waiting) { return file }
    } catch {
      throw StorageError(.system, "the remotes cannot be locked", cause: error)
    }
    throw StorageError(.busy, "remotes are being connected or disconnected")
  }
}

/// What `roost-storage watch` keeps current in `/run/roost/remotes.json`.
public struct RemoteReport: Codable, Hashable, Sendable {
  /// Where it is kept.
  public static let path = "/run/roost/remotes.json"

  /// What is wrong with remotes that were connected, by their names.
  public var lost: [String: String]

  /// Replaces the file at `path` at once.
  public func write(to path: String = Self.path) throws(StorageError) {
    let bytes = try encodeJSON(self)
    try storage("tell the state of the remotes") { () throws(SystemError) in try Files.replace(path, with: bytes) }
  }
}

extension StorageError {
  /// The failure in one line, without what LVM said.
  var line: String { message + (cause.map { ": \($0)" } ?? "") }
}
