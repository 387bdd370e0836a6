internal import Manifest

/// Moves memory from domains that have more than they need to those that have less, within the bounds of each. Pure: what
/// is known of guests and the machine goes in, orders come out.
///
/// It keeps away from the limits that it decides by: who got memory keeps it for a while, who gave some is left alone for
/// a while, and between having too little and having too much there is much room.
struct MemoryBalance: Sendable {
  /// Bytes that the machine keeps for itself.
  static let machineReserve = 128 << 20
  /// Percent of the time that some program of the machine waited for memory (/proc/pressure/memory, `some avg10`) from
  /// which on it is short itself.
  static let highPressure = 10.0
  /// A guest is needy that could give up less than this share of what it has.
  static let needyShare = 0.125
  /// So is one with less than this share that also reads much back from its disks.
  static let faultingShare = 0.25
  static let highFaultRate = 50.0  // major faults a second
  /// A guest is idle that could give up more than this share of what it has, and hardly reads anything back.
  static let idleShare = 0.5
  static let lowFaultRate = 5.0  // major faults a second
  /// What is moved at once: an eighth of what the guest has, between these.
  static let steps = (16 << 20)...(512 << 20)  // bytes
  /// What moves is a multiple of this: a block of virtio-mem's, at least.
  static let granule = 4 << 20  // bytes
  /// Seconds that a guest which was given memory is not given more.
  static let restAfterGrowth = 10.0
  /// Seconds that a guest which needed memory is not taken any, whether it was given some or not.
  static let keepAfterNeed = 60.0
  /// Seconds that a guest which gave memory is not taken more.
  static let restAfterShrinking = 20.0
  /// Seconds that a guest is left alone whose memory a user has set.
  static let restAfterUser = 300.0
  /// A guest that has not said anything for so many seconds is not judged.
  static let oldestWord = 30.0

  /// What is known of a guest; bytes.
  struct Guest: Hashable, Sendable {
    var name: String
    /// What it started with, and may be set to.
    var start: Int
    var minimum: Int
    var maximum: Int
    /// What it is to come to, and has come to.
    var wanted: Int
    var actual: Int
    /// What it says that it could give up without swapping.
    var available: Int
    /// When it said so, in seconds of the clock of `decide`.
    var said: Double
    /// Page faults a second that went to its disks.
    var faultRate: Double
    /// Whether it has drivers by which it has less, and more, than it started with.
    var hasBalloon: Bool
    var hasGrowth: Bool

    /// What it has, and may take before anybody notices.
    fileprivate var base: Int { max(wanted, actual) }
    fileprivate var isNeedy: Bool {
      let share = Double(available) / Double(max(1, actual))
      return share < needyShare || share < faultingShare && faultRate >= highFaultRate
    }
    fileprivate var isIdle: Bool {
      Double(available) > Double(actual) * idleShare && faultRate <= lowFaultRate
    }
    /// The least that it may be set to: what it uses, a reserve, and its minimum.
    var floor: Int {
      let used = min(max(0, actual - available), Limits.memory.upperBound)
      return max(minimum, used + max(64 << 20, used / 4), hasBalloon ? 0 : start)
    }
    /// The most that it can have.
    fileprivate var ceiling: Int { hasGrowth ? maximum : min(maximum, max(start, base)) }
    fileprivate var step: Int { MemoryBalance.clamped(actual / 8) }
  }

  /// What is known of the machine.
  struct Machine: Hashable, Sendable {
    /// Bytes that it has left beside all that it promised to domains.
    var free: Int
    /// Percent of the time that some program waits for memory; nil where the kernel does not say.
    var pressure: Double?
  }

  /// An order: a guest that has `from` bytes is to come to so many.
  struct Move: Hashable, Sendable {
    var name: String
    var from: Int
    var bytes: Int
    /// Why, in words of which the guest is "it".
    var reason: String

    /// What was done at `now` seconds.
    func words(at now: Double) -> String {
      "\(bytes > from ? "raised" : "lowered") to \(Text.size(bytes)) at \(Text.seconds(now)): \(reason)"
    }
  }

  /// When something was done with a guest last, or it needed something: seconds.
  private struct Past {
    var grown = -Double.infinity
    var needed = -Double.infinity
    var shrunk = -Double.infinity
    var set = -Double.infinity
  }

  private var pasts: [String: Past] = [:]

  /// A user has set a guest's memory: it is as that user wants it.
  mutating func userHasSet(_ name: String, now: Double) { pasts[name, default: Past()].set = now }

