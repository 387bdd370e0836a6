internal import Synchronization

/// A floppy controller as in the PC AT: an Intel 82077AA in AT mode (290166-007), interrupt 6, DMA channel 2.
///
/// Attach it to the six ports from 0x3F0, and by `changePort` to 0x3F7; 0x3F6 between them is the hard disk's.
///
/// Concurrency model: safe from any thread. `state` is held while a disk is read or written, while DMA moves data and
/// while the interrupt line is set. Lock order: this, then DMA.
public final class FloppyController<Store: SectorStore, Line: InterruptLine, Memory: GuestMemory>: BusDevice, Sendable {
  private let state: Mutex<FloppyState<Store, Memory>>
  private let line: Line

  /// A controller.
  ///
  /// - Parameters:
  ///   - drives: up to four drives. A disk of a size that is no floppy's leaves its drive empty.
  ///   - interrupt: ISA interrupt 6.
  ///   - dma: the DMA controllers.
  public init(drives: [FloppyUnit<Store>], interrupt: Line, dma: ISADMA<Memory>) {
    state = Mutex(FloppyState(drives: drives.map { $0.drive }, dma: dma))
    line = interrupt
  }

  /// Puts a disk into drive `number`, or takes it out. False when there is no such drive, or the size is no floppy's.
  @discardableResult
  public func insert(_ store: Store?, drive number: Int) -> Bool {
    state.withLock { state in
      guard state.drives.indices.contains(number) else { return false }
      return state.drives[number]?.insert(store) ?? false
    }
  }

  /// Reads the register at `offset`, 0 to 7.
  public func read(at offset: UInt64, width: AccessWidth) -> UInt64 {
    state.withLock { state in
      let value = state.read(offset)
      state.settle(line)
      return UInt64(value)
    }
  }

  /// Writes the register at `offset`, 0 to 7.
  public func write(_ value: UInt64, at offset: UInt64, width: AccessWidth) {
    state.withLock { state in
      state.write(UInt8(truncatingIfNeeded: value), offset)
      state.settle(line)
    }
  }

  /// The port 0x3F7: disk change, and data rate.
  public var changePort: ChangePort { ChangePort(controller: self) }

  /// One port apart from the others.
  public struct ChangePort: BusDevice, Sendable {
    /// The controller.
    public let controller: FloppyController

    /// Reads the register.
    public func read(at offset: UInt64, width: AccessWidth) -> UInt64 {
      controller.read(at: 7, width: width)
    }

    /// Writes the register.
    public func write(_ value: UInt64, at offset: UInt64, width: AccessWidth) {
      controller.write(value, at: 7, width: width)
    }
  }
}

/// What is at one of a controller's four drive selects.
public enum FloppyUnit<Store: SectorStore>: Sendable {
  /// No drive.
  case absent
  /// A drive without a disk.
  case empty
  /// A drive with this disk.
  case disk(Store)

  var drive: FloppyDrive<Store>? {
    switch self {
    case .absent: nil
    case .empty: FloppyDrive(nil)
    case .disk(let store): FloppyDrive(store)
    }
  }
}
