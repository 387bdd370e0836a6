internal import Devices
internal import Platform
internal import Synchronization

/// The machine's global interrupt numbers: the pins of the chips, and from 24 on one per MSI-X vector, each with an
/// irqfd whose route follows what the guest writes into the vector's table.
///
/// Concurrency model: `routes` is held while KVM takes a new table; `signal` takes no lock.
final class InterruptRouter: Sendable {
  /// Pins of the I/O APIC.
  static let pins: UInt32 = 24

  private let machine: VirtualMachineOwner
  private let routes: Mutex<[(gsi: UInt32, route: InterruptRoute)]>
  private let nextGSI = Mutex(InterruptRouter.pins)
  private let log: @Sendable (String) -> Void

  /// Sets the chips' own routes up: 0 to 15 reach the 8259 pair and the I/O APIC, the timer on its pin 2 as the MADT
  /// says; 16 to 23 the I/O APIC alone.
  init(_ machine: VirtualMachineOwner, log: @escaping @Sendable (String) -> Void) throws(HypervisorError) {
    self.machine = machine
    self.log = log
    var table: [(gsi: UInt32, route: InterruptRoute)] = []
    for gsi in 0..<Self.pins {
      if gsi < 8 { table.append((gsi, .master8259(pin: gsi))) }
      if (8..<16).contains(gsi) { table.append((gsi, .slave8259(pin: gsi - 8))) }
      if gsi == 0 { table.append((gsi, .ioAPIC(pin: 2))) } else if gsi != 2 { table.append((gsi, .ioAPIC(pin: gsi))) }
    }
    routes = Mutex(table)
    try machine.machine.setRoutes(table)
  }

  /// Interrupt numbers for `count` vectors; the first of them.
  func reserve(_ count: Int) -> UInt32 {
    nextGSI.withLock { next in
      defer { next += UInt32(count) }
      return next
    }
  }

  /// Leads interrupt `gsi` to a message. Unchanged routes cost nothing: guests mask and unmask all the time.
  func route(_ gsi: UInt32, to message: InterruptMessage) {
    let wanted = InterruptRoute.message(address: message.address, data: message.data)
    routes.withLock { routes in
      if let index = routes.firstIndex(where: { $0.gsi == gsi }) {
        guard routes[index].route != wanted else { return }
        routes[index].route = wanted
      } else {
        routes.append((gsi, wanted))
      }
      do throws(HypervisorError) {
        try machine.machine.setRoutes(routes)
      } catch {
        log("interrupt \(gsi) cannot be routed: \(error)")
      }
    }
  }

  /// Raises or lowers a pin.
  func setLine(_ gsi: UInt32, high: Bool) {
    machine.machine.setLine(gsi, high: high)
  }

  /// A wire to a pin.
  func line(_ gsi: UInt32) -> PinLine { PinLine(router: self, gsi: gsi) }
}

/// A wire to a pin of the interrupt chips.
struct PinLine: InterruptLine {
  fileprivate let router: InterruptRouter
  fileprivate let gsi: UInt32

  func set(_ asserted: Bool) {
    router.setLine(gsi, high: asserted)
  }
}

/// Keeps the virtual machine where several threads reach it.
final class VirtualMachineOwner: Sendable {
  let machine: VirtualMachine

  init(_ machine: consuming VirtualMachine) {
    self.machine = machine
  }
}

/// Interrupts of one PCI function: its INTx wire, and an irqfd per MSI-X vector.
final class FunctionInterrupts: PCIInterrupts, Sendable {
  private let router: InterruptRouter
  private let line: PCIWires<PinLine>.Input
  private let firstGSI: UInt32
  private let events: [InterruptEvent]

  init(
    _ router: InterruptRouter, machine: VirtualMachineOwner, line: PCIWires<PinLine>.Input, vectors: Int
  ) throws(HypervisorError) {
    self.router = router
    self.line = line
    firstGSI = router.reserve(vectors)
    var events: [InterruptEvent] = []
    for index in 0..<vectors { events.append(try InterruptEvent(machine, gsi: firstGSI + UInt32(index))) }
    self.events = events
  }

  func setLine(_ asserted: Bool) {
    line.set(asserted)
  }

  func routeChanged(vector: Int, to message: InterruptMessage?) {
    // A masked vector keeps its route: nobody signals it.
    guard let message, vector < events.count else { return }
    router.route(firstGSI + UInt32(vector), to: message)
  }

  /// What interrupts on `vector` when it is signalled.
  func event(of vector: Int) -> InterruptEvent? { events.indices.contains(vector) ? events[vector] : nil }

  func signal(vector: Int, message: InterruptMessage) {
    guard vector < events.count else { return }
    events[vector].signal()
  }
}

/// An irqfd.
final class InterruptEvent: Sendable {
  let event: EventDescriptor

  init(_ machine: VirtualMachineOwner, gsi: UInt32) throws(HypervisorError) {
    event = try refusal(.system, "no event for an interrupt can be made") { () throws(SystemError) in
      try EventDescriptor()
    }
    try machine.machine.setInterruptEvent(event, gsi: gsi, attached: true)
  }

  func signal() {
    // The counter cannot be full: KVM empties it at once.
    try? event.signal()
  }
}
