internal import Manifest
internal import YAML

/// Which domains start by themselves, and in what order.
extension RecipeDecoder {
  /// A name in a domain's `after`, and where it is.
  struct AfterEntry {
    /// The domain that comes after the other.
    let domain: String
    let name: String
    let mark: Mark?
  }

  /// `true`, `false`, or a group with the domains that it starts after.
  mutating func autostart(_ domain: NodeReader.Fields, of name: String?) -> (autostart: Bool, after: [String]) {
    guard let node = domain.values["autostart"]?.value, case .mapping = node else {
      return (reader.flag(domain, "autostart", default: true), [])
    }
    guard let fields = reader.fields(node, .autostart) else { return (true, []) }
    guard let field = fields.values["after"] else {
      reader.missing("after", in: fields)
      return (true, [])
    }
    guard case .sequence(let sequence) = field.value else {
      reader.report(
        field.value.mark,
        "'after' in a domain's 'autostart' must be a list of domains, such as [db], "
          + "not \(NodeReader.describe(field.value))")
      return (true, [])
    }
    var after: [String] = []
    for node in sequence {
      guard let entry = reader.scalar(node, "an entry of 'after' in a domain's 'autostart'") else { continue }
      if after.contains(entry) {
        reader.report(node.mark, "'after' in a domain's 'autostart' has '\(NodeReader.shown(entry))' twice")
      } else {
        after.append(entry)
        if let name { afterEntries.append(AfterEntry(domain: name, name: entry, mark: node.mark)) }
      }
    }
    return (true, after)
  }

  /// Notes what domains come after and cannot: themselves, none that there is, and in circles. `names` are the domains'.
  /// Where these are not `areAlone`, others may be in the appliance.
  mutating func checkOrder(of names: [String], areAlone: Bool) {
    let order = StartOrder(
      names.sorted().map { name in (name: name, after: afterEntries.filter { $0.domain == name }.map(\.name)) })
    var reported: Set<String> = []
    for entry in afterEntries {
      let isElsewhere = !areAlone && !names.contains(entry.name)
      if let problem = order.entryProblem(NodeReader.shown(entry.name), of: entry.domain), !isElsewhere {
        reader.report(entry.mark, "the domain '\(entry.domain)' comes after \(problem)")
        reported.insert(entry.domain)
      } else if let cycle = order.cycle(through: entry.domain), cycle.count > 1, cycle[1] == entry.name,
        reported.isDisjoint(with: cycle)
      {
        reader.report(entry.mark, "none of these domains would start: \(StartOrder.words(of: cycle))")
        reported.formUnion(cycle)
      }
    }
  }
}
