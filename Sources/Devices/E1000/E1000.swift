internal import Synchronization

/// An Intel 82540EM, the "e1000": a Gigabit Ethernet controller that systems without virtio have a driver for (Intel
/// 317453, "PCI/PCI-X Family of Gigabit Ethernet Controllers Software Developer's Manual"). INTA# only, as the chip has
/// no MSI-X; no VLAN tags, no wake up, received checksums are left to the guest, interrupts are not moderated.
///
/// Register 0 decodes 128 KiB of memory, register 1 64 ports, of which IOADDR and IODATA lead to the same registers.
///
/// Concurrency model: safe from any thread. `state` holds everything that changes. vCPU threads take it for register
/// accesses, and transmit under it when they write TDT; the monitor's event loop takes it in `receiveFrames`. It is held
/// while the backend and the wire are called, which must not wait nor call back. Lock order: PCI bus, then this, then
/// what those two take.
public final class E1000<Memory: GuestMemory, Frames: FrameBackend, Line: InterruptLine>: PCIFunction,
  @unchecked Sendable
{
  private let state: Mutex<E1000State<Memory, Frames, Line>>
  private let onRoom: @Sendable () -> Void

  /// An adapter with the six bytes of `mac` in its EEPROM.
  ///
  /// - Parameters:
  ///   - memory: the guest's RAM.
  ///   - frames: the wire; it is read only in `receiveFrames`.
  ///   - interrupt: the function's INTA#.
  ///   - onRoom: told, without the lock and on a vCPU's thread, when the guest can receive again after
  ///     `receiveFrames` said that it cannot: have the event loop call that again.
  public init(
    memory: Memory, frames: Frames, mac: [UInt8], interrupt: Line, onRoom: @escaping @Sendable () -> Void = {}
  ) {
    self.onRoom = onRoom
    state = Mutex(E1000State(memory: memory, frames: frames, mac: mac, line: interrupt))
    super.init()
  }

  // MARK: For the monitor

  /// Moves frames that wait at the backend to the guest; for when it is readable, and after `onRoom`. False when the
  /// guest takes none now: stop waiting for the backend until `onRoom`.
  public func receiveFrames() -> Bool {
    state.withLock { $0.receive() }
  }

  /// Whether the cable is in.
  public var isLinkUp: Bool {
    get { state.withLock { $0.phy.isLinkUp } }
    set { state.withLock { $0.setLink(up: newValue) } }
  }

  // MARK: For the bus

  /// Reads configuration space.
  public override func readConfiguration(at offset: Int, width: AccessWidth) -> UInt32 {
    state.withLock { $0.configuration.read(at: offset, width: width) }
  }

  /// Writes configuration space; true when what is decoded may have changed.
  public override func writeConfiguration(_ value: UInt32, at offset: Int, width: AccessWidth) -> Bool {
    withRoom { $0.writeConfiguration(value, at: offset, width: width) }
  }

  /// Lends configuration space.
  public override func withConfiguration(_ body: (inout PCIConfiguration) -> Void) {
    state.withLock { body(&$0.configuration) }
  }

  /// Reads in a window.
  public override func read(bar: Int, offset: UInt64, width: AccessWidth) -> UInt64 {
    state.withLock { $0.read(bar: bar, offset: offset, width: width) }
  }

  /// Writes in a window.
  public override func write(_ value: UInt64, bar: Int, offset: UInt64, width: AccessWidth) {
    withRoom { $0.write(value, bar: bar, offset: offset, width: width) }
  }

  /// Runs `body` under the lock, and tells of room that it made after it.
  private func withRoom<Result: Sendable>(_ body: (inout E1000State<Memory, Frames, Line>) -> Result) -> Result {
    let (result, hasRoom) = state.withLock { state in
      let result = body(&state)
      return (result, state.takeRoom())
    }
    if hasRoom { onRoom() }
    return result
  }
}
