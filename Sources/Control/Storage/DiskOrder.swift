internal import Binary
internal import Manifest

/// A request about disks whose words are in order: names are names, and sizes are sizes that LVM has.
enum DiskOrder: Hashable, Sendable {
  case list
  case create(String, bytes: Int)
  case resize(String, bytes: Int)
  case snapshot(String, as: String)
  case rollback(String, to: String)
  case clone(String, as: String)
  case attach(String, domain: String)
  case detach(String)
  case destroy(String)
  case connect(String, to: String, use: RemoteUse, wipe: Bool)
  case disconnect(String)
  case promote(String, force: Bool)
  case demote(String)
  /// A domain that is made on the fly, and its disk.
  case define(String, definition: String, disk: DomainDesign.Disk?)
  case undefine(String)

  /// Reads a request; throws what is wrong with it. Whether there are such disks is not looked at.
  init(_ request: ControlRequest) throws(ControlError) {
    func disk() throws(ControlError) -> String { try Self.name(request.disk, "disk", of: request) }
    switch request.op {
    case .diskCreate: self = .create(try disk(), bytes: try Self.size(request))
    case .diskResize: self = .resize(try disk(), bytes: try Self.size(request))
    case .diskSnapshot: self = .snapshot(try disk(), as: try Self.name(request.snapshot, "snapshot", of: request))
    case .diskRollback: self = .rollback(try disk(), to: try Self.name(request.snapshot, "snapshot", of: request))
    case .diskClone: self = .clone(try disk(), as: try Self.name(request.clone, "clone", of: request))
    case .diskAttach: self = .attach(try disk(), domain: request.domain ?? "")
    case .diskDetach: self = .detach(try disk())
    case .diskDestroy: self = .destroy(try disk())
    case .remoteConnect:
      self = .connect(
        try disk(), to: try Self.address(request), use: try Self.use(request), wipe: request.force ?? false)
    case .remoteDisconnect: self = .disconnect(try disk())
    case .remotePromote: self = .promote(try disk(), force: request.force ?? false)
    case .remoteDemote: self = .demote(try disk())
    default: self = .list
    }
  }

  private static func name(
    _ text: String?, _ field: String, of request: ControlRequest
  ) throws(ControlError) -> String {
    guard let text else {
      throw ControlError(.malformedRequest, "the operation \(request.op.rawValue) needs a \"\(field)\"")
    }
    if let problem = Names.diskProblem(text) {
      throw ControlError(.malformedRequest, "the name \(Text.quoted(text)) \(problem)")
    }
    return text
  }

  private static func size(_ request: ControlRequest) throws(ControlError) -> Int {
    guard let bytes = request.bytes else {
      throw ControlError(.malformedRequest, "the operation \(request.op.rawValue) needs \"bytes\"")
    }
    guard Limits.disk.contains(bytes), bytes.isMultiple(of: Limits.diskGranule) else {
      throw ControlError(
        .malformedRequest,
        "the size of a disk is a multiple of \(Limits.diskGranule >> 20) MiB, from \(Text.size(Limits.disk.lowerBound)) "
          + "to \(Limits.disk.upperBound >> 40) TiB, and not \(bytes) bytes")
    }
    return bytes
  }

  private static func address(_ request: ControlRequest) throws(ControlError) -> String {
    guard let text = request.address else {
      throw ControlError(.malformedRequest, "the operation \(request.op.rawValue) needs an \"address\"")
    }
    switch RemoteAddress.parse(text) {
    case .success(let address): return address.description
    case .failure(let problem): throw ControlError(.malformedRequest, Text.printable("\(problem)"))
    }
  }

  private static func use(_ request: ControlRequest) throws(ControlError) -> RemoteUse {
    guard let text = request.use else { return .disk }
    if let use = RemoteUse(rawValue: text) { return use }
    let all = RemoteUse.allCases.map(\.rawValue).joined(separator: " and ")
    throw ControlError(.malformedRequest, "there is no use \(Text.quoted(text)) of a remote; there are \(all)")
  }

