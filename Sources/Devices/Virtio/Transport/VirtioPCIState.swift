/// Where things are in a virtio function's windows.
enum VirtioPCILayout {
  static let msixBar = 1
  static let modernBar = 4
  static let modernCount: UInt64 = 0x4000
  static let common: UInt64 = 0x0000
  static let interruptStatus: UInt64 = 0x1000
  static let device: UInt64 = 0x2000
  static let notify: UInt64 = 0x3000
  static let regionCount: UInt64 = 0x1000
  static let notifyMultiplier: UInt64 = 4
  static let msixCount: UInt64 = 0x1000
  static let msixPending: UInt64 = 0x800
}

/// Bits of the ISR status (virtio 1.2, 4.1.4.5).
private enum VirtioISR {
  static let queue: UInt8 = 1
  static let configuration: UInt8 = 2
}

/// Everything of a virtio function that changes: configuration space, MSI-X, and the device's core. Its function's lock
/// guards it.
struct VirtioPCIState<Device: VirtioDevice, Interrupts: PCIInterrupts>: Sendable {
  var core: VirtioCore<Device>
  var configuration: PCIConfiguration
  private var msix: MSIX
  private let interrupts: Interrupts
  private var isr: UInt8 = 0
  private var isLineHigh = false
  private var backlog: UInt64 = 0
  private let msixCapability: Int
  private let accessCapability: Int

  private let isTransitional: Bool

  init(device: Device, memory: Device.Memory, interrupts: Interrupts, isTransitional: Bool) {
    core = VirtioCore(device: device, memory: memory)
    self.interrupts = interrupts
    msix = MSIX(vectors: device.queueSizes.count + 1)
    let type = Device.type
    let transitional = isTransitional ? type.transitionalDevice : nil
    // Revision 0 and the type as subsystem: transitional; 1 and up: not (4.1.2.1, 4.1.2.3). INTA#.
    configuration = PCIConfiguration(
      PCIConfiguration.Identity(
        vendor: 0x1AF4, device: transitional ?? 0x1040 + type.rawValue,
        revision: transitional != nil ? 0 : 1, classCode: type.classCode, subsystemVendor: 0x1AF4,
        subsystem: transitional != nil ? type.rawValue : 0x40 + type.rawValue), interruptPin: 1)
    self.isTransitional = transitional != nil
    if transitional != nil {
      let count = VirtioLegacyLayout.count(configuration: device.configuration.count)
      configuration.addBar(VirtioLegacyLayout.bar, .io, count: count)
    }
    configuration.addBar(VirtioPCILayout.msixBar, .memory32(prefetchable: false), count: VirtioPCILayout.msixCount)
    configuration.addBar(VirtioPCILayout.modernBar, .memory32(prefetchable: false), count: VirtioPCILayout.modernCount)

    var body = ByteFields()
    body.append(UInt16(msix.vectors - 1))
    body.append(UInt32(VirtioPCILayout.msixBar))
    body.append(UInt32(VirtioPCILayout.msixPending) | UInt32(VirtioPCILayout.msixBar))
    msixCapability = configuration.addCapability(id: MSIX.capabilityID, body: body.bytes, writable: [0x00, 0xC0])

    let doorbells = UInt64(device.queueSizes.count) * VirtioPCILayout.notifyMultiplier
    configuration.addVirtio(type: 1, offset: VirtioPCILayout.common, count: 64)
    configuration.addVirtio(type: 3, offset: VirtioPCILayout.interruptStatus, count: 4)
    configuration.addVirtio(
      type: 4, offset: VirtioPCILayout.device, count: UInt64(max(device.configuration.count, 4)))
    configuration.addVirtio(
      type: 2, offset: VirtioPCILayout.notify, count: doorbells, extra: UInt32(VirtioPCILayout.notifyMultiplier))
    accessCapability = configuration.addVirtioAccess()
  }

  // MARK: Configuration space

  mutating func readConfiguration(at offset: Int, width: AccessWidth) -> UInt32 {
    if offset & ~3 == accessCapability + 16, let (address, width) = accessTarget() {
      let value = read(bar: VirtioPCILayout.modernBar, offset: address, width: width)
      configuration.set(UInt32(truncatingIfNeeded: value), at: accessCapability + 16)
    }
    return configuration.read(at: offset, width: width)
  }

