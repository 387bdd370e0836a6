/// How busy the domains are, as a table of plain text or as JSON.
public struct UsageTable {
  /// A domain's row.
  public struct Row: Codable, Hashable, Sendable {
    /// The domain's name.
    public var name: String
    /// Where it is in its life.
    public var state: DomainState
    /// Share of one processor in percent; nil where it does not run or was not measured twice.
    public var cpuPercent: Double?
    /// How much its virtual CPUs waited for processors, in percent of one; nil where that is not known.
    public var stealPercent: Double?
    /// Time of processors that its monitor had since it was started, in seconds.
    public var cpuSeconds: Double?
    /// Memory that it has now, in bytes.
    public var memoryBytes: Int?
    /// Memory that its guest may have now, in bytes.
    public var memoryLimitBytes: Int
    /// Memory that its guest says it could do without, in bytes; nil where it does not say.
    public var guestAvailableBytes: Int?
    /// True while its processors stand still.
    public var isPaused: Bool?

    /// What it is doing, for people.
    var activity: String { isPaused == true ? "paused" : state.rawValue }
  }

  /// The domains, the busiest first.
  public private(set) var rows: [Row] = []
  private var meter = UsageMeter()

  /// An empty one.
  public init() {}

  /// Takes a measurement. Shares of processors are known from the second one on.
  public mutating func take(_ report: UsageReport, _ overview: Overview) {
    meter.take(report)
    let seconds = Dictionary(report.domains.map { ($0.name, $0.cpuSeconds) }) { first, _ in first }
    let available = Dictionary(report.domains.map { ($0.name, $0.guestAvailableBytes) }) { first, _ in first }
    let unsorted = overview.domains.map { domain in
      let usage = meter.of(domain.name)
      return Row(
        name: domain.name, state: domain.state, cpuPercent: usage?.cpuPercent, stealPercent: usage?.stealPercent,
        cpuSeconds: seconds[domain.name], memoryBytes: usage?.memoryBytes, memoryLimitBytes: domain.presentMemory,
        guestAvailableBytes: available[domain.name] ?? nil, isPaused: domain.isPaused)
    }
    // Equally busy ones stay in the recipe's order.
    rows = unsorted.enumerated().sorted {
      ($1.element.cpuPercent ?? -1, $0.offset) < ($0.element.cpuPercent ?? -1, $1.offset)
    }.map(\.element)
  }

  /// A headline and a line for each domain.
  public func lines(width: Int? = nil) -> [String] {
    TextTable<Row>(
      columns: [
        .init(title: "NAME", minimum: 8) { $0.name },
        .init(title: "STATE") { $0.activity },
        .init(title: "CPU", alignsRight: true) { $0.cpuPercent.map(Text.percent) ?? "-" },
        .init(title: "STEAL", alignsRight: true) { $0.stealPercent.map(Text.percent) ?? "-" },
        .init(title: "CPU TIME", alignsRight: true) { $0.cpuSeconds.map(Text.seconds) ?? "-" },
        .init(title: "MEMORY USED", alignsRight: true) { $0.memoryBytes.map(Text.size) ?? "-" },
        .init(title: "OF", alignsRight: true) { Text.size($0.memoryLimitBytes) },
      ], shrinking: [0]
    ).lines(rows, width: width)
  }
}
