internal import Manifest

/// Guests' disks on the fly.
extension GuestStorage {
  /// All disks.
  public func disks() throws(StorageError) -> [Disk] {
    try withGroup { lvm, state throws(StorageError) in
      var state = state
      for index in state.remotes.indices { state.remotes[index].refresh(directory) }
      state.show(try Disks.report(lvm, group: state.volumeGroup))
      return state.disks
    }
  }

  /// Makes an empty disk.
  ///
  /// - Parameter bytes: its size, which is rounded up to LVM's extents.
  public func create(_ name: String, bytes: Int) throws(StorageError) -> Disk {
    try changed(name, new: name) { lvm, _, group throws(StorageError) in
      try lvm.run(Self.emptyCommand(group, name, bytes: bytes, tags: [Disk.Kind.disk.tag]))
    }
  }

  /// Makes a volume of zeros.
  static func emptyCommand(_ group: String, _ name: String, bytes: Int, tags: [String]) -> [String] {
    [
      "lvcreate", "--yes", "--type", "thin", "--virtualsize", "\(bytes)b", "--thinpool", "\(group)/\(pool)", "--name",
      name,
    ] + tags.flatMap { ["--addtag", $0] }
  }

  /// Makes a volume that begins as an image on the medium.
  static func imageCommand(_ group: String, _ name: String, of image: String, tags: [String]) -> [String] {
    [
      "lvcreate", "--yes", "--snapshot", "--name", name, "--thinpool", pool, "--permission", "rw",
      "--setactivationskip", "n",
    ] + tags.flatMap { ["--addtag", $0] } + ["\(group)/\(image)"]
  }

  /// Makes a disk larger. Who has it open sees that when told to look.
  public func resize(_ name: String, bytes: Int) throws(StorageError) -> Disk {
    try changed(name) { lvm, disks, group throws(StorageError) in
      let disk = try Self.find(name, in: disks)
      guard disk.kind != .snapshot else {
        throw StorageError(.plan, "\(name) is a snapshot, which stays as it was; resize a clone of it")
      }
      guard bytes >= disk.bytes else {
        throw StorageError(
          .plan,
          "\(name) has \(disk.bytes >> 20) MiB and does not get smaller: its guest's file system would be cut off")
      }
      if bytes > disk.bytes {
        try lvm.run(["lvextend", "--yes", "--size", "\(bytes)b", "\(group)/\(name)"])
      }
    }
  }

  /// Keeps what a disk is now. Everything that a guest wrote and flushed is in it.
  public func snapshot(_ name: String, as snapshot: String) throws(StorageError) -> Disk {
    try copy(name, as: snapshot, .snapshot)
  }

  /// Makes a disk that begins as what another is, at once: both share what neither has written since.
  public func clone(_ name: String, as clone: String) throws(StorageError) -> Disk {
    try copy(name, as: clone, .clone)
  }

  private func copy(
    _ name: String, as copy: String, _ kind: Disk.Kind
  ) throws(StorageError) -> Disk {
    try changed(copy, new: copy) { lvm, disks, group throws(StorageError) in
      _ = try Self.find(name, in: disks)
      try lvm.run(
        Self.copyCommand(
          "\(group)/\(name)", as: copy, permission: kind == .snapshot ? "r" : "rw", tags: [kind.tag]))
    }
  }

  static func copyCommand(_ volume: String, as copy: String, permission: String, tags: [String]) -> [String] {
    ["lvcreate", "--yes", "--snapshot", "--name", copy, "--permission", permission, "--setactivationskip", "n"]
      + tags.flatMap { ["--addtag", $0] } + [volume]
  }

