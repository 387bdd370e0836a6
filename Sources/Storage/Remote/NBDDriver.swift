internal import Manifest
internal import Platform

/// NBD: this program speaks with the server until the export is open, and gives the connection to the kernel.
///
/// The kernel is told to hold requests while the server is away (NBD_ATTR_DEAD_CONN_TIMEOUT), which Debian's nbd-client
/// does not do: guests wait then, and see no errors. A new connection takes the place of the lost one (`mend`).
struct NBDDriver: RemoteDriver {
  /// Where what is known of connections is kept.
  let directory: String

  /// Seconds that requests may take before the connection counts as lost.
  private static let requestSeconds: UInt64 = 30
  /// Seconds that the kernel holds requests for without a connection: a week.
  private static let patience: UInt64 = 7 * 86400

  /// Attributes and commands of the family `nbd` (linux/nbd-netlink.h).
  private enum Attribute {
    static let index: UInt16 = 1
    static let size: UInt16 = 2
    static let blockSize: UInt16 = 3
    static let timeout: UInt16 = 4
    static let serverFlags: UInt16 = 5
    static let sockets: UInt16 = 7
    static let deadTimeout: UInt16 = 8
    static let backend: UInt16 = 10
  }

  private enum Command {
    static let connect: UInt8 = 1
    static let disconnect: UInt8 = 2
    static let reconfigure: UInt8 = 3
  }

  func device(of record: RemoteRecord, at address: RemoteAddress) -> String? {
    index(of: record).map { "/dev/nbd\($0)" }
  }

  /// The number of the kernel's device for `record`, which the kernel knows by what it was told of its origin.
  private func index(of record: RemoteRecord) -> UInt32? {
    for name in (try? Files.list("/sys/class/block")) ?? [] {
      guard name.hasPrefix("nbd"), let number = UInt32(name.dropFirst(3)) else { continue }
      if Tool.text("/sys/class/block/\(name)/backend") == Self.backend(record) { return number }
    }
    return nil
  }

  private static func backend(_ record: RemoteRecord) -> String { "roost \(record.name) \(record.address)" }

  func connect(_ record: RemoteRecord, to address: RemoteAddress) throws(StorageError) -> String {
    guard case .nbd(let server, let export) = address else { throw Self.unexpected(address) }
    if let device = device(of: record, at: address) { return device }
    try Tool.load("nbd", ["nbds_max=0"])
    let connection = try open(server, export)
    let opened = connection.export
    // Before the kernel has it: a port that was remembered in vain means a lost connection, which is the truth.
    try remember(connection, record)
    let index = try storage("give the connection to \(server.description) to the kernel") { () throws(SystemError) in
      let answer = try GenericNetlink("nbd", version: 1).request(
        Command.connect,
        [
          .long(Attribute.size, UInt64(opened.size)),
          .long(Attribute.blockSize, UInt64(opened.blockBytes)),
          .long(Attribute.timeout, Self.requestSeconds),
          .long(Attribute.serverFlags, UInt64(opened.flags)),
          .long(Attribute.deadTimeout, Self.patience),
          .text(Attribute.backend, Self.backend(record)),
          Self.sockets(connection),
        ], doing: "connect a block device")
      guard let number = answer[Attribute.index].flatMap(Self.number) else {
        throw SystemError("connect a block device", errno: .inputOutput)
      }
      return number
    }
    let device = "/dev/nbd\(index)"
    guard Tool.wait(seconds: 5, for: { BlockTree().node(at: device).flatMap { $0.size > 0 ? $0 : nil } }) != nil else {
      throw StorageError(.remote, "the kernel makes no \(device) for \(address)")
    }
    return device
  }

  func disconnect(
    _ record: RemoteRecord, from address: RemoteAddress, others: [RemoteRecord]
  ) throws(StorageError) {
    guard let index = index(of: record) else { return }
    try storage("disconnect /dev/nbd\(index)") { () throws(SystemError) in
      _ = try GenericNetlink("nbd", version: 1).request(
        Command.disconnect, [.word(Attribute.index, index)], doing: "disconnect a block device")
    }
    try? Files.remove(note(of: record))
    _ = Tool.wait(seconds: 5) { self.index(of: record) == nil ? true : nil }
  }