  /// True when what is decoded may have changed.
  mutating func writeConfiguration(_ value: UInt32, at offset: Int, width: AccessWidth) -> Bool {
    defer { leadInterrupts() }
    configuration.write(value, at: offset, width: width)
    switch offset & ~3 {
    case PCIConfiguration.commandOffset:
      updateLine()
      return true
    case 0x10...0x24:
      return true
    case msixCapability:
      msix.setControl(UInt16(truncatingIfNeeded: configuration.value(at: msixCapability) >> 16), interrupts)
      updateLine()
    case accessCapability + 16:
      if let (address, width) = accessTarget() {
        let data = UInt64(configuration.value(at: accessCapability + 16))
        write(data & width.mask, bar: VirtioPCILayout.modernBar, offset: address, width: width)
      }
    default:
      break
    }
    return false
  }

  /// What the configuration access capability's window shows (4.1.4.9).
  private func accessTarget() -> (offset: UInt64, width: AccessWidth)? {
    let bar = Int(configuration.value(at: accessCapability + 4) & 0xFF)
    let offset = configuration.value(at: accessCapability + 8)
    let length = configuration.value(at: accessCapability + 12)
    guard bar == VirtioPCILayout.modernBar, length <= 4, let width = AccessWidth(rawValue: Int(length)),
      UInt64(offset) + width.count <= VirtioPCILayout.modernCount, offset & (length - 1) == 0
    else { return nil }
    return (UInt64(offset), width)
  }

  // MARK: Windows

  mutating func read(bar: Int, offset: UInt64, width: AccessWidth) -> UInt64 {
    switch bar {
    case VirtioLegacyLayout.bar where isTransitional:
      return readLegacy(at: offset, width: width)
    case VirtioPCILayout.msixBar:
      return offset < VirtioPCILayout.msixPending
        ? msix.readTable(at: offset, width: width)
        : msix.readPending(at: offset - VirtioPCILayout.msixPending, width: width)
    case VirtioPCILayout.modernBar:
      switch offset {
      case VirtioPCILayout.common..<VirtioPCILayout.interruptStatus:
        return core.readCommon(at: offset, width: width)
      case VirtioPCILayout.interruptStatus:
        defer {
          isr = 0
          updateLine()
        }
        return UInt64(isr)
      case VirtioPCILayout.device..<VirtioPCILayout.notify:
        return core.readDevice(at: Int(offset - VirtioPCILayout.device), width: width)
      default:
        return 0
      }
    default:
      return width.mask
    }
  }

  mutating func write(_ value: UInt64, bar: Int, offset: UInt64, width: AccessWidth) {
    defer { leadInterrupts() }
    switch bar {
    case VirtioLegacyLayout.bar where isTransitional:
      writeLegacy(value, at: offset, width: width)
    case VirtioPCILayout.msixBar:
      guard offset < VirtioPCILayout.msixPending else { return }
      msix.writeTable(value, at: offset, width: width, interrupts)
    case VirtioPCILayout.modernBar:
      switch offset {
      case VirtioPCILayout.common..<VirtioPCILayout.interruptStatus:
        finish(core.writeCommon(value, at: offset, width: width, vectors: msix.vectors))
      case VirtioPCILayout.device..<VirtioPCILayout.notify:
        core.device.writeConfiguration(value, at: Int(offset - VirtioPCILayout.device), width: width)
      case VirtioPCILayout.notify..<VirtioPCILayout.modernCount:
        notify(core.serve(Int((offset - VirtioPCILayout.notify) / VirtioPCILayout.notifyMultiplier)))
      default:
        break
      }
    default:
      break
    }
  }

  private mutating func readLegacy(at offset: UInt64, width: AccessWidth) -> UInt64 {
    let device = VirtioLegacyLayout.device(hasVectors: msix.isEnabled)
    guard offset < device else { return core.readDevice(at: Int(offset - device), width: width) }
    let value = core.readLegacy(at: offset, width: width, interruptStatus: isr)
    // Where the access does not reach into the next register, it was cut before this byte.
    if offset & ~3 == VirtioLegacyLayout.notify, offset + width.count > VirtioLegacyLayout.interruptStatus {
      isr = 0
      updateLine()
    }
    return value
  }

  private mutating func writeLegacy(_ value: UInt64, at offset: UInt64, width: AccessWidth) {
    let device = VirtioLegacyLayout.device(hasVectors: msix.isEnabled)
    if offset >= device {
      core.device.writeConfiguration(value, at: Int(offset - device), width: width)
    } else {
      finish(core.writeLegacy(value, at: offset, width: width, vectors: msix.vectors))
    }
  }

