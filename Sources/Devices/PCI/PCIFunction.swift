internal import Synchronization

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

/// A function that is configuration space and nothing more: bridges, and stand-ins that a guest expects to see.
public final class PCIStaticFunction: PCIFunction, @unchecked Sendable {
  private let configuration: Mutex<PCIConfiguration>

  /// A function with this configuration space.
  public init(_ configuration: PCIConfiguration) {
    self.configuration = Mutex(configuration)
    super.init()
  }

  /// Reads configuration space.
  public override func readConfiguration(at offset: Int, width: AccessWidth) -> UInt32 {
    configuration.withLock { $0.read(at: offset, width: width) }
  }

  /// Writes configuration space; true when what is decoded may have changed.
  public override func writeConfiguration(_ value: UInt32, at offset: Int, width: AccessWidth) -> Bool {
    configuration.withLock { $0.write(value, at: offset, width: width) }
    return false
  }

  /// Sets the interrupt line, and lets the function decode.
  public override func enable(interruptLine: UInt8) {}

  /// The host bridge of the i440FX (Intel 82441FX, 290549-001): device 0.
  public static func hostBridge() -> PCIStaticFunction {
    var configuration = PCIConfiguration(
      PCIConfiguration.Identity(
        vendor: 0x8086, device: 0x1237, revision: 2, classCode: 0x060000, subsystemVendor: 0x1AF4, subsystem: 0x1100))
    // PAM0 to PAM6 and SMRAM, which firmware writes and reads back; RAM is shadowed whatever they say.
    configuration.setWritable(0xFFFF_FF00, at: 0x58)
    configuration.setWritable(0xFFFF_FFFF, at: 0x5C)
    configuration.setWritable(0xFFFF_FFFF, at: 0x70)
    return PCIStaticFunction(configuration)
  }

  /// The ISA bridge of the PIIX3 (Intel 82371SB, 290550-002): device 1, function 0. Its PIRQ route registers
  /// 0x60 to 0x63 begin with `routes` (ISA interrupt numbers for PIRQA to PIRQD).
  public static func isaBridge(routes: [UInt8] = [10, 10, 11, 11]) -> PCIStaticFunction {
    var configuration = PCIConfiguration(
      PCIConfiguration.Identity(
        vendor: 0x8086, device: 0x7000, revision: 0, classCode: 0x060100, subsystemVendor: 0x1AF4, subsystem: 0x1100,
        headerType: 0x80))
    for index in 0..<4 {
      configuration.setByte(index < routes.count ? routes[index] & 0x0F : 0x80, at: 0x60 + index)
    }
    configuration.setWritable(0x8F8F_8F8F, at: 0x60)
    return PCIStaticFunction(configuration)
  }
}
