/// What tells one stick from all others that were written from the same image.
///
/// A value that was read by `decode` was validated: names are host names, keys are keys, and lists are short.
public struct ApplianceIdentity: Hashable, Sendable {
  /// Version of the format.
  public static let version = 1
  /// Where the init leaves it as JSON for the other programs of the appliance.
  public static let path = "/run/roost/identity.json"
  /// Where the init leaves, instead, why one that is there cannot be used.
  public static let problemPath = "/run/roost/identity.problem"
  /// Most keys, and most domains, that there may be.
  public static let listLimit = 64
  /// Longest JSON that is read, in bytes.
  public static let lengthLimit = 768 << 10

  /// The appliance's host name; nil for the image's own.
  public var hostname: String?
  /// The control domain's address on the guests' network with the prefix length, such as `10.78.0.1/24`; nil for the
  /// image's own.
  public var address: String?
  /// Who may log in to the control domain as root: lines of authorized_keys.
  public var sshKeys: [String]
  /// The domains that start with the appliance; nil: as the image says.
  public var autostart: [String]?

  /// All fields.
  public init(hostname: String? = nil, address: String? = nil, sshKeys: [String] = [], autostart: [String]? = nil) {
    self.hostname = hostname
    self.address = address
    self.sshKeys = sshKeys
    self.autostart = autostart
  }

  /// What is wrong with it, in words; nil when nothing is.
  public var problem: String? {
    if let hostname, let problem = HostName.problem(hostname) { return "its host name \(problem)" }
    if let address {
      // The network's own code says more; this keeps everything else out.
      let isAddress = address.utf8.allSatisfy { (0x30...0x39).contains($0) || $0 == 0x2E || $0 == 0x2F }
      guard isAddress, (9...18).contains(address.utf8.count) else { return "its network address is none" }
    }
    if sshKeys.count > Self.listLimit { return "it has \(sshKeys.count) SSH keys" }
    for key in sshKeys {
      if let problem = PublicKey.problem(key) { return "an SSH key \(problem)" }
    }
    if let autostart {
      if autostart.count > Self.listLimit { return "it names \(autostart.count) domains" }
      for name in autostart {
        if let problem = HostName.problem(name) { return "the name of a domain \(problem)" }
      }
    }
    return nil
  }

  /// The identity as JSON, one line, keys sorted: equal identities give equal bytes.
  public var json: [UInt8] {
    var members: [String: JSONValue] = ["version": .number(Self.version), "sshKeys": .list(sshKeys.map { .text($0) })]
    if let hostname { members["hostname"] = .text(hostname) }
    if let address { members["network"] = .object(["address": .text(address)]) }
    if let autostart { members["autostart"] = .list(autostart.map { .text($0) }) }
    return Array("\(JSONValue.object(members).encoded)\n".utf8)
  }

  /// Reads JSON of this version.
  public init(json: some Collection<UInt8>) throws(IdentityError) {
    guard json.count <= Self.lengthLimit else { throw IdentityError("it is longer than \(Self.lengthLimit) bytes") }
    guard case .object(let members) = try JSONValue(json) else { throw IdentityError("its JSON is no object") }
    guard members["version"] == .number(Self.version) else {
      throw IdentityError("it is not of version \(Self.version): another Roost wrote it")
    }
    self.init()
    for (name, value) in members {
      switch (name, value) {
      case ("version", _): break
      case ("hostname", .text(let text)): hostname = text
      case ("network", .object(let network)):
        guard network.count == 1, case .text(let text)? = network["address"] else {
          throw IdentityError("its network has something else than an address")
        }
        address = text
      case ("sshKeys", .list(let values)): sshKeys = try Self.texts(values, in: name)
      case ("autostart", .list(let values)): autostart = try Self.texts(values, in: name)
      default: throw IdentityError("its key '\(name.prefix(40))' is unknown or has a value of another kind")
      }
    }
    if let problem { throw IdentityError(problem) }
  }

  private static func texts(_ values: [JSONValue], in name: String) throws(IdentityError) -> [String] {
    var texts: [String] = []
    for value in values {
      guard case .text(let text) = value else { throw IdentityError("its list '\(name)' has something else than text") }
      texts.append(text)
    }
    return texts
  }
}

/// Why there is no identity.
public struct IdentityError: Error, Hashable, Sendable, CustomStringConvertible {
  /// What is wrong with the document, beginning with a word for it.
  public let description: String

  init(_ description: String) {
    self.description = description
  }
}