  /// Makes a disk again what a snapshot of it, or any other disk, is. What was written since is lost. The disk must
  /// not be open.
  ///
  /// A power loss at any moment leaves the disk as it was or as it shall be: the new volume is whole before names
  /// change, and `finishRollbacks` goes on where this ended.
  public func rollBack(_ name: String, to snapshot: String) throws(StorageError) -> Disk {
    try changed(name) { lvm, disks, group throws(StorageError) in
      let disk = try Self.find(name, in: disks)
      _ = try Self.find(snapshot, in: disks)
      guard name != snapshot else { throw StorageError(.plan, "\(name) is what it is: name a snapshot of it") }
      guard disk.kind != .snapshot else {
        throw StorageError(.plan, "\(name) is a snapshot, which stays as it was; clone it instead")
      }
      guard !disk.isOpen else { throw StorageError(.busy, "\(name) is in use; stop the domain that has it first") }
      try Self.finishRollbacks(lvm, group: group)
      let rows = try lvm.report("lvs", columns: ["lv_tags"], ["\(group)/\(name)"])
      let present = (rows.first?["lv_tags"] ?? "").split(separator: ",").map(String.init)
      let tags =
        [disk.kind.tag] + (disk.attachedTo.map { [Disks.attachment + $0] } ?? []) + Definition.tags(among: present)
      try lvm.run(Self.copyCommand("\(group)/\(snapshot)", as: Rollback.next(name), permission: "rw", tags: tags))
      // The marks of a rollback that is ready: from here on it goes forward.
      try lvm.run(["lvchange", "--addtag", Rollback.readyTag, "\(group)/\(Rollback.next(name))"])
      try Self.finishRollbacks(lvm, group: group)
    }
  }

  /// Goes on with rollbacks that a power loss interrupted.
  static func finishRollbacks(_ lvm: LVM, group: String) throws(StorageError) {
    let rows = try lvm.report("lvs", columns: ["lv_name", "lv_tags"], [group])
    let steps = Rollback.steps(
      rows.map { row in
        (row["lv_name"] ?? "", (row["lv_tags"] ?? "").split(separator: ",").map(String.init))
      })
    for step in steps {
      switch step {
      case .remove(let name): try lvm.run(["lvremove", "--yes", "\(group)/\(name)"])
      case .rename(let old, let new): try lvm.run(["lvrename", group, old, new])
      case .untag(let name): try lvm.run(["lvchange", "--deltag", Rollback.readyTag, "\(group)/\(name)"])
      case .activate(let name):
        try lvm.run(["lvchange", "--activate", "y", "--ignoreactivationskip", "\(group)/\(name)"])
      }
    }
  }

  /// Records that a domain has a disk beside its own.
  public func attach(_ name: String, to domain: String) throws(StorageError) -> Disk {
    if let problem = Names.problem(domain) { throw StorageError(.plan, "the domain's name \(domain) \(problem)") }
    if let remote = try changeRemote(name, attachedTo: domain) { return remote }
    return try changed(name) { lvm, disks, group throws(StorageError) in
      let disk = try Self.find(name, in: disks)
      if disk.isOwn { throw StorageError(.plan, "\(name) is the own disk of a domain; attach a clone of it") }
      if disk.attachedTo == domain { return }
      if let other = disk.attachedTo {
        throw StorageError(.busy, "\(name) is attached to \(other); detach it first: two systems on one disk ruin it")
      }
      try lvm.run(["lvchange", "--addtag", Disks.attachment + domain, "\(group)/\(name)"])
    }
  }

  /// Takes back what `attach` recorded.
  public func detach(_ name: String) throws(StorageError) -> Disk {
    if let remote = try changeRemote(name, attachedTo: nil) { return remote }
    return try changed(name) { lvm, disks, group throws(StorageError) in
      guard let domain = try Self.find(name, in: disks).attachedTo else {
        throw StorageError(.plan, "\(name) is not attached to a domain")
      }
      try lvm.run(["lvchange", "--deltag", Disks.attachment + domain, "\(group)/\(name)"])
    }
  }

  /// Removes a disk and what it holds.
  public func destroy(_ name: String) throws(StorageError) {
    _ = try change { lvm, disks, group throws(StorageError) in
      let disk = try Self.find(name, in: disks)
      if disk.kind == .domain {
        throw StorageError(
          .plan, "\(name) is the own disk of a domain; the next start of the appliance would make it anew")
      }
      if disk.kind == .own {
        throw StorageError(.plan, "\(name) is the own disk of a domain; `roost remove \(name)` removes both")
      }
      if let domain = disk.attachedTo { throw StorageError(.busy, "\(name) is attached to \(domain); detach it first") }
      if disk.isOpen { throw StorageError(.busy, "\(name) is in use") }
      try lvm.run(["lvremove", "--yes", "\(group)/\(name)"])
    }
  }