  /// Decides what is to be done now.
  mutating func decide(_ guests: [Guest], _ machine: Machine, now: Double) -> [Move] {
    pasts = pasts.filter { name, _ in guests.contains { $0.name == name } }
    let judged = guests.filter { guest in
      let past = pasts[guest.name] ?? Past()
      // What it said before it was given or taken something says nothing of now.
      return now - guest.said <= Self.oldestWord && guest.said > max(past.grown, past.shrunk)
        && now - past.set >= Self.restAfterUser
    }
    let isPressed = (machine.pressure ?? 0) >= Self.highPressure
    // Memory that goes to a guest is gone for good as far as the machine knows.
    var free = isPressed ? 0 : max(0, machine.free - Self.machineReserve)
    var lacking = max(0, Self.machineReserve - machine.free)
    if isPressed { lacking = max(lacking, Self.steps.lowerBound) }
    let isShort = lacking > 0
    // What was asked for is on the way, unless that takes too long.
    let coming = guests.reduce(0) { sum, guest in
      let isAwaited = now - (pasts[guest.name]?.shrunk ?? -.infinity) < Self.restAfterShrinking
      let more = min(max(0, guest.actual - guest.wanted), Limits.memory.upperBound)
      return isAwaited ? sum + more : sum
    }
    lacking -= coming
    for guest in judged where guest.isNeedy { pasts[guest.name, default: Past()].needed = now }
    var moves: [Move] = []
    let needy = judged.filter { mayGrow($0, now: now) }.sorted { Self.share($0) < Self.share($1) }
    for guest in needy {
      let step = min(guest.step, Self.whole(guest.ceiling - guest.base))
      let given = min(step, Self.whole(free))
      lacking += step - given
      guard given > 0 else { continue }
      free -= given
      pasts[guest.name, default: Past()].grown = now
      moves.append(
        Move(
          name: guest.name, from: guest.base, bytes: Self.mebibytes(guest.base + given),
          reason: "it has \(Text.size(guest.available)) left"))
    }
    let why = [needy.first.map { "\($0.name) needs memory" }, isShort ? "the machine is short of it" : nil]
    let reason = why.compactMap { $0 }.joined(separator: " and ")
    for guest in judged.filter({ mayShrink($0, now: now) }).sorted(by: { $0.available > $1.available }) {
      guard lacking > 0 else { break }
      let taken = min(
        guest.step, Self.whole(guest.base - guest.floor), max(Self.steps.lowerBound, Self.wholeUp(lacking)))
      guard taken >= Self.steps.lowerBound else { continue }
      lacking -= taken
      pasts[guest.name, default: Past()].shrunk = now
      moves.append(
        Move(
          name: guest.name, from: guest.base, bytes: Self.mebibytes(guest.base - taken + Limits.memoryGranule - 1),
          reason: "it has \(Text.size(guest.available)) to spare, and \(reason)"))
    }
    return moves
  }

  private func mayGrow(_ guest: Guest, now: Double) -> Bool {
    let past = pasts[guest.name] ?? Past()
    return guest.isNeedy && now - past.grown >= Self.restAfterGrowth
      // What is on the way is to come first.
      && guest.actual >= guest.wanted
      && (guest.base < guest.start ? guest.hasBalloon : guest.hasGrowth)
      && Self.whole(guest.ceiling - guest.base) > 0
  }

  private func mayShrink(_ guest: Guest, now: Double) -> Bool {
    let past = pasts[guest.name] ?? Past()
    return guest.isIdle && now - past.needed >= Self.keepAfterNeed && now - past.shrunk >= Self.restAfterShrinking
      && guest.actual == guest.wanted
  }

  private static func share(_ guest: Guest) -> Double { Double(guest.available) / Double(max(1, guest.actual)) }

  /// Whole MiB, which is what a domain's memory is set to.
  private static func mebibytes(_ bytes: Int) -> Int { bytes / Limits.memoryGranule * Limits.memoryGranule }

  private static func whole(_ bytes: Int) -> Int { max(0, bytes) / granule * granule }

  private static func wholeUp(_ bytes: Int) -> Int { whole(min(bytes, Int.max - granule) + granule - 1) }

  private static func clamped(_ bytes: Int) -> Int {
    whole(min(max(bytes, steps.lowerBound), steps.upperBound))
  }

  /// The share of the time that some program waited for memory in the last 10 seconds, out of /proc/pressure/memory
  /// (Linux, Documentation/accounting/psi.rst), in percent; nil where it does not stand there.
  static func pressure(in text: String) -> Double? {
    for line in text.split(separator: "\n") where line.hasPrefix("some ") {
      for word in line.split(separator: " ") where word.hasPrefix("avg10=") {
        return Double(word.dropFirst("avg10=".count)).flatMap { $0.isFinite && $0 >= 0 ? $0 : nil }
      }
    }
    return nil
  }
}
