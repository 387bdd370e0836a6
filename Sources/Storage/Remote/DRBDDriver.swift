internal import Manifest
internal import Platform

/// The volume of the guests' group that holds this machine's copy of a replicated volume.
enum Replica {
  /// The end of its name; no disk has a dot in its name.
  static let suffix = ".replica"
  /// The tag of one that DRBD has made its own.
  static let tag = "roost.replica"

  /// The name of its volume.
  static func volume(of name: String) -> String { name + suffix }

  /// How large it must be for a device of `bytes`: DRBD keeps a bit for each 4 KiB, and an activity log with it, at its
  /// end (drbdmeta(8), "internal").
  static func size(for bytes: Int) -> Int {
    let extent = Limits.diskGranule
    let bookkeeping = bytes / 32768 + (1 << 20)
    return bytes + (bookkeeping + extent - 1) / extent * extent
  }
}

/// DRBD 8.4, as Debian's kernel has it: a volume that two machines keep alike. One of them writes to it, the primary;
/// on the other nothing can open it. Its resource is called as the remote is.
struct DRBDDriver: RemoteDriver {
  /// The guests' volume group.
  let group: String

  /// What DRBD says of a resource.
  struct Role: Hashable, Sendable {
    /// The number of its device.
    var minor: Int
    /// This machine may write to it.
    var isPrimary: Bool
    /// `Connected`, `WFConnection` and so on.
    var connection: String
    /// State of this machine's copy, such as `UpToDate`.
    var own: String
    /// State of the other's.
    var other: String
  }

  private static let package = "drbd-utils"
  private static let setup = "/usr/lib/drbd/drbdsetup-84"

  func device(of record: RemoteRecord, at address: RemoteAddress) -> String? {
    Self.role(of: record.name).map { "/dev/drbd\($0.minor)" }
  }

  func connect(_ record: RemoteRecord, to address: RemoteAddress) throws(StorageError) -> String {
    guard case .drbd(let peer, _) = address else { throw StorageError(.plan, "\(address) is no address of DRBD's") }
    let setup = try Tool.find(Self.setup, package: Self.package)
    try Tool.load("drbd", ["usermode_helper=/bin/true"])
    let link = try Self.link(of: record.name, to: peer)
    let taken = BlockTree().nodes.keys.compactMap { $0.hasPrefix("drbd") ? Int($0.dropFirst(4)) : nil }
    let minor = (0...taken.count).first { !taken.contains($0) } ?? taken.count
    let backing = "/dev/\(group)/\(Replica.volume(of: record.name))"
    let meta = try Self.meta() + ["\(minor)", "v08", backing, "internal"]
    // What was being written when the power went is what both must agree on first.
    try Tool.succeed(meta + ["apply-al"], doing: "look through DRBD's log on \(backing)")
    do throws(StorageError) {
      for words in [
        ["new-resource", record.name], ["new-minor", record.name, "\(minor)", "0"],
        ["attach", "\(minor)", backing, backing, "internal"], link,
      ] {
        try Tool.succeed([setup] + words, doing: "bring the replicated volume \(record.name) up")
      }
    } catch {
      _ = try? Tool.run([setup, "down", record.name])
      throw error
    }
    return "/dev/drbd\(minor)"
  }

  /// What tells the kernel where the other machine is.
  private static func link(of name: String, to peer: RemoteAddress.Server) throws(StorageError) -> [String] {
    let host = try Tool.address(of: peer.host)
    let own = try ownAddress(towards: host)
    return [
      "connect", name, "ipv4:\(own):\(peer.port)", "ipv4:\(host):\(peer.port)", "--protocol=C",
      "--after-sb-0pri=discard-zero-changes",
    ]
  }

  /// After both wrote while they did not see each other, neither listens any more: the one that keeps its changes goes
  /// on listening here, for the other that begins anew. DRBD refuses each time until that one does.
  func mend(_ record: RemoteRecord, at address: RemoteAddress) throws(StorageError) {
    guard case .drbd(let peer, _) = address, Self.role(of: record.name)?.connection == "StandAlone" else { return }
    try Tool.succeed(
      [Self.setup] + Self.link(of: record.name, to: peer), doing: "listen for the other machine of \(record.name)")
  }

  /// Makes a fresh volume DRBD's own.
  func prepare(_ name: String) throws(StorageError) {
    let backing = "/dev/\(group)/\(Replica.volume(of: name))"
    try Tool.succeed(
      try Self.meta() + ["--force", "0", "v08", backing, "internal", "create-md"],
      doing: "make \(backing) a replicated volume")
  }

  /// `drbdmeta`, with the directories that it wants.
  private static func meta() throws(StorageError) -> [String] {
    let program = try Tool.find("drbdmeta", package: package)
    try storage("prepare DRBD") { () throws(SystemError) in
      for directory in ["/run/lock", "/var/lock", "/var/lib/drbd"] { try Files.makeDirectories(directory) }
    }
    return [program]
  }