  // MARK: - What they share

  /// Runs `body` on LVM, the disks and the group's name, tells the appliance what there is afterwards, and returns it.
  /// `new` is a name that must not be taken.
  func change(
    new: String? = nil, _ body: (LVM, [Disk], String) throws(StorageError) -> Void
  ) throws(StorageError) -> [Disk] {
    if let new, let problem = Names.domainProblem(new) { throw StorageError(.plan, "the name \(new) \(problem)") }
    return try withGroup { lvm, state throws(StorageError) in
      let group = state.volumeGroup
      let disks = try Disks.report(lvm, group: group)
      if let new {
        let taken = try lvm.report("lvs", columns: ["lv_name"], ["--all", group]).compactMap { $0["lv_name"] }
        if taken.contains(new) || state.remotes.contains(where: { $0.name == new }) || state.created[new] != nil {
          throw StorageError(.plan, "there is a disk named \(new) already")
        }
      }
      try body(lvm, disks, group)
      let after = try Disks.report(lvm, group: group)
      var told = state
      told.show(after)
      told.show(try Definition.report(lvm, group: group), after)
      for disk in after where told.domains[disk.name] != nil {
        told.domains[disk.name] = StorageState.Volume(device: disk.device, bytes: disk.bytes)
      }
      try told.write(to: statePath)
      return after
    }
  }

  /// As `change`; returns the disk of a name afterwards.
  private func changed(
    _ name: String, new: String? = nil, _ body: (LVM, [Disk], String) throws(StorageError) -> Void
  ) throws(StorageError) -> Disk {
    try Self.find(name, in: try change(new: new, body))
  }

  static func find(_ name: String, in disks: [Disk]) throws(StorageError) -> Disk {
    if let disk = disks.first(where: { $0.name == name }) { return disk }
    let names = disks.map(\.name).joined(separator: ", ")
    throw StorageError(.plan, "there is no disk named \(name); there is \(names.isEmpty ? "none at all" : names)")
  }
}

/// How a rollback goes on after a power loss, told by the names that are there.
enum Rollback {
  /// The tag of a volume that is whole and waits for its disk's name.
  static let readyTag = "roost.rollback"

  /// The name of what a disk is to become. No disk has a dot in its name.
  static func next(_ name: String) -> String { "\(name).next" }
  /// The name of what a disk was.
  static func previous(_ name: String) -> String { "\(name).previous" }

  /// One change of the group.
  enum Step: Hashable, Sendable {
    case remove(String)
    case rename(String, to: String)
    case untag(String)
    case activate(String)
  }

  /// What is left to do, out of the volumes' names and tags.
  static func steps(_ volumes: [(name: String, tags: [String])]) -> [Step] {
    let names = Set(volumes.map(\.name))
    var steps: [Step] = []
    for (name, tags) in volumes.sorted(by: { $0.name < $1.name }) {
      if name.hasSuffix(".next") {
        let disk = String(name.dropLast(".next".count))
        guard tags.contains(readyTag) else {
          steps.append(.remove(name))
          continue
        }
        // After the first renaming the disk's own name is free.
        if names.contains(disk) {
          if names.contains(previous(disk)) { steps.append(.remove(previous(disk))) }
          steps.append(.rename(disk, to: previous(disk)))
        }
        steps += [.rename(name, to: disk), .untag(disk), .activate(disk)]
        if names.contains(disk) || names.contains(previous(disk)) { steps.append(.remove(previous(disk))) }
      } else if name.hasSuffix(".previous") {
        let disk = String(name.dropLast(".previous".count))
        if !names.contains(next(disk)) { steps.append(.remove(name)) }
      } else if tags.contains(readyTag) {
        steps.append(.untag(name))
      }
    }
    return steps
  }
}
