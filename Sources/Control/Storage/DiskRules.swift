internal import Manifest

/// What a domain has to do with disks now.
struct DiskUser: Hashable, Sendable {
  /// The domain's name.
  var domain: String
  /// The volume that is its own disk.
  var ownDisk: String?
  /// Disks that its running monitor has beside that one.
  var disks: Set<String> = []
  /// True while it has a monitor.
  var isRunning = false
  /// True when disks come and go while it runs.
  var isHotpluggable = false
  /// How many more disks fit where its disks are; nil for any number.
  var room: Int?

  /// True while its monitor has this disk open.
  func holds(_ disk: String) -> Bool { isRunning && (disk == ownDisk || disks.contains(disk)) }
}

/// Which requests about disks the present state admits. `roost-storage` has the last word about volumes; this is about
/// who uses them, which it cannot know.
struct DiskRules {
  let disks: [DiskStatus]
  let users: [DiskUser]
  var remotes: [RemoteStatus] = []

  /// Throws why the request makes no sense now.
  func check(_ order: DiskOrder) throws(ControlError) {
    switch order {
    case .list: return
    case .create(let name, _): try checkNew(name)
    case .resize(let name, _): try checkVolume(try known(name))
    case .snapshot(let name, let new), .clone(let name, let new):
      try checkVolume(try known(name))
      try checkNew(new)
    case .rollback(let name, let snapshot):
      let disk = try known(name)
      try checkVolume(disk)
      try checkVolume(try known(snapshot))
      try checkUnused(disk)
    case .attach(let name, let domain): try checkAttach(try known(name), domain)
    case .detach(let name): try checkDetach(try known(name))
    case .connect(let name, _, use: .room, wipe: true) where remotes.contains { $0.name == name && $0.use == "room" }:
      // What is there and was not taken is taken now.
      return
    case .connect(let name, _, _, _): try checkNew(name)
    case .disconnect(let name), .demote(let name): try checkRelease(try knownRemote(name), order)
    case .promote(let name, _): _ = try knownRemote(name)
    case .define(let name, _, let disk):
      try checkNew(name)
      if case .clone(let origin, _)? = disk { try checkVolume(try known(origin)) }
    case .undefine(let name):
      guard let disk = disks.first(where: { $0.name == name }) else { return }
      try checkUnused(disk)
    case .destroy(let name):
      let disk = try known(name)
      try checkVolume(disk)
      if let owner = owner(of: disk) {
        throw wrong("\(name) is the disk of the domain \(owner), which cannot be without it")
      }
      if let domain = disk.attachedTo {
        throw wrong("\(name) is attached to \(domain); detach it first (roost disk detach \(name))")
      }
      try checkUnused(disk)
    }
  }

  /// The disk of this name.
  func known(_ name: String) throws(ControlError) -> DiskStatus {
    if let disk = disks.first(where: { $0.name == name }) { return disk }
    throw UnknownName.disk(name, among: disks.map(\.name))
  }

  private func knownRemote(_ name: String) throws(ControlError) -> RemoteStatus {
    if let remote = remotes.first(where: { $0.name == name }) { return remote }
    throw UnknownName.remote(name, among: remotes.map(\.name))
  }

  /// Refuses what is done to volumes where the disk is none of ours.
  private func checkVolume(_ disk: DiskStatus) throws(ControlError) {
    guard disk.kind == .remote else { return }
    throw wrong(
      "\(disk.name) comes over the network: its server can change it, and `roost storage disconnect \(disk.name)` lets "
        + "it go")
  }

  private func checkRelease(_ remote: RemoteStatus, _ order: DiskOrder) throws(ControlError) {
    if case .disconnect = order, let domain = remote.attachedTo {
      throw wrong("\(remote.name) is attached to \(domain); detach it first (roost disk detach \(remote.name))")
    }
    if let disk = disks.first(where: { $0.name == remote.name }) { try checkUnused(disk) }
  }

  /// The domain whose monitor has it open, if there is one.
  func holder(of disk: String) -> DiskUser? {
    users.first { $0.holds(disk) }
  }

  /// Domains that must not start while `order` is carried out.
  func domains(of order: DiskOrder) -> Set<String> {
    guard order.holdsDomains, let name = order.disk else { return [] }
    var domains = Set(users.filter { $0.ownDisk == name }.map(\.domain))
    if case .undefine = order { domains.insert(name) }
    if let domain = disks.first(where: { $0.name == name })?.attachedTo { domains.insert(domain) }
    if case .attach(_, let domain) = order { domains.insert(domain) }
    return domains
  }

