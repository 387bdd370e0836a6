internal import Manifest
internal import Platform

/// What a monitor tells of its guest's memory: words `name=value`. Those that are not known say nothing.
struct MemoryFigures: Hashable, Sendable {
  /// Bytes that the guest is to come to, and has come to.
  let wanted: Int
  let actual: Int
  let balloon: DomainMemoryStatus.Driver
  let growth: DomainMemoryStatus.Driver
  /// Bytes that the guest says it could give up without swapping.
  let available: Int?
  /// Page faults so far that went to its disks, as it says.
  let faults: Int?
  /// Whole seconds since it said so.
  let age: Int?

  /// Reads the monitor's answer; nil where the words are missing that must be there.
  init?(_ text: String) {
    var words: [Substring: Substring] = [:]
    for word in text.split(separator: " ") {
      guard let mark = word.firstIndex(of: "=") else { continue }
      words[word[..<mark]] = word[word.index(after: mark)...]
    }
    func bytes(_ name: Substring) -> Int? { words[name].flatMap { Int($0) }.flatMap { $0 < 0 ? nil : $0 } }
    func driver(_ name: Substring) -> DomainMemoryStatus.Driver? {
      words[name].flatMap { DomainMemoryStatus.Driver(rawValue: String($0)) }
    }
    guard let wanted = bytes("wanted"), let actual = bytes("actual"), let balloon = driver("balloon"),
      let growth = driver("growth")
    else { return nil }
    self.wanted = wanted
    self.actual = actual
    self.balloon = balloon
    self.growth = growth
    available = bytes("available")
    faults = bytes("faults")
    age = bytes("age")
  }
}

/// What a guest says of its memory, from one time to the next.
struct GuestWords: Hashable, Sendable {
  /// Bytes that it could give up without swapping.
  private(set) var available: Int?
  /// When it said so at the earliest, in seconds; nil before it said anything.
  private(set) var said: Double?
  /// Page faults a second that went to its disks, between the last two times; zero where it does not say.
  private(set) var faultRate = 0.0
  private var faults: Int?

  /// Takes what its monitor tells at `now` seconds, which may be what it told before.
  mutating func take(_ figures: MemoryFigures, at now: Double) {
    guard let available = figures.available, let age = figures.age else { return }
    // The age is in whole seconds.
    let said = now - Double(age) - 1
    if let before = self.said, said - before < 1 { return }
    if let faults = figures.faults, let old = self.faults, let before = self.said, faults >= old {
      faultRate = Double(faults - old) / (said - before)
    } else {
      faultRate = 0
    }
    self.available = available
    self.said = said
    faults = figures.faults
  }
}

/// What one domain may have of memory, is to have, and has, while its monitors come and go.
///
/// What it is to have belongs to a running monitor and ends with it: the next one starts with what the recipe says. It is
/// recorded for a domain manager after this one, as is how far it may grow. Lives on the loop's thread.
final class DomainMemory {
  let bounds: MemoryBounds
  /// What it may be set to at most.
  private(set) var limit: Int
  private let path: String
  private var present: Present?

  /// What is known of the memory of a running monitor.
  private struct Present {
    let pid: Int32
    var wanted: Int
    /// An order is under way that may make it this.
    var pending: Int?
    var figures: MemoryFigures?
    /// What its guest said of itself last.
    var words = GuestWords()
    /// What the balancer did last.
    var balance: String?
  }

  private struct Record: Codable {
    var limit: Int?
    var pid: Int32?
    var wanted: Int?
  }

  /// A domain's, as recorded in `directory`.
  init(_ bounds: MemoryBounds, directory: String) {
    self.bounds = bounds
    path = "\(directory)/memory.json"
    let bytes = try? Files.read(path)
    let record = bytes.flatMap { try? ControlCoding.decode(Record.self, from: $0) }
    // A record of before may be of another recipe.
    limit = min(max(record?.limit ?? bounds.maximum, bounds.start), bounds.maximum)
    if let pid = record?.pid, let wanted = record?.wanted { present = Present(pid: pid, wanted: wanted) }
  }

  /// Whether it can be anything but what it starts with.
  var isAdjustable: Bool { bounds.minimum < bounds.maximum }

  private func state(of pid: Int32) -> Present {
    if let present, present.pid == pid { return present }
    return Present(pid: pid, wanted: bounds.start)
  }

  /// What the guest of the monitor `pid` is to come to.
  func wanted(by pid: Int32) -> Int { state(of: pid).wanted }

  /// What the monitor `pid` told last.
  func figures(of pid: Int32) -> MemoryFigures? { state(of: pid).figures }

  /// Bytes that the guest of the monitor `pid` may take of the machine before anybody notices.
  func committed(to pid: Int32) -> Int {
    let state = state(of: pid)
    return max(state.wanted, state.pending ?? 0, state.figures?.actual ?? bounds.start)
  }

