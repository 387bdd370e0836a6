internal import Platform

/// A parser or a device model, with inputs to begin with.
package struct FuzzTarget: Sendable {
  package let name: String
  /// Valid inputs, from which the fuzzer mutates.
  package let seeds: @Sendable () throws -> [[UInt8]]
  /// Does with an input what a guest or a file would; what traps in it is a finding, and so is an error that it throws.
  package let run: @Sendable (inout Input) throws -> Void

  package init(
    _ name: String, seeds: @escaping @Sendable () throws -> [[UInt8]],
    run: @escaping @Sendable (inout Input) throws -> Void
  ) {
    self.name = name
    self.seeds = seeds
    self.run = run
  }

  func writeSeeds(to directory: String) throws {
    try Files.makeDirectories(directory)
    for (index, seed) in try seeds().enumerated() { try Files.write(seed, to: "\(directory)/seed-\(index)") }
  }
}
