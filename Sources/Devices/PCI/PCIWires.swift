internal import Synchronization

/// The four interrupt wires of a PCI bus, PIRQA to PIRQD, and the ISA interrupts that they lead to. A wire is high while
/// any function drives it, an interrupt while any wire that leads to it is (PCI 3.0, 2.2.6).
///
/// The wires are soldered: firmware writes the same routes into the bridge's PIRQ registers, and systems that use the
/// I/O APIC switch the links off there while they use the pins.
///
/// Concurrency model: safe from any thread; `state` is held while a line is driven, so that levels reach it in order.
public final class PCIWires<Line: InterruptLine>: Sendable {
  private struct State: Sendable {
    /// Who drives each wire, a bit for each input.
    var drivers: [UInt64] = [0, 0, 0, 0]
    var inputs: [UInt64] = [0, 0, 0, 0]
    /// Interrupts that are high, a bit for each.
    var levels: UInt16 = 0
  }

  private let lines: [Line]
  private let routes: [UInt8]
  private let state = Mutex(State())

  /// Wires that lead to `routes`: an ISA interrupt for each of PIRQA to PIRQD.
  ///
  /// - Parameter line: the input of an ISA interrupt, 0 to 15.
  public init(routes: [UInt8], line: (UInt8) -> Line) {
    precondition(routes.count == 4, "PCI has four interrupt wires")
    self.routes = routes.map { $0 & 15 }
    lines = (0..<16).map { line($0) }
  }

  /// A new driver's end of `wire` (0 is PIRQA). A wire has at most 64.
  public func input(_ wire: Int) -> Input {
    let wire = wire & 3
    return state.withLock { state in
      defer { state.inputs[wire] += 1 }
      return Input(wires: self, wire: wire, bit: 1 << (state.inputs[wire] & 63))
    }
  }

  private func set(_ wire: Int, _ bit: UInt64, _ asserted: Bool) {
    state.withLock { state in
      let before = state.drivers[wire]
      state.drivers[wire] = asserted ? before | bit : before & ~bit
      if (before == 0) != (state.drivers[wire] == 0) { settle(&state) }
    }
  }

  /// Drives the lines whose level is another now.
  private func settle(_ state: inout State) {
    var levels: UInt16 = 0
    for wire in 0..<4 where state.drivers[wire] != 0 { levels |= 1 << UInt16(routes[wire]) }
    let changed = levels ^ state.levels
    state.levels = levels
    guard changed != 0 else { return }
    for interrupt in 0..<16 where changed & 1 << UInt16(interrupt) != 0 {
      lines[interrupt].set(levels & 1 << UInt16(interrupt) != 0)
    }
  }

  /// One driver's end of a wire.
  public struct Input: InterruptLine {
    let wires: PCIWires
    let wire: Int
    let bit: UInt64

    /// Drives this end of the wire.
    public func set(_ asserted: Bool) {
      wires.set(wire, bit, asserted)
    }
  }
}
