internal import Binary
internal import Manifest
internal import Platform

/// iSCSI, by open-iscsi: its daemon keeps sessions, `iscsiadm` tells it what to do, and /sys what there is.
struct ISCSIDriver: RemoteDriver {
  /// Where this machine's name and the daemon's settings are kept.
  let directory: String

  private static let package = "open-iscsi"
  private static let sessions = "/sys/class/iscsi_session"
  /// Where open-iscsi keeps what it knows of targets; Debian's packages differ.
  private static let databases = ["/var/lib/iscsi", "/etc/iscsi"]

  func device(of record: RemoteRecord, at address: RemoteAddress) -> String? {
    guard case .iscsi(_, let target, let unit) = address, let session = session(of: target, at: address) else {
      return nil
    }
    return disk(of: session, unit: unit).map { "/dev/\($0)" }
  }

  func connect(_ record: RemoteRecord, to address: RemoteAddress) throws(StorageError) -> String {
    guard case .iscsi(let server, let target, let unit) = address else {
      throw StorageError(.plan, "\(address) is no address of iSCSI's")
    }
    for module in ["sd_mod", "iscsi_tcp"] { try Tool.load(module) }
    try startDaemon()
    let host = try Tool.address(of: server.host)
    let portal = "\(host):\(server.port)"
    let isNew = session(of: target, at: address) == nil
    if isNew {
      let admin = try admin() + ["-m", "node", "-T", target, "-p", portal]
      try Tool.succeed(admin + ["-o", "new"], doing: "note the target \(target)")
      // While the server is away requests wait; they do not fail after two minutes.
      for (key, value) in [
        ("node.startup", "manual"), ("node.session.timeo.replacement_timeout", "-1"),
        ("node.session.initial_login_retry_max", "1"), ("node.conn[0].timeo.login_timeout", "10"),
      ] {
        try Tool.succeed(admin + ["-o", "update", "-n", key, "-v", value], doing: "set \(key) of the target \(target)")
      }
      do throws(StorageError) {
        try Tool.succeed(admin + ["--login"], patience: 40, doing: "log in to \(address)")
      } catch {
        _ = try? Tool.run(admin + ["-o", "delete"])
        throw error
      }
    } else {
      _ = try Tool.run(admin() + ["-m", "node", "-T", target, "-p", portal, "--rescan"])
    }
    guard let found = Tool.wait(seconds: 10, for: { self.device(of: record, at: address) }) else {
      let units = session(of: target, at: address).map(units) ?? []
      let there = units.isEmpty ? "none at all" : units.map(String.init).joined(separator: ", ")
      if isNew { try? logOut(of: target, portal, address) }
      throw StorageError(
        .remote, "the target \(target) at \(portal) has no disk as its logical unit \(unit); it has \(there)")
    }
    return found
  }

  func disconnect(
    _ record: RemoteRecord, from address: RemoteAddress, others: [RemoteRecord]
  ) throws(StorageError) {
    guard case .iscsi(let server, let target, let unit) = address,
      let session = session(of: target, at: address)
    else { return }
    let shared = others.contains { other in
      guard let place = other.place, case .iscsi(_, target, _) = place else { return false }
      return self.session(of: target, at: place) == session
    }
    guard shared else {
      // As it was reached: its name may have no address any more, or another one.
      guard let host = Tool.text("\(Self.connection(of: session))/persistent_address") else { return }
      return try logOut(of: target, "\(host):\(server.port)", address)
    }
    // Another unit of the same target stays, and so does the session.
    guard let disk = disk(of: session, unit: unit) else { return }
    try storage("let the disk \(disk) go") { () throws(SystemError) in
      try Files.write("1", to: "/sys/class/block/\(disk)/device/delete")
    }
  }

  func trouble(with record: RemoteRecord, at address: RemoteAddress) -> String? {
    guard case .iscsi(let server, let target, _) = address, let session = session(of: target, at: address),
      let state = Tool.text("\(Self.sessions)/\(session)/state"), state != "LOGGED_IN"
    else { return nil }
    return "the session with \(server.description) is lost (\(state)); who uses it waits until it is there again"
  }

  func mend(_ record: RemoteRecord, at address: RemoteAddress) throws(StorageError) {
    // The daemon takes up sessions that are there; one that ended repairs none.
    try startDaemon()
  }

  private func logOut(of target: String, _ portal: String, _ address: RemoteAddress) throws(StorageError) {
    let admin = try admin() + ["-m", "node", "-T", target, "-p", portal]
    try Tool.succeed(admin + ["--logout"], patience: 40, doing: "log out of \(address)")
    _ = try? Tool.run(admin + ["-o", "delete"])
    _ = Tool.wait(seconds: 5) { self.session(of: target, at: address) == nil ? true : nil }
  }