  /// As clients see it.
  func status(of pid: Int32?) -> DomainMemoryStatus {
    let state = pid.map { self.state(of: $0) }
    return DomainMemoryStatus(
      minimumBytes: bounds.minimum, maximumBytes: limit, builtMaximumBytes: bounds.maximum, wantedBytes: state?.wanted,
      actualBytes: state?.figures?.actual, balloon: state?.figures?.balloon, growth: state?.figures?.growth,
      balance: state?.balance)
  }

  /// The monitor `pid` is about to be asked for `bytes`: who comes after this domain manager counts on the larger.
  func order(_ bytes: Int, of pid: Int32) {
    var state = state(of: pid)
    state.pending = bytes
    present = state
    record(max(bytes, state.wanted))
  }

  /// The order of the monitor `pid` is over: it made it `bytes`; nil where nothing has changed.
  func finish(_ bytes: Int?, of pid: Int32) {
    guard var state = present, state.pid == pid else { return }
    state.pending = nil
    if let bytes { state.wanted = bytes }
    present = state
    record(state.wanted)
  }

  /// What the guest of the monitor `pid` said of itself, and when.
  func words(of pid: Int32) -> GuestWords { state(of: pid).words }

  /// The balancer has set what the guest of the monitor `pid` is to come to.
  func note(_ balance: String, of pid: Int32) {
    var state = state(of: pid)
    state.balance = balance
    present = state
  }

  /// Takes what the monitor `pid` tells at `now` seconds.
  func take(_ figures: MemoryFigures, of pid: Int32, at now: Double) {
    var state = state(of: pid)
    state.words.take(figures, at: now)
    let isNew = state.wanted != figures.wanted
    state.figures = figures
    state.wanted = figures.wanted
    present = state
    if isNew { record(state.wanted) }
  }

  /// It may be set to `bytes` at most from now on.
  func setLimit(_ bytes: Int) {
    limit = bytes
    record(present?.wanted)
  }

  private func record(_ wanted: Int?) {
    let record = Record(
      limit: limit == bounds.maximum ? nil : limit, pid: wanted == nil ? nil : present?.pid, wanted: wanted)
    guard let bytes = try? ControlCoding.encode(record) else { return }
    let directory = String(path.dropLast("/memory.json".count))
    try? Files.makeDirectories(directory, permissions: 0o700)
    try? Files.replace(path, with: bytes, permissions: 0o600)
  }
}

/// Why a domain's memory cannot be set so, in sentences that begin with its name.
enum MemoryRules {
  /// Against having it come to `bytes`; nil where nothing is. `free` is what the machine has left beside what it promised
  /// to all domains.
  static func objection(
    toSetting bytes: Int, of name: String, _ memory: DomainMemory, state: DomainState, pid: Int32?, free: Int?
  ) -> ControlError? {
    let bounds = memory.bounds
    guard bytes % Limits.memoryGranule == 0 else { return ControlError(.malformedRequest, "give whole MiB of memory") }
    guard let pid, state != .shuttingDown else {
      let start = "; it starts with \(Text.size(bounds.start))"
      return ControlError(.wrongState, "\(name) is not running (it is \(state.words))\(pid == nil ? start : "")")
    }
    guard memory.isAdjustable else {
      return ControlError(
        .wrongState,
        "\(name) keeps the \(Text.size(bounds.start)) that it started with; `memory: {start: …, min: …, max: …}` in its "
          + "recipe has it shrink and grow")
    }
    if bytes < bounds.minimum {
      return ControlError(
        .wrongState,
        "\(name) can have \(Text.size(bounds.minimum)) at least; `min` under `memory` in its recipe says how little")
    }
    if bytes > memory.limit {
      let why =
        memory.limit < bounds.maximum
        ? "`roost mem-max \(name)` lets it have up to \(Text.size(bounds.maximum))"
        : "`max` under `memory` in its recipe says how far it may grow"
      return ControlError(.wrongState, "\(name) can have \(Text.size(memory.limit)) at most; \(why)")
    }
    let more = bytes - memory.committed(to: pid)
    guard let free, more > free else { return nil }
    return ControlError(
      .wrongState,
      "\(name) would need \(Text.size(more)) more of the machine, which has \(Text.size(max(0, free))) left; give the "
        + "machine more, stop another domain, or set one lower with `roost mem-set`")
  }

  /// Against letting it have `bytes` at most; nil where nothing is.
  static func objection(
    toLimiting bytes: Int, of name: String, _ memory: DomainMemory, pid: Int32?
  ) -> ControlError? {
    let bounds = memory.bounds
    guard bytes % Limits.memoryGranule == 0 else { return ControlError(.malformedRequest, "give whole MiB of memory") }
    if bytes > bounds.maximum {
      return ControlError(
        .wrongState,
        "\(name) can grow to \(Text.size(bounds.maximum)) at most: `max` under `memory` in its recipe says so")
    }
    if bytes < bounds.start {
      return ControlError(
        .wrongState, "\(name) starts with \(Text.size(bounds.start)), and may always have that much")
    }
    guard let pid, bytes < memory.committed(to: pid) else { return nil }
    return ControlError(
      .wrongState,
      "\(name) has \(Text.size(memory.committed(to: pid))) now; set it lower first, with `roost mem-set`")
  }
}
