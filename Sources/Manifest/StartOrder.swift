/// Which domains come after which others: these start first, and go down last.
package struct StartOrder: Sendable {
  private let names: [String]
  private let predecessors: [String: [String]]

  /// The order of domains, each with those that it comes after. Of two with one name the first counts.
  package init(_ domains: [(name: String, after: [String])]) {
    names = domains.map(\.name)
    predecessors = Dictionary(domains.map { ($0.name, $0.after) }) { first, _ in first }
  }

  /// What is wrong with what `name` comes after, in words that follow "comes after"; nil when nothing is.
  package func problem(of name: String) -> String? {
    let after = predecessors[name] ?? []
    for (index, other) in after.enumerated() {
      if let problem = entryProblem(other, of: name) { return problem }
      if after[..<index].contains(other) { return "'\(other)' twice" }
    }
    return cycle(through: name).map { "itself in the end: \(Self.words(of: $0))" }
  }

  /// What is wrong with one entry of what `name` comes after, whatever else there is in the list.
  package func entryProblem(_ entry: String, of name: String) -> String? {
    if entry == name { return "itself" }
    if predecessors[entry] != nil { return nil }
    let nearest = Spelling.nearest(to: entry, in: names.filter { $0 != name })
    return "'\(entry)', which is no domain" + (nearest.map { "; did you mean '\($0)'?" } ?? "")
  }

  /// The shortest way from `name` back to itself: each comes after the next, and the last after `name`. Nil when there is
  /// none.
  package func cycle(through name: String) -> [String]? {
    guard let way = way(from: name, to: name) else { return nil }
    return way.dropLast()
  }

  /// A cycle in words.
  package static func words(of cycle: [String]) -> String {
    let pairs = cycle.indices.map { "\(cycle[$0]) comes after \(cycle[($0 + 1) % cycle.count])" }
    return pairs.joined(separator: ", ") + "; leave one of these out"
  }

  /// What `name` comes after. Those that come after it themselves are left out, as neither would ever start.
  package func predecessors(of name: String) -> [String] {
    (predecessors[name] ?? []).filter { $0 != name && way(from: $0, to: name) == nil }
  }

  /// The domains' names as they were given, but each behind all that it comes after.
  package var sorted: [String] {
    // What leads back is left out, so that there always is a next one.
    var waiting = names.map { name in (name: name, after: predecessors(of: name).filter { predecessors[$0] != nil }) }
    var sorted: [String] = []
    while let index = waiting.firstIndex(where: { $0.after.allSatisfy(sorted.contains) }) {
      sorted.append(waiting.remove(at: index).name)
    }
    return sorted
  }

  /// The shortest way of at least one step from a domain to another by what each comes after, both ends included.
  private func way(from start: String, to end: String) -> [String]? {
    var origins: [String: String] = [:]
    var queue = [start]
    var next = 0
    while next < queue.count {
      let name = queue[next]
      next += 1
      for other in predecessors[name] ?? [] {
        if other == end {
          var way = [end]
          var step = name
          while step != start, let origin = origins[step] {
            way.insert(step, at: 0)
            step = origin
          }
          return [start] + way
        }
        guard other != start, origins[other] == nil else { continue }
        origins[other] = name
        queue.append(other)
      }
    }
    return nil
  }
}

extension ApplianceManifest {
  /// The order of its domains.
  package var startOrder: StartOrder { StartOrder(domains.map { ($0.name, $0.after ?? []) }) }
}
