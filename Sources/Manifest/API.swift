/// What a client of the HTTP interface may do; each may what those before it may.
public enum Role: String, Codable, Sendable, Hashable, CaseIterable, Comparable {
  /// Look at everything.
  case viewer
  /// Start and stop domains, and give them disks.
  case `operator`
  /// All, be it that something is lost or that the appliance ends.
  case admin

  /// Whether `left` may less than `right`.
  public static func < (left: Role, right: Role) -> Bool { left.rank < right.rank }

  private var rank: Int {
    switch self {
    case .viewer: 0
    case .operator: 1
    case .admin: 2
    }
  }
}

/// The user that serves the HTTP interface, and its group. The number is the same in every image: what one program makes
/// for the other is theirs without a look into /etc/passwd.
public enum GatewayAccount {
  /// Its name.
  public static let name = "roost-gateway"
  /// Its number; Debian gives those below 100 and from 100 on upwards to its own (Debian Policy section 9.2.2).
  public static let id: UInt32 = 970
}

/// A TCP port at an IPv4 address, such as `0.0.0.0:8443`.
public struct ListenAddress: Sendable, Hashable, CustomStringConvertible {
  /// Where it is; `0.0.0.0` stands for all addresses of the machine.
  public let address: IPv4Address
  /// The TCP port.
  public let port: UInt16

  /// Parses an address and a port with a colon between, or says what is wrong.
  public static func parse(_ text: String) -> Result<ListenAddress, QuantityError> {
    let parts = text.split(separator: ":", omittingEmptySubsequences: false)
    guard parts.count == 2, let address = IPv4Address(String(parts[0])), let port = UInt16(parts[1]), port > 0 else {
      return .failure(.init("'\(text)' is not an IPv4 address with a port; write one as 0.0.0.0:8443"))
    }
    return .success(ListenAddress(address: address, port: port))
  }

  /// As recipes have it.
  public var description: String { "\(address):\(port)" }
}

extension ApplianceManifest {
  /// The HTTP interface.
  public struct API: Codable, Sendable, Hashable {
    /// Where it listens for TLS connections, as a `ListenAddress`; nothing stands for the unix socket only.
    public var listen: String?
    /// The file on the medium with the certificate and what is between it and its root, as PEM; nothing stands for one
    /// that the appliance makes.
    public var certificate: String?
    /// The file on the medium with the certificate's key, as PEM.
    public var key: String?
    /// Who may use it over TLS.
    public var tokens: [Token]

    /// Where the recipe's certificate lies on the medium.
    public static let certificatePath = "/roost/api/certificate.pem"
    /// Where its key does.
    public static let keyPath = "/roost/api/key.pem"

    /// All fields.
    public init(listen: String? = nil, certificate: String? = nil, key: String? = nil, tokens: [Token] = []) {
      self.listen = listen
      self.certificate = certificate
      self.key = key
      self.tokens = tokens
    }

    /// Where it listens for TLS connections, if it does.
    public var address: ListenAddress? { listen.flatMap { try? ListenAddress.parse($0).get() } }

    /// What no appliance could serve, in words; nil when all is right.
    var problem: String? {
      if let listen, address == nil { return "cannot listen at '\(listen)'" }
      if (certificate == nil) != (key == nil) { return "has a certificate without a key, or a key without one" }
      return nil
    }
  }

  /// Who may use the HTTP interface.
  public struct Token: Codable, Sendable, Hashable {
    /// Who it is given to, for logs.
    public var name: String
    /// What its owner may do.
    public var role: Role
    /// SHA-256 of the secret, in hexadecimal.
    public var sha256: String

    /// All fields.
    public init(name: String, role: Role, sha256: String) {
      self.name = name
      self.role = role
      self.sha256 = sha256
    }
  }
}
