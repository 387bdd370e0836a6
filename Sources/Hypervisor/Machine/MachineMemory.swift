internal import Devices
internal import Platform

/// How much memory a machine's guest is to have and has: less than it started with by the balloon, more by blocks that
/// are plugged.
///
/// Belongs to the event loop's thread.
final class MachineMemory {
  typealias Balloon = VirtioPCI<VirtioBalloon<GuestRAM, RAMBalloon>, FunctionInterrupts>
  typealias Growth = VirtioPCI<VirtioMem<GuestRAM, RAMBlocks>, FunctionInterrupts>

  /// Bytes that the machine started with, and that it may have at most.
  let start: UInt64
  let most: UInt64
  /// Bytes that the guest was last asked to come to.
  private(set) var wanted: UInt64
  let reports = MemoryReports()
  var balloon: Balloon?
  var growth: Growth?

  init(start: UInt64, most: UInt64) {
    self.start = start
    self.most = max(start, most)
    wanted = start
  }

  /// Asks the guest to come to `bytes`, to the block; what it was asked to come to.
  func set(_ bytes: UInt64) throws(HypervisorError) -> UInt64 {
    guard bytes <= most else {
      let how = growth == nil ? "; it was started without --memory-max" : ""
      throw HypervisorError(.configuration, "the domain can have \(most >> 20) MiB at most\(how)")
    }
    if bytes < start, balloon == nil {
      throw HypervisorError(
        .configuration,
        "the domain cannot have less than the \(start >> 20) MiB that it started with: it was started without --balloon"
      )
    }
    balloon?.setBalloonTarget(start - min(bytes, start))
    let more = growth?.requestMemory(bytes - min(bytes, start)) ?? 0
    wanted = min(bytes, start) + more
    return wanted
  }

  /// All that is known, as words `name=value`; bytes, and seconds of age. Has the guest asked anew for what it says itself,
  /// which is told the next time.
  var figures: String {
    let given = balloon?.withDevice { device, _ throws(VirtioError) in device.actual } ?? 0
    let plugged = growth?.withDevice { device, _ throws(VirtioError) in device.plugged } ?? 0
    // What a driver says of itself may be anything.
    let actual = start - min(given, start) + plugged
    var words = [
      "wanted=\(wanted)", "actual=\(actual)", "start=\(start)", "max=\(most)",
      "balloon=\(Self.driver(balloon?.isRunning))", "growth=\(Self.driver(growth?.isRunning))",
    ]
    _ = balloon?.requestStatistics()
    if let (said, age) = reports.latest {
      words += Self.words(of: said, age: age)
    }
    return words.joined(separator: " ")
  }

  /// What a guest said of itself `age` nanoseconds ago.
  static func words(of said: BalloonStatistics, age: UInt64) -> [String] {
    let fields = [
      ("total", said.total), ("free", said.free), ("available", said.available), ("caches", said.caches),
      ("faults", said.majorFaults),
    ]
    return fields.compactMap { name, value in value.map { "\(name)=\($0)" } } + ["age=\(age / 1_000_000_000)"]
  }

  /// Whether a device is there, and has a driver.
  private static func driver(_ isRunning: Bool?) -> String {
    switch isRunning {
    case nil: "none"
    case false?: "idle"
    case true?: "driven"
    }
  }
}
