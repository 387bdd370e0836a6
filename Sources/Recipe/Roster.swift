internal import Identity
public import Manifest
internal import YAML

/// Which sticks there are to be and what each one is told of itself: what `roost provision --roster` reads.
///
/// ```yaml
/// ssh-keys: [ssh-ed25519 AAAA… teacher]     # of every stick
/// autostart: [debian]                       # of every stick that does not say otherwise
/// sticks:
///   - hostname: lab-01
///   - hostname: lab-02
///     device: /dev/disk/by-id/usb-SanDisk_Ultra_4C53-0:0
///     network: {subnet: 10.78.0.0/24}
///     ssh-keys: [ssh-ed25519 AAAA… pupil]
///     autostart: []
/// ```
public struct Roster: Sendable, Hashable {
  /// One stick.
  public struct Stick: Sendable, Hashable {
    /// Its host name, unique in the roster.
    public let hostname: String
    /// The device or file that it is written to; nil: the next one that the command line names.
    public let device: String?
    /// The guests' network; nil: the image's own.
    public let subnet: IPv4Subnet?
    /// Lines of authorized_keys, those of every stick first.
    public let sshKeys: [String]
    /// The domains that start by themselves; nil: as the image says.
    public let autostart: [String]?
  }

  /// The sticks in the roster's order; never empty.
  public let sticks: [Stick]

  /// Most sticks that a roster may have.
  public static let limit = 256

  /// Reads and validates the roster in a file for sticks of the image with `manifest`.
  ///
  /// Throws `RecipeError.unreadable`, or `.invalid` with all that is wrong, sorted by line.
  public static func load(_ path: String, for manifest: ApplianceManifest) throws(RecipeError) -> Roster {
    try parse(try YAMLText.load(path, what: "roster"), file: path, for: manifest)
  }

  /// Validates a roster's text. `file` is for messages.
  public static func parse(
    _ text: String, file: String, for manifest: ApplianceManifest
  ) throws(RecipeError) -> Roster {
    let yaml = YAMLText(text: text, file: file, what: "roster", example: "docs/provisioning.md")
    return try yaml.decode { (root, reader) throws(RecipeError) in
      var decoder = RosterDecoder(reader: reader, manifest: manifest)
      return try decoder.decode(root)
    }
  }
}

/// Turns the nodes of a roster into a `Roster`.
private struct RosterDecoder {
  var reader: NodeReader
  let manifest: ApplianceManifest
  private var hostnames: [String: Mark?] = [:]
  private var devices: [String: Mark?] = [:]

  init(reader: NodeReader, manifest: ApplianceManifest) {
    self.reader = reader
    self.manifest = manifest
  }

  mutating func decode(_ root: Node) throws(RecipeError) -> Roster {
    let sticks = sticks(root)
    guard reader.diagnostics.isEmpty else { throw .invalid(reader.diagnostics.sorted()) }
    return Roster(sticks: sticks)
  }

  private mutating func sticks(_ root: Node) -> [Roster.Stick] {
    guard let fields = reader.fields(root, "the roster", keys: ["sticks", "ssh-keys", "autostart"]) else { return [] }
    let keys = keys(fields)
    let autostart = autostart(fields)
    guard let field = fields.values["sticks"] else {
      reader.missing("sticks", in: fields)
      return []
    }
    guard case .sequence(let sequence) = field.value else {
      reader.report(
        field.value.mark,
        "'sticks' must be a list, each entry beginning with '- hostname: …', not \(NodeReader.describe(field.value))")
      return []
    }
    if sequence.isEmpty { reader.report(field.keyMark, "'sticks' is empty; there is nothing to provision") }
    if sequence.count > Roster.limit {
      reader.report(field.keyMark, "'sticks' has \(sequence.count) entries; \(Roster.limit) are the most")
      return []
    }
    return sequence.compactMap { stick($0, keys: keys, autostart: autostart) }
  }

