internal import Manifest
internal import YAML

/// A domain's memory: a size, or a group of sizes.
extension RecipeDecoder {
  mutating func memory(_ domain: NodeReader.Fields, source: Recipe.DomainSource?) -> MemoryBounds? {
    // What has no driver for a balloon keeps what it starts with.
    let isKept =
      switch source {
      case .plan9?, .hatchling?: true
      default: false
      }
    func bounds(_ start: Int, _ minimum: Int? = nil, _ maximum: Int? = nil) -> MemoryBounds {
      MemoryBounds(start: start, minimum: minimum ?? (isKept ? start : nil), maximum: maximum)
    }
    guard let node = domain.values["memory"]?.value, case .mapping = node else {
      return size(domain, "memory").map { bounds($0) }
    }
    guard let fields = reader.fields(node, .memory),
      let start = size(fields, "start")
    else { return nil }
    let minimum = fields.has("min") ? size(fields, "min") : start
    let maximum = fields.has("max") ? size(fields, "max") : start
    guard let minimum, let maximum else { return nil }
    if minimum > start {
      reader.report(
        fields.mark(of: "min"),
        "'min' in a domain's 'memory' must be at most what it starts with, \(ByteSize.format(start)), "
          + "not \(ByteSize.format(minimum))")
    }
    if maximum < start {
      reader.report(
        fields.mark(of: "max"),
        "'max' in a domain's 'memory' must be at least what it starts with, \(ByteSize.format(start)), "
          + "not \(ByteSize.format(maximum))")
    }
    checkDrivers(fields, minimum < start, maximum > start, source)
    guard minimum <= start, start <= maximum else { return nil }
    return bounds(start, fields.has("min") ? minimum : nil, maximum)
  }

  private mutating func size(_ fields: NodeReader.Fields, _ key: String) -> Int? {
    reader.size(fields, key, in: Limits.memory, granule: Limits.memoryGranule, required: true)
  }

  /// Memory that shrinks or grows in a system that has no driver for it.
  private mutating func checkDrivers(
    _ fields: NodeReader.Fields, _ shrinks: Bool, _ grows: Bool, _ source: Recipe.DomainSource?
  ) {
    let system: (name: String, hasBalloon: Bool)
    switch source {
    case .freebsd?: system = ("FreeBSD", true)
    case .plan9?: system = ("Plan 9", false)
    case .hatchling?: system = ("hatchling", false)
    default: return
    }
    if shrinks, !system.hasBalloon {
      reader.report(fields.mark(of: "min"), "'min' in a domain's 'memory': \(system.name) has no driver for a balloon")
    }
    if grows {
      reader.report(
        fields.mark(of: "max"),
        "'max' in a domain's 'memory': \(system.name) has no driver for memory that comes while it runs; "
          + "start it with that much")
    }
  }

  /// Whether memory is moved between domains.
  mutating func balancer(_ recipe: NodeReader.Fields) -> Bool { reader.flag(recipe, "balancer", default: false) }

  /// A balancer that has nobody to take from, or to give to. Recipes with other mistakes have them told first.
  mutating func checkBalancer(_ balancer: Bool, _ domains: [Recipe.Domain], recipe: NodeReader.Fields) {
    guard balancer, !domains.isEmpty, reader.diagnostics.isEmpty else { return }
    if !domains.contains(where: { $0.memory.minimum < $0.memory.maximum }) {
      reader.report(
        recipe.mark(of: "balancer"),
        "'balancer' has nothing to move: each domain keeps what it starts with; give some a group, as in "
          + "memory: {start: 512 MiB, min: 128 MiB, max: 1 GiB}")
    }
  }
}
