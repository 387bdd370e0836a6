internal import FoundationEssentials

extension Overview {
  /// The overview as indented JSON with sorted keys, for `roost list --json`.
  public func prettyJSON() throws(ControlError) -> String { try PrettyJSON.text(of: self) }
}

extension DiskList {
  /// The list as indented JSON with sorted keys, for `roost disk list --json`.
  public func prettyJSON() throws(ControlError) -> String { try PrettyJSON.text(of: self) }
}

extension DiskResult {
  /// The result as indented JSON with sorted keys, for `roost disk … --json`.
  public func prettyJSON() throws(ControlError) -> String { try PrettyJSON.text(of: self) }
}

extension UsageTable {
  /// The rows as indented JSON with sorted keys, for `roost top --json`.
  public func prettyJSON() throws(ControlError) -> String { try PrettyJSON.text(of: rows) }
}

extension RemoteStatus {
  /// The status as indented JSON with sorted keys, for `roost storage connect --json`.
  public func prettyJSON() throws(ControlError) -> String { try PrettyJSON.text(of: self) }
}

extension [RemoteStatus] {
  /// The list as indented JSON with sorted keys, for `roost storage remotes --json`.
  public func prettyJSON() throws(ControlError) -> String { try PrettyJSON.text(of: self) }
}

private enum PrettyJSON {
  static func text(of value: some Encodable) throws(ControlError) -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    do {
      return String(decoding: try encoder.encode(value), as: UTF8.self)
    } catch {
      throw ControlError(.system, "cannot write the answer as JSON: \(error)")
    }
  }
}
