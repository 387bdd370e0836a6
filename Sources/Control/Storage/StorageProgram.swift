internal import FoundationEssentials
internal import Platform

/// What a run of `roost-storage … --json` came to.
enum StorageProgram {
  /// The value that the program answered with, or why there is none: what it said itself wherever it said something.
  static func answer<Value: Decodable>(
    _ outcome: CapturedChild.Outcome, to words: String, as type: Value.Type
  ) -> Result<Value, ControlError> {
    let said = said(outcome.errors)
    let more = said.isEmpty ? "" : ": \(said)"
    guard let status = outcome.status else {
      return .failure(
        ControlError(.timedOut, "`\(words)` hangs and cannot be ended; look at the kernel's log (dmesg)\(more)"))
    }
    if outcome.isOverdue {
      return .failure(ControlError(.timedOut, "`\(words)` took too long and was ended\(more)"))
    }
    switch status {
    case .exited(0): break
    case .exited(1) where !said.isEmpty: return .failure(ControlError(.storage, said))
    default:
      return .failure(ControlError(.storage, "`\(words)` failed: roost-storage ended with \(status)\(more)"))
    }
    guard !outcome.isCut, let value = try? JSONDecoder().decode(Value.self, from: Data(outcome.output)) else {
      return .failure(
        ControlError(.malformedReply, "what roost-storage answered to `\(words)` is not understood\(more)"))
    }
    return .success(value)
  }

  /// The lines of an error output, without the program's name in front.
  private static func said(_ errors: [UInt8]) -> String {
    let text = Text.printable(String(decoding: errors, as: UTF8.self))
    let lines = text.split(separator: "\n").map { line in
      line.hasPrefix("roost-storage: ") ? line.dropFirst("roost-storage: ".count) : line
    }
    let whole = lines.joined(separator: "\n")
    return whole.count > 2000 ? "\(whole.prefix(2000))…" : whole
  }
}
