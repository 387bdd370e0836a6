internal import Devices
internal import Platform

extension Machine {
  /// What CPUs and disks did so far, as words: `exits=` and `kernel=` with names and numbers, all CPUs taken together, then
  /// for each disk that is served apart from the CPUs `disk=` with its id, numbers in the order of `DiskMeter.Counts`, and
  /// how many requests took how long (`DiskMeter.limits`).
  var statistics: String {
    var exits = [UInt64](repeating: 0, count: ExitCounters.names.count)
    var kernel = [UInt64](repeating: 0, count: KernelCounters.wanted.count)
    var hasKernel = false
    for runner in runners {
      for (index, count) in runner.exits.current.enumerated() { exits[index] &+= count }
      runner.kernelCounters?.add(to: &kernel)
      hasKernel = hasKernel || runner.kernelCounters != nil
    }
    var words = ["exits=" + Self.list(ExitCounters.names, exits)]
    if hasKernel { words.append("kernel=" + Self.list(KernelCounters.wanted.map(\.ours), kernel)) }
    words += disks.map { Self.words($0.disk.identifier, $0.disk.counts) }
    return words.joined(separator: " ")
  }

  private static func list(_ names: [String], _ numbers: [UInt64]) -> String {
    zip(names, numbers).map { "\($0):\($1)" }.joined(separator: ",")
  }

  static func words(_ identifier: String, _ counts: DiskMeter.Counts) -> String {
    // Whatever the id is, it is one word.
    let name = String(identifier.map { $0.isASCII && ($0.isLetter || $0.isNumber || "-_.".contains($0)) ? $0 : "_" })
    let numbers = [
      counts.reads, counts.readBytes, counts.writes, counts.writtenBytes, counts.flushes, counts.discards,
      counts.failures, counts.nanoseconds, counts.longest,
    ]
    func joined(_ numbers: [UInt64]) -> String { numbers.map { "\($0)" }.joined(separator: ",") }
    return "disk=\(name):\(joined(numbers)):\(joined(counts.classes))"
  }
}
