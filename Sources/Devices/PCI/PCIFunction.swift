/// One function on the bus: the root of a small class hierarchy, so that the bus reaches its functions through a
/// class's table and not an existential.
///
/// Concurrency model: every method may be called from any vCPU thread; each subclass guards its state with a lock of
/// its own. The bus never holds its lock while it calls one.
open class PCIFunction: @unchecked Sendable {
  /// A function; for subclasses.
  public init() {}

  /// Reads configuration space; `offset` is 0 to 255 and `width` at most four bytes.
  open func readConfiguration(at offset: Int, width: AccessWidth) -> UInt32 {
    UInt32(truncatingIfNeeded: width.mask)
  }

  /// Writes configuration space. True when what the function decodes may have changed.
  open func writeConfiguration(_ value: UInt32, at offset: Int, width: AccessWidth) -> Bool { false }

  /// What the function decodes now.
  open var windows: [PCIWindow] { [] }

  /// The registers the function has, for who assigns addresses: index, kind and length in bytes.
  open var regions: [(bar: Int, region: PCIRegion, count: UInt64)] { [] }

  /// Sets a base address register, as firmware would.
  open func assign(bar: Int, address: UInt64) {}

  /// Sets the interrupt line register and the command register's decode and bus master bits, as firmware would.
  open func enable(interruptLine: UInt8) {}

  /// Reads in the window of register `bar`.
  open func read(bar: Int, offset: UInt64, width: AccessWidth) -> UInt64 { width.mask }

  /// Writes in the window of register `bar`.
  open func write(_ value: UInt64, bar: Int, offset: UInt64, width: AccessWidth) {}
}