  private mutating func stick(_ node: Node, keys common: [String], autostart fallback: [String]?) -> Roster.Stick? {
    let known = ["hostname", "device", "network", "ssh-keys", "autostart"]
    guard let fields = reader.fields(node, "a stick", keys: known) else { return nil }
    let hostname = reader.checked(fields, "hostname", required: true, Names.problem)
    if let hostname { unique(hostname, "host name", fields.mark(of: "hostname"), in: \.hostnames) }
    let device = reader.text(fields, "device")
    if let device { unique(device, "device", fields.mark(of: "device"), in: \.devices) }
    let subnet = network(fields)
    let own = keys(fields)
    let all = common + own.filter { !common.contains($0) }
    if all.count > ApplianceIdentity.listLimit {
      reader.report(
        fields.mark(of: "ssh-keys"), "the stick has \(all.count) keys; \(ApplianceIdentity.listLimit) are the most")
    }
    let autostart = fields.has("autostart") ? autostart(fields) : fallback
    guard let hostname else { return nil }
    return .init(hostname: hostname, device: device, subnet: subnet, sshKeys: all, autostart: autostart)
  }

  private mutating func unique(
    _ value: String, _ what: String, _ mark: Mark?, in known: WritableKeyPath<Self, [String: Mark?]>
  ) {
    if let first = self[keyPath: known][value] {
      let place = first.map { " in line \(reader.lines.line(of: $0))" } ?? ""
      reader.report(mark, "the \(what) '\(NodeReader.shown(value))' is that of another stick\(place)")
    } else {
      self[keyPath: known].updateValue(mark, forKey: value)
    }
  }

  private mutating func network(_ stick: NodeReader.Fields) -> IPv4Subnet? {
    guard let node = stick.values["network"]?.value else { return nil }
    guard let fields = reader.fields(node, "the network of a stick", keys: ["subnet"]) else { return nil }
    guard let subnet = reader.quantity(fields, "subnet", required: true, IPv4Subnet.parse) else { return nil }
    var manifest = manifest
    guard manifest.moveNetwork(to: subnet.gatewayDescription) else {
      reader.report(
        fields.mark(of: "subnet"),
        "the subnet \(subnet) has no addresses for all guests of the image; take a shorter prefix")
      return nil
    }
    return subnet
  }

  private mutating func keys(_ stick: NodeReader.Fields) -> [String] {
    list(stick, "ssh-keys", example: "[ssh-ed25519 AAAA… name]") { PublicKey.problem($0) }
  }

  private mutating func autostart(_ stick: NodeReader.Fields) -> [String]? {
    guard stick.has("autostart") else { return nil }
    let names = manifest.domains.map(\.name)
    return list(stick, "autostart", example: "[\(names.first ?? "debian")]") { name in
      if names.contains(name) { return nil }
      let nearest = Spelling.nearest(to: name, in: names).map { "; did you mean '\($0)'?" }
      return "is no domain of the image" + (nearest ?? "; it has \(names.joined(separator: ", "))")
    }
  }

  /// The key's value as a list of texts, each once, after `check`.
  private mutating func list(
    _ fields: NodeReader.Fields, _ key: String, example: String, _ check: (String) -> String?
  ) -> [String] {
    guard let field = fields.values[key] else { return [] }
    guard case .sequence(let sequence) = field.value else {
      reader.report(
        field.value.mark,
        "'\(key)' in \(fields.what) must be a list, such as \(example), not \(NodeReader.describe(field.value))")
      return []
    }
    var texts: [String] = []
    for node in sequence {
      guard let text = reader.scalar(node, "an entry of '\(key)' in \(fields.what)") else { continue }
      if let problem = check(text) {
        reader.report(node.mark, "'\(key)' in \(fields.what): '\(NodeReader.shown(text))' \(problem)")
      } else if texts.contains(text) {
        reader.report(node.mark, "'\(key)' in \(fields.what) has '\(NodeReader.shown(text))' twice")
      } else {
        texts.append(text)
      }
    }
    return texts
  }
}
