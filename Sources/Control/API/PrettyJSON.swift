internal import FoundationEssentials

extension Overview {
  /// The overview as indented JSON with sorted keys, for `roost list --json`.
  public func prettyJSON() throws(ControlError) -> String { try PrettyJSON.text(of: self) }
}

extension DomainStatus {
  /// The domain as indented JSON with sorted keys, for `roost mem-set --json`.
  public func prettyJSON() throws(ControlError) -> String { try PrettyJSON.text(of: self) }
}

extension [DomainStatus] {
  /// The domains as indented JSON with sorted keys, for `roost create --json`.
  public func prettyJSON() throws(ControlError) -> String { try PrettyJSON.text(of: self) }
}

extension DomainInfo {
  /// The description as indented JSON with sorted keys, for `roost info --json`.
  public func prettyJSON() throws(ControlError) -> String { try PrettyJSON.text(of: self) }
}

extension ControlEvent {
  /// The event as a line of JSON, as the control protocol has it, for `roost events --json`.
  public func line() throws(ControlError) -> String {
    String(decoding: try ControlCoding.encode(EventLine(self)), as: UTF8.self)
  }
}

extension NetworkList {
  /// The list as indented JSON with sorted keys, for `roost network list --json`.
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