  func trouble(with record: RemoteRecord, at address: RemoteAddress) -> String? {
    guard case .nbd(let server, _) = address, !isConnected(record, to: server.port) else { return nil }
    return "the connection to \(server.description) is lost; who uses it waits until it is there again"
  }

  func mend(_ record: RemoteRecord, at address: RemoteAddress) throws(StorageError) {
    guard case .nbd(let server, let export) = address, let index = index(of: record),
      !isConnected(record, to: server.port)
    else {
      return
    }
    let connection = try open(server, export)
    let size = BlockTree().node(at: "/dev/nbd\(index)")?.size
    // The kernel counts sectors.
    guard size == connection.export.size / 512 * 512 else {
      throw StorageError(
        .remote,
        "\(address) has \(connection.export.size) bytes now and had \(size ?? 0): it is another disk, and not used")
    }
    try remember(connection, record)
    try storage("give the new connection to \(server.description) to the kernel") { () throws(SystemError) in
      // The kernel refuses this for a device of another origin.
      _ = try GenericNetlink("nbd", version: 1).request(
        Command.reconfigure,
        [
          .word(Attribute.index, index), .text(Attribute.backend, Self.backend(record)), Self.sockets(connection),
        ], doing: "reconnect a block device")
    }
  }

  // MARK: - Connections

  private func open(_ server: RemoteAddress.Server, _ export: String) throws(StorageError) -> NBDConnection {
    try NBDHandshake.open(
      export, address: Tool.address(of: server.host).rawValue, port: server.port, server: server.description)
  }

  /// NBD_SOCK_ITEM 1, NBD_SOCK_FD 1: the kernel takes the connection over, and our own descriptor may go.
  private static func sockets(_ connection: borrowing NBDConnection) -> NetlinkAttribute {
    .nested(Attribute.sockets, [.nested(1, [.word(1, UInt32(bitPattern: connection.file.rawValue))])])
  }

  private static func number(_ bytes: [UInt8]) -> UInt32? {
    bytes.count == 4 ? bytes.reversed().reduce(0) { $0 << 8 | UInt32($1) } : nil
  }

  private func note(of record: RemoteRecord) -> String { "\(directory)/\(record.name)" }

  /// Keeps the port that a connection leaves from: it is found by that among the kernel's.
  private func remember(_ connection: borrowing NBDConnection, _ record: RemoteRecord) throws(StorageError) {
    let path = note(of: record)
    let directory = directory
    let file = connection.file.rawValue
    try storage("remember a connection") { () throws(SystemError) in
      let port = try InternetSocket.localPort(of: file)
      try Files.makeDirectories(directory)
      try Files.replace(path, with: Array("\(port)\n".utf8))
    }
  }

  /// Whether the kernel has a connection for the device that works, as far as it knows.
  private func isConnected(_ record: RemoteRecord, to server: Int) -> Bool {
    guard let port = Tool.text(note(of: record)).flatMap({ UInt16($0) }),
      let table = try? Files.readText("/proc/net/tcp")
    else { return false }
    return Self.isEstablished(port, to: server, in: table)
  }

  /// Whether a table of connections has one that leaves from `port` to a server's port and is established
  /// (proc_pid_net(5)).
  static func isEstablished(_ port: UInt16, to server: Int, in table: String) -> Bool {
    func number(_ address: Substring) -> Int? {
      address.lastIndex(of: ":").flatMap { Int(address[$0...].dropFirst(), radix: 16) }
    }
    return table.split(separator: "\n").contains { line in
      // sl  local_address rem_address   st …: `  0: 0100007F:2A39 0100007F:C7A8 01 …`
      let words = line.split(separator: " ")
      return words.count > 3 && words[3] == "01" && number(words[1]) == Int(port) && number(words[2]) == server
    }
  }

  private static func unexpected(_ address: RemoteAddress) -> StorageError {
    StorageError(.plan, "\(address) is no address of NBD's")
  }
}
