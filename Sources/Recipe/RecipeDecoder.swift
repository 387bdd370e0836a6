internal import Manifest
internal import Yams

/// Turns the nodes of a recipe into a `Recipe`.
struct RecipeDecoder {
  var reader: NodeReader
  let directory: String

  mutating func decode(_ root: Node) throws(RecipeError) -> Recipe {
    let recipe = recipe(root)
    guard reader.diagnostics.isEmpty, let recipe else {
      throw .invalid(reader.diagnostics.sorted())
    }
    return recipe
  }

  private mutating func recipe(_ root: Node) -> Recipe? {
    guard
      let fields = reader.fields(
        root, "the recipe", keys: ["name", "control-domain", "storage", "network", "domains"])
    else { return nil }
    let name = reader.checked(fields, "name", required: true, Names.problem)
    let controlDomain = controlDomain(fields)
    let ram = storage(fields)
    let subnet = network(fields)
    let domains = domains(fields)
    if let subnet, domains.count(where: \.hasNetwork) > subnet.guestCapacity {
      reader.report(
        fields.mark(of: "network"),
        "the subnet \(subnet) has addresses for \(subnet.guestCapacity) domains; take a shorter prefix")
    }
    guard let name, let controlDomain, let ram, let subnet, !domains.isEmpty else { return nil }
    return Recipe(
      name: name, controlDomain: controlDomain, storage: .init(ramBytes: ram), network: .init(subnet: subnet),
      domains: domains, directory: directory)
  }

  private mutating func controlDomain(_ recipe: NodeReader.Fields) -> Recipe.ControlDomain? {
    guard let node = recipe.values["control-domain"]?.value else {
      reader.missing("control-domain", in: recipe)
      return nil
    }
    guard let fields = reader.fields(node, "the control domain", keys: ["suite", "hostname", "packages"]) else {
      return nil
    }
    let suite = reader.checked(fields, "suite", required: true, Names.problem)
    let hostname = reader.checked(fields, "hostname", Names.problem)
    let packages = reader.packages(fields, "packages")
    guard let suite else { return nil }
    return .init(suite: suite, hostname: hostname ?? "roost", packages: packages)
  }

  private mutating func storage(_ recipe: NodeReader.Fields) -> Int? {
    let fallback = 1 << 30
    guard let node = recipe.values["storage"]?.value else { return fallback }
    guard let fields = reader.fields(node, "the storage", keys: ["ram"]) else { return nil }
    guard fields.has("ram") else { return fallback }
    return reader.size(fields, "ram", in: Limits.ramVolume, granule: Limits.diskGranule)
  }

  private mutating func network(_ recipe: NodeReader.Fields) -> IPv4Subnet? {
    let fallback = IPv4Subnet(base: IPv4Address(rawValue: 0x0A4D_0000), prefixLength: 24)
    guard let node = recipe.values["network"]?.value else { return fallback }
    guard let fields = reader.fields(node, "the network", keys: ["subnet"]) else { return nil }
    guard fields.has("subnet") else { return fallback }
    return reader.quantity(fields, "subnet", IPv4Subnet.parse)
  }

  private mutating func domains(_ recipe: NodeReader.Fields) -> [Recipe.Domain] {
    guard let field = recipe.values["domains"] else {
      reader.missing("domains", in: recipe)
      return []
    }
    guard case .sequence(let sequence) = field.value else {
      reader.report(
        field.value.mark,
        "'domains' must be a list, each entry beginning with '- name: …', not \(NodeReader.describe(field.value))")
      return []
    }
    if sequence.isEmpty { reader.report(field.keyMark, "'domains' is empty; an appliance needs at least one domain") }
    if sequence.count > Limits.domains {
      reader.report(field.keyMark, "'domains' has \(sequence.count) entries; \(Limits.domains) are the most")
      return []
    }
    var first: [String: Mark?] = [:]
    var domains: [Recipe.Domain] = []
    for node in sequence {
      guard let fields = reader.fields(node, "a domain", keys: Self.domainKeys) else { continue }
      let name = reader.checked(fields, "name", required: true, Names.domainProblem)
      if let name {
        let mark = fields.mark(of: "name")
        if let earlier = first[name] {
          let place = earlier.map { "\($0.line):\($0.column)" } ?? "?"
          reader.report(mark, "two domains are named '\(name)'; the first is at \(reader.file):\(place)")
        } else {
          first[name] = mark
        }
      }
      if let domain = domain(fields, name: name) { domains.append(domain) }
    }
    return domains
  }

