internal import Synchronization

/// The ISA bridge of the PIIX3 (Intel 82371SB data sheet, 290550-002): device 1, function 0. Its PIRQ route registers
/// keep what firmware writes; where PCI's four wires lead is `PCIWires`'s.
///
/// Concurrency model: safe from any thread.
public final class ISABridge: PCIFunction, @unchecked Sendable {
  private let configuration: Mutex<PCIConfiguration>

  /// First PIRQ route register; one for each of PIRQA to PIRQD.
  static let firstRoute = 0x60

  /// A bridge.
  ///
  /// - Parameter routes: ISA interrupts of PIRQA to PIRQD (wires 0 to 3) from the start, for guests that boot without
  ///   firmware; a wire without one is not routed.
  public init(routes: [UInt8] = []) {
    var configuration = PCIConfiguration(
      PCIConfiguration.Identity(
        vendor: 0x8086, device: 0x7000, revision: 0, classCode: 0x060100, subsystemVendor: 0x1AF4, subsystem: 0x1100,
        headerType: 0x80))
    // Bus master, memory and I/O are always on.
    configuration.setWritable(0, at: PCIConfiguration.commandOffset)
    configuration.setByte(0x07, at: PCIConfiguration.commandOffset)
    configuration.setByte(0x02, at: PCIConfiguration.statusOffset + 1)  // medium DEVSEL#
    configuration.set(0x0003_004D, at: 0x4C)  // I/O recovery, X-bus chip selects
    configuration.setWritable(0xFFFF_00FF, at: 0x4C)
    for index in 0..<4 {
      configuration.setByte(index < routes.count ? routes[index] & 0x0F : 0x80, at: Self.firstRoute + index)
    }
    configuration.setWritable(0x8F8F_8F8F, at: Self.firstRoute)
    self.configuration = Mutex(configuration)
    super.init()
  }

  /// Reads configuration space.
  public override func readConfiguration(at offset: Int, width: AccessWidth) -> UInt32 {
    configuration.withLock { $0.read(at: offset, width: width) }
  }

  /// Writes configuration space; what is decoded on the bus never changes.
  public override func writeConfiguration(_ value: UInt32, at offset: Int, width: AccessWidth) -> Bool {
    configuration.withLock { $0.write(value, at: offset, width: width) }
    return false
  }
}
