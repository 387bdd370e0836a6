internal import HTTPTypes
internal import Hummingbird
internal import Manifest

/// A thing that can be asked of the gateway. The router and the OpenAPI document are both made of the table `all`.
struct Endpoint: Sendable {
  /// What an answer is.
  enum Reply: Sendable, Hashable {
    /// JSON after a schema of `Schemas`.
    case json(String)
    /// Text of a media type.
    case text(String)
    /// The OpenAPI document.
    case document
  }

  /// A number that may be in the query.
  struct QueryNumber: Sendable, Hashable {
    let name: String
    let summary: String
    let range: ClosedRange<Int>
  }

  let method: HTTPRequest.Method
  /// The path; a part in braces is the name of something.
  let path: String
  /// The least that its client must be.
  let role: Role
  /// What it does, in one sentence.
  let summary: String
  var query: [QueryNumber] = []
  /// The schema of its body, where it has one.
  var body: String?
  let reply: Reply
  let answer: @Sendable (Call) async throws -> Response

  /// Names of the path's parts in braces.
  var parameters: [String] {
    path.split(separator: "/").filter { $0.hasPrefix("{") }.map { String($0.dropFirst().dropLast()) }
  }

  /// Whether a request's path is one of this endpoint's.
  func matches(_ other: String) -> Bool {
    let mine = path.split(separator: "/")
    let parts = other.split(separator: "/")
    return mine.count == parts.count && zip(mine, parts).allSatisfy { $0.hasPrefix("{") || $0 == $1 }
  }

  /// All methods that are used.
  static let methods: Set<HTTPRequest.Method> = Set(all.map(\.method))

  /// All of them, in the order of the document.
  static let all: [Endpoint] = domains + appliance + storage + disks + remotes + networks + watching
}
