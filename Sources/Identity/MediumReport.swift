/// Whether the stick that the appliance runs from is there, as its keeper tells it to the domain manager.
public struct MediumReport: Hashable, Sendable {
  /// Where it is told.
  public static let path = "/run/roost/medium.json"

  /// Whether the stick is there.
  public enum State: String, Sendable {
    /// It is.
    case present
    /// It is not, or does not answer: what needs it waits.
    case missing
  }

  /// Whether the stick is there.
  public var state: State
  /// What the user should know and do; nil for nothing.
  public var notice: String?

  /// All fields.
  public init(_ state: State, notice: String? = nil) {
    self.state = state
    self.notice = notice
  }

  /// The report as JSON, one line.
  public var json: [UInt8] {
    var members: [String: JSONValue] = ["state": .text(state.rawValue)]
    if let notice { members["notice"] = .text(notice) }
    return Array("\(JSONValue.object(members).encoded)\n".utf8)
  }

  /// Reads JSON; nil for anything that is no report.
  public init?(json: some Collection<UInt8>) {
    guard json.count <= 64 << 10, let value = try? JSONValue(json), case .object(let members) = value,
      case .text(let text)? = members["state"], let state = State(rawValue: text)
    else { return nil }
    self.init(state)
    if case .text(let notice)? = members["notice"] { self.notice = notice }
  }
}