  private static let domainKeys = [
    "name", "os", "cpus", "memory", "disk", "network", "boot", "source", "autostart", "ready", "on-reboot", "on-crash",
  ]

  private mutating func domain(_ fields: NodeReader.Fields, name: String?) -> Recipe.Domain? {
    let os = reader.checked(fields, "os") { $0.isEmpty || $0.count > 40 ? "must have 1 to 40 characters" : nil }
    let cpus = reader.number(fields, "cpus", in: Limits.cpus, default: 1)
    let memory = reader.size(
      fields, "memory", in: Limits.memory, granule: Limits.memoryGranule, required: true)
    let disk = reader.size(fields, "disk", in: Limits.disk, granule: Limits.diskGranule)
    let hasNetwork = reader.flag(fields, "network", default: false)
    let source = source(fields, name: name)
    var natural = BootMethod.linux
    if case .hatchling? = source { natural = .pvh }
    let boot = reader.choice(fields, "boot", BootMethod.self, default: natural)
    let autostart = reader.flag(fields, "autostart", default: true)
    let ready = readiness(fields, source: source)
    let onReboot = reader.choice(fields, "on-reboot", LifecycleAction.self, default: .restart)
    let onCrash = reader.choice(fields, "on-crash", LifecycleAction.self, default: .preserve)
    guard let source else { return nil }
    check(fields, source: source, boot: boot, hasNetwork: hasNetwork)
    guard let name, let memory, let ready else { return nil }
    return Recipe.Domain(
      name: name, os: os ?? Self.operatingSystem(of: source), cpus: cpus, memoryBytes: memory, diskBytes: disk,
      hasNetwork: hasNetwork, boot: boot, source: source, autostart: autostart, ready: ready, onReboot: onReboot,
      onCrash: onCrash)
  }

  /// What must be there together, or must not.
  private mutating func check(
    _ fields: NodeReader.Fields, source: Recipe.DomainSource, boot: BootMethod, hasNetwork: Bool
  ) {
    switch source {
    case .debian:
      if !fields.has("disk") { reader.missing("disk", in: fields) }
      if boot != .linux { reader.report(fields.mark(of: "boot"), "a Debian domain boots with 'boot: linux'") }
    case .hatchling:
      if boot != .pvh { reader.report(fields.mark(of: "boot"), "hatchling boots with 'boot: pvh'") }
      if fields.has("disk") { reader.report(fields.mark(of: "disk"), "hatchling has no use for a disk; leave it out") }
      if hasNetwork {
        reader.report(fields.mark(of: "network"), "hatchling has no use for a network card; leave it out")
      }
    case .files(_, _, _, let root):
      if root != nil, !fields.has("disk") { reader.missing("disk", in: fields) }
      if root == nil, fields.has("disk") {
        reader.report(fields.mark(of: "disk"), "a disk needs an image: add 'root: FILE' to the domain's source")
      }
    }
  }

