/// A program that PID 1 keeps.
public struct Service: Hashable, Sendable {
  /// What its end means.
  public enum Kind: Hashable, Sendable {
    /// It runs once; its end, good or bad, lets those start that come after it.
    case once
    /// It is to run always: it is started again after a `Backoff`.
    case always
  }

  /// Its name, for logs and the status file; unique.
  public let name: String
  /// Absolute path and arguments.
  public let command: [String]
  /// What its end means.
  public let kind: Kind
  /// Names of services that come first: those that run once must have ended, others must have been started.
  public let after: [String]
  /// Device file of the terminal that it has as its own session's; nil: its output goes to a log file.
  public let terminal: String?
  /// What runs once in its place after `failureLimit` failures in a row, so that a human is never locked out.
  public let fallback: [String]?

  /// Failures in a row after which the fallback runs.
  public static let failureLimit = 5

  /// Describes a service.
  public init(
    name: String, command: [String], kind: Kind, after: [String] = [], terminal: String? = nil,
    fallback: [String]? = nil
  ) {
    self.name = name
    self.command = command
    self.kind = kind
    self.after = after
    self.terminal = terminal
    self.fallback = fallback
  }
}

/// Why services cannot be supervised.
public enum ServicePlanError: Error, Hashable, Sendable, CustomStringConvertible {
  case twice(String)
  case unknown(String, neededBy: String)
  case circle([String])

  /// Which services, and what is wrong with them.
  public var description: String {
    switch self {
    case .twice(let name): "there are two services named \(name): rename one"
    case .unknown(let name, let service): "the service \(service) comes after \(name), which is no service"
    case .circle(let names): "services wait for each other: \(names.joined(separator: ", "))"
    }
  }
}

/// An order in which every service comes after those that it waits for, and otherwise as given.
public func orderServices(_ services: [Service]) throws(ServicePlanError) -> [Service] {
  var names: Set<String> = []
  for service in services where !names.insert(service.name).inserted { throw .twice(service.name) }
  for service in services {
    for name in service.after where !names.contains(name) { throw .unknown(name, neededBy: service.name) }
  }
  var ordered: [Service] = []
  var placed: Set<String> = []
  var rest = services
  while !rest.isEmpty {
    guard let index = rest.firstIndex(where: { $0.after.allSatisfy(placed.contains) }) else {
      throw .circle(rest.map(\.name))
    }
    let service = rest.remove(at: index)
    placed.insert(service.name)
    ordered.append(service)
  }
  return ordered
}
