internal import Manifest
internal import YAML

/// Turns the nodes of a recipe into a `Recipe`.
struct RecipeDecoder {
  var reader: NodeReader
  let directory: String
  let variables: Variables
  /// The recipe's sources; nil for one whose text is wrong.
  var sources: [String: Recipe.Source?] = [:]
  /// Who vouches for sources.
  var signatures: [String: Recipe.SourceSignature] = [:]
  /// The recipe's networks; nil for one whose text is wrong, and nil where domains come without a recipe.
  var networks: [String: Recipe.VirtualNetwork?]?
  /// What domains come after, as it was read.
  var afterEntries: [AfterEntry] = []

  init(reader: NodeReader, directory: String, variables: Variables = Variables()) {
    self.reader = reader
    self.directory = directory
    self.variables = variables
  }

  mutating func decode(_ root: Node) throws(RecipeError) -> Recipe {
    let recipe = recipe(root)
    guard reader.diagnostics.isEmpty, let recipe else {
      throw .invalid(reader.diagnostics.sorted())
    }
    return recipe
  }

  /// The entries of `domains:`, which is all that there is.
  mutating func decodeDomains(_ root: Node) throws(RecipeError) -> [Recipe.Domain] {
    let domains =
      reader.fields(root, .domains).map { self.domains($0, areAlone: false) } ?? []
    guard reader.diagnostics.isEmpty else { throw .invalid(reader.diagnostics.sorted()) }
    // One that others come after is made before these.
    let order = StartOrder(domains.map { ($0.name, $0.after) }).sorted
    return order.compactMap { name in domains.first { $0.name == name } }
  }

  private mutating func recipe(_ root: Node) -> Recipe? {
    guard
      let fields = reader.fields(root, .recipe)
    else { return nil }
    let name = reader.checked(fields, "name", required: true, Names.problem)
    let controlDomain = controlDomain(fields)
    let image = image(fields)
    let storage = storage(fields)
    let subnet = network(fields)
    let networks = networks(fields)
    self.networks = networks
    let api = api(fields)
    let balancer = balancer(fields)
    sources = sources(fields)
    let domains = domains(fields)
    checkBalancer(balancer, domains, recipe: fields)
    if let storage { checkRemotes(storage.remotes, domains, recipe: fields) }
    let others = networks.values.compactMap { $0 }.sorted { $0.name < $1.name }
    if let subnet { checkRoom(subnet, others, domains, recipe: fields) }
    guard let name, let controlDomain, let image, let storage, let subnet, !domains.isEmpty else { return nil }
    var result = Recipe(
      name: name, controlDomain: controlDomain, storage: storage, network: .init(subnet: subnet),
      networks: others, sources: sources.compactMapValues { $0 }, domains: domains, api: api, balancer: balancer,
      image: image, directory: directory)
    result.signatures = signatures
    return result
  }

  private mutating func controlDomain(_ recipe: NodeReader.Fields) -> Recipe.ControlDomain? {
    guard let node = recipe.values["control-domain"]?.value else {
      reader.missing("control-domain", in: recipe)
      return nil
    }
    guard let fields = reader.fields(node, .controlDomain, advice: Self.controlDomainAdvice) else { return nil }
    let suite = reader.checked(fields, "suite", required: true, Names.problem)
    let hostname = reader.checked(fields, "hostname", Names.problem)
    let packages = reader.packages(fields, "packages")
    let customization = customization(fields, packages: packages)
    let commandLine = controlCommandLine(fields)
    let drivers = reader.choice(fields, "drivers", Recipe.ControlDomain.Drivers.self, default: .all)
    let userland = reader.choice(fields, "userland", Recipe.ControlDomain.Userland.self, default: .gnu)
    guard let suite else { return nil }
    return .init(
      suite: suite, hostname: hostname ?? "roost", packages: packages, commandLine: commandLine ?? "",
      drivers: drivers, userland: userland, customization: customization)
  }

  /// The control domain's words for its kernel. They stand in GRUB's menu, after those that Roost needs.
  private mutating func controlCommandLine(_ fields: NodeReader.Fields) -> String? {
    guard let text = commandLine(fields) else { return nil }
    if let character = text.first(where: { Limits.menuCharacters.contains($0) }) {
      reader.report(
        fields.mark(of: "command-line"),
        "'command-line' in the control domain may not have the character '\(character)'")
    }
    let kept = ["roost.", "init=", "rdinit="]
    for word in text.split(separator: " ") where kept.contains(where: word.hasPrefix) {
      reader.report(
        fields.mark(of: "command-line"),
        "'command-line' in the control domain: '\(NodeReader.shown(String(word)))' is for Roost to say")
    }
    return text
  }

  private mutating func image(_ recipe: NodeReader.Fields) -> Recipe.ImageSettings? {
    guard let node = recipe.values["image"]?.value else { return .standard }
    guard let fields = reader.fields(node, .image) else { return nil }
    let compression = reader.choice(fields, "compression", Recipe.ImageSettings.Compression.self, default: .zstd)
    guard let secureBoot = secureBoot(fields) else { return nil }
    guard fields.has("level") else { return .init(compression: compression, level: nil, secureBoot: secureBoot) }
    guard compression == .zstd else {
      reader.report(fields.mark(of: "level"), "'level' is zstd's; \(compression.rawValue) has none: leave it out")
      return nil
    }
    let level = reader.number(fields, "level", in: Limits.compression, default: 12)
    return .init(compression: compression, level: level, secureBoot: secureBoot)
  }

