internal import FoundationEssentials

/// Reads `--reportformat json` (lvmreport(7)). The library prints reports and warnings through one callback, line by
/// line and at one level.
enum LVMReport {
  private struct Document: Decodable {
    let report: [[String: [[String: String]]]]
  }

  /// The rows of all reports in `lines`.
  static func rows(_ lines: [String], command: String) throws(StorageError) -> [[String: String]] {
    // Every line of the report begins with a bracket or a quote; no warning does.
    let text = lines.filter { line in
      guard let first = line.first(where: { !$0.isWhitespace }) else { return false }
      return "{}[],\"".contains(first)
    }.joined(separator: "\n")
    do {
      let document = try JSONDecoder().decode(Document.self, from: Data(text.utf8))
      return document.report.flatMap { $0.values.flatMap { $0 } }
    } catch {
      throw StorageError(.lvm, "the report of \(command) is not understood: \(error)", log: lines)
    }
  }
}
