extension UsageReport.Domain {
  /// What its CPUs, disks and network did, for people: a name and words for each.
  var rows: [(String, String)] {
    var rows: [(String, String)] = []
    if let stealSeconds { rows.append(("waited for cpus", Text.seconds(stealSeconds))) }
    if let exits {
      var words = ["io \(exits.io)", "mmio \(exits.mmio)", "msr \(exits.msr)"]
      if let halt = exits.halt { words.append("halt \(halt)") }
      if let hypercall = exits.hypercall { words.append("hypercall \(hypercall)") }
      if let interrupt = exits.interrupt { words.append("interrupt \(interrupt)") }
      rows.append(("exits", (exits.all.map { "\($0): " } ?? "") + words.joined(separator: ", ")))
    }
    for disk in disks ?? [] {
      var words = "\(disk.reads) reads (\(Text.size(disk.readBytes))), \(disk.writes) writes "
      words += "(\(Text.size(disk.writtenBytes))), \(disk.flushes) flushes"
      if let mean = disk.meanSeconds {
        words += ", \(Text.milliseconds(mean)) each, \(Text.milliseconds(disk.longestSeconds)) at most"
      }
      if disk.failures > 0 { words += ", \(disk.failures) failed" }
      rows.append(("\(disk.name) did", words))
    }
    if let network {
      rows.append(("received", Self.words(network.receivedFrames, network.receivedBytes, network.receivedDrops)))
      rows.append(("sent", Self.words(network.sentFrames, network.sentBytes, network.sentDrops)))
    }
    return rows
  }

  private static func words(_ frames: Int, _ bytes: Int, _ drops: Int) -> String {
    "\(frames) frames (\(Text.size(bytes)))\(drops > 0 ? ", \(drops) dropped" : "")"
  }
}

extension UsageReport.DiskUsage {
  /// Requests of all kinds.
  public var requests: Int { classes.reduce(0, +) }

  /// Seconds that a request took; nil where there was none.
  var meanSeconds: Double? { requests > 0 ? seconds / Double(requests) : nil }
}
