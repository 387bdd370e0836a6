internal import Synchronization

/// The ISA bridge of the PIIX3 (Intel 82371SB data sheet, 290550-002): device 1, function 0. Its PIRQ route registers
/// say which ISA interrupt each of PCI's four wires reaches.
///
/// Concurrency model: safe from any thread. `routed` is called with the lock held, so that changes arrive in order; it
/// must not use the bridge.
public final class ISABridge: PCIFunction, @unchecked Sendable {
  private let configuration: Mutex<PCIConfiguration>
  private let initial: [UInt8]
  private let routed: @Sendable (_ wire: Int, _ interrupt: UInt8?) -> Void

  /// First PIRQ route register; one for each of PIRQA to PIRQD.
  static let firstRoute = 0x60

  /// A bridge.
  ///
  /// - Parameters:
  ///   - routes: ISA interrupts of PIRQA to PIRQD (wires 0 to 3) from the start, for guests that boot without
  ///     firmware; a wire without one is not routed.
  ///   - routed: told when a guest routes a wire elsewhere, or nowhere (nil).
  public init(
    routes: [UInt8] = [], routed: @escaping @Sendable (_ wire: Int, _ interrupt: UInt8?) -> Void = { _, _ in }
  ) {
    initial = routes
    self.routed = routed
    configuration = Mutex(Self.afterReset(routes))
    super.init()
  }

  private static func afterReset(_ routes: [UInt8]) -> PCIConfiguration {
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
      configuration.setByte(index < routes.count ? routes[index] & 0x0F : 0x80, at: firstRoute + index)
    }
    configuration.setWritable(0x8F8F_8F8F, at: firstRoute)
    return configuration
  }

  /// The machine was reset.
  public func reset() {
    configuration.withLock { configuration in
      let before = Self.routes(configuration)
      configuration = Self.afterReset(initial)
      tell(before, configuration)
    }
  }

  /// The ISA interrupts of PIRQA to PIRQD; nil where a wire is not routed.
  public var routes: [UInt8?] {
    configuration.withLock { Self.routes($0) }
  }

  private static func routes(_ configuration: PCIConfiguration) -> [UInt8?] {
    (0..<4).map { wire in
      let byte = UInt8(truncatingIfNeeded: configuration.read(at: firstRoute + wire, width: .byte))
      return byte & 0x80 == 0 ? byte & 0x0F : nil
    }
  }

  private func tell(_ before: [UInt8?], _ configuration: PCIConfiguration) {
    let after = Self.routes(configuration)
    for wire in 0..<4 where before[wire] != after[wire] { routed(wire, after[wire]) }
  }

  /// Reads configuration space.
  public override func readConfiguration(at offset: Int, width: AccessWidth) -> UInt32 {
    configuration.withLock { $0.read(at: offset, width: width) }
  }

  /// Writes configuration space; what is decoded on the bus never changes.
  public override func writeConfiguration(_ value: UInt32, at offset: Int, width: AccessWidth) -> Bool {
    configuration.withLock { configuration in
      let before = Self.routes(configuration)
      configuration.write(value, at: offset, width: width)
      tell(before, configuration)
    }
    return false
  }
}
