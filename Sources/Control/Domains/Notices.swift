/// What the user should know of the appliance, until it is over.
struct Notices: Sendable {
  /// What a notice is about: there is one of each at most.
  enum Subject: Hashable, Sendable {
    case hardware, network, storage, room, degraded, stick, gateway
    /// One of the things that are wrong with the stick's identity.
    case identity(Int)
    /// A device that comes over the network.
    case remote(String)
    /// A domain that started without others that it comes after.
    case order(String)
    /// A helper program, which says itself what its trouble is.
    case helper(String)
  }

  private var entries: [(subject: Subject, text: String)] = []

  /// In the order in which they came up.
  var texts: [String] { entries.map(\.text) }

  /// The names of the remotes that something is said about.
  var remotes: [String] {
    entries.compactMap { entry in
      if case .remote(let name) = entry.subject { return name }
      return nil
    }
  }

  /// Sets what is to be said about a subject; nil for nothing any more. True when that is news.
  mutating func set(_ subject: Subject, _ text: String?) -> Bool {
    let index = entries.firstIndex { $0.subject == subject }
    guard let text else {
      if let index { entries.remove(at: index) }
      return index != nil
    }
    guard let index else {
      entries.append((subject, text))
      return true
    }
    if entries[index].text == text { return false }
    entries[index].text = text
    return true
  }
}
