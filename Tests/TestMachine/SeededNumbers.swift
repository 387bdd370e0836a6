internal import Platform

/// SplitMix64 (Steele, Lea, Flood 2014): the same numbers on every run, and others where ROOST_FUZZ_SEED names a seed,
/// as `make fuzz` does.
public struct SeededNumbers: RandomNumberGenerator {
  private var state: UInt64

  /// A generator of its own sequence.
  public init(_ seed: UInt64) {
    let offset = ProcessEnvironment.value("ROOST_FUZZ_SEED").flatMap { UInt64($0) } ?? 0
    state = seed &+ offset &* 0xD134_2543_DE82_EF95
  }

  /// The next number.
  public mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var value = state
    value = (value ^ value >> 30) &* 0xBF58_476D_1CE4_E5B9
    value = (value ^ value >> 27) &* 0x94D0_49BB_1331_11EB
    return value ^ value >> 31
  }
}
