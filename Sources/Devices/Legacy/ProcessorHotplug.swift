internal import Synchronization

/// Where a guest's ACPI methods learn which processors it has, and say that they let go of one (ACPI 6.5, 5.6.6 and 6.3:
/// device checks, ejection). One port for each processor; attach it to `ProcessorHotplugPort.count` ports.
///
/// Read, a port has the bits of `ProcessorHotplugPort`. Written, `.arrives` and `.leaves` take that news off, and
/// `.ejected` gives the processor back. The first processor never goes.
///
/// Concurrency model: safe from any thread; `onNews` is called without the lock.
public final class ProcessorHotplug: BusDevice, Sendable {
  private struct State: Sendable {
    var ports: [UInt8]
    var wanted: Int
  }

  private let state: Mutex<State>
  private let onNews: @Sendable () -> Void

  /// A machine that starts with `count` processors and may have `maximum`, at most 256. `onNews` has the guest's methods
  /// look here.
  public init(count: Int, maximum: Int, onNews: @escaping @Sendable () -> Void) {
    let present = ProcessorHotplugPort.present.rawValue
    state = Mutex(State(ports: (0..<maximum).map { $0 < count ? present : 0 }, wanted: count))
    self.onNews = onNews
  }

  /// Has the guest come to `count` processors, which are the first ones: those that are missing are there at once, and it
  /// is asked to let go of those that are too many. What was asked before and has not happened is asked no more.
  public func set(_ count: Int) {
    typealias Port = ProcessorHotplugPort
    let hasNews = state.withLock { state in
      state.wanted = count
      var hasNews = false
      for (id, port) in state.ports.enumerated() where id > 0 {
        var bits = Port(rawValue: port).subtracting(.leaves)
        if id < count, !bits.contains(.present) { bits.formUnion([.present, .arrives]) }
        // One that it has not looked at yet leaves as well: it may have been seen all the same.
        if id >= count, bits.contains(.present) { bits.insert(.leaves) }
        hasNews = hasNews || !bits.isDisjoint(with: [.arrives, .leaves])
        state.ports[id] = bits.rawValue
      }
      return hasNews
    }
    if hasNews { onNews() }
  }

  /// Reads a port; where there is none, zeros.
  public func read(at offset: UInt64, width: AccessWidth) -> UInt64 {
    guard width == .byte else { return 0 }
    return state.withLock { offset < $0.ports.count ? UInt64($0.ports[Int(offset)]) : 0 }
  }

  /// Writes a port.
  public func write(_ value: UInt64, at offset: UInt64, width: AccessWidth) {
    typealias Port = ProcessorHotplugPort
    let written = Port(rawValue: UInt8(truncatingIfNeeded: value))
    let hasNews = state.withLock { state in
      guard width == .byte, offset > 0, offset < state.ports.count else { return false }
      let id = Int(offset)
      var bits = Port(rawValue: state.ports[id]).subtracting(written.intersection([.arrives, .leaves]))
      // What the guest gives back while it is wanted again comes anew.
      var isBack = false
      if written.contains(.ejected), bits.contains(.present) {
        isBack = id < state.wanted
        bits = isBack ? [.present, .arrives] : []
      }
      state.ports[id] = bits.rawValue
      return isBack
    }
    if hasNews { onNews() }
  }
}

/// What the port of a processor says.
public struct ProcessorHotplugPort: OptionSet, Sendable {
  /// The bits.
  public let rawValue: UInt8

  /// These bits.
  public init(rawValue: UInt8) {
    self.rawValue = rawValue
  }

  /// The processor is there.
  public static let present = ProcessorHotplugPort(rawValue: 1 << 0)
  /// It has come, and the guest has not been told.
  public static let arrives = ProcessorHotplugPort(rawValue: 1 << 1)
  /// The guest is to let go of it, and has not been told.
  public static let leaves = ProcessorHotplugPort(rawValue: 1 << 2)
  /// Written: the guest has let go of it.
  public static let ejected = ProcessorHotplugPort(rawValue: 1 << 3)

  /// Ports in all: one for each processor that there can be.
  public static let count: UInt64 = 256
  /// The general-purpose event that says that there is news.
  public static let event: UInt8 = 2
}
