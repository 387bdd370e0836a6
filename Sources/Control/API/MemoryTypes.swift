/// What a domain may have of memory, is to have, and has; bytes.
public struct DomainMemoryStatus: Codable, Hashable, Sendable {
  /// Whether a device is there, and has a driver in the guest.
  public enum Driver: String, Codable, Hashable, Sendable {
    /// The domain has no such device.
    case none
    /// No driver of the guest's has the device running.
    case idle
    /// A driver has it running.
    case driven
  }

  /// What it may be set to at least.
  public var minimumBytes: Int
  /// What it may be set to at most, as an administrator has it.
  public var maximumBytes: Int
  /// What an administrator may let it grow to: what its recipe says.
  public var builtMaximumBytes: Int
  /// What its guest is to come to; nil while it does not run.
  public var wantedBytes: Int?
  /// What its guest has come to; nil where that is not known (yet).
  public var actualBytes: Int?
  /// The balloon, by which it has less than it started with; nil where that is not known (yet).
  public var balloon: Driver?
  /// The memory that comes and goes, by which it has more; nil where that is not known (yet).
  public var growth: Driver?
  /// What the balancer did with it last, and why, in words; nil for nothing since it was started.
  public var balance: String?

  /// All fields.
  public init(
    minimumBytes: Int, maximumBytes: Int, builtMaximumBytes: Int, wantedBytes: Int? = nil, actualBytes: Int? = nil,
    balloon: Driver? = nil, growth: Driver? = nil, balance: String? = nil
  ) {
    self.minimumBytes = minimumBytes
    self.maximumBytes = maximumBytes
    self.builtMaximumBytes = builtMaximumBytes
    self.wantedBytes = wantedBytes
    self.actualBytes = actualBytes
    self.balloon = balloon
    self.growth = growth
    self.balance = balance
  }
}

extension DomainStatus {
  /// Memory that it has now, as far as that is known, else what it starts with.
  var presentMemory: Int { memory?.actualBytes ?? memoryBytes }

  /// What it has, is to have, and may have of memory.
  var memoryWords: String {
    guard let memory, memory.minimumBytes < memory.builtMaximumBytes else { return Text.size(memoryBytes) }
    var words = Text.size(presentMemory)
    if let wanted = memory.wantedBytes, wanted != presentMemory { words += ", on the way to \(Text.size(wanted))" }
    return "\(words) (starts with \(Text.size(memoryBytes)); \(Text.size(memory.minimumBytes)) to "
      + "\(Text.size(memory.maximumBytes)))"
  }
}
