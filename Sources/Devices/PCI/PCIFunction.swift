/// One function on the bus: the root of a small class hierarchy, so that the bus reaches its functions through a
/// class's table and not an existential.
///
/// Concurrency model: every method may be called from any vCPU thread; each subclass guards its state with a lock of
/// its own. The bus never holds its lock while it calls one.
open class PCIFunction: @unchecked Sendable {
  /// A function; for subclasses.
  public init() {}

  /// Lends configuration space to `body`, under the function's lock. A function with base address registers gives it:
  /// what follows is made of them.
  open func withConfiguration(_ body: (inout PCIConfiguration) -> Void) {}

  /// Reads configuration space; `offset` is 0 to 255 and `width` at most four bytes.
  open func readConfiguration(at offset: Int, width: AccessWidth) -> UInt32 {
    UInt32(truncatingIfNeeded: width.mask)
  }

  /// Writes configuration space. True when what the function decodes may have changed.
  open func writeConfiguration(_ value: UInt32, at offset: Int, width: AccessWidth) -> Bool { false }

  /// What the function decodes now.
  open var windows: [PCIWindow] {
    var windows: [PCIWindow] = []
    withConfiguration { windows = $0.windows }
    return windows
  }

  /// The registers the function has, for who assigns addresses: index, kind and length in bytes.
  public final var regions: [(bar: Int, region: PCIRegion, count: UInt64)] {
    var regions: [(bar: Int, region: PCIRegion, count: UInt64)] = []
    withConfiguration { configuration in
      for (index, bar) in configuration.bars.enumerated() {
        if let bar { regions.append((index, bar.region, bar.count)) }
      }
    }
    return regions
  }

  /// Sets a base address register, as firmware would.
  public final func assign(bar: Int, address: UInt64) {
    withConfiguration { $0.setBarAddress(address, at: bar) }
  }

  /// Sets the interrupt line register and the command register's decode and bus master bits, as firmware would.
  open func enable(interruptLine: UInt8) {
    withConfiguration { configuration in
      configuration.setByte(interruptLine, at: PCIConfiguration.interruptLineOffset)
      configuration.command |=
        PCIConfiguration.Command.io | PCIConfiguration.Command.memory | PCIConfiguration.Command.busMaster
    }
  }

  /// Reads in the window of register `bar`.
  open func read(bar: Int, offset: UInt64, width: AccessWidth) -> UInt64 { width.mask }

  /// Writes in the window of register `bar`.
  open func write(_ value: UInt64, bar: Int, offset: UInt64, width: AccessWidth) {}
}