  /// After a write to the registers: what was pending for a driver that has reset the device is gone.
  private mutating func finish(_ notice: VirtioCore<Device>.Notice) {
    if core.status == 0 || core.isResetting { isr = 0 }
    notify(notice)
    updateLine()
  }

  // MARK: Interrupts

  /// Queues that wait for another visit, a bit each; taken by the function after it has let go of the lock.
  mutating func takeBacklog() -> UInt64 {
    defer { backlog = 0 }
    return backlog
  }

  /// Interrupts the driver (4.1.5.3 and 4.1.5.4).
  mutating func notify(_ notice: VirtioCore<Device>.Notice) {
    backlog |= notice.backlog
    guard notice.queues != 0 || notice.configuration else { return }
    guard msix.isEnabled else {
      if notice.queues != 0 { isr |= VirtioISR.queue }
      if notice.configuration { isr |= VirtioISR.configuration }
      updateLine()
      return
    }
    var sent: UInt64 = 0
    for index in core.queueVectors.indices where notice.queues & (1 << UInt64(index)) != 0 {
      signal(core.queueVectors[index], &sent)
    }
    if notice.configuration { signal(core.configurationVector, &sent) }
  }

  /// Signals `vector` unless `sent` says that it was already.
  private mutating func signal(_ vector: UInt16, _ sent: inout UInt64) {
    guard Int(vector) < msix.vectors else { return }
    let bit: UInt64 = 1 << UInt64(vector & 63)
    guard sent & bit == 0 else { return }
    sent |= bit
    msix.signal(Int(vector), interrupts)
  }

  /// Interrupts for a queue whose server has signalled that it used buffers.
  mutating func interrupt(queue: Int) {
    guard core.isRunning, core.queueVectors.indices.contains(queue) else { return }
    notify(VirtioCore<Device>.Notice(queues: 1 << UInt64(queue)))
  }

  /// Tells a device that interrupts by itself where to, after what may have changed that.
  private mutating func leadInterrupts() {
    guard Device.interruptsByItself else { return }
    for queue in core.queueVectors.indices {
      let vector = core.queueVectors[queue]
      core.device.lead(queue, to: msix.isOpen(vector) ? Int(vector) : nil)
    }
  }

  /// INTx follows the ISR while MSI-X is off and Interrupt Disable is clear.
  private mutating func updateLine() {
    let wanted = isr != 0 && !msix.isEnabled
    configuration.interruptStatus = wanted
    let high = wanted && configuration.command & PCIConfiguration.Command.interruptDisable == 0
    if high != isLineHigh {
      isLineHigh = high
      interrupts.setLine(high)
    }
  }
}

/// Little-endian fields of a capability.
private struct ByteFields {
  var bytes: [UInt8] = []

  mutating func append<T: FixedWidthInteger>(_ value: T) {
    for index in 0..<(T.bitWidth / 8) { bytes.append(UInt8(truncatingIfNeeded: value >> (8 * index))) }
  }
}

extension PCIConfiguration {
  /// A `struct virtio_pci_cap` (virtio 1.2, 4.1.4), with `extra` behind it.
  fileprivate mutating func addVirtio(type: UInt8, offset: UInt64, count: UInt64, extra: UInt32? = nil) {
    var body = ByteFields()
    body.append(UInt8(extra == nil ? 16 : 20))
    body.append(type)
    body.append(UInt8(VirtioPCILayout.modernBar))
    body.bytes += [0, 0, 0]  // id, padding
    body.append(UInt32(truncatingIfNeeded: offset))
    body.append(UInt32(truncatingIfNeeded: count))
    if let extra { body.append(extra) }
    addCapability(id: 0x09, body: body.bytes)
  }

  /// `struct virtio_pci_cfg_cap` (4.1.4.9): bar, offset, length and data are for the driver to write.
  fileprivate mutating func addVirtioAccess() -> Int {
    var body: [UInt8] = [20, 5]
    body += [UInt8](repeating: 0, count: 16)
    var mask = [UInt8](repeating: 0xFF, count: 18)
    for index in [0, 1, 3, 4, 5] { mask[index] = 0 }
    return addCapability(id: 0x09, body: body, writable: mask)
  }
}