  private func owner(of disk: DiskStatus) -> String? {
    users.first { $0.ownDisk == disk.name }?.domain ?? (disk.kind == .domain || disk.kind == .own ? disk.name : nil)
  }

  private func checkNew(_ name: String) throws(ControlError) {
    if users.contains(where: { $0.domain == name }) {
      throw wrong("\(name) is the name of a domain; choose another")
    }
    if let disk = disks.first(where: { $0.name == name }) {
      throw wrong("there is a \(disk.kind.rawValue) named \(name) already; choose another name")
    }
    if remotes.contains(where: { $0.name == name }) {
      throw wrong("there is a remote named \(name) already; choose another name")
    }
  }

  private func checkUnused(_ disk: DiskStatus) throws(ControlError) {
    guard let user = holder(of: disk.name) else { return }
    let stop = "stop it first (roost stop \(user.domain))"
    let canDetach = user.ownDisk != disk.name && user.isHotpluggable
    throw wrong(
      "\(disk.name) is in use by the domain \(user.domain), which is running: "
        + (canDetach ? "detach it (roost disk detach \(disk.name)), or \(stop)" : stop))
  }

  private func checkAttach(_ disk: DiskStatus, _ domain: String) throws(ControlError) {
    if let owner = owner(of: disk) {
      throw wrong(
        "\(disk.name) is the disk of the domain \(owner); attach a clone of it (roost disk clone \(disk.name) NAME)")
    }
    if disk.isAbsent == true {
      let problem = remotes.first { $0.name == disk.name }?.problem
      throw wrong("\(disk.name) is not connected\(problem.map { ": \($0)" } ?? "")")
    }
    if disk.isSecondary == true {
      throw wrong(
        "\(disk.name) is a replicated volume that the other machine may write to; `roost storage promote \(disk.name)` "
          + "gives it to this one")
    }
    if let other = disk.attachedTo {
      throw wrong(
        other == domain
          ? "\(disk.name) is attached to \(domain) already"
          : "\(disk.name) is attached to \(other); detach it first (roost disk detach \(disk.name))")
    }
    if let user = holder(of: disk.name), user.domain != domain {
      throw wrong(
        "\(disk.name) is still in use by the domain \(user.domain), until that is off (roost stop \(user.domain))")
    }
    if let room = users.first(where: { $0.domain == domain })?.room,
      disks.count(where: { $0.attachedTo == domain }) >= room
    {
      throw wrong("\(domain) has no room for another IDE disk: its four places are taken by disks and CD-ROMs")
    }
  }

  private func checkDetach(_ disk: DiskStatus) throws(ControlError) {
    guard disk.attachedTo == nil else { return }
    guard let user = holder(of: disk.name), user.ownDisk != disk.name else {
      let owner = owner(of: disk).map { "; it is the disk of the domain \($0)" } ?? ""
      throw wrong("\(disk.name) is not attached to a domain\(owner)")
    }
    if !user.isHotpluggable {
      throw wrong("\(disk.name) is detached already; \(user.domain) has it until it is off (roost stop \(user.domain))")
    }
  }

  private func wrong(_ text: String) -> ControlError { ControlError(.wrongState, text) }
}

/// What to say of a name that nothing has.
enum UnknownName {
  static func domain(_ name: String, among names: [String]) -> ControlError {
    ControlError(.unknownDomain, message("domain", name, among: names, none: "none"))
  }

  static func disk(_ name: String, among names: [String]) -> ControlError {
    ControlError(.unknownDisk, message("disk", name, among: names, none: "none; `roost disk create` makes one"))
  }

  static func remote(_ name: String, among names: [String]) -> ControlError {
    ControlError(.unknownDisk, message("remote", name, among: names, none: "none; `roost storage connect` makes one"))
  }

  static func network(_ name: String, among names: [String]) -> ControlError {
    ControlError(
      .unknownNetwork, message("network", name, among: names, none: "none; `roost network create` makes one"))
  }

  private static func message(_ what: String, _ name: String, among names: [String], none: String) -> String {
    let known = names.isEmpty ? none : names.joined(separator: ", ")
    let advice = Spelling.nearest(to: name, in: names).map { "did you mean \($0)?" } ?? "there are \(known)"
    return "there is no \(what) \(Text.quoted(name)); \(advice)"
  }
}
