/// A level-triggered interrupt input: the wire between a device and an interrupt controller.
///
/// Called with the device's lock held, from any thread: it must not call back into the device.
public protocol InterruptLine: Sendable {
  /// Raises or lowers the wire. Repeating the present level is harmless.
  func set(_ asserted: Bool)
}

/// The message of a message-signaled interrupt (PCI 3.0, 6.8.1).
public struct InterruptMessage: Hashable, Sendable {
  /// Where the write goes (Message Upper Address : Message Address).
  public var address: UInt64
  /// What is written.
  public var data: UInt32

  /// The write of `data` to `address`.
  public init(address: UInt64, data: UInt32) {
    self.address = address
    self.data = data
  }
}

/// How one PCI function's interrupts reach the guest. Made by the monitor, one per function.
///
/// Called with the function's lock held, from vCPU threads and device threads alike: an implementation must not
/// call back into the function and must not wait.
public protocol PCIInterrupts: Sendable {
  /// Drives the function's INTx wire (`INTA#`). Shared wires: see `PCIWires`.
  func setLine(_ asserted: Bool)

  /// The guest gave vector `vector` a message, or masked it (nil). The place to keep the route of an irqfd up to
  /// date; not on the interrupt path.
  func routeChanged(vector: Int, to message: InterruptMessage?)

  /// Delivers vector `vector`, which is unmasked and whose message is `message`: write the vector's irqfd, or
  /// signal the message itself.
  func signal(vector: Int, message: InterruptMessage)
}
