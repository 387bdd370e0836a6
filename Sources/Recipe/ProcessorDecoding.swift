internal import Manifest
internal import YAML

/// A domain's processors: how many, or a group of how many it starts with and how many it may have.
extension RecipeDecoder {
  mutating func processors(
    _ domain: NodeReader.Fields, source: Recipe.DomainSource?, boot: BootMethod?
  ) -> (start: Int, maximum: Int?) {
    guard let node = domain.values["cpus"]?.value, case .mapping = node else {
      return (reader.number(domain, "cpus", in: Limits.cpus, default: 1), nil)
    }
    guard let fields = reader.fields(node, .processors) else { return (1, nil) }
    let start = reader.number(fields, "start", in: Limits.cpus, default: 1)
    let maximum = reader.number(fields, "max", in: Limits.cpus, default: start)
    if !fields.has("max") { reader.missing("max", in: fields) }
    guard maximum > start else {
      if maximum < start {
        reader.report(
          fields.mark(of: "max"),
          "'max' in a domain's 'cpus' must be at least what it starts with, \(start), not \(maximum)")
      }
      return (start, nil)
    }
    if let reason = Self.obstacle(source, boot) {
      reader.report(fields.mark(of: "max"), "'max' in a domain's 'cpus': \(reason); start it with that many")
    }
    return (start, maximum)
  }

  /// Why no processors can come; nil where they can.
  private static func obstacle(_ source: Recipe.DomainSource?, _ boot: BootMethod?) -> String? {
    switch source {
    case .freebsd?: return "FreeBSD has no driver for processors that come while it runs"
    case .plan9?: return "Plan 9 has no driver for processors that come while it runs"
    case .hatchling?: return "hatchling uses one processor"
    case .image?, .folder?: return "in an image or a folder nothing switches processors on that come while it runs"
    default: break
    }
    return boot?.isFirmware == true ? "firmware starts all processors that there can be" : nil
  }
}
