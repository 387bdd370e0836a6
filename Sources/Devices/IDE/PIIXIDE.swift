internal import Synchronization

/// The IDE function of the PIIX3 (Intel 82371SB, 290550-002, 2.3): device 1, function 1, beside the ISA bridge. Two
/// channels at the ports and interrupts of the PC AT, and a bus master in the I/O window of register 4.
///
/// The ports of `PIIXIDELayout` are the machine's to attach, as `ATAChannel.Ports`; they answer whatever the command
/// register and the decode bits of IDETIM say, as nothing else could be there.
///
/// Concurrency model: safe from any thread. `configuration` is configuration space; each channel guards itself. Neither
/// lock is held while the other is taken.
public final class PIIXIDE<Store: SectorStore, Line: InterruptLine, Memory: GuestMemory>: PCIFunction,
  @unchecked Sendable
{
  /// The channel at 0x1F0, 0x3F6 and interrupt 14.
  public let primary: ATAChannel<Store, Line, Memory>
  /// The channel at 0x170, 0x376 and interrupt 15.
  public let secondary: ATAChannel<Store, Line, Memory>
  private let configuration: Mutex<PCIConfiguration>

  /// A controller.
  ///
  /// - Parameters:
  ///   - primary: device 0 and device 1 of the primary channel.
  ///   - secondary: device 0 and device 1 of the secondary channel.
  ///   - interrupts: ISA interrupts 14 and 15.
  ///   - memory: the guest's RAM.
  public init(
    primary: (ATADrive<Store>, ATADrive<Store>), secondary: (ATADrive<Store>, ATADrive<Store>),
    interrupts: (Line, Line), memory: Memory
  ) {
    self.primary = ATAChannel(primary, interrupt: interrupts.0, memory: memory)
    self.secondary = ATAChannel(secondary, interrupt: interrupts.1, memory: memory)
    var configuration = PCIConfiguration(
      PCIConfiguration.Identity(
        vendor: 0x8086, device: 0x7010, revision: 0, classCode: 0x010180, subsystemVendor: 0x1AF4, subsystem: 0x1100))
    configuration.addBar(PIIXIDELayout.busMasterBar, .io, count: 16)
    // IDETIM of both channels: decode enabled, compatible timing. SIDETIM: slave timing.
    configuration.set(0x8000_8000, at: 0x40)
    configuration.setWritable(0xFFFF_FFFF, at: 0x40)
    configuration.setWritable(0x0000_00FF, at: 0x44)
    self.configuration = Mutex(configuration)
    super.init()
  }

  /// Reads configuration space.
  public override func readConfiguration(at offset: Int, width: AccessWidth) -> UInt32 {
    configuration.withLock { $0.read(at: offset, width: width) }
  }

  /// Writes configuration space; true when what is decoded may have changed.
  public override func writeConfiguration(_ value: UInt32, at offset: Int, width: AccessWidth) -> Bool {
    let (changed, isBusMaster) = configuration.withLock { configuration in
      let before = configuration.windows
      configuration.write(value, at: offset, width: width)
      return (configuration.windows != before, configuration.command & PCIConfiguration.Command.busMaster != 0)
    }
    setBusMaster(isBusMaster)
    return changed
  }

  /// Lends configuration space.
  public override func withConfiguration(_ body: (inout PCIConfiguration) -> Void) {
    configuration.withLock { body(&$0) }
  }

  /// Lets the function decode; its interrupts are those of the AT, and it has no INTx pin.
  public override func enable(interruptLine: UInt8) {
    configuration.withLock {
      $0.command |= PCIConfiguration.Command.io | PCIConfiguration.Command.busMaster
    }
    setBusMaster(true)
  }

  private func setBusMaster(_ isEnabled: Bool) {
    primary.setBusMaster(isEnabled)
    secondary.setBusMaster(isEnabled)
  }

  /// Reads a register of the bus master: the primary channel's eight ports, then the secondary's.
  public override func read(bar: Int, offset: UInt64, width: AccessWidth) -> UInt64 {
    guard bar == PIIXIDELayout.busMasterBar, offset < 16, offset & 7 &+ width.count <= 8 else { return width.mask }
    return (offset < 8 ? primary : secondary).readBusMaster(at: offset & 7, width: width)
  }

  /// Writes a register of the bus master.
  public override func write(_ value: UInt64, bar: Int, offset: UInt64, width: AccessWidth) {
    guard bar == PIIXIDELayout.busMasterBar, offset < 16, offset & 7 &+ width.count <= 8 else { return }
    (offset < 8 ? primary : secondary).writeBusMaster(value, at: offset & 7, width: width)
  }
}

/// Where the channels of `PIIXIDE` are.
public enum PIIXIDELayout {
  /// The base address register of the bus master.
  public static let busMasterBar = 4
  /// First port of the command blocks, eight ports each: primary and secondary.
  public static let commandPorts: (UInt64, UInt64) = (0x1F0, 0x170)
  /// The port of the control blocks.
  public static let controlPorts: (UInt64, UInt64) = (0x3F6, 0x376)
  /// ISA interrupts.
  public static let interrupts: (UInt8, UInt8) = (14, 15)
}
