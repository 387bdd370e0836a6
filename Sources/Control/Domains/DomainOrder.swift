internal import Manifest

/// What those may expect of a domain that come after it.
enum Standing: Hashable, Sendable {
  /// It is on the way to be ready.
  case coming
  case ready
  /// It was not started, and nobody is about to start it.
  case idle
  /// It is not ready, and not to be expected to be; why, in words that follow "which".
  case missing(String)
}

/// When a domain starts that comes after others. Pure.
///
/// As with `After=` of systemd, the order says when and not whether: nobody is started because others come after it, who
/// is not being started is not waited for, and who fails holds nobody up.
enum DomainOrder {
  /// What becomes of a start.
  enum Decision: Hashable, Sendable {
    /// It waits; for what, in words.
    case wait(String)
    /// It goes on; without whom that should be there, in words.
    case start(without: String?)
  }

  /// Decides about the start of a domain that comes after `others`. `standing` is nil for domains that are no more.
  static func decision(after others: [String], standing: (String) -> Standing?) -> Decision {
    let coming = others.filter { standing($0) == .coming }
    if !coming.isEmpty { return .wait("waits for \(list(coming))") }
    let missing = others.compactMap { name -> String? in
      guard case .missing(let why)? = standing(name) else { return nil }
      return "\(name), which \(why)"
    }
    return .start(without: missing.isEmpty ? nil : "starts without \(missing.joined(separator: ", and "))")
  }

  private static func list(_ words: [String]) -> String {
    guard words.count > 1, let last = words.last else { return words.first ?? "" }
    return words.dropLast().joined(separator: ", ") + " and " + last
  }
}

/// In what order domains go down: each once all have ended that come after it. Pure.
///
/// There is one time limit for all of them, and a guest that does not answer must not use up the others' time: of a chain
/// of so many, each has its share, and who is next is asked at the end of that share at the latest.
struct GoingDown: Sendable {
  /// Of each domain those that come after it.
  private let followers: [String: [String]]
  /// How many go down before it, one after the other.
  private let depths: [String: Int]
  /// Seconds that all of them have.
  private let patience: Double

  /// Of the domains `names`, which run.
  init(_ names: [String], order: StartOrder, patience: Double) {
    var followers: [String: [String]] = [:]
    var depths: [String: Int] = [:]
    // Followers first.
    let sorted = order.sorted.filter(names.contains).reversed()
    for name in sorted {
      for other in order.predecessors(of: name) where names.contains(other) {
        followers[other, default: []].append(name)
      }
      depths[name] = (followers[name] ?? []).compactMap { depths[$0] }.max().map { $0 + 1 } ?? 0
    }
    self.followers = followers
    self.depths = depths
    self.patience = patience
  }

  /// Those that are to be asked to power off, `elapsed` seconds after the beginning, while `live` are left. Who has come
  /// meanwhile is asked at once.
  func due(_ live: [String], elapsed: Double) -> [String] {
    live.filter { name in
      !(followers[name] ?? []).contains(where: live.contains) || elapsed >= share(of: name)
    }
  }

  /// When to look although nobody has ended: seconds after the beginning.
  var looks: [Double] { Set(depths.keys.map(share)).filter { $0 > 0 }.sorted() }

  /// Seconds after which a domain is asked in any case.
  private func share(of name: String) -> Double {
    let levels = (depths.values.max() ?? 0) + 1
    return patience * Double(depths[name] ?? 0) / Double(levels)
  }
}
