internal import Synchronization

/// The host bridge of the i440FX (Intel 82441FX data sheet, 290549-001): device 0, with the attributes of the memory
/// between 768 KiB and 1 MiB.
///
/// Concurrency model: safe from any thread. `changed` is called with the lock held, so that changes arrive in order;
/// it must not use the bridge.
public final class HostBridge: PCIFunction, @unchecked Sendable {
  /// How a run of memory is decoded (3.2.18).
  public struct Segment: Hashable, Sendable {
    /// 0 is 0xF0000 to 0xFFFFF; 1 to 12 are 16 KiB each, from 0xC0000 on.
    public let index: Int
    /// Whether reads go to RAM, and not to the ROM behind the bus.
    public let readsMemory: Bool
    /// Whether writes go to RAM, and not to the bus.
    public let writesMemory: Bool

    /// The addresses.
    public var addresses: Range<UInt64> {
      if index == 0 { return 0xF_0000..<0x10_0000 }
      let base = 0xC_0000 + UInt64(truncatingIfNeeded: index &- 1) &* 0x4000
      return base..<(base &+ 0x4000)
    }
  }

  private let configuration: Mutex<PCIConfiguration>
  private let changed: @Sendable (Segment) -> Void

  private static let firstAttribute = 0x59
  private static let systemManagement = 0x72

  /// A bridge after reset; `changed` is told of each segment whose attributes change.
  public init(changed: @escaping @Sendable (Segment) -> Void = { _ in }) {
    self.changed = changed
    configuration = Mutex(Self.afterReset())
    super.init()
  }

  private static func afterReset() -> PCIConfiguration {
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
    configuration.setByte(0x02, at: systemManagement)
    configuration.setWritable(0x0078_0000, at: 0x70)
    return configuration
  }

  /// The machine was reset: every segment is ROM again, and `changed` is told of those that were not.
  public func reset() {
    configuration.withLock { configuration in
      let before = Self.segments(configuration)
      configuration = Self.afterReset()
      tell(before, configuration)
    }
  }

  /// The thirteen segments as they are.
  public var segments: [Segment] {
    configuration.withLock { Self.segments($0) }
  }

  private static func segments(_ configuration: PCIConfiguration) -> [Segment] {
    (0..<13).map { index in
      // PAM0's high half is segment 0; then low half and high half by turns.
      let register = firstAttribute + (index + 1) / 2
      let byte = configuration.read(at: register, width: .byte)
      let bits = (index & 1 == 0 ? byte >> 4 : byte) & 3
      return Segment(index: index, readsMemory: bits & 1 != 0, writesMemory: bits & 2 != 0)
    }
  }

  private func tell(_ before: [Segment], _ configuration: PCIConfiguration) {
    for (old, new) in zip(before, Self.segments(configuration)) where old != new { changed(new) }
  }

  /// Reads configuration space.
  public override func readConfiguration(at offset: Int, width: AccessWidth) -> UInt32 {
    configuration.withLock { $0.read(at: offset, width: width) }
  }

  /// Writes configuration space; what is decoded on the bus never changes.
  public override func writeConfiguration(_ value: UInt32, at offset: Int, width: AccessWidth) -> Bool {
    configuration.withLock { configuration in
      let before = Self.segments(configuration)
      configuration.write(value, at: offset, width: width)
      tell(before, configuration)
    }
    return false
  }
}
