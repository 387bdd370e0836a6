internal import Identity
internal import Platform

/// What the stick that this appliance was started from says of itself: `roost provision` left it in a partition beside
/// the image's. Whatever is wrong with it, the appliance starts as the image says, and tells.
enum StickIdentity {
  /// What was found.
  enum Finding: Equatable {
    /// There is no such partition, or nothing in it.
    case nothing
    case identity(ApplianceIdentity)
    /// There is one that cannot be used; why, in words.
    case unusable(String)
  }

  /// Where the initramfs mounted the medium.
  static let medium = "/run/roost/medium"

  /// Looks for it and makes it this machine's.
  static func apply() {
    let mounts = (try? Mount.all()) ?? []
    guard let partition = partition(in: BlockTree(), mounts: mounts) else { return }
    let finding = read(partition.path)
    switch finding {
    case .nothing: return
    case .identity(let identity):
      Log.write("this stick is \(identity.hostname ?? "without a name") (\(partition.path))")
    case .unusable(let reason): Log.write("the identity in \(partition.path) is not used: \(reason)")
    }
    for problem in write(finding) { Log.write(problem) }
  }

  /// The identity's partition on the disk that the medium is on.
  static func partition(in tree: BlockTree, mounts: [Mount]) -> BlockNode? {
    guard let mount = mounts.last(where: { $0.target == medium }), let node = tree.node(number: mount.device) else {
      return nil
    }
    return tree.parts(of: node.disk).first { $0.partitionName == StickPartition.identity.rawValue }
  }

  /// Reads the partition.
  static func read(_ path: String) -> Finding {
    do throws(SystemError) {
      let file = try FileDescriptor(opening: path)
      var bytes: [UInt8] = []
      while bytes.count < StickPartition.identityBytes {
        let more = try file.read(upTo: StickPartition.identityBytes - bytes.count)
        if more.isEmpty { break }
        bytes += more
      }
      return decode(bytes)
    } catch {
      return .unusable("it cannot be read: \(error.errno)")
    }
  }

  /// The host name in the partition at `path`; nil where there is none.
  static func hostname(_ path: String) -> String? {
    guard case .identity(let identity) = read(path) else { return nil }
    return identity.hostname
  }

  private static func decode(_ bytes: [UInt8]) -> Finding {
    do throws(IdentityError) {
      return try IdentityDocument.decode(bytes).map { .identity($0) } ?? .nothing
    } catch {
      return .unusable(error.description)
    }
  }

  /// Writes what the rest of the system reads, below `root`. What did not work, in words.
  static func write(_ finding: Finding, root: String = "") -> [String] {
    var problems: [String] = []
    func attempt(_ body: () throws(SystemError) -> Void) {
      do throws(SystemError) {
        try body()
      } catch {
        problems.append("\(error)")
      }
    }
    switch finding {
    case .nothing: break
    case .unusable(let reason):
      attempt { () throws(SystemError) in
        try Files.replace("\(root)\(ApplianceIdentity.problemPath)", with: Array("\(reason)\n".utf8))
      }
    case .identity(let identity):
      if let hostname = identity.hostname {
        attempt { () throws(SystemError) in try Files.write("\(hostname)\n", to: "\(root)/etc/hostname") }
        attempt { () throws(SystemError) in
          try Files.write(hosts(try Files.readText("\(root)/etc/hosts"), hostname), to: "\(root)/etc/hosts")
        }
      }
      if !identity.sshKeys.isEmpty {
        attempt { () throws(SystemError) in
          let directory = "\(root)/root/.ssh"
          try Files.makeDirectories(directory, permissions: 0o700)
          try Files.setPermissions(directory, 0o700)
          let text = identity.sshKeys.map { "\($0)\n" }.joined()
          try Files.replace("\(directory)/authorized_keys", with: Array(text.utf8), permissions: 0o600)
        }
      }
      attempt { () throws(SystemError) in
        try Files.replace("\(root)\(ApplianceIdentity.path)", with: identity.json)
      }
    }
    return problems
  }

  /// The hosts file with this machine's new name (hosts(5); Debian's place for it is 127.0.1.1).
  static func hosts(_ text: String, _ hostname: String) -> String {
    let lines = text.split(separator: "\n").filter { $0.split(whereSeparator: \.isWhitespace).first != "127.0.1.1" }
    return (lines.map(String.init) + ["127.0.1.1 \(hostname)"]).map { "\($0)\n" }.joined()
  }
}