  /// The disk that it is about.
  var disk: String? {
    switch self {
    case .list: nil
    case .create(let name, _), .resize(let name, _), .snapshot(let name, _), .rollback(let name, _),
      .clone(let name, _), .attach(let name, _), .detach(let name), .destroy(let name), .connect(let name, _, _, _),
      .disconnect(let name), .promote(let name, _), .demote(let name), .define(let name, _, _), .undefine(let name):
      name
    }
  }

  /// What `roost-storage` is told.
  var arguments: [String] {
    let words =
      switch self {
      case .list: ["list"]
      case .create(let name, let bytes): ["create", name, "--size", "\(bytes >> 20)MiB"]
      case .resize(let name, let bytes): ["resize", name, "--size", "\(bytes >> 20)MiB"]
      case .snapshot(let name, let snapshot): ["snapshot", name, snapshot]
      case .rollback(let name, let snapshot): ["rollback", name, snapshot]
      case .clone(let name, let copy): ["clone", name, copy]
      case .attach(let name, let domain): ["attach", name, domain]
      case .detach(let name): ["detach", name]
      case .destroy(let name): ["destroy", name]
      case .connect(let name, let address, let use, let wipe):
        ["connect", name, address, "--use", use.rawValue] + (wipe ? ["--wipe"] : [])
      case .disconnect(let name): ["disconnect", name]
      case .promote(let name, let force): ["promote", name] + (force ? ["--force"] : [])
      case .demote(let name): ["demote", name]
      case .define(let name, let definition, let disk):
        ["define", name, "--definition", definition] + Self.arguments(of: disk)
      case .undefine(let name): ["undefine", name]
      }
    return (isAboutRemotes ? [] : [isAboutDomains ? "domain" : "disk"]) + words + ["--json"]
  }

  private static func arguments(of disk: DomainDesign.Disk?) -> [String] {
    let size = { (bytes: Int?) in bytes.map { ["--size", "\($0 >> 20)MiB"] } ?? [] }
    return switch disk {
    case .empty(let bytes)?: size(bytes)
    case .image(let volume, let bytes)?: ["--image", volume] + size(bytes)
    case .clone(let origin, let bytes)?: ["--clone", origin] + size(bytes)
    case .file(let path, let bytes)?: ["--file", path] + size(bytes)
    case nil: []
    }
  }

  /// As the user would type it, for messages.
  var words: String {
    switch self {
    case .define(let name, _, _): return "roost create \(name)"
    case .undefine(let name): return "roost remove \(name)"
    default: break
    }
    return (["roost"] + (isAboutRemotes ? ["storage"] : []) + arguments.dropLast()).joined(separator: " ")
  }

  /// True for what is done to devices that come over the network as such.
  private var isAboutRemotes: Bool {
    switch self {
    case .connect, .disconnect, .promote, .demote: true
    default: false
    }
  }

  /// True for what makes and removes domains.
  private var isAboutDomains: Bool {
    switch self {
    case .define, .undefine: true
    default: false
    }
  }

  /// True where a file of any size is copied.
  var isLong: Bool {
    if case .define(_, _, .file?) = self { true } else { false }
  }

  /// True where a domain that the disk belongs to must not start in the middle of it.
  var holdsDomains: Bool {
    switch self {
    case .resize, .rollback, .attach, .detach, .destroy, .disconnect, .demote, .undefine: true
    case .list, .create, .snapshot, .clone, .connect, .promote, .define: false
    }
  }
}

extension DiskStatus {
  /// What the monitor calls a disk that a domain has beside its own: its name, or, as there is room for 20 bytes
  /// (virtio 1.2, 5.2.6), what is left of it with a checksum of the whole.
  static func identifier(of name: String) -> String {
    guard name.utf8.count > 20 else { return name }
    return "\(name.prefix(11))-\(String(CRC32.checksum(Array(name.utf8)), radix: 16))"
  }

  /// How a monitor is told to take this disk: its device and identifier, without the bus. A snapshot is what it is:
  /// nobody writes to it.
  var monitorWords: String { monitorWords(at: device) }

  /// The same, where its device is called `path`.
  func monitorWords(at path: String) -> String {
    "\(path),id=\(Self.identifier(of: name))\(isReadOnly ? ",ro" : "")"
  }

  /// Whether domains may only read it.
  var isReadOnly: Bool { kind == .snapshot }
}
