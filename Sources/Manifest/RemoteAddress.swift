/// Where a block device is that comes over the network, as users write it:
///
///     nbd://server[:10809][/EXPORT]
///     iscsi://server[:3260]/iqn.2026-11.org.example:disk[/LUN]
///     aoe://SHELF.SLOT[/INTERFACE]
///     drbd://PEER[:7788]/SIZE
///
/// All of its characters are ones that LVM takes in tags (lvm(8), "Valid names"), so that a group can remember it.
public enum RemoteAddress: Sendable, Hashable, CustomStringConvertible {
  /// An export of an NBD server; an empty name stands for the server's default one.
  case nbd(Server, export: String)
  /// A logical unit of an iSCSI target.
  case iscsi(Server, target: String, unit: Int)
  /// An AoE target; nil for any interface of the machine's.
  case aoe(shelf: Int, slot: Int, interface: String?)
  /// A volume that this machine and another keep alike.
  case drbd(peer: Server, bytes: Int)

  /// A machine and a TCP port of it.
  public struct Server: Sendable, Hashable {
    /// A host name or IPv4 address.
    public let host: String
    /// The port.
    public let port: Int

    /// A server; the parts were checked before.
    fileprivate init(host: String, port: Int) {
      self.host = host
      self.port = port
    }

    /// As addresses have it.
    public var description: String { "\(host):\(port)" }
  }

  /// How it is reached.
  public enum Scheme: String, Sendable, CaseIterable {
    /// Network Block Device, NBD's own protocol.
    case nbd
    /// SCSI over TCP (RFC 7143).
    case iscsi
    /// ATA over Ethernet.
    case aoe
    /// Distributed Replicated Block Device.
    case drbd

    /// What an address of it looks like.
    public var example: String {
      switch self {
      case .nbd: "nbd://server/export"
      case .iscsi: "iscsi://server/iqn.2026-11.org.example:disk/1"
      case .aoe: "aoe://1.0"
      case .drbd: "drbd://peer/4GiB"
      }
    }
  }

  /// Most bytes of an address: what is recorded with it must fit into one tag of LVM's.
  public static let limit = 512

  /// How it is reached.
  public var scheme: Scheme {
    switch self {
    case .nbd: .nbd
    case .iscsi: .iscsi
    case .aoe: .aoe
    case .drbd: .drbd
    }
  }

  /// The address in its one full form.
  public var description: String {
    switch self {
    case .nbd(let server, let export): "nbd://\(server.description)" + (export.isEmpty ? "" : "/\(export)")
    case .iscsi(let server, let target, let unit): "iscsi://\(server.description)/\(target)/\(unit)"
    case .aoe(let shelf, let slot, let interface): "aoe://\(shelf).\(slot)" + (interface.map { "/\($0)" } ?? "")
    case .drbd(let peer, let bytes): "drbd://\(peer.description)/\(bytes >> 20)MiB"
    }
  }

  /// The address that `text` is, or what is wrong with it.
  public static func parse(_ text: String) -> Result<RemoteAddress, QuantityError> {
    do throws(QuantityError) {
      return .success(try read(text))
    } catch {
      return .failure(error)
    }
  }

  // MARK: - Reading

  private static func read(_ text: String) throws(QuantityError) -> RemoteAddress {
    guard text.utf8.count <= limit else { throw QuantityError("an address has \(limit) characters at most") }
    if let bad = text.first(where: { !isAllowed($0) }) {
      throw QuantityError("an address may not have the character '\(Names.isPrintable(String(bad)) ? bad : "?")'")
    }
    guard let separator = text.firstRange(of: "://") else {
      throw QuantityError("'\(text)' is no address; write one as \(Scheme.nbd.example) or \(Scheme.iscsi.example)")
    }
    let word = String(text[..<separator.lowerBound])
    guard let scheme = Scheme(rawValue: word) else {
      let all = Scheme.allCases.map(\.rawValue)
      let advice = Spelling.nearest(to: word, in: all).map { "; did you mean \($0)?" } ?? ""
      throw QuantityError("'\(word)' is none of \(all.joined(separator: ", "))\(advice)")
    }
    let parts = text[separator.upperBound...].split(separator: "/", omittingEmptySubsequences: false).map(String.init)
    switch scheme {
    case .nbd:
      let server = try server(parts[0], defaultPort: 10809, scheme)
      let export = parts.dropFirst().joined(separator: "/")
      if parts.count > 1, export.isEmpty { throw problem("its export has no name", scheme) }
      return .nbd(server, export: export)
    case .iscsi: return try iscsi(parts)
    case .aoe: return try aoe(parts)
    case .drbd: return try drbd(parts)
    }
  }

  private static func iscsi(_ parts: [String]) throws(QuantityError) -> RemoteAddress {
    guard (2...3).contains(parts.count) else { throw problem("it needs a server and a target", .iscsi) }
    let server = try server(parts[0], defaultPort: 3260, .iscsi)
    let target = parts[1]
    // RFC 7143, section 4.2.7: 223 bytes at most, lower case.
    let isName = ["iqn.", "eui.", "naa."].contains { target.hasPrefix($0) && target.count > $0.count }
    guard isName, target.utf8.count <= 223, target == target.lowercased() else {
      throw problem("'\(target)' is not the name of a target (iqn.…, eui.… or naa.…, in lower case)", .iscsi)
    }
    // SAM's peripheral addresses are what targets of one level number their units by.
    let unit = try parts.count == 3 ? number(parts[2], in: 0...255, "logical unit", .iscsi) : 1
    return .iscsi(server, target: target, unit: unit)
  }