  private mutating func storage(_ recipe: NodeReader.Fields) -> Recipe.StorageSettings? {
    let fallback = 1 << 30
    guard let node = recipe.values["storage"]?.value else { return .init(ramBytes: fallback, remotes: []) }
    guard let fields = reader.fields(node, .storage) else { return nil }
    let remotes = remotes(fields)
    guard fields.has("ram") else { return .init(ramBytes: fallback, remotes: remotes) }
    return reader.size(fields, "ram", in: Limits.ramVolume, granule: Limits.diskGranule)
      .map { .init(ramBytes: $0, remotes: remotes) }
  }

  private mutating func network(_ recipe: NodeReader.Fields) -> IPv4Subnet? {
    let fallback = IPv4Subnet(base: IPv4Address(rawValue: 0x0A4D_0000), prefixLength: 24)
    guard let node = recipe.values["network"]?.value else { return fallback }
    guard let fields = reader.fields(node, .network) else { return nil }
    guard fields.has("subnet") else { return fallback }
    return reader.quantity(fields, "subnet", IPv4Subnet.parse)
  }

  /// `areAlone`: whether there are no domains but these.
  private mutating func domains(_ recipe: NodeReader.Fields, areAlone: Bool = true) -> [Recipe.Domain] {
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
      guard let fields = reader.fields(node, .domain) else { continue }
      let name = reader.checked(fields, "name", required: true, Names.domainProblem)
      if let name {
        let mark = fields.mark(of: "name")
        if let earlier = first[name] {
          reader.report(mark, "two domains are named '\(name)'; the first is at \(reader.lines.place(of: earlier))")
        } else {
          first[name] = mark
        }
      }
      if let domain = domain(fields, name: name) { domains.append(domain) }
    }
    checkOrder(of: Array(first.keys), areAlone: areAlone)
    return domains
  }
}

extension Shape {
  static let recipe = Shape(
    "recipe", "the recipe",
    [
      Key(
        "include", .either([.text, .list(.text)]), "Recipes that say what this one does not, by their paths from here."),
      Key("variables", .named(.text), "What '${name}' stands for in values; --set NAME=VALUE comes first."),
      Key("name", .label, "What the appliance is called."),
      Key("control-domain", .group(controlDomain), "The domain that owns the hardware."),
      Key("image", .group(image), "How the image is packed."),
      Key("storage", .group(storage), "Where guests' writes go."),
      Key("network", .group(network), "The network that all appliances have."),
      Key("networks", .named(.group(virtualNetwork)), "Networks beside that one, by their names."),
      Key("api", .group(api), "The HTTP interface, if there is to be one."),
      Key("balancer", .flag, "Whether memory is moved between domains as they need it."),
      Key("sources", .named(.group(source)), "What is fetched from elsewhere, by the names that domains use."),
      Key("domains", .list(.group(domain)), "The guests."),
    ])

  fileprivate static let domains = Shape(
    "domains", "a file of domains", [Key("domains", .list(.group(domain)), "The guests.")])

  fileprivate static let controlDomain = Shape(
    "control-domain", "the control domain",
    [
      Key("suite", .text, "The Debian release, such as trixie."),
      Key("hostname", .label, "Its host name; roost if left out."),
      Key("command-line", .text, "What its kernel is told beside what Roost tells it."),
      Key(
        "drivers", .words(of: Recipe.ControlDomain.Drivers.self),
        "Kernel modules that it has: all for PCs and servers, or those of a pc alone; all if left out."),
      Key(
        "userland", .words(of: Recipe.ControlDomain.Userland.self),
        "Whose programs its shells find: gnu for bash, GNU's and util-linux's, or busybox for its; gnu if left out."),
      Key("at-start", .list(.text), "Shell commands that are run at each start."),
    ] + Key.system)

  fileprivate static let image = Shape(
    "image", "the image",
    [
      Key(
        "compression", .words(of: Recipe.ImageSettings.Compression.self),
        "What its file systems are compressed by: zstd is fast to read, xz smaller; zstd if left out."),
      Key(
        "level", .number(Limits.compression), "How hard zstd tries, 1 to 22; what suits each file system if left out."),
      Key(
        "secure-boot", .either([.words(of: SecureBootWord.self), .group(secureBoot)]),
        "Who signs what UEFI starts: debian, none, or who has a key; debian if left out."),
    ])

  fileprivate static let storage = Shape(
    "storage", "the storage",
    [
      Key("ram", .size, "What guests may write, all together, while it is kept in memory; 1 GiB if left out."),
      Key("remotes", .named(.group(remote)), "Devices that come over the network, by their names."),
    ])

  fileprivate static let network = Shape(
    "network", "the network", [Key("subnet", .subnet, "Its addresses; 10.77.0.0/24 if left out.")])
}
