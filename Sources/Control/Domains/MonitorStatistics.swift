internal import Platform

/// What a monitor says that its CPUs and disks did: its answer to `statistics`. A monitor may be anybody's by now, so that
/// what is not understood is left out.
struct MonitorStatistics: Hashable, Sendable {
  var exits: UsageReport.Exits
  var disks: [UsageReport.DiskUsage]

  /// Reads an answer; nil where it has no counts of exits. `names` are the disks that the domain has, by what its monitor
  /// calls them; others are left out.
  init?(_ text: String, disks names: [String: String]) {
    var exits: UsageReport.Exits?
    var kernel: [String: Int] = [:]
    var disks: [String: UsageReport.DiskUsage] = [:]
    for word in text.split(separator: " ") {
      let parts = word.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      guard parts.count == 2 else { continue }
      switch parts[0] {
      case "exits":
        let counts = Self.counts(parts[1])
        exits = UsageReport.Exits(
          io: counts["io"] ?? 0, mmio: counts["mmio"] ?? 0, msr: counts["msr"] ?? 0, signal: counts["signal"] ?? 0,
          other: counts["other"] ?? 0)
      case "kernel": kernel = Self.counts(parts[1])
      case "disk":
        if let disk = Self.disk(parts[1], names) { disks[disk.name] = disk }
      default: break
      }
    }
    guard var exits else { return nil }
    (exits.all, exits.halt) = (kernel["all"], kernel["halt"])
    (exits.hypercall, exits.interrupt) = (kernel["hypercall"], kernel["interrupt"])
    self.exits = exits
    self.disks = disks.values.sorted { $0.name < $1.name }
  }

  /// `name:number,name:number`
  private static func counts(_ text: Substring) -> [String: Int] {
    var counts: [String: Int] = [:]
    for item in text.split(separator: ",").prefix(16) {
      let parts = item.split(separator: ":")
      if parts.count == 2, let count = number(parts[1]) { counts[String(parts[0])] = count }
    }
    return counts
  }

  private static func disk(_ text: Substring, _ names: [String: String]) -> UsageReport.DiskUsage? {
    let parts = text.split(separator: ":")
    guard parts.count == 3, let name = names[String(parts[0])] else { return nil }
    let numbers = parts[1].split(separator: ",").compactMap(number)
    let classes = parts[2].split(separator: ",").compactMap(number)
    guard numbers.count == 9, classes.count == UsageReport.DiskUsage.limits.count + 1 else { return nil }
    return UsageReport.DiskUsage(
      name: name, reads: numbers[0], readBytes: numbers[1], writes: numbers[2], writtenBytes: numbers[3],
      flushes: numbers[4], discards: numbers[5], failures: numbers[6], seconds: Double(numbers[7]) / 1e9,
      longestSeconds: Double(numbers[8]) / 1e9, classes: classes)
  }

  /// A count that can be added to others.
  private static func number(_ text: Substring) -> Int? {
    guard let number = Int(text), (0...(1 << 62)).contains(number) else { return nil }
    return number
  }
}

extension UsageReport.NetworkUsage {
  /// What the kernel counted of a domain's taps together, whose ends have it the other way round: what one received, its
  /// guest sent. Nil where there is none of them.
  init?(taps: [String], directory: String = "/sys/class/net") {
    func count(_ name: String) -> Int? {
      let counts = taps.compactMap { tap -> Int? in
        guard let text = try? Files.readText("\(directory)/\(tap)/statistics/\(name)") else { return nil }
        return text.split(whereSeparator: \.isNewline).first.flatMap { Int($0) }
      }
      return counts.isEmpty ? nil : counts.reduce(0, +)
    }
    guard let received = count("tx_packets"), let sent = count("rx_packets") else { return nil }
    self.init(
      receivedFrames: received, receivedBytes: count("tx_bytes") ?? 0, receivedDrops: count("tx_dropped") ?? 0,
      sentFrames: sent, sentBytes: count("rx_bytes") ?? 0, sentDrops: count("rx_dropped") ?? 0)
  }
}
