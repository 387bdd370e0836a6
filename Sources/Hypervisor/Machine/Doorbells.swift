internal import Devices
internal import Platform
internal import Synchronization

/// The ioeventfds of the machine's virtio functions: one event per queue, which KVM signals when the guest writes the
/// queue's doorbell. They follow the window that holds the doorbells when the guest moves it.
///
/// Concurrency model: filled while the machine is put together; `move` comes from vCPU threads, one at a time, as the
/// bus calls it under its lock.
final class Doorbells: Sendable {
  private struct Function {
    var bar: Int
    var events: [QueueEvent]
    var offsets: [UInt64]
    var base: UInt64?
    /// The port that drivers from before virtio 1.0 write a queue's number to.
    var legacy: (bar: Int, offset: UInt64)?
    var port: UInt64?
  }

  private let machine: VirtualMachineOwner
  private let functions = Mutex<[ObjectIdentifier: Function]>([:])
  private let log: @Sendable (String) -> Void

  init(_ machine: VirtualMachineOwner, log: @escaping @Sendable (String) -> Void) {
    self.machine = machine
    self.log = log
  }

  /// Doorbell events for a function's queues, at `offsets` of the window of register `bar`, and at the one port that
  /// `legacy` names, if there is one.
  func register(
    _ function: PCIFunction, bar: Int, offsets: [UInt64], legacy: (bar: Int, offset: UInt64)? = nil
  ) throws(HypervisorError) -> [QueueEvent] {
    var events: [QueueEvent] = []
    for _ in offsets { events.append(try QueueEvent()) }
    let made = events
    functions.withLock {
      $0[ObjectIdentifier(function)] = Function(bar: bar, events: made, offsets: offsets, legacy: legacy)
    }
    return made
  }

  /// What the function decodes has changed.
  func move(_ function: PCIFunction, _ windows: [PCIWindow]) {
    functions.withLock { functions in
      guard var entry = functions[ObjectIdentifier(function)] else { return }
      let base = windows.first { $0.bar == entry.bar }?.base
      if base != entry.base {
        if let old = entry.base { set(entry, old, attached: false) }
        if let base { set(entry, base, attached: true) }
        entry.base = base
      }
      if let legacy = entry.legacy {
        let port = windows.first { $0.bar == legacy.bar && $0.isIO }.map { $0.base + legacy.offset }
        if port != entry.port {
          if let old = entry.port { setLegacy(entry.events, old, attached: false) }
          if let port { setLegacy(entry.events, port, attached: true) }
          entry.port = port
        }
      }
      functions[ObjectIdentifier(function)] = entry
    }
  }

  private func set(_ function: Function, _ base: UInt64, attached: Bool) {
    for (event, offset) in zip(function.events, function.offsets) {
      do throws(HypervisorError) {
        // Length 0: any width, and KVM's fast path.
        try machine.machine.setWriteEvent(
          event.event, address: base + offset, length: 0, port: false, value: nil, attached: attached)
      } catch {
        // The doorbell then works by an ordinary exit.
        log("a doorbell at \(hex(base + offset)) stays slow: \(error)")
      }
    }
  }

  /// One port for all queues: the number that is written tells them apart.
  private func setLegacy(_ events: [QueueEvent], _ port: UInt64, attached: Bool) {
    for (queue, event) in events.enumerated() {
      do throws(HypervisorError) {
        try machine.machine.setWriteEvent(
          event.event, address: port, length: 2, port: true, value: UInt64(queue), attached: attached)
      } catch {
        log("a doorbell at port \(hex(port)) stays slow: \(error)")
      }
    }
  }
}

/// An event of one queue: its doorbell, for one.
final class QueueEvent: Sendable {
  let event: EventDescriptor

  init() throws(HypervisorError) {
    event = try refusal(.system, "no event for a queue can be made") { () throws(SystemError) in
      try EventDescriptor()
    }
  }
}

/// What rings for a function's queues, and what interrupts for it.
struct FunctionWiring: Sendable {
  let doorbells: [QueueEvent]
  let interrupts: FunctionInterrupts
}