  private mutating func source(_ domain: NodeReader.Fields, name: String?) -> Recipe.DomainSource? {
    guard let node = domain.values["source"]?.value else {
      reader.missing("source", in: domain)
      return nil
    }
    let fileKeys = ["kernel", "initrd", "command-line", "root"]
    guard let fields = reader.fields(node, "a domain's source", keys: ["debian", "hatchling"] + fileKeys) else {
      return nil
    }
    let kinds = ["debian", "hatchling", "kernel"].filter(fields.has)
    guard kinds.count == 1, let kind = kinds.first else {
      reader.report(
        node.mark, "a domain's source must have exactly one of the keys 'debian', 'hatchling' and 'kernel'")
      return nil
    }
    guard kind == "kernel" else {
      for key in fileKeys where fields.has(key) {
        reader.report(fields.values[key]?.keyMark, "'\(key)' belongs to a source with 'kernel', not to '\(kind)'")
      }
      return kind == "debian" ? debian(fields, name: name) : hatchling(fields)
    }
    let kernel = reader.checked(fields, "kernel", Self.pathProblem)
    let initrd = reader.checked(fields, "initrd", Self.pathProblem)
    let root = reader.checked(fields, "root", Self.pathProblem)
    var commandLine: String? = ""
    if let node = fields.values["command-line"]?.value, NodeReader.describe(node) != "nothing" {
      commandLine = reader.checked(fields, "command-line") {
        $0.utf8.count > Limits.commandLine || !$0.allSatisfy(\.isASCII)
          ? "must have at most \(Limits.commandLine) ASCII characters" : nil
      }
    }
    guard let kernel, let commandLine else { return nil }
    return .files(kernel: kernel, initrd: initrd, commandLine: commandLine, root: root)
  }

  private mutating func debian(_ source: NodeReader.Fields, name: String?) -> Recipe.DomainSource? {
    guard let node = source.values["debian"]?.value,
      let fields = reader.fields(node, "a Debian source", keys: ["suite", "packages", "hostname"])
    else { return nil }
    let suite = reader.checked(fields, "suite", required: true, Names.problem)
    let packages = reader.packages(fields, "packages")
    let hostname = reader.checked(fields, "hostname", Names.problem)
    guard let suite else { return nil }
    return .debian(suite: suite, packages: packages, hostname: hostname ?? name ?? "debian")
  }

  private mutating func hatchling(_ source: NodeReader.Fields) -> Recipe.DomainSource? {
    guard let node = source.values["hatchling"]?.value else { return nil }
    if case .mapping(let mapping) = node, mapping.isEmpty { return .hatchling }
    reader.report(node.mark, "'hatchling' has no settings; write it as 'hatchling: {}'")
    return nil
  }

  private mutating func readiness(
    _ domain: NodeReader.Fields, source: Recipe.DomainSource?
  ) -> Recipe.Readiness? {
    var natural: String?
    switch source {
    case .debian(_, _, let hostname)?: natural = "\(hostname) login:"
    case .hatchling?: natural = "hatchling> "
    default: break
    }
    guard let node = domain.values["ready"]?.value else {
      if natural == nil, source != nil { reader.missing("ready", in: domain) }
      return natural.map { .init(consoleText: $0, timeoutSeconds: 300) }
    }
    guard let fields = reader.fields(node, "a domain's 'ready'", keys: ["console", "timeout"]) else { return nil }
    var timeout: Int? = 300
    if fields.has("timeout") {
      timeout = reader.quantity(fields, "timeout", TimeLength.parse)
      if let seconds = timeout, !Limits.readySeconds.contains(seconds) {
        reader.report(fields.mark(of: "timeout"), "'timeout' in a domain's 'ready' must be 1 s to 1440 min")
        timeout = nil
      }
    }
    let text = reader.checked(fields, "console", required: natural == nil) {
      $0.isEmpty || $0.utf8.count > 200 ? "must have 1 to 200 bytes" : nil
    }
    guard let timeout, let text = text ?? (fields.has("console") ? nil : natural) else { return nil }
    return .init(consoleText: text, timeoutSeconds: timeout)
  }

  private static func pathProblem(_ path: String) -> String? {
    path.isEmpty ? "is not a file's path" : nil
  }

  private static func operatingSystem(of source: Recipe.DomainSource) -> String {
    switch source {
    case .debian("bookworm", _, _): "Debian 12"
    case .debian("trixie", _, _): "Debian 13"
    case .debian("forky", _, _): "Debian 14"
    case .debian(let suite, _, _): "Debian \(suite)"
    case .hatchling: "Hatchling"
    case .files: "unknown"
    }
  }
}
