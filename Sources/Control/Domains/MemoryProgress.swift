/// How a guest comes to the memory that it was asked to come to, from one look at its domain to the next.
public struct MemoryProgress: Sendable {
  /// What a look says.
  public enum Step: Hashable, Sendable {
    /// It is there.
    case done(String)
    /// It is not there yet; what is new.
    case onward(String?)
    /// It is not to be expected any more; why.
    case stuck(String)
  }

  /// Seconds without any change after which nothing more is expected.
  public static let patience = 30.0
  /// Seconds that a guest that is up may take until it has a driver.
  public static let driverPatience = 10.0

  private let name: String
  private let wanted: Int
  private let began: Double
  private var last: Int?
  private var lastChange: Double

  /// Of a guest that was asked at `now` seconds to come to `wanted` bytes.
  public init(_ name: String, wanted: Int, now: Double) {
    self.name = name
    self.wanted = wanted
    began = now
    lastChange = now
  }

  /// Takes a look at the domain.
  public mutating func take(_ domain: DomainStatus, now: Double) -> Step {
    guard domain.state.isLive, domain.state != .shuttingDown, let memory = domain.memory else {
      return .stuck("\(name) is not running any more (it is \(domain.state.words))")
    }
    if let other = memory.wantedBytes, other != wanted {
      return .stuck("\(name) was set to \(Text.size(other)) by somebody else, or started anew")
    }
    let before = last
    if let actual = memory.actualBytes, actual != last {
      last = actual
      lastChange = now
    }
    if last == wanted { return .done("\(name): has \(Text.size(wanted))") }
    if domain.isPaused == true {
      return .stuck("\(name) is paused: its guest comes to \(Text.size(wanted)) when it goes on")
    }
    if let missing = Self.missingDriver(domain, wanted), now - began >= Self.driverPatience { return .stuck(missing) }
    if now - lastChange >= Self.patience {
      let has = last.map { "it has \(Text.size($0))" } ?? "its monitor has not told what it has"
      return .stuck(
        "\(name) has not moved for \(Int(Self.patience)) s: \(has), and is to come to \(Text.size(wanted)). The guest may "
          + "need what it has; it goes on trying")
    }
    guard let last, last != before else { return .onward(nil) }
    return .onward("\(name): \(Text.size(last)), on the way to \(Text.size(wanted))")
  }

  /// What the guest lacks for coming to `wanted`, in a sentence; nil where it lacks nothing that is known.
  public static func missingDriver(_ domain: DomainStatus, _ wanted: Int) -> String? {
    guard let memory = domain.memory, memory.actualBytes != wanted else { return nil }
    if wanted < domain.memoryBytes, memory.balloon == .idle {
      return "\(domain.name): its guest has no driver for the balloon (virtio-balloon), or has not loaded it; "
        + "it keeps \(Text.size(domain.presentMemory))"
    }
    if wanted > domain.memoryBytes, memory.growth == .idle {
      return "\(domain.name): its guest has no driver for more memory (virtio-mem), or has not loaded it; "
        + "it keeps \(Text.size(domain.presentMemory))"
    }
    return nil
  }

  /// What was asked for, in a line.
  public static func summary(_ domain: DomainStatus) -> String {
    let wanted = domain.memory?.wantedBytes ?? domain.memoryBytes
    guard let actual = domain.memory?.actualBytes else { return "\(domain.name): is to come to \(Text.size(wanted))" }
    if actual == wanted { return "\(domain.name): has \(Text.size(wanted))" }
    return "\(domain.name): is to come to \(Text.size(wanted)); it has \(Text.size(actual))"
  }
}
