public import Manifest

/// What `roost-storage remotes` shows.
public struct RemoteList: Codable, Hashable, Sendable {
  /// The remotes in the order of their names.
  public var remotes: [RemoteRecord]

  /// A list.
  public init(remotes: [RemoteRecord]) {
    self.remotes = remotes
  }

  /// The list as JSON with sorted keys and a line break at the end.
  public func json() throws(StorageError) -> [UInt8] {
    try encodeJSON(self)
  }

  /// The first remote alone as JSON.
  public func firstJSON() throws(StorageError) -> [UInt8] {
    try encodeJSON(remotes.first)
  }

  /// The list for people: a line for each, and one more for what is wrong with it.
  public var table: String {
    remotes.map { "\($0.line)\n" + ($0.problem.map { "  \($0)\n" } ?? "") }.joined()
  }
}

extension StorageState {
  /// Notes that the guests' home waits for remotes, if that is why it is not up: they are all that is needed to go on.
  ///
  /// - Parameters:
  ///   - error: why it is not up.
  ///   - recipe: the remotes that the recipe asks for.
  ///   - directory: where the running session keeps things.
  public mutating func wait(for error: StorageError, recipe: [RemoteRequest], directory: String) {
    guard error.code == .waiting else { return }
    let tags = RemoteTags(error.tags)
    remotes = tags.records(with: recipe)
    waitingFor = remotes.filter { $0.volume != nil }.map(\.name)
    for index in remotes.indices {
      remotes[index].refresh(directory)
      if remotes[index].device != nil, waitingFor.contains(remotes[index].name) {
        remotes[index].problem = "it is connected, and does not hold what it did when it became part of the home"
      }
    }
  }
}