  private static func aoe(_ parts: [String]) throws(QuantityError) -> RemoteAddress {
    let numbers = parts[0].split(separator: ".", omittingEmptySubsequences: false).map(String.init)
    guard numbers.count == 2, parts.count <= 2 else { throw problem("it needs a shelf and a slot", .aoe) }
    // AoEr11, section 2: 0xFFFF and 0xFF stand for all of them.
    let shelf = try number(numbers[0], in: 0...65534, "shelf", .aoe)
    let slot = try number(numbers[1], in: 0...254, "slot", .aoe)
    guard parts.count == 2 else { return .aoe(shelf: shelf, slot: slot, interface: nil) }
    // linux/if.h: IFNAMSIZ is 16 with the NUL; aoe's list of interfaces has blanks and commas between them.
    guard (1...15).contains(parts[1].utf8.count), parts[1] != ".", parts[1] != "..", !parts[1].contains(":") else {
      throw problem("'\(parts[1])' is not the name of a network interface", .aoe)
    }
    return .aoe(shelf: shelf, slot: slot, interface: parts[1])
  }

  private static func drbd(_ parts: [String]) throws(QuantityError) -> RemoteAddress {
    guard parts.count == 2 else { throw problem("it needs the other machine and a size", .drbd) }
    let peer = try server(parts[0], defaultPort: 7788, .drbd)
    let bytes = try ByteSize.parse(parts[1]).get()
    guard Limits.disk.contains(bytes), bytes.isMultiple(of: Limits.diskGranule) else {
      throw problem(
        "its size must be a multiple of \(ByteSize.format(Limits.diskGranule)), from "
          + "\(ByteSize.format(Limits.disk.lowerBound)) to \(ByteSize.format(Limits.disk.upperBound))", .drbd)
    }
    return .drbd(peer: peer, bytes: bytes)
  }

  private static func server(
    _ text: String, defaultPort: Int, _ scheme: Scheme
  ) throws(QuantityError) -> Server {
    let parts = text.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
    guard parts.count <= 2 else { throw problem("'\(text)' is not HOST or HOST:PORT (IPv6 is not known here)", scheme) }
    let host = parts[0]
    guard isHost(host) else { throw problem("'\(host)' is not a host name or IPv4 address", scheme) }
    let port = try parts.count == 2 ? number(parts[1], in: 1...65535, "port", scheme) : defaultPort
    return Server(host: host, port: port)
  }

  /// An IPv4 address, or labels with dots between (RFC 1123, section 2.1).
  private static func isHost(_ text: String) -> Bool {
    if IPv4Address(text) != nil { return true }
    let labels = text.split(separator: ".", omittingEmptySubsequences: false).map(String.init)
    // What looks like an address and is none is not asked of name servers.
    guard text.utf8.count <= 253, labels.last?.allSatisfy(\.isNumber) == false else { return false }
    return labels.allSatisfy { Names.problem($0) == nil }
  }

  private static func number(
    _ text: String, in range: ClosedRange<Int>, _ what: String, _ scheme: Scheme
  ) throws(QuantityError) -> Int {
    guard (1...5).contains(text.utf8.count), text.allSatisfy({ $0.isASCII && $0.isNumber }), let value = Int(text),
      range.contains(value)
    else {
      throw problem(
        "its \(what) must be a number from \(range.lowerBound) to \(range.upperBound), not '\(text)'", scheme)
    }
    return value
  }

  private static func problem(_ text: String, _ scheme: Scheme) -> QuantityError {
    QuantityError("\(text); write it as \(scheme.example)")
  }

  private static func isAllowed(_ character: Character) -> Bool {
    character.isASCII && (character.isLetter || character.isNumber || "_+.-/=:".contains(character))
  }
}

/// What a device that comes over the network is there for.
public enum RemoteUse: String, Codable, Sendable, Hashable, CaseIterable {
  /// A disk that a guest may have.
  case disk
  /// More room for all that guests write: a physical volume of their group.
  case room
}

/// A device that comes over the network, as a recipe or a user asks for it.
public struct RemoteRequest: Sendable, Hashable {
  /// What it is called: a name as disks have.
  public var name: String
  /// Where it is.
  public var address: RemoteAddress
  /// What it is there for.
  public var use: RemoteUse
  /// The domain that has it from the start; disks only.
  public var attach: String?

  /// A request.
  public init(name: String, address: RemoteAddress, use: RemoteUse = .disk, attach: String? = nil) {
    self.name = name
    self.address = address
    self.use = use
    self.attach = attach
  }

  /// What makes no sense about it, in words; nil when nothing does.
  public var problem: String? {
    if let problem = Names.diskProblem(name) { return "the name '\(name)' \(problem)" }
    guard use == .room else { return nil }
    if attach != nil { return "'\(name)' is room for all guests and cannot be attached to one" }
    if address.scheme == .drbd {
      return "'\(name)' is a replicated volume, which takes the guests' room itself: it can only be a disk"
    }
    return nil
  }
}

extension ApplianceManifest {
  /// A device that comes over the network.
  public struct Remote: Codable, Sendable, Hashable {
    /// What it is called.
    public var name: String
    /// Where it is (`RemoteAddress`).
    public var address: String
    /// What it is there for.
    public var use: RemoteUse
    /// The domain that has it from the start, if one does.
    public var attach: String?

    /// What a recipe asks for.
    public init(_ request: RemoteRequest) {
      name = request.name
      address = request.address.description
      use = request.use
      attach = request.attach
    }

    /// The request again; nil where it is none that can be carried out.
    public var request: RemoteRequest? {
      guard case .success(let address) = RemoteAddress.parse(address) else { return nil }
      let request = RemoteRequest(name: name, address: address, use: use, attach: attach)
      return request.problem == nil ? request : nil
    }
  }
}
