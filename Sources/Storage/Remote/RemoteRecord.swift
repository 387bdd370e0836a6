public import Manifest

/// A device that comes over the network, as storage knows it.
public struct RemoteRecord: RemoteDescription, Codable, Hashable, Sendable {
  /// What it is called.
  public var name: String
  /// Where it is (`RemoteAddress`).
  public var address: String
  /// What it is there for.
  public var use: RemoteUse
  /// The recipe asks for it; else somebody connected it by hand.
  public var isInRecipe: Bool
  /// The domain that has it, if one does.
  public var attachedTo: String?
  /// Its block device; nil while it is not connected.
  public var device: String?
  /// Its size in bytes, as long as it is connected.
  public var bytes: Int?
  /// LVM's identifier of the physical volume that it is; of room only.
  public var volume: String?
  /// Of a replicated volume: whether this machine may write to it.
  public var isPrimary: Bool?
  /// Why it is not connected, or what else is wrong with it.
  public var problem: String?

  /// A record of what is asked for.
  init(_ request: RemoteRequest, isInRecipe: Bool) {
    name = request.name
    address = request.address.description
    use = request.use
    self.isInRecipe = isInRecipe
    attachedTo = request.attach
  }

  /// What it is there for, as its word.
  public var purpose: String { use.rawValue }

  /// The address as a value; nil where it is none, as something else may have written it.
  var place: RemoteAddress? { try? RemoteAddress.parse(address).get() }
}

/// What a group's tags tell of devices that come over the network.
///
///     roost.remote.NAME=USE:ADDRESS   connected by hand
///     roost.room.NAME=IDENTIFIER      the physical volume that it is
///     roost.attached.NAME=DOMAIN      the domain that has it; a hyphen for none, whatever the recipe says
struct RemoteTags: Hashable, Sendable {
  /// What was connected by hand, in the order of the names.
  private(set) var requests: [RemoteRequest] = []
  /// Names of what is room, by LVM's identifiers.
  private(set) var rooms: [String: String] = [:]
  /// Who has what: names of domains by the remotes'; nil values for nobody.
  private(set) var attachments: [String: String?] = [:]

  private static let remote = "roost.remote."
  private static let room = "roost.room."
  private static let attachment = "roost.attached."

  /// Reads tags; others than these are passed over.
  init(_ tags: [String]) {
    for tag in tags.sorted() {
      if let (name, value) = Self.parts(tag, Self.remote) {
        let words = value.split(separator: ":", maxSplits: 1).map(String.init)
        guard words.count == 2, let use = RemoteUse(rawValue: words[0]),
          case .success(let address) = RemoteAddress.parse(words[1])
        else { continue }
        let request = RemoteRequest(name: name, address: address, use: use)
        if request.problem == nil { requests.append(request) }
      } else if let (name, value) = Self.parts(tag, Self.room) {
        rooms[value] = name
      } else if let (name, value) = Self.parts(tag, Self.attachment) {
        attachments.updateValue(value == "-" ? nil : value, forKey: name)
      }
    }
  }

  private static func parts(_ tag: String, _ beginning: String) -> (name: String, value: String)? {
    guard tag.hasPrefix(beginning), let equals = tag.firstIndex(of: "=") else { return nil }
    let name = String(tag[..<equals].dropFirst(beginning.count))
    let value = String(tag[equals...].dropFirst())
    return name.isEmpty || value.isEmpty ? nil : (name, value)
  }

  /// The tag that remembers what was connected by hand.
  static func tag(_ request: RemoteRequest) -> String {
    "\(remote)\(request.name)=\(request.use.rawValue):\(request.address)"
  }

  /// The tag that remembers which physical volume a remote is.
  static func tag(room name: String, is identifier: String) -> String { "\(room)\(name)=\(identifier)" }

  /// The tag that remembers which domain has a remote.
  static func tag(_ name: String, attachedTo domain: String?) -> String { "\(attachment)\(name)=\(domain ?? "-")" }

  /// All of these tags that are about `name`.
  static func all(of name: String, in tags: [String]) -> [String] {
    tags.filter { tag in [remote, room, attachment].contains { tag.hasPrefix("\($0)\(name)=") } }
  }

  /// The tags about `name` that say who has it.
  static func attachments(of name: String, in tags: [String]) -> [String] {
    tags.filter { $0.hasPrefix("\(attachment)\(name)=") }
  }

  /// What a recipe asks for and what was connected by hand, in the order of the names. The recipe's goes before another
  /// of the same name.
  func records(with recipe: [RemoteRequest]) -> [RemoteRecord] {
    var records = recipe.map { RemoteRecord($0, isInRecipe: true) }
    for request in requests where !records.contains(where: { $0.name == request.name }) {
      records.append(RemoteRecord(request, isInRecipe: false))
    }
    for index in records.indices {
      let name = records[index].name
      if let attachment = attachments[name], records[index].use == .disk { records[index].attachedTo = attachment }
      if records[index].use == .room { records[index].volume = rooms.first { $0.value == name }?.key }
    }
    return records.sorted { $0.name < $1.name }
  }
}

extension Disk {
  /// A remote as guests' disks are shown. One that is not connected has no device and no size.
  init(_ record: RemoteRecord) {
    self.init(
      name: record.name, device: record.device ?? "", bytes: record.bytes ?? 0, usedPercent: 100, kind: .remote,
      origin: nil, attachedTo: record.attachedTo,
      isOpen: record.device.map { DeviceUse.isOpen($0) } ?? false)
    isAbsent = record.device == nil ? true : nil
    isSecondary = record.isPrimary == false ? true : nil
  }
}
