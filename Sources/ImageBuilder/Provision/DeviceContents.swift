internal import Platform
internal import Probing

/// What is on a device or file: what `--wipe` would take away.
enum DeviceContents {
  /// A line for each thing found; none where libblkid knows nothing. What cannot be read is not empty, and throws.
  static func describe(_ path: String) throws(BuildError) -> [String] {
    try attempt("cannot look into \(path)") { () throws(SystemError) in
      let probe = try ContentProbe(path, .everything)
      var lines: [String] = []
      func add(_ line: String) {
        if !lines.contains(line) { lines.append(line) }
      }
      for _ in 0..<16 {
        guard let content = try probe.next() else { break }
        if let type = content.type { add(describe(type, label: content.label)) }
        if let table = content.partitionTable { add("\(table) partition table") }
      }
      for partition in probe.partitions {
        let content = try? ContentProbe(path, part: partition.range).next()
        let what = content.flatMap { content in content.type.map { describe($0, label: content.label) } }
        add("partition \(partition.number), \(partition.range.count >> 20) MiB: \(what ?? "nothing known")")
      }
      return lines
    }
  }

  private static func describe(_ type: String, label: String?) -> String {
    guard let label, !label.isEmpty else { return type }
    return "\(type) '\(label.filter { !$0.isNewline })'"
  }
}
