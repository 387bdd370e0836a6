/// What a domain may take of the machine. Nothing is said by nil; where limits are changed, zero and the empty text stand
/// for no limit any more.
public struct ResourceLimits: Codable, Sendable, Hashable {
  /// Its share of busy processors beside others', 1 to 10000; 100 is what all have that do not say.
  public var cpuWeight: Int?
  /// The most of the processors' time, in percent of one of them.
  public var cpuCap: Int?
  /// The processors that it keeps to, such as `0-1,3`.
  public var cpus: String?
  /// The most that its disks read and the most that they write, in bytes a second.
  public var diskRate: Int?
  /// The most reads and the most writes of its disks a second.
  public var diskOperations: Int?
  /// The most that its network card sends and the most that it receives, in bits a second.
  public var networkRate: Int?

  /// No limits.
  public init() {}

  package static let weights = 1...10_000
  package static let caps = 1...6_400  // percent
  package static let diskRates = (64 << 10)...(1 << 40)  // bytes a second
  package static let diskOperationRates = 10...100_000_000
  package static let networkRates = 64_000...100_000_000_000  // bits a second

  /// True where there is none.
  public var isEmpty: Bool { self == ResourceLimits() }

  /// What is out of range, in words; nil when nothing is. `isChange` admits what takes limits away.
  package func problem(isChange: Bool = false) -> String? {
    let numbers: [(String, Int?, ClosedRange<Int>)] = [
      ("a weight of processors", cpuWeight, Self.weights), ("a cap of processors in percent", cpuCap, Self.caps),
      ("a disk's rate in bytes", diskRate, Self.diskRates),
      ("a disk's operations a second", diskOperations, Self.diskOperationRates),
      ("a network card's rate in bits", networkRate, Self.networkRates),
    ]
    for (what, number, range) in numbers {
      guard let number, !range.contains(number), !(isChange && number == 0) else { continue }
      return "\(what) is from \(range.lowerBound) to \(range.upperBound), not \(number)"
    }
    guard let cpus, !(isChange && cpus.isEmpty) else { return nil }
    return ProcessorList(cpus) == nil ? "processors are listed as in 0-1,3, not as \"\(cpus.prefix(40))\"" : nil
  }

  /// These limits with what `change` says of them.
  package func applying(_ change: ResourceLimits) -> ResourceLimits {
    func number(_ old: Int?, _ new: Int?) -> Int? { new == 0 ? nil : new ?? old }
    var limits = self
    limits.cpuWeight = number(cpuWeight, change.cpuWeight)
    limits.cpuCap = number(cpuCap, change.cpuCap)
    limits.cpus = change.cpus == "" ? nil : change.cpus ?? cpus
    limits.diskRate = number(diskRate, change.diskRate)
    limits.diskOperations = number(diskOperations, change.diskOperations)
    limits.networkRate = number(networkRate, change.networkRate)
    return limits
  }
}

/// Processors as the kernel lists them: numbers and ranges, with commas between (cpuset(7), "List format").
package struct ProcessorList: Hashable, Sendable {
  package let numbers: Set<Int>

  /// Nil for what is no such list.
  package init?(_ text: String) {
    var numbers: Set<Int> = []
    for part in text.split(separator: ",", omittingEmptySubsequences: false) {
      let ends = part.split(separator: "-", omittingEmptySubsequences: false)
      guard (1...2).contains(ends.count),
        ends.allSatisfy({ !$0.isEmpty && $0.count <= 4 && $0.allSatisfy { ("0"..."9").contains($0) } }),
        let first = Int(ends[0]), let last = Int(ends[ends.count - 1]), first <= last, last < 4096
      else { return nil }
      numbers.formUnion(first...last)
    }
    self.numbers = numbers
  }
}
