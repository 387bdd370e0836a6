internal import Manifest
internal import YAML

/// The storage's `remotes`: devices that come over the network.
extension RecipeDecoder {
  /// The remotes by their names, in order.
  mutating func remotes(_ storage: NodeReader.Fields) -> [RemoteRequest] {
    guard let node = storage.values["remotes"]?.value else { return [] }
    guard case .mapping(let mapping) = node else {
      reader.report(
        node.mark,
        "'remotes' must have names as its keys, as in 'data: {address: \(RemoteAddress.Scheme.nbd.example)}', not "
          + NodeReader.describe(node))
      return []
    }
    guard mapping.count <= Limits.remotes else {
      reader.report(node.mark, "'remotes' has \(mapping.count) entries; \(Limits.remotes) are the most")
      return []
    }
    let names = mapping.compactMap { key, _ in key.scalar?.string }
    guard let fields = reader.fields(node, "the remotes", keys: names) else { return [] }
    return fields.values.sorted { $0.key < $1.key }.compactMap { name, field in remote(name, field) }
  }

  private mutating func remote(_ name: String, _ field: NodeReader.Field) -> RemoteRequest? {
    if let problem = Names.diskProblem(name) {
      reader.report(field.keyMark, "the remote's name '\(NodeReader.shown(name))' \(problem)")
      return nil
    }
    guard let fields = reader.fields(field.value, .remote) else { return nil }
    let address = reader.quantity(fields, "address", required: true, RemoteAddress.parse)
    let use = reader.choice(fields, "use", RemoteUse.self, default: .disk)
    let attach = reader.checked(fields, "attach", Names.domainProblem)
    guard let address else { return nil }
    let request = RemoteRequest(name: name, address: address, use: use, attach: attach)
    if let problem = request.problem {
      reader.report(fields.mark, problem)
      return nil
    }
    return request
  }

  /// Notes what of the remotes does not fit the domains.
  mutating func checkRemotes(_ remotes: [RemoteRequest], _ domains: [Recipe.Domain], recipe: NodeReader.Fields) {
    guard !remotes.isEmpty, case .mapping(let storage)? = recipe.values["storage"]?.value,
      case .mapping(let nodes)? = storage.first(where: { $0.key.scalar?.string == "remotes" })?.value
    else { return }
    let names = domains.map(\.name)
    for remote in remotes {
      let entry = nodes.first { key, _ in key.scalar?.string == remote.name }
      if names.contains(remote.name) {
        reader.report(entry?.key.mark, "'\(remote.name)' is the name of a domain; a remote needs one of its own")
      }
      guard let attach = remote.attach, !names.contains(attach) else { continue }
      let place = entry?.value.mapping?.first { $0.key.scalar?.string == "attach" }?.value.mark ?? entry?.value.mark
      let advice = Spelling.nearest(to: attach, in: names).map { "; did you mean '\($0)'?" } ?? ""
      reader.report(place, "'attach' in a remote: there is no domain '\(attach)'\(advice)")
    }
  }
}

extension Shape {
  static let remote = Shape(
    "remote", "a remote",
    [
      Key("address", .text, "Where it is, as in nbd://server/export."),
      Key("use", .words(of: RemoteUse.self), "What it is for; disk if left out."),
      Key("attach", .label, "The domain that has it as a disk."),
    ])
}