  func disconnect(
    _ record: RemoteRecord, from address: RemoteAddress, others: [RemoteRecord]
  ) throws(StorageError) {
    guard Self.role(of: record.name) != nil else { return }
    try Tool.succeed([Self.setup, "down", record.name], doing: "take the replicated volume \(record.name) down")
  }

  func trouble(with record: RemoteRecord, at address: RemoteAddress) -> String? {
    guard let role = Self.role(of: record.name) else { return nil }
    switch role.connection {
    case "Connected":
      return role.own == "Inconsistent" && role.other == "Inconsistent"
        ? "neither machine has written to it yet; choose one: roost storage promote \(record.name)" : nil
    case "StandAlone":
      return "both machines wrote to their copies while they did not see each other, and DRBD does not choose: "
        + "disconnect it on the machine whose changes may be lost, and connect it there again; here it comes back by "
        + "itself then"
    case "SyncSource", "SyncTarget", "PausedSyncS", "PausedSyncT", "Ahead", "Behind", "WFBitMapS", "WFBitMapT":
      return nil
    default:
      return "the other machine is not there (\(role.connection)); what is written here is copied when it comes back"
    }
  }

  // MARK: - Roles

  /// Has this machine write to a volume.
  ///
  /// - Parameter isForced: whether this machine's copy is to be the right one though it may not be.
  static func promote(_ name: String, isForced: Bool) throws(StorageError) {
    guard let role = role(of: name) else { throw absent(name) }
    if role.isPrimary { return }
    let minor = "\(role.minor)"
    if role.own == "Inconsistent", role.other == "Inconsistent", role.connection == "Connected" {
      // Both copies are fresh volumes and read as zeros, so there is nothing to copy; DRBD itself sees to it that both
      // are fresh (drbdsetup(8), "new-current-uuid").
      _ = try Tool.run([setup, "new-current-uuid", minor, "--clear-bitmap"])
      _ = Tool.wait(seconds: 5) { Self.role(of: name)?.own == "UpToDate" ? true : nil }
    }
    do throws(StorageError) {
      try Tool.succeed(
        [setup, "primary", minor] + (isForced ? ["--force"] : []), doing: "make this machine the primary of \(name)")
    } catch {
      guard !isForced else { throw error }
      let now = Self.role(of: name) ?? role
      throw StorageError(
        .remote,
        "\(error.message). This machine's copy is \(now.own), the other's \(now.other), and the connection is "
          + "\(now.connection): the other may be the primary, or have what this one lacks. If this copy is to be the "
          + "right one all the same, say so with --force")
    }
  }

  /// Has this machine write to a volume no more.
  static func demote(_ name: String) throws(StorageError) {
    guard let role = role(of: name) else { throw absent(name) }
    guard role.isPrimary else { return }
    try Tool.succeed([setup, "secondary", "\(role.minor)"], doing: "make this machine the secondary of \(name)")
  }

  private static func absent(_ name: String) -> StorageError {
    StorageError(.remote, "the replicated volume \(name) is not connected; `roost storage remotes` says why")
  }

  /// What DRBD says of a resource; nil where it has none of that name.
  static func role(of name: String) -> Role? {
    guard Files.exists("/sys/module/drbd"), Files.exists(setup),
      let shown = try? Tool.run([setup, "show", name]), shown.status.isSuccess,
      let minor = minor(in: shown.text)
    else { return nil }
    func said(_ verb: String) -> [String] {
      let text = (try? Tool.run([setup, verb, "\(minor)"]))?.text ?? ""
      return text.split(whereSeparator: \.isNewline).first?.split(separator: "/").map(String.init) ?? []
    }
    let (roles, states) = (said("role"), said("dstate"))
    return Role(
      minor: minor, isPrimary: roles.first == "Primary", connection: said("cstate").first ?? "Unknown",
      own: states.first ?? "Unknown", other: states.last ?? "Unknown")
  }

  /// The number of the device in `drbdsetup show`'s text: `device minor 0;`.
  static func minor(in text: String) -> Int? {
    let words = text.split { $0.isWhitespace || $0 == ";" }
    guard let place = words.indices.dropLast(2).first(where: { words[$0] == "device" && words[$0 + 1] == "minor" })
    else { return nil }
    return Int(words[place + 2])
  }

  /// This machine's address on the way to another's.
  private static func ownAddress(towards host: IPv4Address) throws(StorageError) -> IPv4Address {
    let said = try Tool.succeed(
      [Tool.find("ip", package: "iproute2"), "-o", "-4", "route", "get", "\(host)"], doing: "find the way to \(host)")
    let words = said.split { $0.isWhitespace }
    guard let place = words.firstIndex(of: "src"), place + 1 < words.endIndex,
      let address = IPv4Address(String(words[place + 1]))
    else { throw StorageError(.remote, "there is no way to \(host): is this machine in its network?") }
    return address
  }
}
