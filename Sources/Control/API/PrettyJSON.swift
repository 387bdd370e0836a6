internal import FoundationEssentials

extension Overview {
  /// The overview as indented JSON with sorted keys, for `roost list --json`.
  public func prettyJSON() throws(ControlError) -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    do {
      return String(decoding: try encoder.encode(self), as: UTF8.self)
    } catch {
      throw ControlError(.system, "cannot write the list as JSON: \(error)")
    }
  }
}
