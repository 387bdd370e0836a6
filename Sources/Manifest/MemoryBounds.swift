/// How much memory a domain starts with, and what it may be set to while it runs; bytes, whole MiB.
public struct MemoryBounds: Sendable, Hashable {
  /// What it starts with.
  public let start: Int
  /// What it may be asked to come down to.
  public let minimum: Int
  /// What it may grow to.
  public let maximum: Int

  /// Bounds, natural where they are not given: down to a quarter, and no growth.
  public init(start: Int, minimum: Int? = nil, maximum: Int? = nil) {
    self.start = start
    self.minimum = minimum ?? Self.naturalMinimum(of: start)
    self.maximum = maximum ?? start
  }

  /// A quarter of the start, but not less than 64 MiB. A kernel sizes its tables and reserves by what it starts with, and
  /// keeps them: below a quarter little is left for anything else, and a guest that is set so low kills its programs.
  public static func naturalMinimum(of start: Int) -> Int {
    let mebibyte = 1 << 20
    return min(start, max(64 * mebibyte, (start / 4 + mebibyte - 1) / mebibyte * mebibyte))
  }

  /// The minimum as a manifest has it: nothing for the natural one.
  public var statedMinimum: Int? { minimum == Self.naturalMinimum(of: start) ? nil : minimum }

  /// The maximum as a manifest has it: nothing for what it starts with.
  public var statedMaximum: Int? { maximum == start ? nil : maximum }

  /// Whether there is no order in them.
  var isOutOfOrder: Bool {
    minimum > start || start > maximum || !Limits.memory.contains(minimum) || !Limits.memory.contains(maximum)
  }
}

extension ApplianceManifest.Domain {
  /// What it starts with, and what it may be set to.
  public var memory: MemoryBounds {
    MemoryBounds(start: memoryBytes, minimum: memoryMinimumBytes, maximum: memoryMaximumBytes)
  }
}