  // MARK: - What /sys tells

  /// The session with a target at this address's server; the kernel knows the server's address as we gave it.
  private func session(of target: String, at address: RemoteAddress) -> String? {
    guard case .iscsi(let server, _, _) = address else { return nil }
    let host = IPv4Address(server.host)
    return ((try? Files.list(Self.sessions)) ?? []).first { session in
      guard Tool.text("\(Self.sessions)/\(session)/targetname") == target else { return false }
      let connection = Self.connection(of: session)
      guard Tool.text("\(connection)/persistent_port") == "\(server.port)" else { return false }
      // A name may have got another address meanwhile; the session is the target's all the same.
      return host == nil || Tool.text("\(connection)/persistent_address") == host?.description
    }
  }

  /// Where /sys tells of the connection of a session: session3 has connection3:0.
  private static func connection(of session: String) -> String {
    "/sys/class/iscsi_connection/connection\(session.dropFirst("session".count)):0"
  }

  /// The kernel's name of the disk that is a session's logical unit, as soon as it can be used.
  private func disk(of session: String, unit: Int) -> String? {
    devices(of: session).first { $0.unit == unit }.flatMap { device in
      let names = (try? Files.list("\(device.path)/block")) ?? []
      return names.first.flatMap { name in
        Files.exists("/dev/\(name)") && (BlockTree().nodes[name]?.size ?? 0) > 0 ? name : nil
      }
    }
  }

  private func units(of session: String) -> [Int] {
    devices(of: session).filter { Files.exists("\($0.path)/block") }.map(\.unit).sorted()
  }

  /// The SCSI devices of a session: `…/targetH:C:T/H:C:T:UNIT`.
  private func devices(of session: String) -> [(unit: Int, path: String)] {
    let base = "\(Self.sessions)/\(session)/device"
    return ((try? Files.list(base)) ?? []).filter { $0.hasPrefix("target") }.flatMap { target in
      ((try? Files.list("\(base)/\(target)")) ?? []).compactMap { name in
        let numbers = name.split(separator: ":")
        guard numbers.count == 4, let unit = Int(numbers[3]) else { return nil }
        return (unit, "\(base)/\(target)/\(name)")
      }
    }
  }

  // MARK: - open-iscsi

  private func admin() throws(StorageError) -> [String] { [try Tool.find("iscsiadm", package: Self.package)] }

  /// Starts the daemon if it does not run. It goes on when this process ends.
  private func startDaemon() throws(StorageError) {
    let daemon = try Tool.find("iscsid", package: Self.package)
    let names = "\(directory)/initiatorname.iscsi"
    let settings = "\(directory)/iscsid.conf"
    let directory = directory
    if let number = Tool.text("/run/iscsid.pid").flatMap({ Int32($0.filter(\.isNumber)) }),
      Tool.text("/proc/\(number)/comm") == "iscsid"
    {
      return
    }
    let name = try Self.initiatorName()
    try storage("prepare iSCSI") { () throws(SystemError) in
      for path in [directory, "/run/lock/iscsi"] + Self.databases {
        try Files.makeDirectories(path, permissions: 0o700)
      }
      try Files.replace(names, with: Array("InitiatorName=\(name)\n".utf8))
      // What is not said is as open-iscsi has it; the daemon is never started by anybody else.
      try Files.replace(settings, with: Array("node.startup = manual\n".utf8))
    }
    try Tool.succeed([daemon, "-c", settings, "-i", names], doing: "start open-iscsi's daemon")
    guard Tool.wait(seconds: 5, for: { Tool.text("/run/iscsid.pid") }) != nil else {
      throw StorageError(.remote, "open-iscsi's daemon ends at once; dmesg may say why")
    }
  }

  /// This machine's name among initiators: the same at every start, and another one on each machine, as targets take two
  /// of one name for one that came back.
  static func initiatorName(sys: String = "/sys") throws(StorageError) -> String {
    var marks = [Tool.text("\(sys)/class/dmi/id/product_uuid") ?? ""]
    for card in (try? Files.list("\(sys)/class/net")) ?? [] where Files.exists("\(sys)/class/net/\(card)/device") {
      marks.append(Tool.text("\(sys)/class/net/\(card)/address") ?? "")
    }
    marks.append(Tool.text("/proc/sys/kernel/hostname") ?? "")
    let digest = SHA256.hash(marks.joined(separator: "\n")).description
    return "iqn.1993-08.org.debian:01:\(digest.prefix(12))"
  }
}
