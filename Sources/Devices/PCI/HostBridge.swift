internal import Synchronization

/// The host bridge of the i440FX (Intel 82441FX data sheet, 290549-001): device 0. Firmware sets up memory that is there
/// already: the registers keep what is written and change nothing, the attributes of 768 KiB to 1 MiB (3.2.18) among
/// them, as there is RAM whatever they say.
///
/// Concurrency model: safe from any thread.
public final class HostBridge: PCIFunction, @unchecked Sendable {
  private let configuration: Mutex<PCIConfiguration>

  private static let systemManagement = 0x72

  /// A bridge after reset.
  public override init() {
    // SeaBIOS takes the machine for one that has fw_cfg by the subsystem (src/fw/paravirt.c).
    var configuration = PCIConfiguration(
      PCIConfiguration.Identity(
        vendor: 0x8086, device: 0x1237, revision: 2, classCode: 0x060000, subsystemVendor: 0x1AF4, subsystem: 0x1100))
    configuration.setWritable(0xFFFF_FF00, at: 0x50)  // configuration, DRAM timing
    // PAM0's low half is reserved.
    configuration.setWritable(0x3333_3000, at: 0x58)
    configuration.setWritable(0x3333_3333, at: 0x5C)
    configuration.setWritable(0xFFFF_FFFF, at: 0x60)  // DRAM row boundaries
    configuration.setWritable(0xFFFF_FFFF, at: 0x64)
    configuration.setByte(0x02, at: Self.systemManagement)
    configuration.setWritable(0x0078_0000, at: 0x70)
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
