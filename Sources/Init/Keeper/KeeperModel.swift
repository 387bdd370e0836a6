internal import Identity
internal import Platform

/// What the keeper of a stick decides, without devices or clocks: what it saw goes in, what it is to do comes out.
/// Times are nanoseconds of one clock that never goes back.
struct KeeperModel: Sendable {
  /// What was seen of the stick.
  enum Sight: Hashable, Sendable {
    /// Nothing of this machine uses it any more.
    case unused
    /// It is there and answers.
    case up
    /// It is not.
    case down
  }

  /// What a disk turned out to be, that may be the stick.
  enum Verdict: Hashable, Sendable {
    /// The stick, as it was when it went.
    case same
    /// Nothing can be said of it yet.
    case unclear
    /// Not to be used; why, in words that follow its path.
    case refused(String)
  }

  /// A disk that may be the stick. The number is the kernel's for this appearance of it.
  struct Candidate: Hashable, Sendable {
    var path: String
    var sequence: String
    var verdict: Verdict
  }

  /// What is to be done.
  enum Action: Hashable, Sendable {
    /// A line for people.
    case say(String)
    /// What the domain manager is told.
    case report(MediumReport)
    /// This disk takes the stick's place; answered by `restored`.
    case restore(Candidate)
    /// What waits is to fail.
    case stopWaiting
    /// The machine is to stop, whatever still runs.
    case stopMachine(PowerAction)
  }

  private static let second: UInt64 = 1_000_000_000
  /// How long the end of the machine waits for the stick.
  static let patience = 60 * second
  /// How long the init may take after that.
  static let lastPatience = 60 * second
  /// A stick that goes again within this time does not keep its connection.
  private static let calm = 10 * second
  private static let longestPause = 30 * second

  static let pulled =
    "the stick that this machine runs from was pulled out: the guests are paused. Put the same stick back, and they "
    + "go on"
  static let unsteady =
    "the stick that this machine runs from loses its connection again and again: try another USB port, and save what "
    + "is on it"

  private(set) var isOut = false
  private var outSince: UInt64 = 0
  private var restoredAt: UInt64?
  private var pause: UInt64 = 0
  private var refused: [String: String] = [:]
  private var ending: (action: PowerAction, since: UInt64)?
  private var failedAt: UInt64?
  private var lastReport: MediumReport?

  /// Takes what was seen. `candidates` are asked for only when they are needed.
  mutating func look(_ sight: Sight, at now: UInt64, candidates: () -> [Candidate]) -> [Action] {
    var actions: [Action] = []
    switch sight {
    case .up, .unused:
      if isOut { actions += returned(at: now, sight) }
      actions += report(MediumReport(.present, notice: isUnsteady(at: now) ? Self.unsteady : nil))
    case .down:
      if !isOut { actions += left(at: now) }
      actions += out(at: now, candidates())
    }
    return actions
  }

  /// The machine is to end.
  mutating func end(_ action: PowerAction, at now: UInt64) -> [Action] {
    ending = (ending.map { ($0.action, $0.since) } ?? (action, now))
    return isOut ? [.say(Self.endingWithout)] : []
  }

  /// A disk took the stick's place, or could not; why, in words.
  mutating func restored(_ candidate: Candidate, failure: String?, at now: UInt64) -> [Action] {
    guard let failure else { return returned(at: now, .up) + report(MediumReport(.present)) }
    restoredAt = now
    pause = max(Self.second, min(pause * 2, Self.longestPause))
    return [.say("\(candidate.path) is the stick, but cannot be used (\(failure)); it is tried again")]
  }

  private static var endingWithout: String {
    "the stick is not there: put it back within \(patience / second) s, or what waits to be written is lost"
  }

  private func isUnsteady(at now: UInt64) -> Bool {
    guard let restoredAt, pause > 0 else { return false }
    return now < restoredAt + Self.calm + pause
  }

  private mutating func left(at now: UInt64) -> [Action] {
    isOut = true
    outSince = now
    refused = [:]
    // One that does not stay gets a rest before it is tried again, a longer one each time.
    if let restoredAt, now < restoredAt + Self.calm {
      pause = max(Self.second, min(pause * 2, Self.longestPause))
    } else {
      pause = 0
    }
    let actions = [Action.say(Self.pulled)] + report(MediumReport(.missing, notice: Self.pulled))
    return ending == nil ? actions : actions + [.say(Self.endingWithout)]
  }

  private mutating func returned(at now: UInt64, _ sight: Sight) -> [Action] {
    isOut = false
    restoredAt = now
    refused = [:]
    return sight == .up ? [.say("the stick is back: the guests go on")] : []
  }

  private mutating func out(at now: UInt64, _ candidates: [Candidate]) -> [Action] {
    var actions: [Action] = []
    let isResting = restoredAt.map { now < max($0, outSince) + pause } ?? false
    for candidate in candidates {
      switch candidate.verdict {
      case .unclear: break
      case .same where isResting: break
      case .same: return actions + [.restore(candidate)]
      case .refused(let reason):
        let text = "\(candidate.path) \(reason); it is not used"
        if refused.updateValue(text, forKey: candidate.sequence) != text { actions.append(.say(text)) }
      }
    }
    // What is refused is told for as long as it is there.
    let there = Set(candidates.map(\.sequence))
    refused = refused.filter { there.contains($0.key) }
    let notice = ([Self.pulled] + refused.values.sorted()).joined(separator: ". ")
    actions += report(MediumReport(.missing, notice: notice))
    return actions + end(at: now)
  }

  /// How the end of the machine goes on without the stick.
  private mutating func end(at now: UInt64) -> [Action] {
    guard let ending else { return [] }
    guard let failedAt else {
      guard now >= max(outSince, ending.since) + Self.patience else { return [] }
      failedAt = now
      return [
        .say("the stick did not come back: what waited to be written is lost, and the machine goes on to its end"),
        .stopWaiting,
      ]
    }
    return now >= failedAt + Self.lastPatience ? [.stopMachine(ending.action)] : []
  }

  private mutating func report(_ report: MediumReport) -> [Action] {
    guard report != lastReport else { return [] }
    lastReport = report
    return [.report(report)]
  }
}
